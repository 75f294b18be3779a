package bounce

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// heart stands in for the queue map: it takes notifications, and counts holds.
type heart struct {
	t      *testing.T
	server *Server
	log    *bytes.Buffer

	mu       sync.Mutex
	err      error            // the answer of Accept
	tries    []time.Duration  // when Accept was called, since start
	accepted []*relay.Message // in order
	reported []string         // "message/recipient=notification"
	pending  map[relay.ID]int // recipients still to be settled
	released map[relay.ID]int
	holds    map[relay.ID]int // number of holds on a message; one without an entry
	nextID   relay.ID
	start    time.Time
}

func newHeart(t *testing.T) *heart {
	h := &heart{
		t: t, log: new(bytes.Buffer), pending: make(map[relay.ID]int), released: make(map[relay.ID]int), holds: make(map[relay.ID]int),
		nextID: 31 * 31 * 31, start: time.Now(),
	}
	h.server = NewServer(DefaultConfig(), Deps{
		Hostname: "mail.example.org", Accept: h.accept, Emit: h.emit, Release: h.release, Pending: h.isPending, NewID: h.newID,
		Log: hclog.New(&hclog.LoggerOptions{Output: h.log}),
	})
	return h
}

func (h *heart) accept(m *relay.Message) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries = append(h.tries, time.Since(h.start))
	if h.err == nil {
		h.accepted = append(h.accepted, m)
	}
	return h.err
}

func (h *heart) emit(e *relay.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e.Kind != relay.EventReported || e.Time.IsZero() || e.Node == nil {
		h.t.Errorf("emitted %+v", e)
	}
	if h.released[e.Message.ID] >= max(h.holds[e.Message.ID], 1) {
		h.t.Errorf("%s is reported after it was released", e.Message.Name())
	}
	h.reported = append(h.reported, fmt.Sprintf("%s/%d=%s", e.Message.Name(), e.Rcpt, e.Report))
	h.server.Event(e) // as the listeners are told
}

func (h *heart) release(m *relay.Message) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.released[m.ID]++
	if !m.Open() {
		h.t.Errorf("%s is released and was not held", m.Name())
	}
}

func (h *heart) isPending(m *relay.Message) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.pending[m.ID] > 0
}

func (h *heart) newID() relay.ID {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nextID++
	return h.nextID - 1
}

// settle tells the server of an outcome.
func (h *heart) settle(m *relay.Message, rcpt int, o relay.Outcome) {
	h.server.Event(&relay.Event{
		Kind: relay.EventSettled, Time: time.Now(), Message: m, Node: &relay.Node{Message: m}, Rcpt: rcpt, Outcome: o,
		Reply: smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"no such user"}}, Relay: "mx.example[192.0.2.1]:25",
	})
}

// run starts the server; stop ends it and waits.
func (h *heart) run() (stop func()) {
	ctx, cancel := context.WithCancel(h.t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { h.server.Run(ctx) })
	return func() { cancel(); wg.Wait() }
}

// expect compares the notifications and the reports so far.
func (h *heart) expect(when string, accepted int, reported ...string) {
	h.t.Helper()
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.accepted) != accepted {
		h.t.Errorf("%s: %d notifications, want %d", when, len(h.accepted), accepted)
	}
	if !slices.Equal(h.reported, reported) {
		h.t.Errorf("%s: reported %q, want %q", when, h.reported, reported)
	}
}

func (h *heart) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

// A message with one recipient is reported within a beat; one with more waits for them, but not longer than Delay.
func TestServerGathers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		defer h.run()()
		m := newsletter()
		h.pending[m.ID] = 2
		h.settle(m, 2, relay.Bounced)
		time.Sleep(10 * time.Second)
		h.expect("two pending", 0)
		h.settle(m, 0, relay.Sent)
		h.settle(m, 1, relay.Expired)
		h.mu.Lock()
		h.pending[m.ID] = 0
		h.mu.Unlock()
		time.Sleep(beat)
		h.expect("none pending", 1, "4bXyZ1/2=1000", "4bXyZ1/1=1000")
		if h.released[m.ID] != 1 || h.server.Held() != 0 {
			t.Errorf("released %d times, %d held; want 1 and 0", h.released[m.ID], h.server.Held())
		}
		n := h.accepted[0]
		if n.From() != "" || n.Class() != relay.ClassInject || n.RcptCount() != 1 || n.Rcpt(0).Addr != m.From() || n.Rcpt(0).Notify != "" {
			t.Errorf("envelope %+v, class %q", n.Slip.Envelope, n.Class())
		}
		got := readBack(t, slices.Concat(n.Content.Letter().Trace, n.Content.Letter().Header, []byte("\r\n"), n.Content.Body()))
		if len(got.groups) != 3 || got.groups[1].Get("Final-Recipient") != "rfc822; carol@gone.example" || got.groups[2].Get("Status") != "5.1.1" {
			t.Errorf("groups %v", got.groups)
		}
		if trace := got.header.Get("Received"); trace != "by mail.example.org (Millrace) id 1000; "+n.Arrived().Format(rfc5322Date) {
			t.Errorf("Received: %q", trace)
		}
	})
}

func TestServerDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		defer h.run()()
		m := newsletter()
		h.pending[m.ID], h.holds[m.ID] = 2, 2
		h.settle(m, 2, relay.Bounced)
		time.Sleep(20 * time.Second)
		h.settle(m, 1, relay.Bounced)
		time.Sleep(9 * time.Second)
		h.expect("before Delay", 0)
		time.Sleep(beat + time.Second)
		h.expect("after Delay", 1, "4bXyZ1/2=1000", "4bXyZ1/1=1000")
		h.settle(m, 0, relay.Bounced)
		time.Sleep(29 * time.Second)
		h.expect("a later failure waits anew", 1, "4bXyZ1/2=1000", "4bXyZ1/1=1000")
		time.Sleep(beat + time.Second)
		h.expect("and is sent", 2, "4bXyZ1/2=1000", "4bXyZ1/1=1000", "4bXyZ1/0=1001")
	})
}

// TestServerReportsTheNode: each recipient is reported with the node that failed.
func TestServerReportsTheNode(t *testing.T) {
	h := newHeart(t)
	m := newsletter()
	m.Address(func(domain string) string { return domain })
	var told []*relay.Node
	h.server.deps.Emit = func(e *relay.Event) { told = append(told, e.Node) }
	for _, i := range []int{2, 0, 1} {
		e := event(refusal("no"))
		e.Kind, e.Message, e.Node, e.Rcpt = relay.EventSettled, m, m.Node(i), i
		h.server.Event(e)
	}
	if err := h.server.Flush(t.Context()); err != nil || !slices.Equal(told, []*relay.Node{m.Node(2), m.Node(0), m.Node(1)}) {
		t.Errorf("%v, %d nodes are told of", err, len(told))
	}
}

// NOTIFY and the sender decide who is told.
func TestServerWishes(t *testing.T) {
	tests := []struct {
		name     string
		from     string
		notify   string
		outcome  relay.Outcome
		relayed  bool
		reported bool // EventReported
		subject  string
	}{
		{"default", "a@b", "", relay.Bounced, false, true, subjects[Failed]},
		{"expired", "a@b", "FAILURE", relay.Expired, false, true, subjects[Expired]},
		{"never", "a@b", "NEVER", relay.Bounced, false, true, ""},
		{"success only", "a@b", "SUCCESS", relay.Bounced, false, true, ""},
		{"null sender", "", "", relay.Bounced, false, true, ""},
		{"null sender insists", "", "FAILURE,SUCCESS", relay.Expired, false, true, ""},
		{"sent", "a@b", "SUCCESS", relay.Sent, false, false, ""},
		{"relayed, nobody asked", "a@b", "", relay.Sent, true, false, ""},
		{"relayed, never", "a@b", "NEVER", relay.Sent, true, false, ""},
		{"relayed", "a@b", "FAILURE,SUCCESS", relay.Sent, true, false, subjects[Relayed]},
		{"relayed, null sender", "", "SUCCESS", relay.Sent, true, false, ""},
		{"handed back", "a@b", "SUCCESS", relay.HandedBack, true, false, ""},
		{"deferred", "a@b", "DELAY", relay.Deferred, false, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHeart(t)
				defer h.run()()
				m := &relay.Message{ID: 1, Slip: &relay.Slip{Envelope: relay.Envelope{From: tt.from, Rcpts: []relay.Rcpt{{Addr: "c@d", Notify: tt.notify}}}}}
				h.server.Event(&relay.Event{
					Kind: relay.EventSettled, Message: m, Node: &relay.Node{}, Outcome: tt.outcome, Relayed: tt.relayed, Reply: smtp.Reply{Code: 250},
				})
				if tt.subject == "" && tt.reported {
					h.expect("at once", 0, "1/0=")
				}
				time.Sleep(2 * beat)
				synctest.Wait()
				if tt.reported != (len(h.reported) == 1) {
					t.Errorf("reported %q", h.reported)
				}
				if tt.subject == "" != (len(h.accepted) == 0) {
					t.Fatalf("%d notifications", len(h.accepted))
				}
				if tt.subject != "" && !bytes.Contains(h.accepted[0].Content.Letter().Header, []byte("Subject: "+tt.subject+"\r\n")) {
					t.Errorf("header %q, want subject %q", h.accepted[0].Content.Letter().Header, tt.subject)
				}
				if m.Open() != (tt.subject != "") || h.released[m.ID] != len(h.accepted) {
					t.Errorf("held: %v, released %d times", m.Open(), h.released[m.ID])
				}
			})
		})
	}
}

