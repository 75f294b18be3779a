package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// campaign is a message with several recipients.
func campaign(id relay.ID, rcpts ...string) *relay.Message {
	m := letter(1)
	m.ID, m.Slip.Rcpts = id, nil
	for _, r := range rcpts {
		m.Slip.Rcpts = append(m.Slip.Rcpts, relay.Rcpt{Addr: r})
	}
	return m
}

// TestStory: all that the mail log has of a message is found again, by each recipient only what is theirs.
func TestStory(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	m := campaign(77, "Anna@A.example", "bob@b.example")
	at := taken(1)
	later := smtp.Reply{Code: 451, Enhanced: "4.7.1", Lines: []string{"Greylisted", "", "try again in 300 seconds"}}
	h.Event(takenEvent(1, m))
	for range 3 { // the third is in the words of the second
		h.Event(settled(m, 1, relay.Deferred, at, later))
	}
	h.Event(settled(m, 0, relay.Sent, at, smtp.Reply{Code: 250, Enhanced: "2.0.0", Lines: []string{"Ok: queued as 5F000001"}}))
	twice := settled(m, 1, relay.Deferred, at, smtp.Reply{Lines: []string{"connection lost"}})
	twice.MaybeTwice = true
	h.Event(twice)
	h.Event(&relay.Event{Kind: relay.EventInterrupted, Time: at, Message: m, Rcpt: 1})
	h.Event(&relay.Event{Kind: relay.EventUnheard, Time: at, Message: m, Rcpt: 1})
	h.Event(settled(m, 1, relay.Bounced, at, smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"no such user"}}))
	ended := find(t, h, Query{ID: relay.ID(77).String()}, 1).Messages[0]
	if !ended.Ended || ended.Settled {
		t.Errorf("a failure of which the sender is not told: %+v", ended)
	}
	h.Event(&relay.Event{Kind: relay.EventReported, Time: at, Message: m, Rcpt: 1, Report: "3BX9"})
	h.Event(&relay.Event{Kind: relay.EventRemoved, Time: at, Message: m, Rcpt: -1})
	const (
		head = "2H 4Z0000001J from=news@list1.example id=9e3779b1-7c4e-4b1a-9f0e-000000000001@mail.list1.example " +
			"list-unsubscribe/app.example.org[192.0.2.7]/shop/campaign-1/list1.example size=102 of 2"
		place = "relay=mx5.example.com[192.0.2.5]:25 site=gmail-smtp-in.l.google.com:25 use=12 340ms twice="
		wait  = "; 0 bob@b.example deferred 451 4.7.1 Greylisted try again in 300 seconds " + place + "false"
		sent  = "; 0 Anna@A.example sent 250 2.0.0 Ok: queued as 5F000001 " + place + "false"
		rest  = "; 0 bob@b.example deferred 0 connection lost " + place + "true; 3 bob@b.example ; 2 bob@b.example " +
			"; 0 bob@b.example bounced 550 5.1.1 no such user " + place + "false; 1 bob@b.example 3BX9"
	)
	for _, test := range []struct {
		query Query
		want  string
	}{
		{Query{ID: "4Z0000001J"}, head + wait + wait + wait + sent + rest},
		{Query{ID: "2h"}, head + wait + wait + wait + sent + rest},
		{Query{MessageID: messageID(1)}, head + wait + wait + wait + sent + rest},
		{Query{MessageID: " <" + messageID(1) + "> "}, head + wait + wait + wait + sent + rest},
		{Query{Recipient: "anna@a.EXAMPLE"}, head + sent},
		{Query{Recipient: "BOB@b.example"}, head + wait + wait + wait + rest},
	} {
		f := find(t, h, test.query, 1)
		if got := story(&f.Messages[0]); got != test.want || !f.Messages[0].Settled {
			t.Errorf("%+v:\n%s\nwant\n%s", test.query, got, test.want)
		}
	}
	for _, q := range []Query{{ID: "4z0000001j"}, {Recipient: "nobody@a.example"}, {MessageID: strings.ToUpper(messageID(1))}, {Recipient: "4Z0000001J"}} {
		find(t, h, q, 0)
	}
	if _, err := h.Find(Query{}); err == nil {
		t.Error("a question without a name is answered")
	}
}

