package daemon

import (
	"context"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// next starts the daemon that goes on with what d hands over.
func next(t *testing.T, d *Daemon) *Daemon {
	t.Helper()
	given, err := d.HandOver(t.Context())
	if err != nil || given == nil {
		t.Fatalf("%v %v", given, err)
	}
	n, err := NewOn(Machine{Given: given}, d.cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestHandOver: connections, those that are idle and those that come while nobody serves, go through a series of daemons, and the
// socket's file stays the same.
func TestHandOver(t *testing.T) {
	d, socket, far := start(t, sink.Character{})
	before, err := os.Lstat(socket)
	if err != nil {
		t.Fatal(err)
	}
	c := dial(t, socket)
	const n = 20
	for i := range n {
		late := make(chan error, 1)
		given, err := d.HandOver(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() { // ends with the next daemon's answer
			c, err := standin.Dial("unix", socket, standin.Options{})
			if err == nil {
				var v standin.Verdict
				if v, err = c.Send(newsletter(n + i)); err == nil && v.Action != standin.Discard && v.Action != standin.Accept {
					t.Errorf("%+v", v)
				}
				c.Close()
			}
			late <- err
		}()
		if d, err = NewOn(Machine{Given: given}, d.cfg, hclog.NewNullLogger()); err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("after hand-over %d: %+v %v", i, v, err)
		}
		if err := c.Flush(); err != nil { // it has heard
			t.Fatal(err)
		}
		if err := <-late; err != nil {
			t.Errorf("who came while nobody served: %v", err)
		}
	}
	if s := (overview{d}).Status(); s.Handovers != n || s.HandoverFailure != "" {
		t.Errorf("%d hand-overs, %s", s.Handovers, s.HandoverFailure)
	}
	if after, err := os.Lstat(socket); err != nil || !os.SameFile(before, after) {
		t.Errorf("the socket is another one: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := far.Wait(ctx, n); err != nil {
		t.Error(err)
	}
	c.Close()
	stop(t, d)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the last daemon leaves its socket behind")
	}
}

// TestHandOverOfAKeyThatIsGone: a listener that the configuration names no more is closed, and its file removed.
func TestHandOverOfAKeyThatIsGone(t *testing.T) {
	d, socket, _ := start(t, sink.Character{})
	cfg := *d.cfg
	cfg.Milter.Listen = []string{"inet:127.0.0.1:0"}
	d.mu.Lock()
	d.cfg = &cfg
	d.mu.Unlock()
	d = next(t, d)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there")
	}
	at := d.sockets.milter[0].Addr().String()
	d = next(t, d)
	if got := d.sockets.milter[0].Addr().String(); got != at {
		t.Errorf("port 0 is another port after a hand-over: %s, then %s", at, got)
	}
	stop(t, d)
}

// TestNothingToHandOver: a daemon whose sockets are none goes on.
func TestNothingToHandOver(t *testing.T) {
	d, socket, _ := start(t, sink.Character{})
	d.sockets.open = append(d.sockets.open, listener{Listener: noFile{}, spec: "inet:nowhere:1"})
	if given, err := d.HandOver(t.Context()); given != nil || err == nil || !strings.Contains(err.Error(), "inet:nowhere:1") {
		t.Errorf("%v %v", given, err)
	}
	c := dial(t, socket)
	if v, err := c.Send(newsletter(1)); err != nil || !v.Taken() {
		t.Errorf("%+v %v", v, err)
	}
	c.Close()
	d.sockets.open = d.sockets.open[:len(d.sockets.open)-1]
	stop(t, d)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket is still there")
	}
}

// noFile is a listener of no system.
type noFile struct{ net.Listener }

// forEver keeps files whose descriptors stand in two of them: the collector would close one twice, when it is another file's.
var forEver []*Given

// TestEstate: what Export writes Receive reads, and what is not of ours is refused.
func TestEstate(t *testing.T) {
	given, at := socketOf(t, "tcp", "127.0.0.1:0")
	given.spec, given.systemd = "inet:"+at.String(), true
	nc, err := net.Dial("tcp", at.String())
	if err != nil {
		t.Fatal(err)
	}
	f, err := fileOf(nc)
	if err != nil {
		t.Fatal(err)
	}
	nc.Close()
	g := &Given{listeners: []givenListener{given}, conns: []givenConn{{f, "milter", []byte("state\x00")}}, Handovers: 3}
	env, err := g.Export()
	if err != nil {
		t.Fatal(err)
	}
	name, value, _ := strings.Cut(env, "=")
	t.Setenv(name, value)
	got, err := Receive()
	if err != nil {
		t.Fatal(err)
	}
	if _, set := os.LookupEnv(name); set {
		t.Error("children would find it too")
	}
	forEver = append(forEver, g, got)
	l, c := got.listeners[0], got.conns[0]
	if l.spec != given.spec || !l.systemd || l.file.Fd() != given.file.Fd() || c.door != "milter" || string(c.state) != "state\x00" || c.file.Fd() != f.Fd() || got.Handovers != 3 {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"", "x", "99999", "-1"} {
		t.Setenv(name, bad)
		if _, err := Receive(); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
