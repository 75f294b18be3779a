package sink

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestHangUp: the limits of a Character that hangs up end the connection with 421, and nothing of the transaction is taken.
func TestHangUp(t *testing.T) {
	for _, c := range []struct {
		name, script string
		ch           Character
		count        int
	}{
		{"recipients", "C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<a@b>\nS: 250\nC: RCPT TO:<b@b>\nS: 421 4.5.3", Character{MaxRecipients: 1, HangUp: true}, 0},
		{"rate", "C: MAIL FROM:<a@b>\nS: 250\nC: RSET\nS: 250\nC: MAIL FROM:<a@b>\nS: 421 4.7.28", Character{PerSecond: 1, HangUp: true}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, addr := start(t, Config{}, c.ch)
			p := dial(t, addr)
			p.hello()
			p.talk(c.script)
			p.expectEnd()
			if s.Count() != c.count {
				t.Errorf("%d taken, want %d", s.Count(), c.count)
			}
		})
	}
}

const oneMessage = "MAIL FROM:<a@b>\r\nRCPT TO:<a@b>\r\nDATA\r\nSubject: x\r\n\r\n.\r\n"

// TestSlowMoods: both take the message, and not before their time.
func TestSlowMoods(t *testing.T) {
	const ms = time.Millisecond
	for _, c := range []struct {
		name  string
		ch    Character
		least time.Duration
	}{
		{"dot", Character{DotDelay: 60 * ms}, 60 * ms},
		{"dribble", Character{Extensions: []string{}, Dribble: ms}, time.Duration(len("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n250 2.0.0 Ok: taken\r\n")) * ms},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, addr := start(t, Config{}, c.ch)
			p := dial(t, addr)
			p.hello()
			begin := time.Now()
			p.send(oneMessage)
			for _, want := range []string{"250", "250", "354", "250 2.0.0"} {
				p.expect(want)
			}
			if took := time.Since(begin); took < c.least || s.Count() != 1 {
				t.Errorf("%d taken in %s", s.Count(), took)
			}
		})
	}
}

// TestChange: a new Character holds for connections that are open, too many of them end, and the greylist remembers.
func TestChange(t *testing.T) {
	s, addr := start(t, Config{}, Character{Name: "x", Greylist: time.Nanosecond, MaxConns: 2})
	p := dial(t, addr)
	p.hello()
	p.talk("C: MAIL FROM:<a@b>\nS: 250\nC: RCPT TO:<a@b>\nS: 451 4.7.1")
	if err := s.Change("x", Character{Greylist: time.Nanosecond, MaxConns: 1, MaxRecipients: 1}); err != nil {
		t.Fatal(err)
	}
	p.talk("C: RCPT TO:<a@b>\nS: 250\nC: RCPT TO:<b@b>\nS: 452")
	dial(t, addr).expect("421 4.7.0")
	if err := s.Change("x", Character{MaxConns: 2}); err != nil {
		t.Fatal(err)
	}
	second := dial(t, addr)
	second.hello()
	if err := s.Change("x", Character{MaxConns: 1}); err != nil {
		t.Fatal(err)
	}
	second.talk("C: MAIL FROM:<a@b>\nS: 421 4.7.0")
	p.talk("C: RSET\nS: 250\nC: MAIL FROM:<a@b>\nS: 250")
	if err := s.Change("x", Character{Faults: []Fault{{}}}); err == nil {
		t.Error("a Character that Listen refuses is no error of Change")
	}
}

// TestShutAndReopen: a listener that is shut resets what is open and refuses the rest, until it is opened again.
func TestShutAndReopen(t *testing.T) {
	s, addr := start(t, Config{}, Character{Name: "x"})
	p := dial(t, addr)
	p.hello()
	if err := s.Shut("x"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.r.ReadByte(); err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("the open connection: %v, want a reset", err)
	}
	if conn, err := net.Dial("tcp", addr.String()); err == nil {
		conn.Close()
		t.Error("a listener that is shut accepts")
	}
	for range 2 { // shut twice is shut once
		if err := s.Shut("x"); err != nil {
			t.Error(err)
		}
	}
	if err := s.Reopen("x"); err != nil {
		t.Fatal(err)
	}
	dial(t, addr).hello()
	if c := s.Counts("x"); c.Connections != 2 || c.MaxOpen > 2 {
		t.Errorf("counts %+v", c)
	}
	s.Close()
	if err := s.Reopen("x"); err == nil {
		t.Error("a Sink that is closed opens again")
	}
}

// TestTransaction: each begin has one end, whichever way the transaction ends.
func TestTransaction(t *testing.T) {
	var mu sync.Mutex
	var told []string
	ended := make(chan struct{}, 10)
	s, addr := start(t, Config{}, Character{Transaction: func(from string, begun bool) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprint(from, begun))
		if !begun {
			ended <- struct{}{}
		}
	}})
	p := dial(t, addr)
	p.hello()
	p.send(oneMessage)
	for _, want := range []string{"250", "250", "354", "250"} {
		p.expect(want)
	}
	p.talk("C: MAIL FROM:<c@d>\nS: 250\nC: RSET\nS: 250\nC: MAIL FROM:<e@f>\nS: 250\nC: EHLO a\nS: 250\nC: MAIL FROM:<g@h>\nS: 250")
	p.Close()
	for range 4 {
		<-ended
	}
	s.Close()
	want := []string{"a@btrue", "a@bfalse", "c@dtrue", "c@dfalse", "e@ftrue", "e@ffalse", "g@htrue", "g@hfalse"}
	if !slices.Equal(told, want) {
		t.Errorf("told %q", told)
	}
}

// TestPartedIsNotOpen: a client that has seen the end of one connection may have the next, although it has not closed the first.
func TestPartedIsNotOpen(t *testing.T) {
	s, addr := start(t, Config{}, Character{Name: "x", MaxConns: 1})
	for range 3 {
		p := dial(t, addr)
		p.hello()
		p.send("QUIT\r\n")
		p.expect("221")
		p.expectEnd()
	}
	if c := s.Counts("x"); c.MaxOpen != 1 || c.Open != 0 || c.TurnedAway != 0 {
		t.Errorf("counts %+v", c)
	}
}