// TestTheLatestFirst: of many messages of one name so many are found as were asked for, over the bounds of segments.
func TestTheLatestFirst(t *testing.T) {
	h := newHistory(t, small())
	const n = 5000
	for i := range n {
		m := campaign(relay.ID(i+1), "joe@example.com")
		m.Slip.QueueID = fmt.Sprintf("4Z%d", i%3)
		h.Event(takenEvent(i, m))
		h.Event(sentEvent(i, m))
		if i%100 == 99 {
			h.flushAll()
		}
	}
	if names := files(t, h); len(names) < 5 {
		t.Errorf("only %q", names)
	}
	f := find(t, h, Query{Recipient: "joe@example.com", Most: 1000}, 1000)
	for i, m := range f.Messages {
		if m.ID != relay.ID(n-i) || len(m.Lines) != 1 || !m.Settled {
			t.Fatalf("%d: %s", i, story(&m))
		}
	}
	if !f.More {
		t.Error("there are no more")
	}
	if f := find(t, h, Query{ID: "4Z2", Most: 2}, 2); f.Messages[0].ID != n-2 || f.Messages[1].ID != n-5 || !f.More {
		t.Errorf("%+v", f.Messages)
	}
}

// TestManyRecipients: a message for thousands has several records, and each recipient of them is found.
func TestManyRecipients(t *testing.T) {
	h := newHistory(t, small())
	var rcpts []string
	for i := range maxRcpts + 500 {
		rcpts = append(rcpts, fmt.Sprintf("user%d@%s.example", i, strings.Repeat("x", 60)))
	}
	m := campaign(9, rcpts...)
	h.Event(takenEvent(1, m))
	for i := range rcpts {
		h.Event(settled(m, i, relay.Sent, taken(1), smtp.Reply{Code: 250, Lines: []string{"ok"}}))
	}
	for _, i := range []int{0, chunk - 1, chunk, 3000, maxRcpts - 1} {
		f := find(t, h, Query{Recipient: rcpts[i]}, 1)
		if got := f.Messages[0]; len(got.Lines) != 1 || got.Lines[0].Rcpt != i || !got.Settled || got.Taken.Rcpts != len(rcpts) {
			t.Errorf("%d: %s", i, story(&got))
		}
	}
	f := find(t, h, Query{ID: queueID(1)}, 1)
	if got := f.Messages[0]; len(got.Lines) != len(rcpts) || !got.Settled {
		t.Errorf("%d lines, %t", len(got.Lines), got.Settled)
	}
	find(t, h, Query{Recipient: rcpts[maxRcpts]}, 0) // beyond the bound
}

// TestManyRecords: a message with more records than half of what a look-up reads is found with all of them, by our id as by the MTA's.
func TestManyRecords(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	m := campaign(9, "joe@example.com")
	h.Event(takenEvent(1, m))
	later := settled(m, 0, relay.Deferred, taken(1), smtp.Reply{Code: 451, Lines: []string{"later"}})
	for i := range mostReads * 3 / 4 {
		if h.Event(later); i%5000 == 0 {
			h.flushAll()
		}
	}
	for _, id := range []string{queueID(1), relay.ID(9).String()} {
		f := find(t, h, Query{ID: id}, 1)
		if got := f.Messages[0]; got.Taken == nil || len(got.Lines) != mostLines || !got.Cut || f.More {
			t.Errorf("%s: taken %+v, %d lines, more %t", id, got.Taken, len(got.Lines), f.More)
		}
	}
}

