package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// booked is a site without a daemon, to which a test tells what happened.
type booked struct {
	*site
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
	return &booked{site: &site{ledger: l, refuse: newRefusals()}, t: t, begin: time.Now().Add(-time.Minute)}
}

// at is a moment of the story, in milliseconds.
func (b *booked) at(ms int) time.Time { return b.begin.Add(time.Duration(ms) * time.Millisecond) }

// offer puts a message into the ledger.
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

// down is a crash at ms whose window reaches 50 ms back, and after which all was quiet 10 ms later.
func (b *booked) down(ms int) *crash {
	c := &crash{what: "kill", at: b.at(ms), from: b.at(ms - 50), until: b.at(ms + 10)}
	b.crashes = append(b.crashes, c)
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

// tale is what happened, and what the books must make of it.
type tale struct {
	name  string
	story func(*booked) []pair // returns who still waits
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
		{"twice by a crash just after", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 470)
			b.down(500)
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, AllTwice: 1, Duplicates: 1, Window: 1}},
		{"three times by one crash", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 470)
			b.down(500)
			b.deliver(m, "u@near.test", 900)
			b.deliver(m, "u@near.test", 901)
			return nil
		}, Result{Acknowledged: 1, Delivered: 3, AllTwice: 2, Duplicates: 1, Window: 1, Unexplained: 1}},
		{"twice by a crash long after", func(b *booked) []pair {
			m := b.offer("m1", answered, "u@near.test")
			b.deliver(m, "u@near.test", 100)
			b.down(500)
			b.deliver(m, "u@near.test", 900)
			return nil
		}, Result{Acknowledged: 1, Delivered: 2, AllTwice: 1, Unexplained: 1}},
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

// TestUnheard: an offer that a crash kept from being answered may come twice, also when the MTA keeps it the second time.
func TestUnheard(t *testing.T) {
	for _, second := range []fate{answered, passed} {
		b := newBooked(t)
		m := b.offer("m1", intended, "u@near.test")
		o := &b.ledger.open[0]
		o.since, o.until = b.at(490), b.at(505)
		b.down(500)
		b.ledger.answer("m1", second, m.rcpts)
		b.deliver(m, "u@near.test", 600)
		if second == answered {
			b.deliver(m, "u@near.test", 700)
		}
		if r := b.audited(); !r.held() || r.Duplicates != 1 || r.Window != 1 {
			t.Errorf("fate %d: %s %v", second, numbers(r), r.Violations)
		}
	}
}

// TestReportedTwice: a crash between the failure and the end of its report excuses one more report.
func TestReportedTwice(t *testing.T) {
	for _, tt := range []struct {
		crash int
		held  bool
	}{{500, true}, {5000, false}} {
		b := newBooked(t)
		m := b.offer("m1", answered, "bad@near.test")
		b.refuse.first["bad@near.test"] = b.at(100)
		b.report(m, "bad@near.test", 700)
		b.report(m, "bad@near.test", 9000)
		b.down(tt.crash)
		if r := b.audited(); r.held() != tt.held {
			t.Errorf("crash at %d: %s %v", tt.crash, numbers(r), r.Violations)
		}
	}
}

// TestCutMoment: an answer that comes in the very moment of a cut proves nothing; one that comes long after is a lie.
func TestCutMoment(t *testing.T) {
	for _, tt := range []struct {
		after time.Duration
		disk  bool
		held  bool
		lost  int
	}{{time.Millisecond, true, true, 0}, {2 * stall, true, false, 0}, {time.Millisecond, false, false, 1}} {
		b := newBooked(t)
		b.offer("m1", answered, "u@near.test")
		at := b.ledger.find("m1").at.Add(-tt.after)
		b.crashes = []*crash{{what: "power cut", at: at, from: at, until: at.Add(time.Second), disk: tt.disk}}
		if r := b.audited(); r.held() != tt.held || r.Lost != tt.lost {
			t.Errorf("%s after the cut, disk %v: %s %v", tt.after, tt.disk, numbers(r), r.Violations)
		}
	}
}
