package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"strings"
	"syscall"

	"github.com/BurntSushi/toml"
)

// maxConfig bounds the file. The largest sensible one is a long [route] table.
const maxConfig = 4 << 20

// Load reads the file at path. The error is ConfigErrors with everything that is wrong, each with its place; nothing of
// a file with errors is used. It looks at the configuration only, not at the system the daemon will meet.
func Load(path string) (*Config, error) {
	text, err := readConfig(path)
	if err != nil {
		return nil, ConfigErrors{{File: path, Text: err.Error()}}
	}
	l := loader{file: path, hostname: os.Hostname}
	return l.load(text)
}

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

// loader turns the text of one file into a Config.
type loader struct {
	file     string
	hostname func() (string, error) // os.Hostname
	places   *places
	errs     ConfigErrors
}

func (l *loader) load(text string) (*Config, error) {
	text = strings.TrimPrefix(text, "\uFEFF") // the parser does, and places are to agree with it
	given, err := parse(text)
	if err != nil {
		return nil, ConfigErrors{l.syntax(err)}
	}
	if len(given) == 0 {
		return nil, ConfigErrors{{File: l.file, Text: `sets nothing; give at least hostname = "mail.example.org"`}}
	}
	l.places = locate(text)
	cfg := Default()
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

// parse survives a parser that panics on what it takes for a fault of its own: a reload must not end the daemon.
func parse(text string) (given map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("is not TOML: %v", r)
		}
	}()
	_, err = toml.Decode(text, &given)
	return given, err
}

// syntax gives a parser's error our form.
func (l *loader) syntax(err error) *ConfigError {
	e := &ConfigError{File: l.file, Text: err.Error()}
	if p := (toml.ParseError{}); errors.As(err, &p) {
		e.Line, e.Column, e.Text = p.Position.Line, p.Position.Col, strings.TrimSuffix(p.Message, ".")
	}
	return e
}

func (l *loader) decode(given map[string]any, cfg *Config) {
	l.table("", given, reflect.ValueOf(cfg).Elem())
}

func (l *loader) check(cfg *Config) {
	if err := cfg.fill(l.hostname); err != nil {
		l.add("hostname", "%v", err)
		cfg.Hostname = "filled.invalid" // it has its error; what else is wrong?
	}
	var errs ConfigErrors
	if !errors.As(cfg.Validate(), &errs) {
		return
	}
	for _, e := range errs {
		e.File = l.file
		e.Line, _ = l.places.at(e.Key)
		l.errs = append(l.errs, e)
	}
}

// add notes an error about a key, without the column.
func (l *loader) add(key, format string, args ...any) {
	line, _ := l.places.at(key)
	l.errs = append(l.errs, &ConfigError{File: l.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// addValue notes an error about a key's value, with the column.
func (l *loader) addValue(key, format string, args ...any) {
	l.add(key, format, args...)
	_, l.errs[len(l.errs)-1].Column = l.places.at(key)
}