// TestStrangeTexts: nothing that a stranger can write breaks a record or takes more room than its bound.
func TestStrangeTexts(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	long := strings.Repeat("ü\x00\r\n\xd7", 5000)
	for i := range 4 {
		m := campaign(relay.ID(i+1), long, "", "@", `"a@b"@c.example`, "no-at")
		m.Slip.From, m.Slip.Client, m.Slip.Rule, m.Slip.QueueID, m.Slip.Flow.Name = long, long, long, "", "a\x00b"
		e := takenEvent(i, m)
		e.MessageID = []byte(long)
		h.Event(e)
		e = settled(m, 0, relay.Bounced, taken(1), smtp.Reply{Code: -5, Enhanced: strings.Repeat("5", 1000), Lines: []string{long, long}})
		e.Relay, e.Site, e.ConnUse, e.Delays.Queue = long, long, -1, -time.Hour
		h.Event(e)
	}
	f := find(t, h, Query{Recipient: `"A@b"@C.example`}, 4)
	for _, m := range f.Messages {
		if m.Taken.Rcpts != 5 || m.Taken.Flow.Name != "a?b" || len(m.Taken.Client) != maxText || len(m.Taken.Sender) != maxAddress {
			t.Errorf("%+v", m.Taken)
		}
	}
	if f := find(t, h, Query{MessageID: long}, 4); len(f.Messages[0].Lines[0].Reply) != maxText {
		t.Errorf("%+v", f.Messages[0].Lines)
	}
	find(t, h, Query{Recipient: long}, 4)
	if size := h.Status().Bytes; size > 64<<10 {
		t.Errorf("%d bytes", size)
	}
}

// TestRestart: a history that is opened again goes on in the same segment, with the same texts.
func TestRestart(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	const n = 300
	for i := range n {
		m := letter(i % 3) // so that there are texts
		m.ID, m.Slip.Arrived, m.Slip.Taken = relay.ID(i+1), time.Now(), time.Now()
		h.Event(takenEvent(i, m))
		h.Event(sentEvent(i, m))
		if i%50 == 49 {
			if err := h.Close(); err != nil {
				t.Fatal(err)
			}
			h = reopen(t, DefaultConfig(), h.deps.Dir)
		}
	}
	for i := range n {
		f := find(t, h, Query{MessageID: messageID(i)}, 1)
		if m := f.Messages[0]; m.ID != relay.ID(i+1) || len(m.Lines) != 1 || m.Taken.Flow.Name != fmt.Sprintf("campaign-%d", i%3) || m.Lines[0].Relay == "(lost)" {
			t.Errorf("%s", story(&m))
		}
	}
	if names := files(t, h); len(names) != 1 {
		t.Errorf("%q", names)
	}
}

// TestKeep: what is over goes, and not before; also when no mail comes.
func TestKeep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t, Config{Keep: Period(2 * day), MaxBytes: leastBytes})
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { h.Run(ctx) }) // ends with ctx
		start := time.Now()
		for i := range 72 { // one an hour
			m := letter(i)
			m.Slip.Arrived, m.Slip.Taken = time.Now(), time.Now()
			h.Event(takenEvent(i, m))
			time.Sleep(time.Hour)
		}
		for i := range 72 {
			f, err := h.Find(Query{ID: queueID(i), Most: 1})
			if err != nil {
				t.Fatal(err)
			}
			age := time.Since(start.Add(time.Duration(i) * time.Hour))
			if kept := len(f.Messages) == 1; kept != (age <= 48*time.Hour) && (age <= 48*time.Hour || age > 52*time.Hour) {
				t.Errorf("message %d, %v old: kept %t", i, age, kept)
			}
		}
		time.Sleep(53 * time.Hour)
		if names := files(t, h); len(names) != 0 {
			t.Errorf("%q are left", names)
		}
		cancel()
		run.Wait()
	})
}

