package mta

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Part is a server that this package can start.
type Part int

// The parts.
const (
	PostfixPart Part = iota
	SendmailPart
	OpendkimPart
)

// ErrMissing is returned, wrapped with the reason, when a Part cannot run on this machine.
var ErrMissing = errors.New("not available here")

// Check returns nil when the part can be started on this machine, else an error that wraps ErrMissing and says what
// helps.
func (p Part) Check() error {
	switch p {
	case SendmailPart:
		if err := needProgram("m4"); err != nil {
			return err
		}
		if _, err := os.Stat(sendmailBinary()); err != nil {
			return fmt.Errorf("sendmail %w: it is not unpacked in %s; test/run unpacks it", ErrMissing, sendmailRoot())
		}
	case OpendkimPart:
		if err := needProgram("opendkim"); err != nil {
			return err
		}
	default:
		if err := needProgram("postfix"); err != nil {
			return err
		}
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: a mail server must be started by root, this is user %d", ErrMissing, os.Geteuid())
	}
	return nil
}

func needProgram(name string) error {
	if lookup(name) == "" {
		return fmt.Errorf("%s %w: it is not installed; test/run installs it", name, ErrMissing)
	}
	return nil
}

// lookup finds a program, also in directories that the PATH of a plain user lacks.
func lookup(name string) string {
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin", "/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path
		}
	}
	return ""
}

// Require skips the test, with the reason, when one of the parts cannot run on this machine. When the environment
// variable CI is set, it fails the test instead: in CI nothing may be missing.
func Require(t testing.TB, parts ...Part) {
	t.Helper()
	for _, p := range parts {
		err := p.Check()
		switch {
		case err == nil:
		case os.Getenv("CI") != "":
			t.Fatal(err)
		default:
			t.Skip(err)
		}
	}
}
