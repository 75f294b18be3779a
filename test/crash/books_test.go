package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// booked is a sandbox without a daemon: the test says what happened in it.
type booked struct {
	*sandbox
	t          *testing.T
	begin      time.Time
	deliveries []sink.Delivery
	reports    []sink.Delivery
}

func newBooked(t *testing.T) *booked {
	t.Helper()
	l, err := newLedger(filepath.Join(t.TempDir(), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.close() })
	return &booked{sandbox: &sandbox{ledger: l}, t: t, begin: time.Now().Add(-time.Minute)}
}

// at is the time ms milliseconds after the beginning.
func (b *booked) at(ms int) time.Time { return b.begin.Add(time.Duration(ms) * time.Millisecond) }

// offer records a message and its fate in the ledger.
func (b *booked) offer(id string, f fate, rcpts ...string) *mail {
	m := &mail{id: id, rcpts: rcpts, raw: []byte("X-Ledger: " + id + "\r\n\r\nbody of " + id + "\r\n")}
	b.ledger.intend(m)
	switch f {
	case answered:
		b.ledger.answer(id, f, rcpts)
	case intended:
		b.ledger.broken(id)
	default:
		b.ledger.answer(id, f, nil)
	}
	return m
}

func (b *booked) deliver(m *mail, rcpt string, ms int) {
	b.deliveries = append(b.deliveries, sink.Delivery{From: sender(m.id), Rcpt: rcpt, ID: m.id, Sum: m.sum(), Time: b.at(ms)})
}

func (b *booked) report(m *mail, rcpt string, ms int) {
	raw := "Content-Type: multipart/report\r\n\r\nFinal-Recipient: rfc822; " + rcpt + "\r\nAction: failed\r\n"
	b.reports = append(b.reports, sink.Delivery{Rcpt: sender(m.id), ID: "dsn", Raw: []byte(raw), Time: b.at(ms)})
}

// down adds a crash at ms. 10 ms later all that the daemon had sent has arrived. The log of the next start names told.
func (b *booked) down(ms int, told ...named) *crash {
	c := &crash{what: "kill", at: b.at(ms), until: b.at(ms + 10), logged: int64(ms)}
	b.crashes = append(b.crashes, c)
	for _, n := range told {
		n.at = c.logged
		b.told = append(b.told, n)
	}
	return c
}

func (b *booked) audited(waiting ...pair) Result {
	w := make(map[pair]bool)
	for _, p := range waiting {
		w[p] = true
	}
	b.audit(slices.Values(b.deliveries), slices.Values(b.reports), w)
	return b.result
}

// tale is a story and the result that the books must find.
type tale struct {
	name  string
	story func(*booked) []pair // returns the recipients who still wait
	want  Result
}

func (tt tale) check(t *testing.T) {
	b := newBooked(t)
	waiting := tt.story(b)
	got := b.audited(waiting...)
	if numbers(got) != numbers(tt.want) {
		t.Errorf("%s:\ngot  %s\nwant %s\n%s", tt.name, numbers(got), numbers(tt.want), strings.Join(got.Violations, "\n"))
	}
	if broken := got.Lost+got.Phantom+got.Altered+got.WrongRecipient+got.Unexplained > 0; broken == got.held() || broken != (len(got.Violations) > 0) {
		t.Errorf("%s: held %v with %s and %q", tt.name, got.held(), numbers(got), got.Violations)
	}
}

