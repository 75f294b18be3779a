package main

import (
	"bufio"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

func TestPrintStatus(t *testing.T) {
	const want = `millrace v1.2.3 (go1.26) on mail.example.org, mode deliver, up 3h12m4s, pid 812
milter   12 sessions; 1310 messages seen, 106 passed, 1204 taken, 30 of them dripped (list-unsubscribe took 1180 and passed 3, list-id took 24, precedence passed 7)
left     to the MTA, by cause: form 2, queues full 94
gate     hold since DATE: 95 % of queue.max_bytes is used; 95 % of the room used, 3 replies wait; left with the MTA for want of room: 40, at a site 7, of a tenant 0
         overflow for mx.dead.example since DATE: it takes nothing
         hold for tenant acme since DATE: tenant acme has 100 messages here
queued   207 messages, 3.3 MiB, in 40 queues; of their nodes 190 active, 5 busy, 0 held up, 12 deferred
done     980 sent, 20 bounced, 1 expired, 2 handed back, 6 deleted; 31 deferrals
since    start: 1204 messages taken, 3 restored, 1000 removed; 4 deliveries may have been made twice
in all   since DATE: 91204 messages taken, 88000 sent, 1720 bounced, 207 left; the last was taken DATE and sent never
notices  19 of our own made, not counted above; 17 taken by the MTA, 1 lost
pool     14 sites (1 closed for now), 38 connections, 5 of them busy
dns      healthy=true entries=44 hits=1204 misses=0 lookups=0 failures=0 waiting=0
journal  ack=journal segments=2 messages=0 per_message=0 syncs=0 snapshots=0
recovery messages=3 recipients=0 done=0 maybe_twice=1 torn=0 clean=false
held up  nothing is sent that cannot be recorded: disk full
`
	s := sampleStatus()
	var b strings.Builder
	if err := printStatus(&b, &s); err != nil || b.String() != strings.ReplaceAll(want, "DATE", clock(1_700_000_000)) {
		t.Errorf("%v\ngot\n%s\nwant\n%s", err, &b, want)
	}
}

// TestPrintStatusInClear: an operator sees whose mail goes in clear against that host's own offer, why and for how long.
func TestPrintStatusInClear(t *testing.T) {
	var s console.Status
	for range 7 {
		s.Pool.InClear = append(s.Pool.InClear, console.ClearHost{Site: "mx.example:25", Host: "mx.example[192.0.2.1]:25", Connections: 3, Reason: "STARTTLS: 454 \x1bno", Until: 1_700_000_000})
	}
	s.Pool.ClearHosts = 207
	var b strings.Builder
	if err := printStatus(&b, &s); err != nil {
		t.Fatal(err)
	}
	line := "in clear mx.example[192.0.2.1]:25 of site mx.example:25, 3 connections, until " + clock(1_700_000_000) + ": STARTTLS: 454 ?no\n"
	if want := strings.Repeat(line, 5) + "in clear 202 more hosts; --json lists 100\n"; !strings.Contains(b.String(), want) {
		t.Errorf("got\n%swant\n%s", &b, want)
	}
}

// TestPrintStatusObserving is the screen by which an operator decides: how much would be taken, and by which rule.
func TestPrintStatusObserving(t *testing.T) {
	s := console.Status{Mode: "observe", Doors: []console.Door{{
		Name: "milter", Seen: 1310, Passed: 106, WouldTake: 1204,
		Rules: []console.RuleCount{{Name: "list-unsubscribe", Seen: 1204, WouldTake: 1204}},
	}}}
	var b strings.Builder
	if err := printStatus(&b, &s); err != nil {
		t.Fatal(err)
	}
	if want := "0 taken, 1204 would be taken (list-unsubscribe would take 1204)\n"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, &b)
	}
	if strings.Contains(b.String(), "dns") || strings.Contains(b.String(), "journal") {
		t.Errorf("parts that said nothing are shown:\n%s", &b)
	}
}

