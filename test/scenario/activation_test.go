package scenario

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/filter/milter"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/process"
)

// held opens the socket of a door as systemd would, in place of one that the configuration names.
func (s *Scene) held(t *testing.T, addr string) *os.File {
	t.Helper()
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close() // the file is a duplicate
	f, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestActivation: 480 messages in 6 seconds come by a transport, and the daemon is away for a second and a half. As systemd holds
// the socket, Postfix puts none of them off.
func TestActivation(t *testing.T) {
	s := behind(t, Waiting, Options{})
	if err := s.Millrace.Stop(patience); err != nil {
		t.Fatal(err)
	}
	s.Millrace.Launch = Activated([]*os.File{s.held(t, s.At("127.0.0.1:8896"))})
	if err := s.Millrace.Start(); err != nil {
		t.Fatal(err)
	}
	back := make(chan error, 1)
	go func() { // ends when the daemon answers again
		time.Sleep(2 * time.Second)
		err := s.Millrace.Stop(patience)
		time.Sleep(1500 * time.Millisecond)
		if err == nil {
			err = s.Millrace.Start()
		}
		back <- err
	}()
	r, err := load.Run(t.Context(), load.Config{Addr: s.Entry(), Messages: 480, Rate: 80, Conns: 8, MinSize: 2000})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	if err := s.settle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	u := Upgrades{Report: r, Comparison: load.Compare(r.Records, s.Sink.All())}
	if err := s.complaints(&u); err != nil {
		t.Fatal(err)
	}
	for d := range s.Sink.All() {
		if d.Listener == "bulk" {
			u.Taken++
		}
	}
	t.Log(u.String())
	if u.Deferred > 0 || u.Taken != 480 || r.Acked() != 480 {
		t.Errorf("%s", strings.Join(u.Complaints[:min(3, len(u.Complaints))], "\n"))
	}
}

// TestSocketActivate: the program that systemd has for it starts the daemon with its sockets, and one that no key names ends the start.
func TestSocketActivate(t *testing.T) {
	need(t, "systemd-socket-activate")
	m, err := NewMillrace(binary, t.TempDir(), "127.0.0.1:1", "")
	if err != nil {
		t.Fatal(err)
	}
	activated := func(more ...string) func(*exec.Cmd) error {
		return func(cmd *exec.Cmd) error {
			cmd.Args = append(append([]string{"systemd-socket-activate", "-l", m.Milter, "-l", m.MilterSocket()}, more...), append([]string{cmd.Path}, cmd.Args[1:]...)...)
			path, err := exec.LookPath("systemd-socket-activate")
			cmd.Path = path
			if err != nil {
				return err
			}
			return cmd.Start()
		}
	}
	m.Launch = activated()
	if err := m.Daemon.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first connection starts the daemon", func() bool {
		nc, err := net.Dial("tcp", m.Milter)
		if err == nil {
			nc.Close()
		}
		return err == nil
	})
	if err := m.Answers(); err != nil {
		t.Fatal(err)
	}
	if text, err := m.Run("upgrade"); err != nil {
		t.Errorf("%v: %s", err, text)
	}
	if err := m.Stop(patience); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(m.MilterSocket()); err != nil {
		t.Errorf("the socket of systemd: %v", err)
	}
	if err := os.Remove(m.MilterSocket()); err != nil {
		t.Fatal(err)
	}
	unnamed, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	m.Launch = activated("-l", unnamed)
	if err := m.Daemon.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the daemon refuses to start", func() bool {
		if nc, err := net.Dial("tcp", m.Milter); err == nil {
			nc.Close()
		}
		return m.Over()
	})
	if log := m.Log(); !strings.Contains(log, "systemd has opened inet:"+unnamed) || !strings.Contains(log, "milter.listen inet:"+m.Milter) {
		t.Errorf("%s", log)
	}
}

// TestSocketUnits: systemd understands the units of contrib, and the first of them is the door's address by default.
func TestSocketUnits(t *testing.T) {
	need(t, "systemd-analyze")
	dir := t.TempDir()
	units, err := filepath.Glob(filepath.Join(ContribDir, "systemd", "millrace*.s*"))
	if err != nil || len(units) != 4 {
		t.Fatalf("%v %v", units, err)
	}
	args := []string{"verify"}
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(unit) == "millrace.socket" && !strings.Contains(string(text), "\nListenStream="+strings.TrimPrefix(milter.DefaultConfig().Listen[0], "inet:")+"\n") {
			t.Errorf("%s", text)
		}
		args = append(args, filepath.Join(dir, filepath.Base(unit)))
		if err := os.WriteFile(args[len(args)-1], []byte(strings.ReplaceAll(string(text), "/usr/bin/millrace", "/bin/true")), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
