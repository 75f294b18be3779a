package smtpd

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// room is the heart behind a gate, with room for 16 messages.
type room struct {
	gate   *relay.Gate
	queues *relay.QueueMap
	h      *relay.Handler
	drain  relay.Reason
}

// gated makes a door behind a gate whose room is used. A reply that waits does so for a moment only, unless change says otherwise.
func gated(t *testing.T, role Role, change func(*setup, *relay.GateConfig)) (*rig, *room) {
	t.Helper()
	x := &room{}
	cfg := relay.DefaultGateConfig()
	cfg.Hold = time.Millisecond
	r := start(t, func(s *setup) {
		s.role = role
		if change != nil {
			change(s, &cfg)
		}
		x.gate = relay.NewGate(cfg, relay.GateDeps{Draining: func() relay.Reason { return x.drain }})
		queue := relay.DefaultQueueConfig()
		queue.MaxMessages = 16
		x.queues = relay.NewQueueMap(queue, relay.Deps{Journal: relay.NoJournal{}, Gate: x.gate})
		x.queues.Open()
		s.accept, s.gate = x.queues, x.gate
	})
	x.h = relay.NewHandler(x.queues, relay.DefaultRetryConfig(), relay.HandbackConfig{})
	for id := range relay.ID(15) {
		msg := &relay.Message{Slip: &relay.Slip{}, ID: id + 1000, Content: relay.NewContent(relay.Letter{Body: []byte("x\r\n")})}
		msg.Slip.Rcpts = []relay.Rcpt{{Addr: "a@example.net"}}
		if err := x.queues.Accept(msg); err != nil {
			t.Fatal(err)
		}
	}
	return r, x
}

// empty delivers three of the messages that wait.
func (x *room) empty(t *testing.T) {
	q := x.h.Next(t.Context())
	for range 3 {
		v := x.h.Visit(q)
		v.FailAll(relay.Sent, relay.Fate{}.Reply)
		x.h.Settle(v)
	}
	x.h.Ready(q)
}

// offer is a bulk message that comes to a door, and how the answer begins.
type offer struct {
	role     Role
	hello    string
	overflow string
	noMTA    bool
	want     string
}

// TestWithoutRoom: a filter's client keeps its mail, everybody else's goes on to the MTA; and mail that is not bulk never meets the gate.
func TestWithoutRoom(t *testing.T) {
	for _, tt := range []offer{
		{Filter, "EHLO", relay.OverflowLeave, false, "451 4.3.2"},
		{Filter, "LHLO", relay.OverflowReturn, false, "451 4.3.2"},
		{Proxy, "EHLO", relay.OverflowLeave, false, "250 "},
		{Proxy, "EHLO", relay.OverflowTempfail, false, "451 4.3.2"},
		{Submission, "EHLO", relay.OverflowReturn, false, "250 "},
		{Submission, "EHLO", relay.OverflowLeave, true, "451 4.3.2"},
	} {
		r, x := gated(t, tt.role, func(s *setup, g *relay.GateConfig) { g.Overflow, s.noMTA = tt.overflow, tt.noMTA })
		c := r.dial()
		c.say(tt.hello+" app.example.com", "250-")
		lmtp := tt.hello == "LHLO"
		for range 2 { // the connection goes on
			for _, got := range c.send(lmtp, bulkMessage, "a@example.net", "b@example.net") {
				if !strings.HasPrefix(got, tt.want) {
					t.Errorf("%s, %s, %s: %q", tt.role, tt.hello, tt.overflow, got)
				}
			}
		}
		if !tt.noMTA {
			if got := c.send(lmtp, plainMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 ") {
				t.Errorf("%s: a letter: %q", tt.role, got)
			}
		}
		x.empty(t)
		if got := c.send(lmtp, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 2.0.0 Ok: queued") {
			t.Errorf("%s: there is room: %q", tt.role, got)
		}
	}
}

// TestReplyWaitsForRoom: the answer waits in the middle of the message, and comes with the room.
func TestReplyWaitsForRoom(t *testing.T) {
	r, x := gated(t, Filter, func(_ *setup, g *relay.GateConfig) { g.Hold = 25 * time.Second })
	c := r.dial()
	c.say("EHLO mta.example.com", "250-")
	time.AfterFunc(100*time.Millisecond, func() { x.empty(t) })
	if got := c.send(false, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 2.0.0 Ok: queued") {
		t.Errorf("%q", got)
	}
}