func TestBooksOfDeliveries(t *testing.T) {
	for _, tt := range []tale{
		{"delivered once", func(b *booked) []pair {
			b.deliver(b.offer("m1", answered, "u@near.test"), "u@near.test", 1)
			return nil
		}, Result{Acknowledged: 1, Delivered: 1}},
		{"lost", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test", "v@near.test")
			b.deliver(m, "v@near.test", 1)
			return nil
		}, Result{Acknowledged: 2, Delivered: 1, Lost: 1}},
		{"still waiting is not lost", func(b *booked) []pair {
			b.offer("m1", answered, "u@near.test")
			return []pair{{"m1", "u@near.test"}}
		}, Result{Acknowledged: 1}},
		{"not answered may come or not", func(b *booked) []pair {
			b.deliver(b.offer("m1", intended, "u@near.test"), "u@near.test", 1)
			b.offer("m2", intended, "u@near.test")
			return nil
		}, Result{Delivered: 1}},
		{"never sent", func(b *booked) []pair {
			b.deliver(&mail{id: "m9"}, "u@near.test", 1)
			return nil
		}, Result{Delivered: 1, Phantom: 1}},
		{"not sent to its end", func(b *booked) []pair {
			b.deliver(b.offer("m1", aborted, "u@near.test"), "u@near.test", 1)
			return nil
		}, Result{Delivered: 1, Phantom: 1}},
		{"left with the MTA", func(b *booked) []pair {
			b.deliver(b.offer("m1", passed, "u@near.test"), "u@near.test", 1)
			return nil
		}, Result{Delivered: 1, Phantom: 1}},
		{"altered", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			m.raw = append(m.raw, '!')
			b.deliver(m, "u@near.test", 1)
			return nil
		}, Result{Acknowledged: 1, Delivered: 1, Altered: 1}},
		{"wrong recipient", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 1)
			b.deliver(m, "x@near.test", 1)
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, WrongRecipient: 1}},
	} {
		tt.check(t)
	}
}

func TestBooksOfDuplicatesAndReports(t *testing.T) {
	for _, tt := range []tale{
		{"twice without a crash", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 1)
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, AllTwice: 1, Unexplained: 1}},
		{"twice by a crash, and named", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 470)
			b.down(500, named{id: "m1", rcpt: "u@near.test"})
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, AllTwice: 1, Duplicates: 1, Window: 1}},
		{"three times by one crash", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 470)
			b.down(500, named{id: "m1", rcpt: "u@near.test"})
			b.deliver(m, "u@near.test", 900)
			b.deliver(m, "u@near.test", 901)
			return nil
		}, Result{Acknowledged: 1, Delivered: 3, AllTwice: 2, Duplicates: 1, Window: 1, Unexplained: 1}},
		{"twice by a crash, and nobody was told", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test", "v@near.test")
			b.deliver(m, "u@near.test", 499)
			b.deliver(m, "v@near.test", 499)
			b.down(500, named{id: "m1", rcpt: "v@near.test"})
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Acknowledged: 2, Delivered: 3, AllTwice: 1, Window: 1, Unexplained: 1}},
		{"named at one crash, twice by the next", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.down(500, named{id: "m1", rcpt: "u@near.test"})
			b.deliver(m, "u@near.test", 600)
			b.down(800)
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, AllTwice: 1, Window: 1, Unexplained: 1}},
		{"two takes of it, both repeated", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.down(400, named{id: "m1", rcpt: "u@near.test", mta: true})
			b.deliver(m, "u@near.test", 498)
			b.deliver(m, "u@near.test", 499)
			b.down(500, named{id: "m1", rcpt: "u@near.test"}, named{id: "m1", rcpt: "u@near.test"})
			b.deliver(m, "u@near.test", 900)
			b.deliver(m, "u@near.test", 901)
			return nil
		}, Result{Acknowledged: 1, Delivered: 4, AllTwice: 3, Duplicates: 2, Window: 2}},
		{"one take of it, named twice and repeated twice", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 499)
			b.down(500, named{id: "m1", rcpt: "u@near.test"}, named{id: "m1", rcpt: "u@near.test"})
			b.deliver(m, "u@near.test", 900)
			b.deliver(m, "u@near.test", 901)
			return nil
		}, Result{Acknowledged: 1, Delivered: 3, AllTwice: 2, Duplicates: 1, Window: 2, Unexplained: 1}},
		{"sent long after the disk was cut off", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			c := b.down(500)
			c.disk, c.until = true, b.at(800)
			b.deliver(m, "u@near.test", 790)
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, AllTwice: 1, Unexplained: 1}},
		{"left with the MTA, named once, and delivered twice", func(b *booked) []pair {
			m := b.offer("m1", passed, "u@near.test")
			b.down(500, named{id: "m1", rcpt: "u@near.test", mta: true})
			b.deliver(m, "u@near.test", 900)
			b.deliver(m, "u@near.test", 950)
			return nil
		}, Result{Delivered: 2, AllTwice: 1, Duplicates: 1, Window: 1, Phantom: 1}},
		{"left with the MTA, and each of two named", func(b *booked) []pair {
			m := b.offer("m1", passed, "u@near.test")
			b.deliver(m, "u@near.test", 450)
			b.down(500, named{id: "m1", rcpt: "u@near.test", mta: true}, named{id: "m1", rcpt: "u@near.test"})
			b.deliver(m, "u@near.test", 950)
			return nil
		}, Result{Delivered: 2, AllTwice: 2, Duplicates: 2, Window: 2}},
		{"left with the MTA and named, but altered", func(b *booked) []pair {
			m := b.offer("m1", passed, "u@near.test")
			b.down(500, named{id: "m1", rcpt: "u@near.test", mta: true})
			m.raw = append(m.raw, '!')
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Delivered: 1, Altered: 1, Window: 1}},
		{"twice before the crash that named it", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 300)
			b.deliver(m, "u@near.test", 400)
			b.down(500, named{id: "m1", rcpt: "u@near.test"})
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, AllTwice: 1, Window: 1, Unexplained: 1}},
		{"reported", func(b *booked) []pair {
			m := b.offer("m1", answered, "bad@near.test")
			b.report(m, "bad@near.test", 100)
			return nil
		}, Result{Acknowledged: 1}},
		{"reported to somebody else", func(b *booked) []pair {
			b.report(&mail{id: "m7"}, "bad@near.test", 100)
			return nil
		}, Result{Phantom: 1}},
		{"reported though it can be delivered", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.report(m, "u@near.test", 100)
			return nil
		}, Result{Acknowledged: 1, WrongRecipient: 1}},
	} {
		tt.check(t)
	}
}

