package history

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// TestMillion: a million messages of a thousand campaigns are found by each of their names in less than 0.2 s, with bounded memory, and
// take no more than 200 bytes each. The figures are for the log; -short has a hundredth of the messages.
func TestMillion(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceDetector {
		n = 20_000
	}
	h := newHistory(t, DefaultConfig())
	heap := heapNow()
	var events, writing time.Duration
	for i := range n {
		m := letter(i)
		taken, sent := takenEvent(i, m), sentEvent(i, m)
		began := time.Now()
		h.Event(taken)
		h.Event(sent)
		events += time.Since(began)
		if i%2000 == 1999 {
			began = time.Now()
			if err := h.flushAll(); err != nil {
				t.Fatal(err)
			}
			writing += time.Since(began)
		}
	}
	if heap = heapNow() - heap; heap > 32<<20 {
		t.Errorf("%d MB of heap", heap>>20)
	}
	st := h.Status()
	each := float64(st.Bytes) / float64(n)
	if o := h.shelf.open; o != nil {
		each += float64(o.runs.size()*entrySize) / float64(n)
	}
	t.Logf("%d messages: %d segments, %.1f MB, %.0f bytes a message; Event %v, writing %v an event; %.1f MB of heap", n, st.Segments, float64(st.Bytes)/1e6, each,
		events/time.Duration(2*n), writing/time.Duration(2*n), float64(heap)/1e6)
	if st.Missed != 0 || st.Written != int64(2*n) {
		t.Errorf("%+v", st)
	}
	if each > 200 {
		t.Errorf("%.0f bytes a message", each)
	}
	for _, i := range []int{0, 7, n / 2, n - 1} {
		for _, q := range []Query{{Recipient: recipient(i)}, {ID: queueID(i)}, {ID: letter(i).ID.String()}, {MessageID: "<" + messageID(i) + ">"}} {
			lookUp(t, h, q, i)
		}
	}
	lookUp(t, h, Query{Recipient: "first.last7@GMX.de"}, 7)
}

// heapNow is what is in use.
func heapNow() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func lookUp(t *testing.T, h *History, q Query, i int) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	f := find(t, h, q, 1)
	took := time.Since(began)
	runtime.ReadMemStats(&after)
	t.Logf("%-70v %8v %6d KB", fmt.Sprint(q), took.Round(time.Microsecond), (after.TotalAlloc-before.TotalAlloc)>>10)
	m := f.Messages[0]
	if m.ID != letter(i).ID || m.Taken.MessageID != messageID(i) || len(m.Lines) != 1 || !m.Settled || m.Lines[0].Recipient != recipient(i) {
		t.Errorf("%s", story(&m))
	}
	if took > 200*time.Millisecond && !raceDetector {
		t.Errorf("%v", took)
	}
}
