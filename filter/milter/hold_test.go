package milter

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/standin"
)

// gated makes a door behind a gate whose room for 16 messages is used. open makes room again.
func gated(t *testing.T, change func(*relay.GateConfig)) (r *rig, open func()) {
	t.Helper()
	cfg := relay.DefaultGateConfig()
	if change != nil {
		change(&cfg)
	}
	queue := relay.DefaultQueueConfig()
	queue.MaxMessages = 16
	gate := relay.NewGate(cfg, relay.GateDeps{})
	queues := relay.NewQueueMap(queue, relay.Deps{Journal: relay.NoJournal{}, Gate: gate})
	queues.Open()
	r = start(t, func(s *setup) { s.accept, s.gate = queues, gate })
	for id := range relay.ID(15) {
		msg := &relay.Message{Slip: &relay.Slip{}, ID: id + 1000, Content: relay.NewContent(relay.Letter{Body: []byte("x\r\n")})}
		msg.Slip.Rcpts = []relay.Rcpt{{Addr: "a@example.net"}}
		if err := queues.Accept(msg); err != nil {
			t.Fatal(err)
		}
	}
	h := relay.NewHandler(queues, relay.DefaultRetryConfig(), relay.HandbackConfig{})
	return r, func() {
		q := h.Next(t.Context())
		for range 3 {
			v := h.Visit(q)
			v.FailAll(relay.Sent, relay.Fate{}.Reply)
			h.Settle(v)
		}
		h.Ready(q)
	}
}

// TestReplyWaitsForRoom: the answer to a bulk message waits at the end of its header, Postfix hears that we are alive, and the answer
// comes with the room.
func TestReplyWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, open := gated(t, func(c *relay.GateConfig) { c.Hold = 25 * time.Second })
		begin := time.Now()
		time.AfterFunc(10*time.Second, open)
		c := r.dial(standin.Options{})
		if v := r.send(c, bulk()); !v.Taken() || v.Progress != 3 {
			t.Errorf("%+v", v)
		}
		if took := time.Since(begin); took != 10*time.Second {
			t.Errorf("it took %s", took)
		}
		if v := r.send(c, plain()); v.Taken() || v.Text != "" {
			t.Errorf("a letter: %+v", v)
		}
	})
}

// TestRefusedForWantOfRoom: where the admin wants it so, the MTA refuses mail that has waited in vain, in the words of RFC 3463, and
// the connection goes on.
func TestRefusedForWantOfRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, open := gated(t, func(c *relay.GateConfig) { c.Overflow = relay.OverflowTempfail })
		c := r.dial(standin.Options{})
		begin := time.Now()
		if v := r.send(c, bulk()); v.Text != "451 4.3.2 bulk queue full, try again later" || time.Since(begin) != 4*time.Second {
			t.Errorf("%+v after %s", v, time.Since(begin))
		}
		open()
		if v := r.send(c, bulk()); !v.Taken() {
			t.Errorf("there is room: %+v", v)
		}
		if s := r.intake.Status(); s.Refused != 1 {
			t.Errorf("%d messages were refused", s.Refused)
		}
	})
}

// TestSendmailHearsNothing: Sendmail takes no sign of life before the end of a message and is kept waiting for less than it bears; a
// stop ends the wait.
func TestSendmailHearsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := gated(t, func(c *relay.GateConfig) { c.Hold = 25 * time.Second })
		c := r.dial(standin.Options{Flavor: standin.Sendmail})
		begin := time.Now()
		if v := r.send(c, bulk()); v.Taken() || v.Progress != 0 || time.Since(begin) != shortPatience {
			t.Errorf("%+v after %s", v, time.Since(begin))
		}
		time.AfterFunc(time.Second, func() { r.door.Stop(context.Background()) })
		begin = time.Now()
		if v := r.send(r.dial(standin.Options{}), bulk()); v.Taken() || time.Since(begin) != time.Second {
			t.Errorf("%+v after %s", v, time.Since(begin))
		}
	})
}

// TestReturned: where the admin wants it so, Postfix is asked to keep mail that has waited in vain and to offer it to our SMTP listener: the
// field that says so comes at the end of the message. An MTA that cannot do so delivers the mail, and so does Postfix with a message
// that has a recipient of its own.
func TestReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, open := gated(t, func(c *relay.GateConfig) { c.Overflow, c.Hold = relay.OverflowReturn, 0 })
		mixed := edit(bulk(), func(m *standin.Message) {
			m.Rcpts = append(m.Rcpts, standin.Recipient{Addr: "root@example.org", Mailer: "local"})
		})
		for _, tt := range []struct {
			name    string
			mta     standin.Options
			message *standin.Message
			stage   byte
			returns bool
		}{
			{"postfix", standin.Options{}, bulk(), standin.EndOfBody, true},
			{"postfix that wants an answer to each part", standin.Options{Protocol: standin.LeadingSpace}, bulk(), standin.EndOfBody, true},
			{"postfix without the action", standin.Options{Actions: standin.ActDelRcpt}, bulk(), standin.EndOfHeader, false},
			{"sendmail", standin.Options{Flavor: standin.Sendmail}, bulk(), standin.EndOfHeader, false},
			{"a recipient of the MTA's own", standin.Options{}, mixed, standin.EndOfHeader, false},
		} {
			c := r.dial(tt.mta)
			for range 2 { // the connection goes on
				v := r.send(c, tt.message)
				if v.Action != standin.Accept || v.Stage != tt.stage || slices.Contains(v.Changed, 'h') != tt.returns || v.Taken() {
					t.Errorf("%s: %+v", tt.name, v)
				}
			}
		}
		open()
		if v := r.send(r.dial(standin.Options{}), bulk()); !v.Taken() {
			t.Errorf("there is room: %+v", v)
		}
	})
}
