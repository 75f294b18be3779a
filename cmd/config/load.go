package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"syscall"
)

// maxConfig bounds the file, so that a wrong path cannot fill the memory. The largest sensible file has a long [route]
// table.
const maxConfig = 4 << 20

// Load reads the file at path. The error is Errors: every mistake with its place. Nothing of a file with mistakes is
// used. Load does not look at the system that the daemon will meet: ports, directories and DNS may change until then.
func Load(path string) (*Config, error) {
	cfg, _, err := load(path)
	return cfg, err
}

// load also returns the loader: Check needs the places in the file for its warnings.
func load(path string) (*Config, *loader, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, nil, Errors{{File: path, Text: err.Error()}}
	}
	l := &loader{file: path, hostname: os.Hostname}
	cfg, err := l.load(text)
	if err != nil {
		return nil, nil, err
	}
	cfg.File = path
	return cfg, l, nil
}

// readConfig returns the text of the file, or an error with the repair instead of the system's words alone.
func readConfig(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", explainOpen(err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	switch {
	case errors.Is(err, syscall.EISDIR):
		return "", errors.New("is a directory; name the file in it")
	case err != nil:
		return "", fmt.Errorf("cannot be read: %w", err)
	case len(text) > maxConfig:
		return "", fmt.Errorf("is larger than %d bytes; this is no configuration", maxConfig)
	}
	return string(text), nil
}

// explainOpen drops the path that the system's error repeats: Error has it in front.
func explainOpen(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file; name another with -c FILE")
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("cannot be read by user %d: permission denied", os.Geteuid())
	}
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return fmt.Errorf("cannot be read: %w", errno)
	}
	return err
}

// load parses, then decodes, then checks. Check only runs on values that all fitted: it would complain a second time, about
// the default that stands where a wrong value was.
func (l *loader) load(text string) (*Config, error) {
	text = strings.TrimPrefix(text, "\uFEFF") // the parser drops a byte order mark too, and places must agree with the parser
	given, err := parse(text)
	if err != nil {
		return nil, Errors{syntaxError(l.file, err)}
	}
	if len(given) == 0 {
		// An empty file would run on defaults. It is more likely that an installation has failed half-way.
		return nil, Errors{{File: l.file, Text: `sets nothing; give at least hostname = "mail.example.org"`}}
	}
	l.places = locate(text)
	cfg := DefaultConfig()
	l.decode(given, cfg)
	if len(l.errs) == 0 {
		l.check(cfg)
	}
	if len(l.errs) > 0 {
		l.errs.sort()
		return nil, l.errs
	}
	return cfg, nil
}

// decode lays the file over the defaults: a key that the file does not name keeps its default.
func (l *loader) decode(given map[string]any, cfg *Config) {
	l.table("", given, reflect.ValueOf(cfg).Elem())
}

// check judges the values and gives each error its place. A part's Validate knows keys and no places.
func (l *loader) check(cfg *Config) {
	l.zeros(cfg)
	l.allowanceZeros(cfg)
	if err := cfg.fill(l.hostname); err != nil {
		l.refuse("hostname", "%v", err)
		cfg.Hostname = "filled.invalid" // the name has its error; a valid one lets Validate find the other mistakes
	}
	var errs Errors
	if !errors.As(cfg.Validate(), &errs) {
		return
	}
	l.place(errs)
	l.errs = append(l.errs, errs...)
}

// place gives errors about keys the places of these keys, and names the line of another key that an error is about. An error
// about a missing key gets the place of its table.
func (l *loader) place(errs Errors) {
	for _, e := range errs {
		e.File = l.file
		e.Line, _ = l.places.position(e.Key)
		if other, _ := l.places.position(e.Other); other > 0 {
			e.Text += fmt.Sprintf(" (the other is in line %d)", other)
		}
	}
}
