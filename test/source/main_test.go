package main

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/test/sink"
)

func TestRunIntoItsOwnSink(t *testing.T) {
	if err := run(t.Context(), []string{"-sink", "127.0.0.1:0", "-messages", "50", "-min", "1000", "-pipelining"}); err != nil {
		t.Error(err)
	}
}

func TestRunToAServer(t *testing.T) {
	s, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	addr, err := s.Listen("127.0.0.1:0", sink.Character{})
	if err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), []string{"-addr", addr.String(), "-messages", "5", "-domains", "x.test,y.test"}); err != nil || s.Count() != 5 {
		t.Errorf("%d arrived, %v", s.Count(), err)
	}
	// This server delivers nothing, so the sink of the command waits in vain.
	err = run(t.Context(), []string{"-addr", addr.String(), "-sink", "127.0.0.1:0", "-messages", "5", "-wait", "20ms"})
	if err == nil || !strings.Contains(err.Error(), "5 lost") {
		t.Errorf("nothing came through, and the command says %v", err)
	}
}

func TestCommandLine(t *testing.T) {
	for _, args := range [][]string{{}, {"-nonsense"}, {"-sink", "127.0.0.1:0", "-plain", "7"}} {
		if err := run(t.Context(), args); err == nil {
			t.Errorf("%q was let pass", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}); err != nil {
		t.Errorf("-h: %v", err)
	}
}