// TestMaxBytes: the oldest segments make room, indexes counted.
func TestMaxBytes(t *testing.T) {
	const most = 4 << 20
	h := newHistory(t, Config{Keep: Period(7 * day), MaxBytes: most})
	const n = 30_000
	for i := range n {
		m := letter(i)
		h.Event(takenEvent(i, m))
		h.Event(sentEvent(i, m))
		if i%1000 == 999 {
			h.flushAll()
			if size := onDisk(t, h); size > most {
				t.Fatalf("%d bytes after %d messages", size, i)
			}
		}
	}
	if size := onDisk(t, h); size < most*7/10 || size != h.Status().Bytes {
		t.Errorf("%d bytes, status %+v", size, h.Status())
	}
	find(t, h, Query{ID: queueID(n - 1)}, 1)
	find(t, h, Query{ID: queueID(n * 3 / 4)}, 1)
	find(t, h, Query{ID: queueID(0)}, 0)
}

func onDisk(t *testing.T, h *History) (n int64) {
	for _, name := range files(t, h) {
		info, err := os.Stat(h.deps.Dir + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		n += info.Size()
	}
	return n
}

// TestClock: a clock that is set back or forth loses nothing and misorders nothing, and does not keep a segment for ever.
func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t, Config{Keep: Period(7 * day), MaxBytes: leastBytes})
		now := time.Now()
		m := campaign(1, "joe@example.com")
		for i, step := range []time.Duration{0, -3 * time.Hour, 365 * day, -365 * day, time.Second} {
			e := settled(m, 0, relay.Deferred, now.Add(step), smtp.Reply{Code: 451, Lines: []string{fmt.Sprint("visit ", i)}})
			if i == 0 {
				m.Slip.Taken = now
				h.Event(takenEvent(0, m))
			}
			h.Event(e)
			if err := h.flushAll(); err != nil {
				t.Fatal(err)
			}
		}
		f := find(t, h, Query{Recipient: "joe@example.com"}, 1)
		for i, l := range f.Messages[0].Lines {
			if l.Reply != fmt.Sprint("visit ", i) {
				t.Errorf("%d: %s", i, story(&f.Messages[0]))
			}
		}
		if len(f.Messages[0].Lines) != 5 {
			t.Errorf("%s", story(&f.Messages[0]))
		}
		time.Sleep(8 * day)
		h.tend(true)
		time.Sleep(8 * day) // the last segment was closed when it was looked at
		h.tend(true)
		if names := files(t, h); len(names) != 0 {
			t.Errorf("%q are left", names)
		}
	})
}

// TestDiskFull: events are counted, the log has it once, delivery does not wait, and the history goes on with a gap on record.
func TestDiskFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t, small())
		full := false
		h.disk.write = func(f *os.File, b []byte, at int64) (int, error) {
			if !full {
				return f.WriteAt(b, at)
			}
			n, _ := f.WriteAt(b[:len(b)/2], at) // as far as there is room
			return n, syscall.ENOSPC
		}
		send := func(from, to int) {
			for i := from; i < to; i++ {
				m := letter(i)
				m.Slip.Arrived, m.Slip.Taken = time.Now(), time.Now()
				h.Event(takenEvent(i, m))
			}
		}
		send(0, 10)
		if err := h.flushAll(); err != nil {
			t.Fatal(err)
		}
		full = true
		send(10, 20)
		if err := h.flushAll(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("%v", err)
		}
		send(20, 30)
		if err := h.flushAll(); !errors.Is(err, syscall.ENOSPC) { // it is not tried again so soon
			t.Fatalf("%v", err)
		}
		if st := h.Status(); st.Missed != 20 || st.Fault == "" {
			t.Errorf("%+v", st)
		}
		full = false
		send(30, 40)
		time.Sleep(retryInterval)
		if err := h.flushAll(); err != nil {
			t.Fatal(err)
		}
		if st := h.Status(); st.Missed != 20 || st.Written != 20 || st.Fault != "" {
			t.Errorf("%+v", st)
		}
		for i := range 40 {
			f, err := h.Find(Query{ID: queueID(i), Most: 1})
			if err != nil || (i < 10 || i >= 30) != (len(f.Messages) == 1) && i >= 20 { // a part of the first batch was written
				t.Errorf("%d: %+v %v", i, f, err)
			}
			if len(f.Gaps) != 1 || f.Gaps[0].Events != 20 || time.Since(f.Gaps[0].Since) != retryInterval {
				t.Fatalf("%+v", f.Gaps)
			}
		}
	})
}

