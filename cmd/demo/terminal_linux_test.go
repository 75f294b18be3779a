package demo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// openTerminal makes a pseudoterminal: what a program writes to it can be read from screen.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	}
	if err != nil {
		t.Skipf("this system makes no pseudoterminals: %v", err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return screen, terminal
}

// seen is what stays on the screen of what was written: a carriage return goes back to the begin of the line.
func seen(written string) []string {
	var lines []string
	for _, line := range strings.Split(strings.ReplaceAll(written, "\r\n", "\n"), "\n") {
		var cells []rune
		for _, part := range strings.Split(line, "\r") {
			for i, r := range []rune(part) {
				if i == len(cells) {
					cells = append(cells, ' ')
				}
				cells[i] = r
			}
		}
		lines = append(lines, strings.TrimRight(string(cells), " "))
	}
	return lines
}

// TestRunOnATerminal: the table stands on lines of its own, below nothing, and says of all waiting mail why and until when.
func TestRunOnATerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	screen, terminal := openTerminal(t)
	var written bytes.Buffer
	read := make(chan struct{})
	go func() { // ends when the terminal is closed
		defer close(read)
		_, _ = io.Copy(&written, screen)
	}()
	o := DefaultOptions()
	o.Messages, o.Size, o.Domains = 300, 1000, len(kinds)
	o.Out, o.Progress = terminal, terminal
	if err := Run(context.Background(), o); err != nil {
		t.Error(err)
	}
	terminal.Close()
	<-read
	if !strings.Contains(written.String(), "waiting") || !strings.Contains(written.String(), "/s ") {
		t.Errorf("no live line: %q", written.String())
	}
	lines := seen(written.String())
	if want := regexp.MustCompile(`^ *domain +character +taken`); !want.MatchString(lines[0]) {
		t.Errorf("the first line is %q", lines[0])
	}
	want := regexp.MustCompile(`(?m)^50 messages for dead5\.test wait and are tried again (at \d\d:\d\d:\d\d|as soon as there is a channel): .*connect(ing)? to 127\.`)
	if text := strings.Join(lines, "\n"); !want.MatchString(text) {
		t.Errorf("no line like %s:\n%s", want, text)
	}
}
