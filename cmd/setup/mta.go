package setup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// MTA is the mail server beside Millrace, as its configuration describes it.
type MTA struct {
	Name     string    // like "Postfix 3.7.11"
	Dir      string    // of its configuration
	Postfix  *Postfix  // nil if it is Sendmail
	Sendmail *Sendmail // nil if it is Postfix
	// Commands are the command lines of the programs that run on this host: some milters decide by their options.
	Commands [][]string
	// Connect says why the MTA may not connect to the unix socket at a path; nil if that is not known.
	Connect func(path string) error
	// ReadFile returns the text of a lookup table, or of another file that the configuration names.
	ReadFile func(path string) (string, error)
}

// Directories in which MTAs have their configuration.
const (
	postfixDir  = "/etc/postfix"
	sendmailDir = "/etc/mail"
)

// ErrNoMTA is returned when a directory has the configuration of no MTA that is known here.
var ErrNoMTA = errors.New("no MTA is configured here")

// Read reads the configuration in dir: main.cf by the program postconf, or sendmail.cf. Without dir it looks where MTAs
// have it, at Postfix first. It changes nothing.
func Read(ctx context.Context, dir string) (*MTA, error) {
	places := []string{postfixDir, sendmailDir}
	if dir != "" {
		dir, err := filepath.Abs(dir) // postconf would name the tables relative to it too
		if err != nil {
			return nil, err
		}
		places = []string{dir}
	}
	for _, place := range places {
		if _, err := os.Stat(filepath.Join(place, "main.cf")); err == nil {
			return readPostfix(ctx, place)
		}
		if text, err := readText(filepath.Join(place, "sendmail.cf")); err == nil {
			return readSendmail(text, place)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("%w: neither main.cf of Postfix nor sendmail.cf of Sendmail is in %s; name its directory with --mta-dir",
		ErrNoMTA, strings.Join(places, " or "))
}

func readPostfix(ctx context.Context, dir string) (*MTA, error) {
	var outputs []string
	for _, flags := range []string{"-x", "-M", "-xP"} {
		out, err := postconf(ctx, dir, flags)
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, out)
	}
	p, err := ParsePostfix(outputs[0], outputs[1], outputs[2])
	if err != nil {
		return nil, err
	}
	m := &MTA{Name: "Postfix " + p.Main["mail_version"], Dir: dir, Postfix: p, Commands: running(), ReadFile: readText}
	if id, err := lookUser(p.Main["mail_owner"]); err == nil { // Postfix refuses to start without that user, and says why
		m.Connect = id.connect
	}
	return m, nil
}

func readSendmail(text, dir string) (*MTA, error) {
	s, err := ParseSendmail(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "sendmail.cf"), err)
	}
	return &MTA{Name: "Sendmail " + s.Version, Dir: dir, Sendmail: s, Commands: running(), ReadFile: readText}, nil
}

// postconf runs the program of that name. A plain user's PATH often lacks the directory that it is in.
func postconf(ctx context.Context, dir, flags string) (string, error) {
	program := "postconf"
	if _, err := exec.LookPath(program); err != nil {
		program = "/usr/sbin/postconf"
	}
	cmd := exec.CommandContext(ctx, program, "-c", dir, flags)
	var complaints strings.Builder
	cmd.Stderr = &complaints // also warnings, which are the administrator's and not ours
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(complaints.String()))
	}
	return string(out), nil
}

// maxText bounds a file of the MTA: a table of millions of lines must not fill the memory.
const maxText = 64 << 20

// readText reads a regular file. Anything else, a FIFO for instance, might never end.
func readText(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("%s is no regular file", path)
	case info.Size() > maxText:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxText)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxText))
	return string(text), err
}

// running reads the command lines of all processes, as far as the system shows them. Without /proc there are none: what a
// milter then does is taken from its options in files.
func running() [][]string {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	var all [][]string
	for _, file := range files {
		line, err := os.ReadFile(file)
		if args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00"); err == nil && args[0] != "" {
			all = append(all, args)
		}
	}
	return all
}
