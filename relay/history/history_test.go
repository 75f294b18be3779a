package history

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

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

// TestFullDiskIsRead: while nothing can be written, what was written before is found, the status has it, and each retry that fails
// the same way adds no line to the log.
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
