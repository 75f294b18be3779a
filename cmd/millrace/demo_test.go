//go:build !nodemo

package main

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// TestDemoCommand: the demonstration is there unless it was left out, and a wrong option is a wrong command line.
func TestDemoCommand(t *testing.T) {
	for _, test := range []struct {
		args   string
		status int
		want   string // part of the output
	}{
		{"--help", exitOK, `"millrace demo" shows it at work`},
		{"demo --help", exitOK, "--personal"},
		{"demo --help", exitOK, "--no-mta"},
		{"demo --messages 0", exitUsage, "millrace: --messages 0: give 1 to 10000000\nTry 'millrace demo --help'.\n"},
		{"demo extra", exitUsage, "unknown command"},
	} {
		var b bytes.Buffer
		p := program{out: &b, err: &b, open: openDaemon}
		if got := p.execute(context.Background(), strings.Fields(test.args)); got != test.status || !strings.Contains(b.String(), test.want) {
			t.Errorf("%s: exit status %d, want %d\n%s", test.args, got, test.status, &b)
		}
	}
}
