package smtpd

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCrowd: mail comes through among thousands of connections that say nothing, or half a command, or half a message, and an idle one
// holds little memory.
func TestCrowd(t *testing.T) {
	const crowd = 1500
	r := start(t, func(s *setup) { s.config.MaxSessions = crowd + 10 })
	before := heap()
	for i := range crowd {
		said := []string{"", "EHLO a", "EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<a@example.net>\r\n"}[i%3]
		nc := r.connect().nc
		if _, err := fmt.Fprint(nc, said); err != nil {
			t.Fatal(err)
		}
	}
	for r.door.Sessions() < crowd {
		runtime.Gosched()
	}
	each := (heap() - before) / crowd
	t.Logf("%d bytes each", each)
	if each > 20<<10 {
		t.Errorf("a connection of the crowd, with its client, holds %d bytes", each)
	}
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	for range 20 {
		if got := c.send(false, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 ") {
			t.Fatalf("%q", got)
		}
	}
	r.age(-time.Hour)
	var last net.Conn
	for range 20 { // more than there are
		last = r.connect().nc
	}
	b := make([]byte, 64)
	if n, err := last.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "421 4.3.2") {
		t.Errorf("one too many hears %q, %v", b[:n], err)
	}
}

// age makes all sessions idle for so long.
func (r *rig) age(idle time.Duration) {
	r.door.each(func(s *session) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.since = time.Now().Add(-idle)
	})
}

// agreeOnAge makes all sessions idle for so long, unless that is 0, and waits until exactly young of them have listened since: a session
// begins to listen after its client has read the reply.
func (r *rig) agreeOnAge(idle time.Duration, young int) {
	for rest := 0; rest < 50; rest++ {
		if idle > 0 && rest == 0 {
			r.age(idle)
		}
		time.Sleep(time.Millisecond)
		n := 0
		r.door.each(func(s *session) {
			if began, _ := s.idleSince(); time.Since(began) < idleEnough {
				n++
			}
		})
		if n != young {
			rest = -1
		}
	}
}

// TestIdleMakesWay: a listener whose connections all idle is open to a new one. The one that has idled for longest goes; one with a
// message under way does not, nor one that has spoken lately.
func TestIdleMakesWay(t *testing.T) {
	r := start(t, func(s *setup) { s.config.MaxSessions = 3 })
	busy, idle, young := r.dial(), r.dial(), r.dial()
	for _, c := range []*client{busy, idle, young} {
		c.say("EHLO app.example.com", "250-")
	}
	busy.say("MAIL FROM:<news@example.com>", "250 ")
	r.connect().expect("421 4.3.2 too many connections, try again")
	r.agreeOnAge(time.Hour, 0)
	young.say("NOOP", "250 ")
	r.agreeOnAge(0, 1)
	next := r.dial()
	idle.expect("421 4.3.2 too many connections, and this one is idle")
	if _, err := idle.in.ReadByte(); err == nil {
		t.Error("the door has not hung up")
	}
	for range 2 { // both others are left alone
		r.connect().expect("421 4.3.2 too many connections, try again")
		r.age(0)
	}
	next.say("EHLO app.example.com", "250-")
	young.say("NOOP", "250 ")
	busy.say("RCPT TO:<a@example.net>", "250 ")
	if n := r.door.Sessions(); n != 3 {
		t.Errorf("%d sessions", n)
	}
}

// TestIdlersMakeWay: each of many new connections finds its place, and evicts one other.
func TestIdlersMakeWay(t *testing.T) {
	const crowd = 100 // more than are looked at
	r := start(t, func(s *setup) { s.config.MaxSessions = crowd })
	for range crowd {
		r.dial()
	}
	r.age(time.Hour)
	for range crowd / 2 {
		r.dial().say("NOOP", "250 ")
	}
	for r.door.Sessions() > crowd {
		runtime.Gosched()
	}
	if n := r.door.Sessions(); n != crowd {
		t.Errorf("%d sessions, want %d", n, crowd)
	}
}

// heap is what lives on the heap and on stacks, in bytes.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// TestSlowChunks: small chunks, each of which comes whole with its command, do not keep a message open.
func TestSlowChunks(t *testing.T) {
	r := start(t, func(s *setup) { s.config.DataTimeout = time.Second })
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	c.say("MAIL FROM:<news@example.com>", "250 ")
	c.say("RCPT TO:<a@example.net>", "250 ")
	c.write("BDAT 1\r\nx")
	c.expect("250 2.0.0")
	time.Sleep(1100 * time.Millisecond)
	c.write("BDAT 1\r\nx")
	c.expect("421 4.4.2")
}
