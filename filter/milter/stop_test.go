package milter

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/standin"
)

// A message that has begun is taken, and the one after it is left with the MTA, whose other mail must not suffer. The
// connection has its grace.
func TestStopWithinAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(s *setup) {
			s.config.StopGrace = 5 * time.Second
			s.before = func(*relay.Message) error { time.Sleep(30 * time.Second); return nil }
		})
		busy, idle := r.dial(standin.Options{Timeout: time.Hour}), r.dial(standin.Options{})
		verdict := make(chan standin.Verdict, 2)
		go func() {
			v, _ := busy.Send(bulk())
			verdict <- v
		}()
		time.Sleep(time.Second)
		stopped := make(chan error, 1)
		begin := time.Now()
		go func() { stopped <- r.door.Stop(context.Background()) }()
		time.Sleep(time.Second)
		if _, err := r.net.dial(); err == nil {
			t.Error("a new connection is accepted")
		}
		for _, m := range []*standin.Message{plain(), bulk(), plain()} {
			if v := r.send(idle, m); v.Action != standin.Accept || v.Stage != standin.Mail {
				t.Errorf("a new message on an idle connection: %+v", v)
			}
		}
		if v := <-verdict; !v.Taken() {
			t.Errorf("the message that had begun: %+v", v)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d < 29*time.Second || d > 31*time.Second {
			t.Errorf("stopped after %s", d)
		}
		if n := len(r.taken.all()); n != 1 {
			t.Errorf("%d taken", n)
		}
	})
}

func TestStopClosesIdleConnectionsAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, func(s *setup) { s.config.StopGrace = 5 * time.Second })
		idle, open := r.dial(standin.Options{}), r.dial(standin.Options{})
		r.send(open, edit(bulk(), func(m *standin.Message) { m.StopAt = standin.Header }))
		stopped := make(chan error, 1)
		go func() { stopped <- r.door.Stop(context.Background()) }()
		sessions := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if got := r.door.Sessions(); got != want {
				t.Errorf("%s: %d sessions, want %d", when, got, want)
			}
		}
		time.Sleep(4 * time.Second)
		sessions("within the grace", 2)
		time.Sleep(2 * time.Second)
		sessions("after the grace, a message is open", 1)
		open.Flush() // the ABORT that ends it
		sessions("after its end", 0)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if _, err := idle.Send(bulk()); err == nil {
			t.Error("an idle connection is still served")
		}
	})
}

func TestStopGivesUpWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		r := start(t, func(s *setup) { s.before = func(*relay.Message) error { <-release; return nil } })
		c := r.dial(standin.Options{Timeout: time.Hour})
		sent := make(chan error, 1)
		go func() {
			_, err := c.Send(bulk())
			sent <- err
		}()
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.door.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if err := <-sent; err == nil {
			t.Error("answered")
		}
		close(release)
	})
}

func TestServeAfterStop(t *testing.T) {
	r := start(t)
	r.door.Stop(context.Background())
	ln := newPipes()
	if err := r.door.Serve(ln); err != nil {
		t.Error(err)
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the listener is still open")
	}
}

// failing is a listener whose Accept fails a few times, as it does without file descriptors.
type failing struct {
	*pipes
	failures atomic.Int32
}

func (f *failing) Accept() (net.Conn, error) {
	if f.failures.Add(-1) >= 0 {
		return nil, errors.New("too many open files")
	}
	return f.pipes.Accept()
}

func TestServeSurvivesFailedAccepts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t)
		ln := &failing{pipes: newPipes()}
		ln.failures.Store(50)
		served := make(chan error, 1)
		go func() { served <- r.door.Serve(ln) }()
		nc, err := ln.dial()
		if err != nil {
			t.Fatal(err)
		}
		c, err := standin.New(nc, standin.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if v := r.send(c, bulk()); !v.Taken() {
			t.Errorf("%+v", v)
		}
		c.Close()
		ln.Close()
		if err := <-served; !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve returned %v when its listener was closed under it", err)
		}
		if !strings.Contains(r.log.String(), "suppressed=") {
			t.Errorf("every failure was logged: %q", r.log.String())
		}
	})
}