func numbers(r Result) string {
	return fmt.Sprintf("acknowledged %d delivered %d lost %d phantom %d altered %d wrong %d duplicates %d of %d window %d unexplained %d",
		r.Acknowledged, r.Delivered, r.Lost, r.Phantom, r.Altered, r.WrongRecipient, r.Duplicates, r.AllTwice, r.Window, r.Unexplained)
}

// TestUnheard: a message may arrive twice when a crash prevented the answer to its first offer, also when the MTA keeps
// it at the second offer. The restart must name it, unless the answer was given while the power was off.
func TestUnheard(t *testing.T) {
	for _, second := range []fate{answered, passed} {
		for _, tt := range []struct {
			off  bool // the answer was given, but the power was off
			told []named
			held bool
		}{
			{false, nil, false},
			{false, []named{{id: "m1", rcpt: "u@near.test", mta: true}}, true},
			{true, nil, true},
		} {
			b := newBooked(t)
			m := b.offer("m1", intended, "u@near.test")
			o := &b.ledger.open[0]
			o.since, o.until = b.at(490), b.at(505)
			if tt.off {
				o.answer = b.at(499)
			}
			b.down(500, tt.told...)
			b.ledger.answer("m1", second, m.rcpts)
			b.deliver(m, "u@near.test", 600)
			if second == answered {
				b.deliver(m, "u@near.test", 700)
			}
			if r := b.audited(); r.held() != tt.held || tt.held && (r.Duplicates != 1 || r.Window != 1) {
				t.Errorf("fate %d, %+v: %s %v", second, tt, numbers(r), r.Violations)
			}
		}
	}
}

// TestReportedTwice: a crash excuses one more report when the restart names the recipient or the notification.
func TestReportedTwice(t *testing.T) {
	for _, tt := range []struct {
		told []named
		held bool
	}{
		{[]named{{id: "m1", rcpt: "bad@near.test"}}, true},
		{[]named{{id: "m1", rcpt: sender("m1")}}, true},
		{nil, false},
	} {
		b := newBooked(t)
		m := b.offer("m1", answered, "bad@near.test")
		b.report(m, "bad@near.test", 700)
		b.report(m, "bad@near.test", 9000)
		b.down(800, tt.told...)
		if r := b.audited(); r.held() != tt.held {
			t.Errorf("told %v: %s %v", tt.told, numbers(r), r.Violations)
		}
	}
}

// TestNamedWithoutReason: a line of the mail log that fits no message, or no crash, is a violation.
func TestNamedWithoutReason(t *testing.T) {
	b := newBooked(t)
	b.offer("m1", intended, "u@near.test")
	b.down(500, named{id: "m2", rcpt: "u@near.test"})
	if r := b.audited(); r.held() {
		t.Error("an unknown message was named and nobody minds")
	}
	b = newBooked(t)
	b.offer("m1", intended, "u@near.test")
	b.told = []named{{id: "m1", rcpt: "u@near.test"}}
	if r := b.audited(); r.held() {
		t.Error("a recipient was named without any crash and nobody minds")
	}
}