// TestDrained: while an admin drains the daemon no mail waits for it. The MTA behind the door has it.
func TestDrained(t *testing.T) {
	r, x := gated(t, Filter, func(s *setup, _ *relay.GateConfig) {
		s.bulk.Rule = []filter.Rule{{Name: "all", Listener: "filter"}}
	})
	x.drain = relay.WaitFor(relay.ReasonDrain, "root", "drained", time.Time{})
	c := r.dial()
	c.say("EHLO mta.example.com", "250-")
	if got := c.send(false, plainMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 ") || r.mta.Count() != 1 {
		t.Errorf("%q, %d went on", got, r.mta.Count())
	}
}

// usedUp is an allowance without room.
type usedUp struct{}

func (usedUp) Reserve(string, int) (func(), relay.Reason) {
	return nil, relay.WaitFor(relay.ReasonAllowance, "", "the allowance is used up", time.Time{})
}

// TestOverAllowance: the MTA behind the door has the mail, whatever gate.overflow says: the end of a month may be further away than a queue
// keeps mail, and nothing may be returned for an allowance. Without an MTA the client keeps it, and a refusal is never for good.
func TestOverAllowance(t *testing.T) {
	for _, tt := range []offer{
		{Filter, "EHLO", relay.OverflowLeave, false, "250 "},
		{Filter, "LHLO", relay.OverflowReturn, false, "250 "},
		{Proxy, "EHLO", relay.OverflowTempfail, false, "250 "},
		{Submission, "EHLO", relay.OverflowLeave, false, "250 "},
		{Submission, "EHLO", relay.OverflowLeave, true, "451 4.3.2 the allowance is used up"},
		{Filter, "LHLO " + RescueName, relay.OverflowLeave, false, "451 4.3.2 the allowance is used up"},
	} {
		r := start(t, func(s *setup) {
			s.role, s.noMTA = tt.role, tt.noMTA
			cfg := relay.DefaultGateConfig()
			cfg.Overflow = tt.overflow
			s.gate = relay.NewGate(cfg, relay.GateDeps{Allowance: usedUp{}})
			queues := relay.NewQueueMap(relay.DefaultQueueConfig(), relay.Deps{Journal: relay.NoJournal{}, Gate: s.gate})
			queues.Open()
			s.accept = queues
		})
		c := r.dial()
		lmtp := strings.HasPrefix(tt.hello, "LHLO")
		if !strings.Contains(tt.hello, " ") {
			tt.hello += " app.example.com"
		}
		c.say(tt.hello, "250-")
		for _, got := range c.send(lmtp, bulkMessage, "a@example.net") {
			if !strings.HasPrefix(got, tt.want) {
				t.Errorf("%s, %s, %s: %q", tt.role, tt.hello, tt.overflow, got)
			}
		}
		if tt.noMTA {
			continue
		}
		if want := map[bool]int{true: 1}[tt.want == "250 "]; r.mta.Count() != want {
			t.Errorf("%s, %s: the MTA has %d messages, want %d", tt.role, tt.hello, r.mta.Count(), want)
		}
	}
}

// illJournal can record nothing.
type illJournal struct{ relay.NoJournal }

func (illJournal) Unwritable() error { return errDisk }

// TestNothingIsTaken: mail that is bulk for certain is refused at MAIL while nothing at all is taken. Other mail goes on to the MTA.
func TestNothingIsTaken(t *testing.T) {
	r := start(t, func(s *setup) {
		s.bulk.Rule = []filter.Rule{{Name: "news", Sender: "news.example.com"}}
		s.gate = relay.NewGate(relay.DefaultGateConfig(), relay.GateDeps{})
		queues := relay.NewQueueMap(relay.DefaultQueueConfig(), relay.Deps{Journal: illJournal{}, Gate: s.gate})
		queues.Open()
		s.accept = queues
	})
	c := r.dial()
	c.say("EHLO mta.example.com", "250-")
	c.say("MAIL FROM:<a@news.example.com>", "451 4.3.2")
	if got := c.send(false, plainMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 ") || r.door.Status().Refused != 1 {
		t.Errorf("%q, %+v", got, r.door.Status())
	}
}