func TestParseListen(t *testing.T) {
	for _, tt := range []struct{ in, network, address string }{
		{"inet:127.0.0.1:8895", "tcp", "127.0.0.1:8895"},
		{"inet:localhost:8895", "tcp", "localhost:8895"},
		{"inet6:[::1]:8895", "tcp6", "[::1]:8895"},
		{"unix:/run/millrace/milter.sock", "unix", "/run/millrace/milter.sock"},
		{"local:/run/m", "unix", "/run/m"},
	} {
		network, address, err := ParseListen(tt.in)
		if err != nil || network != tt.network || address != tt.address {
			t.Errorf("%q: %q %q %v", tt.in, network, address, err)
		}
	}
	for _, in := range []string{"", "8895", "127.0.0.1:8895", "inet:8895", "inet::8895", "inet:localhost:", "unix:relative", "unix:", "udp:1.2.3.4:5"} {
		if _, _, err := ParseListen(in); err == nil {
			t.Errorf("%q was accepted", in)
		}
	}
}

func TestListenOnUnixSocket(t *testing.T) {
	c := DefaultConfig()
	path := filepath.Join(t.TempDir(), "m.sock")
	ln, err := c.Bind("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if _, err := c.Bind("unix:" + path); err == nil || !strings.Contains(err.Error(), "another process answers") {
		t.Errorf("a socket in use was taken over: %v", err)
	}
	ln.(*net.UnixListener).SetUnlinkOnClose(false)
	ln.Close() // as a process that was killed leaves it
	ln, err = c.Bind("unix:" + path)
	if err != nil {
		t.Fatalf("a stale socket was not removed: %v", err)
	}
	ln.Close()
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Bind("unix:" + path); err == nil {
		t.Error("a file was taken over")
	}
	if b, _ := os.ReadFile(path); string(b) != "precious" {
		t.Error("a file was removed")
	}
}

// The socket's group and mode decide who may connect: an MTA runs as another user.
func TestSocketGroupAndMode(t *testing.T) {
	gid := 12345
	if os.Geteuid() != 0 { // an unprivileged user may give a file only to a group of his own
		groups, err := os.Getgroups()
		if err != nil || len(groups) == 0 {
			t.Skip("no group to give the socket to")
		}
		gid = groups[len(groups)-1]
	}
	c := DefaultConfig()
	c.SocketGroup, c.SocketMode = strconv.Itoa(gid), "0662"
	path := filepath.Join(t.TempDir(), "m.sock")
	ln, err := c.Bind("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Sys().(*syscall.Stat_t).Gid; got != uint32(gid) || info.Mode().Perm() != 0o662 {
		t.Errorf("group %d, mode %v", got, info.Mode())
	}
	c.SocketGroup = "no-such-group"
	if _, err := c.Bind("unix:" + path + "2"); err == nil || !strings.Contains(err.Error(), "socket_group") {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path + "2"); err == nil {
		t.Error("a socket that its MTA cannot use was left behind")
	}
}

func TestListenOnPort(t *testing.T) {
	c := DefaultConfig()
	ln, err := c.Bind("inet:127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if _, err := c.Bind("inet:nowhere"); err == nil {
		t.Error("no error")
	}
}

func TestConfigValidate(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*Config){
		"listen[0]: ":          func(c *Config) { c.Listen = []string{"8895"} },
		`socket_mode: "660w"`:  func(c *Config) { c.SocketMode = "660w" },
		"socket_group: -1":     func(c *Config) { c.SocketGroup = "-1" },
		"idle_timeout: 0s":     func(c *Config) { c.IdleTimeout = 0 },
		"read_timeout: -1s":    func(c *Config) { c.ReadTimeout = -time.Second },
		"stop_grace: -1s":      func(c *Config) { c.StopGrace = -time.Second },
		"max_sessions: 0":      func(c *Config) { c.MaxSessions = 0 },
		"max_rcpts: 0":         func(c *Config) { c.MaxRcpts = 0 },
		"max_header_bytes: -5": func(c *Config) { c.MaxHeaderBytes = -5 },
		"max_buffered: 0":      func(c *Config) { c.MaxBuffered = 0 },
	} {
		c := DefaultConfig()
		change(&c)
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
