package history

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

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

// TestUnreadable: one file that will not be read by the next try either costs its own records; the history goes on. What passes,
// such as having no descriptor, is tried again.
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
	if runtime.GOOS == "linux" { // it has a file that can be opened and not read
		if b, err := new(segment).content("/proc/self/mem"); b != nil || !lasting(err) {
			t.Errorf("what was read before an error: %q; %v", b, err)
		}
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
