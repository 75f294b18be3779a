package scenario

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/standin"
)

// TestUnfitProgram: whatever stands at the daemon's path, the daemon that runs goes on, and so does the connection of its MTA.
func TestUnfitProgram(t *testing.T) {
	dir := t.TempDir()
	program, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(dir, "millrace")
	if err := os.WriteFile(bin, program, 0o755); err != nil {
		t.Fatal(err)
	}
	m, err := NewMillrace(bin, dir, "127.0.0.1:1", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Start(); err != nil {
		t.Fatal(err)
	}
	m.Bin = binary // for the commands
	mta, err := standin.Dial("tcp", m.Milter, standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Close()
	for _, test := range []struct{ name, text, want string }{
		{"an older version", "#!/bin/sh\nexit 64\n", "cannot take over from this version"},
		{"a mistake in the configuration", "#!/bin/sh\necho millrace.toml:3: mode: no\nexit 78\n", "millrace.toml:3: mode: no"},
		{"no program", "x", "exec format error"},
		{"gone when it is needed", "#!/bin/sh\nrm $0\n", "goes on as it was: run " + bin + ": no such file"},
	} {
		if err := os.Remove(bin); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(bin, []byte(test.text), 0o755); err != nil {
			t.Fatal(err)
		}
		if out, err := m.Run("upgrade"); err == nil || !strings.Contains(out, test.want) {
			t.Errorf("%s: %v: %s", test.name, err, out)
		}
		if v, err := mta.Send(&standin.Message{From: "n@sender.test", Rcpts: standin.To("a@far.test"), Body: []byte("x\r\n")}); err != nil || v.Action != standin.Accept {
			t.Errorf("%s: %+v %v", test.name, v, err)
		}
	}
	if err := mta.Close(); err != nil {
		t.Error(err)
	}
	if err := m.Stop(patience); err != nil {
		t.Error(err)
	}
}