// TestPowerOff: an answer that is given while the power is off is not heard, and the message may arrive again.
func TestPowerOff(t *testing.T) {
	b := newBooked(t)
	m := &mail{id: "m1", rcpts: []string{"u@near.test"}, raw: []byte("X-Ledger: m1\r\n\r\n")}
	b.ledger.intend(m)
	b.ledger.powerOff()
	if b.ledger.answer("m1", answered, m.rcpts) || b.ledger.find("m1").fate != intended {
		t.Error("an answer was heard")
	}
	if late := b.ledger.powerOn(); late <= 0 {
		t.Errorf("answered %s after the cut", late)
	}
	if !b.ledger.answer("m1", answered, m.rcpts) {
		t.Error("an answer was not heard")
	}
	for _, disk := range []bool{true, false} {
		b.crashes, b.deliveries, b.result = nil, nil, Result{}
		b.down(500).disk = disk
		b.deliver(m, "u@near.test", 505)
		b.deliver(m, "u@near.test", 900)
		if r := b.audited(); r.held() != disk {
			t.Errorf("disk %v: %s %v", disk, numbers(r), r.Violations)
		}
	}
}

// TestOrders: what an admin's orders forbid and excuse.
func TestOrders(t *testing.T) {
	for _, c := range []struct {
		name string
		verb relay.Verb
		tale func(b *booked, a *admin, m *mail)
		want string // in the first violation
	}{
		{"deleted", relay.VerbDelete, func(*booked, *admin, *mail) {}, ""},
		{"deleted and delivered", relay.VerbDelete, func(b *booked, a *admin, m *mail) { b.deliver(m, "u@a.test", 200) }, "after the daemon had answered to delete"},
		{"deleted, a crash, delivered", relay.VerbDelete, func(b *booked, a *admin, m *mail) { b.down(150); b.deliver(m, "u@a.test", 200) }, "after the daemon had answered to delete"},
		{"delivered before", relay.VerbDelete, func(b *booked, a *admin, m *mail) { b.deliver(m, "u@a.test", 50) }, ""},
		{"held", relay.VerbHold, func(*booked, *admin, *mail) {}, "lost: "},
		{"held and delivered", relay.VerbHold, func(b *booked, a *admin, m *mail) { b.deliver(m, "u@a.test", 200) }, "after the daemon had answered to hold"},
		{"held, released, delivered", relay.VerbHold, func(b *booked, a *admin, m *mail) {
			a.lift(relay.VerbRelease)
			b.deliver(m, "u@a.test", 2*60*1000)
		}, ""},
		{"handed back", relay.VerbHandback, func(b *booked, a *admin, m *mail) {
			b.reports = append(b.reports, sink.Delivery{From: sender(m.id), Rcpt: "u@a.test", ID: m.id, Time: b.at(200)})
		}, ""},
		{"handed back by nobody", relay.VerbBounce, func(b *booked, a *admin, m *mail) {
			b.reports = append(b.reports, sink.Delivery{From: sender(m.id), Rcpt: "u@a.test", ID: m.id, Time: b.at(200)})
		}, "which nobody ordered"},
		{"bounced", relay.VerbBounce, func(b *booked, a *admin, m *mail) { b.report(m, "u@a.test", 200) }, ""},
		{"bounced, a crash, delivered", relay.VerbBounce, func(b *booked, a *admin, m *mail) { b.down(150); b.deliver(m, "u@a.test", 200) }, ""},
		{"bounced and delivered", relay.VerbBounce, func(b *booked, a *admin, m *mail) { b.deliver(m, "u@a.test", 200) }, "after the daemon had answered to bounce"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBooked(t)
			m := b.offer("m1", answered, "u@a.test")
			a := &admin{sandbox: b.sandbox, bars: make(map[pair][]*bar), touched: map[string]relay.Verb{"m1": c.verb}}
			b.sandbox.admin = a
			a.bar(c.verb, []pair{{"m1", "u@a.test"}}, b.at(100))
			c.tale(b, a, m)
			if got := strings.Join(b.audited().Violations, " "); !strings.Contains(got, c.want) || (got == "") != (c.want == "") {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}