// Failures and onward reports about one message are different news.
func TestServerKinds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		defer h.run()()
		m := newsletter()
		m.Slip.Rcpts[0].Notify = "SUCCESS,FAILURE"
		h.holds[m.ID] = 2
		h.server.Event(&relay.Event{
			Kind: relay.EventSettled, Message: m, Node: m.Node(0), Outcome: relay.Sent, Relayed: true, Reply: smtp.Reply{Code: 250},
		})
		h.settle(m, 2, relay.Bounced)
		time.Sleep(2 * beat)
		synctest.Wait()
		if len(h.accepted) != 2 || h.released[m.ID] != 2 || len(h.reported) != 1 {
			t.Errorf("%d notifications, %d released, reported %q; want 2, 2 and one", len(h.accepted), h.released[m.ID], h.reported)
		}
	})
}

// A notification that fails itself ends in the log.
func TestServerDoubleBounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		stop := h.run()
		m := &relay.Message{ID: 1, Slip: &relay.Slip{Class: relay.ClassInject, Envelope: relay.Envelope{Rcpts: []relay.Rcpt{{Addr: "news-bounces@lists.example.org"}}}}}
		h.settle(m, 0, relay.Expired)
		h.expect("from within Event nothing is logged", 0)
		time.Sleep(beat)
		h.expect("double bounce", 0, "1/0=")
		stop()
		if text := h.log.String(); !strings.Contains(text, "news-bounces@lists.example.org") || !strings.Contains(text, "550 5.1.1 no such user") {
			t.Errorf("the log does not say who and why: %s", text)
		}
	})
}

// While nobody takes the notification it is tried again, ever more rarely, and nothing is reported.
func TestServerRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		defer h.run()()
		h.fail(errors.New("journal: no space left on device"))
		m := newsletter()
		h.settle(m, 2, relay.Bounced)
		time.Sleep(3 * time.Hour)
		h.expect("refused", 0)
		seconds := func(i int) int { return int((h.tries[i] - h.tries[i-1]) / time.Second) }
		for i, want := range []int{10, 20, 40, 80, 160, 320, 640, 1280, 2560, 3600} {
			if i+1 >= len(h.tries) {
				t.Fatalf("%d attempts in three hours", len(h.tries))
			}
			if got := seconds(i + 1); got != want {
				t.Errorf("attempt %d came %d s after the one before, want %d", i+2, got, want)
			}
		}
		h.fail(nil)
		time.Sleep(lastRetry + beat)
		synctest.Wait()
		if len(h.accepted) != 1 || len(h.reported) != 1 || h.released[m.ID] != 1 {
			t.Errorf("%d notifications, reported %q, released %d times; want 1 each", len(h.accepted), h.reported, h.released[m.ID])
		}
	})
}

func TestServerGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		h.fail(errors.New("queue map is closed"))
		m := newsletter()
		h.settle(m, 2, relay.Bounced)
		n := h.server.order.first // it has been tried for all but two hours of five days
		n.first, n.tries = h.server.now()+2*time.Hour-giveUp, 100
		stop := h.run()
		time.Sleep(2*time.Hour - time.Minute)
		h.expect("before five days", 0)
		time.Sleep(lastRetry + time.Minute)
		h.expect("after five days", 0, "4bXyZ1/2=")
		stop()
		if h.released[m.ID] != 1 || h.server.Held() != 0 {
			t.Errorf("released %d times, %d held; want 1 and 0", h.released[m.ID], h.server.Held())
		}
		if text := h.log.String(); !strings.Contains(text, "carol@gone.example") || !strings.Contains(text, "550 5.1.1 no such user") {
			t.Errorf("the log does not say who and why: %s", text)
		}
	})
}

// One refusal ends a sweep: with a full journal the server does not ask for each of its notices in turn.
func TestServerDoesNotHammer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		defer h.run()()
		h.fail(errors.New("queue map is full"))
		for i := range 100 {
			m := newsletter()
			m.ID, m.Slip.QueueID = relay.ID(i+1), ""
			h.settle(m, 2, relay.Bounced)
		}
		time.Sleep(beat)
		synctest.Wait()
		if n := len(h.tries); n < 1 || n > senders {
			t.Errorf("%d attempts in the first sweep, want at most %d", n, senders)
		}
		h.fail(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		if len(h.accepted) != 100 || len(h.reported) != 100 || h.server.Held() != 0 {
			t.Errorf("%d notifications, %d reported, %d held; want 100, 100 and 0", len(h.accepted), len(h.reported), h.server.Held())
		}
		for id, n := range h.released {
			if n != 1 {
				t.Errorf("%s is released %d times", id, n)
			}
		}
	})
}

func TestServerFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		m, other := newsletter(), newsletter()
		other.ID, other.Slip.QueueID = 7, "4bXyZ2"
		h.pending[m.ID], h.pending[other.ID] = 1, 1
		h.run()() // stopped before anything is due
		h.settle(m, 2, relay.Bounced)
		if err := h.server.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		h.expect("flushed", 1, "4bXyZ1/2=1000")
		h.fail(errors.New("disk is gone"))
		h.settle(other, 2, relay.Bounced)
		if err := h.server.Flush(t.Context()); err == nil || !strings.Contains(err.Error(), "1 notifications") {
			t.Errorf("error %v, want one that counts what is left", err)
		}
		h.expect("not flushed", 1, "4bXyZ1/2=1000")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		h.fail(nil)
		if err := h.server.Flush(ctx); err == nil {
			t.Error("Flush took no notice of its context")
		}
		h.expect("out of time", 1, "4bXyZ1/2=1000")
	})
}

// The event is gone when Event returns.
func TestServerCopies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		defer h.run()()
		lines := []string{"no such user"}
		e := &relay.Event{Kind: relay.EventSettled, Message: newsletter(), Rcpt: 2, Node: &relay.Node{}, Outcome: relay.Bounced, Reply: smtp.Reply{Code: 550, Lines: lines}}
		h.server.Event(e)
		*e = relay.Event{}
		lines[0] = "overwritten"
		time.Sleep(2 * beat)
		synctest.Wait()
		if len(h.accepted) != 1 || !bytes.Contains(h.accepted[0].Content.Body(), []byte("550 no such user")) {
			t.Error("the notification does not have the words of the event")
		}
	})
}

// Without Pending every notification waits for Delay.
func TestServerWithoutPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHeart(t)
		h.server.deps.Pending = nil
		defer h.run()()
		h.settle(newsletter(), 2, relay.Bounced)
		time.Sleep(DefaultConfig().Delay - time.Second)
		h.expect("before", 0)
		time.Sleep(2 * time.Second)
		h.expect("after", 1, "4bXyZ1/2=1000")
	})
}

// The envelope asks for the extensions that the bytes need, and for no more.
func TestServerExtensions(t *testing.T) {
	tests := []struct {
		name, from, rcpt string
		utf8, eight      bool
	}{
		{"plain", "a@b.example", "c@d.example", false, false},
		{"recipient", "a@b.example", "ü@d.example", false, true},
		{"recipient's domain", "a@b.example", "c@ü.example", false, false},
		{"sender", "ü@b.example", "c@d.example", true, true},
		{"sender's domain", "a@ü.example", "c@d.example", false, false},
		{"sender's domain and recipient", "a@ü.example", "ü@d.example", false, true},
	}
	for _, tt := range tests {
		h := newHeart(t)
		m := &relay.Message{ID: 1, Slip: &relay.Slip{Envelope: relay.Envelope{From: tt.from, Rcpts: []relay.Rcpt{{Addr: tt.rcpt}}}}}
		h.settle(m, 0, relay.Bounced)
		if err := h.server.Flush(t.Context()); err != nil || len(h.accepted) != 1 {
			t.Fatalf("%s: %v, %d notifications", tt.name, err, len(h.accepted))
		}
		if n := h.accepted[0]; n.UTF8() != tt.utf8 || n.Content.Form().Traits.Has(smtp.EightBit) != tt.eight {
			t.Errorf("%s: UTF8 %v, EightBit %v; want %v, %v", tt.name, n.UTF8(), n.Content.Form().Traits.Has(smtp.EightBit), tt.utf8, tt.eight)
		}
	}
}

// Visits settle from many goroutines while notifications go out.
func TestServerConcurrent(t *testing.T) {
	h := newHeart(t)
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				m := newsletter()
				m.ID, m.Slip.QueueID = relay.ID(w*1000+i+1), ""
				h.mu.Lock()
				h.holds[m.ID] = 2 // a Flush may come between its recipients
				h.mu.Unlock()
				h.settle(m, 0, relay.Bounced)
				h.settle(m, 1, relay.Expired)
			}
		})
	}
	for range 20 {
		_ = h.server.Flush(t.Context()) // others go on adding: something may be left
	}
	wg.Wait()
	if err := h.server.Flush(t.Context()); err != nil {
		t.Error(err)
	}
	if len(h.reported) != 160 {
		t.Errorf("%d recipients are reported, want 160", len(h.reported))
	}
}
