package milter

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
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
			if v := r.send(idle, m); v.Action != standin.Accept || v.Stage != standin.EndOfHeader {
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
		open, idle := r.dial(standin.Options{}), r.dial(standin.Options{}) // the first is answered at RCPT, and so known to be busy
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