// TestClockAtStart: a clock that is far ahead when the daemon starts costs nothing if it is set right within ten minutes.
func TestClockAtStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHistory(t, small())
		m := letter(0)
		m.Slip.Arrived, m.Slip.Taken = time.Now(), time.Now()
		h.Event(takenEvent(0, m))
		h.Close()
		time.Sleep(365 * day) // so is the clock ahead
		h = reopen(t, small(), h.deps.Dir)
		ctx, cancel := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { h.Run(ctx) }) // ends with ctx
		time.Sleep(tendInterval - time.Second)
		find(t, h, Query{ID: queueID(0)}, 1)
		time.Sleep(2 * time.Second)
		find(t, h, Query{ID: queueID(0)}, 0)
		cancel()
		run.Wait()
	})
}

// TestFullDiskIsRead: while nothing can be written, what was written before is found, the status has it, and each retry that fails the same
// way adds no line to the log.
func TestFullDiskIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := newHistory(t, small())
		h.deps.Log = hclog.New(&hclog.LoggerOptions{Output: &log})
		full := false
		h.disk.write = func(f *os.File, b []byte, at int64) (int, error) {
			if !full {
				return f.WriteAt(b, at)
			}
			n, _ := f.WriteAt(b[:len(b)/3], at) // as far as there is room
			return n, syscall.ENOSPC
		}
		take := func(i int) {
			m := letter(i)
			m.Slip.Taken = time.Now()
			h.Event(takenEvent(i, m))
		}
		take(0)
		if err := h.flushAll(); err != nil {
			t.Fatal(err)
		}
		before := h.Status()
		full = true
		for i := range 5 {
			take(i + 1)
			find(t, h, Query{ID: queueID(0)}, 1)
			if st := h.Status(); st.Fault == "" || st.Segments != 1 || !st.Oldest.Equal(before.Oldest) {
				t.Errorf("%+v, before %+v", st, before)
			}
			time.Sleep(retryInterval)
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, &log)
		}
		full = false
		find(t, h, Query{ID: queueID(0)}, 1)
		full = true
		take(9)
		find(t, h, Query{ID: queueID(0)}, 1)
		if n := strings.Count(log.String(), "cannot be written"); n != 2 {
			t.Errorf("%d times, and once was written between:\n%s", n, &log)
		}
	})
}

// TestNearlyFull: on a disk with little room the history does not grow, and keeps the latest.
func TestNearlyFull(t *testing.T) {
	h := newHistory(t, small())
	free := int64(1 << 40)
	h.disk.space = func(string) (int64, int64, error) { return free, 1 << 41, nil }
	size := int64(0)
	const n = 12_000
	for i := range n {
		m := letter(i)
		h.Event(takenEvent(i, m))
		if i%1000 == 999 {
			if err := h.flushAll(); err != nil {
				t.Fatal(err)
			}
		}
		if i == n/2 {
			free, size = 100<<20, onDisk(t, h)
		}
	}
	if now := onDisk(t, h); now > size*5/4 {
		t.Errorf("grew from %d to %d", size, now)
	}
	find(t, h, Query{ID: queueID(n - 1)}, 1)
	find(t, h, Query{ID: queueID(0)}, 0)
}