// TestPrintStatusRecovering: what is not read yet is not shown as if it did not exist.
func TestPrintStatusRecovering(t *testing.T) {
	s := console.Status{Journal: console.Journal{Ack: "journal", Recovering: &console.Progress{Read: 3, Segments: 14, Messages: 200}}}
	var b strings.Builder
	if err := printStatus(&b, &s); err != nil {
		t.Fatal(err)
	}
	if want := "held up  the daemon is recovering, 3 of 14 segments, 200 messages so far; nothing is taken or sent until it is over\n"; !strings.Contains(b.String(), want) {
		t.Errorf("no %q in\n%s", want, &b)
	}
}

// TestPrintStatusOrders: nobody must search for a forgotten pause, or wonder why nothing is taken.
func TestPrintStatusOrders(t *testing.T) {
	s := console.Status{Pauses: 3, Drain: &console.Drain{Waiting: 1, Until: 1_700_000_000, Who: "root (uid 0, pid \x1b1)"}}
	var b strings.Builder
	if err := printStatus(&b, &s); err != nil {
		t.Fatal(err)
	}
	want := `orders   3 pauses and holds in force; "millrace pauses" lists them
orders   no mail is taken: a drain is in force until ` + clock(1_700_000_000) + `, by root (uid 0, pid ?1), with 1 message left; "millrace undrain" ends it
`
	if !strings.HasSuffix(b.String(), want) {
		t.Errorf("got\n%s\nwant at its end\n%s", &b, want)
	}
	s.Drain.Until, s.Pauses, b = 0, 1, strings.Builder{}
	if err := printStatus(&b, &s); err != nil || !strings.Contains(b.String(), "orders   1 pause or hold in force") || !strings.Contains(b.String(), "in force, by root") {
		t.Errorf("%v in\n%s", err, &b)
	}
}

func TestMailqCounts(t *testing.T) {
	for _, test := range []struct {
		sizes []int64
		want  string
	}{
		{nil, "Mail queue is empty\n"},
		{[]int64{1023}, "\n-- 0 Kbytes in 1 Request.\n"},
		{[]int64{1024, 1024}, "\n-- 2 Kbytes in 2 Requests.\n"},
	} {
		var b strings.Builder
		m := mailq{w: bufio.NewWriter(&b)}
		for _, n := range test.sizes {
			if err := m.entry(&relay.Listing{QueueID: "A", MessageSize: n}); err != nil {
				t.Fatal(err)
			}
		}
		m.total()
		m.w.Flush()
		if !strings.HasSuffix(b.String(), test.want) {
			t.Errorf("%v: %q, want %q", test.sizes, b.String(), test.want)
		}
	}
}

// TestMailqMarks: the marks are those of Postfix.
func TestMailqMarks(t *testing.T) {
	for queue, want := range map[string]string{"active": "A*   ", "hold": "A!   ", "deferred": "A    ", "": "A    "} {
		var b strings.Builder
		m := mailq{w: bufio.NewWriter(&b)}
		if err := m.entry(&relay.Listing{QueueName: queue, QueueID: "A"}); err != nil {
			t.Fatal(err)
		}
		m.w.Flush()
		if !strings.Contains(b.String(), "\n"+want) {
			t.Errorf("%s: %q, want %q", queue, &b, want)
		}
	}
}

// full is a reader that went away.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestMailqStopsWhenNobodyReads(t *testing.T) {
	m := mailq{w: bufio.NewWriter(full{})}
	for i := range 1000 {
		if err := m.entry(&relay.Listing{QueueID: "A"}); err != nil {
			if i == 0 {
				t.Error("the first message fits the buffer")
			}
			return
		}
	}
	t.Error("a thousand messages were written to nobody")
}

func TestBytesize(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 1 << 20: "1.0 MiB",
		3_500_000: "3.3 MiB", 4 << 30: "4.0 GiB", 1 << 40: "1.0 TiB", math.MaxInt64: "8388608.0 TiB",
	} {
		if got := bytesize(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}

// FuzzClean: nothing a receiver says reaches the terminal as anything but text on one line.
func FuzzClean(f *testing.F) {
	for _, seed := range []string{"", "plain", "a\r\nb", "\x1b]0;title\x07", "\xff\xfe", "ü\u202e\u2028", "\u009b31m"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := clean(s)
		if strings.ContainsFunc(got, func(r rune) bool {
			return r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\u2028'
		}) {
			t.Errorf("%q became %q", s, got)
		}
		if clean(got) != got {
			t.Errorf("%q is cleaned again to %q", got, clean(got))
		}
	})
}