// TestBuffer: a writer that is stuck costs nobody time and bounded memory; a Flush beside it returns at once.
func TestBuffer(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	stuck, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	h.disk.write = func(f *os.File, b []byte, at int64) (int, error) {
		once.Do(func() { close(stuck) })
		<-release
		return f.WriteAt(b, at)
	}
	h.Event(takenEvent(0, letter(0)))
	done := make(chan error)
	go func() { done <- h.flushAll() }() // ends when it is released
	<-stuck
	if err := h.Flush(); err != nil {
		t.Error(err)
	}
	const n = 30_000
	for i := 1; i < n; i++ {
		h.Event(takenEvent(i, letter(i)))
	}
	if st := h.Status(); st.Missed == 0 || st.Missed >= n {
		t.Errorf("%+v", st)
	}
	if len(h.buf) > bufferSize+maxPayload {
		t.Errorf("%d bytes in the buffer", len(h.buf))
	}
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	f := find(t, h, Query{ID: queueID(n / 10)}, 1)
	if st := h.Status(); len(f.Gaps) != 1 || f.Gaps[0].Events != st.Missed || st.Written+st.Missed != n {
		t.Errorf("%+v %+v", f.Gaps, st)
	}
}

// TestFlush: a Flush does not read the directory, and begins and ends no segment, which take more than a write; it has Run do that.
func TestFlush(t *testing.T) {
	h := newHistory(t, small())
	left := func() bool {
		select {
		case <-h.hurry:
			return true
		default:
			return false
		}
	}
	flush := func() {
		t.Helper()
		if err := h.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	if flush(); left() {
		t.Error("nothing was told, and Run must write")
	}
	h.Event(takenEvent(0, letter(0)))
	if flush(); !left() || h.shelf != nil {
		t.Error("the first Flush has read the directory, or not woken Run")
	}
	h.flushAll()
	i := 1
	for ; len(h.buf) == 0 && i < 10_000; i++ {
		h.Event(takenEvent(i, letter(i)))
		flush()
	}
	size := h.Status().Bytes
	if names := files(t, h); !left() || len(names) != 1 || size < small().segmentBytes()*99/100 {
		t.Errorf("%d messages, %d bytes, %q", i, size, names)
	}
	for len(files(t, h)) == 1 && i < 10_000 { // as Run does it
		h.Event(takenEvent(i, letter(i)))
		h.flushAll()
		i++
	}
	h.Event(takenEvent(i, letter(i)))
	if flush(); left() || h.Status().Written != int64(i+1) {
		t.Errorf("%d messages, %+v", i+1, h.Status())
	}
}

// TestFlushIsCheap: a commit's worth of answers is written without an allocation, however many segments there are.
func TestFlushIsCheap(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	e := sentEvent(1, letter(1))
	h.Event(e)
	h.flushAll()
	if n := testing.AllocsPerRun(1000, func() { h.Event(e); h.Flush() }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if st := h.Status(); st.Written != 1002 || st.Segments != 1 || st.Bytes == 0 {
		t.Errorf("%+v", st)
	}
}

// TestOff: nothing is kept, what was kept goes, and it can be turned on again.
func TestOff(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	h.Event(takenEvent(0, letter(0)))
	find(t, h, Query{ID: queueID(0)}, 1)
	h.SetConfig(Config{MaxBytes: leastBytes})
	h.tend(true) // Run does it
	h.Event(takenEvent(1, letter(1)))
	if _, err := h.Find(Query{ID: queueID(0)}); !errors.Is(err, ErrOff) || len(files(t, h)) != 0 {
		t.Errorf("%v %q", err, files(t, h))
	}
	h.SetConfig(DefaultConfig())
	h.tend(true)
	h.Event(takenEvent(2, letter(2)))
	find(t, h, Query{ID: queueID(2)}, 1)
	find(t, h, Query{ID: queueID(1)}, 0)
}

// TestTogether: events, writes, look-ups and removals at the same time.
func TestTogether(t *testing.T) {
	h := newHistory(t, small())
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := g; i < 9000; i += 3 {
				m := letter(i)
				h.Event(takenEvent(i, m))
				h.Event(sentEvent(i, m))
				if i%500 == g {
					h.Flush()
					h.flushAll()
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 300 {
			if _, err := h.Find(Query{Recipient: recipient(i * 30), Most: 3}); err != nil {
				t.Error(err)
			}
			h.Status()
			if i == 200 {
				h.SetConfig(Config{Keep: Period(7 * day), MaxBytes: leastBytes + 1})
				h.tend(true)
			}
		}
	})
	wg.Wait()
	if st := h.Status(); st.Missed != 0 {
		t.Errorf("%+v", st)
	}
	f := find(t, h, Query{Recipient: recipient(8999)}, 1)
	if !f.Messages[0].Settled {
		t.Errorf("%s", story(&f.Messages[0]))
	}
}

// TestNames: the files that a crash or a stranger has left.
func TestNames(t *testing.T) {
	h := newHistory(t, small())
	h.Event(takenEvent(0, letter(0)))
	h.Close()
	write := func(name, text string) {
		if err := os.WriteFile(h.deps.Dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	newer := append(appendHeader(nil, base{1, 1}), "what nobody knows"...)
	newer[8] = version + 1
	write("00000007.seg", string(newer))
	write("00000008.seg", "MILL")
	write("00000009.seg", strings.Repeat("x", 100))
	write("00000005.idx", "orphan")
	write("00000001.idx.tmp", "unfinished")
	write("notes.txt", "a stranger's")
	h = reopen(t, small(), h.deps.Dir)
	find(t, h, Query{ID: queueID(0)}, 1)
	h.Event(takenEvent(1, letter(1)))
	find(t, h, Query{ID: queueID(1)}, 1)
	want := []string{"00000001.idx", "00000001.seg", "00000007.seg", "00000009.seg", "00000010.seg", "notes.txt"}
	if names := files(t, h); !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// TestUnreadable: one file that will not be read by the next try either costs its own records; the history goes on. What passes, such as
// having no descriptor, is tried again.
func TestUnreadable(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	h.Event(takenEvent(0, letter(0)))
	h.Close()
	huge := h.deps.Dir + "/" + segmentName(2)
	if err := os.WriteFile(huge, appendHeader(nil, base{1, 1}), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(huge, maxSegment+1); err != nil {
		t.Fatal(err)
	}
	h = reopen(t, DefaultConfig(), h.deps.Dir)
	h.Event(takenEvent(1, letter(1)))
	for i := range 2 {
		find(t, h, Query{ID: queueID(i)}, 1)
	}
	if st := h.Status(); st.Segments != 3 || st.Fault != "" {
		t.Errorf("%+v", st)
	}
	for _, test := range []struct {
		err  error
		want bool
	}{
		{errVersion, true}, {fmt.Errorf("x %w", errDamaged), true}, {syscall.EIO, true}, {syscall.EACCES, true},
		{nil, false}, {syscall.EMFILE, false}, {syscall.ENFILE, false}, {syscall.ENOMEM, false}, {fs.ErrNotExist, false},
	} {
		err := test.err
		if err != nil {
			err = &fs.PathError{Op: "open", Path: huge, Err: err}
		}
		if got := lasting(err); got != test.want {
			t.Errorf("%v: %t", err, got)
		}
	}
}

// TestNoDescriptor: a look-up that cannot open a file says so, and does not say that there is no such message.
func TestNoDescriptor(t *testing.T) {
	h := newHistory(t, small())
	for i := range 3000 { // more than one segment
		h.Event(takenEvent(i, letter(i)))
	}
	find(t, h, Query{ID: queueID(0)}, 1)
	var limit, none syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none.Max = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, i := range []int{0, 2999} { // in a segment with an index, and in the one that is being written
		_, err := h.Find(Query{ID: queueID(i), Most: 1})
		errs = append(errs, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%v", err)
		}
	}
	find(t, h, Query{ID: queueID(0)}, 1)
}
