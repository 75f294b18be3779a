package history

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// written is a small history that was killed: a segment without an index.
func written(t testing.TB, messages int) []byte {
	t.Helper()
	h := newHistory(t, small())
	for i := range messages {
		m := letter(i % 4) // so that there are texts
		m.ID, m.Slip.Taken, m.Slip.QueueID, m.Slip.Rcpts = relay.ID(i+1), begin, queueID(i), []relay.Rcpt{{Addr: recipient(i)}}
		h.Event(takenEvent(i, m))
		h.Event(settled(m, 0, relay.Deferred, begin, smtp.Reply{Code: 451, Lines: []string{"try again later"}}))
		h.Event(sentEvent(i, m))
	}
	if err := h.flushAll(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(h.deps.Dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// found counts the messages of written that are found with so many lines, and fails if one is another than it should be.
func found(t testing.TB, h *History, messages int) (by [3]int, missing int) {
	t.Helper()
	for i := range messages {
		f, err := h.Find(Query{MessageID: messageID(i), Most: 2})
		if err != nil {
			t.Fatal(err)
		}
		if len(f.Messages) == 0 {
			missing++
			continue
		}
		m := f.Messages[0]
		if len(f.Messages) > 1 || m.ID != relay.ID(i+1) || m.Taken.QueueID != queueID(i) || len(m.Lines) > 2 {
			t.Fatalf("%s", story(&m))
		}
		for _, l := range m.Lines {
			if l.Recipient != recipient(i) && !torn([]byte(l.Recipient), []byte(recipient(i))) || l.Outcome == relay.Sent && l.Code != 250 || l.Outcome == relay.Deferred && l.Code != 451 {
				t.Fatalf("%s", story(&m))
			}
		}
		by[len(m.Lines)]++
	}
	return by, missing
}

// put makes a directory with one segment.
func put(t testing.TB, dir string, segment []byte) *History {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), segment, fileMode); err != nil {
		t.Fatal(err)
	}
	return reopen(t, small(), dir)
}

// stride is the step from byte to byte: one, where there is time.
func stride() int {
	if testing.Short() || raceDetector {
		return 13
	}
	return 1
}

// TestKilledAtEachByte: wherever a write was cut off, the records before are found, none is made up, and the history goes on.
func TestKilledAtEachByte(t *testing.T) {
	const n = 6
	whole, dir := written(t, n), t.TempDir()+"/history"
	before := 0
	for size := 0; size <= len(whole); size += stride() {
		h := put(t, dir, whole[:size])
		by, missing := found(t, h, n)
		records := by[0] + 2*by[1] + 3*by[2]
		if records < before || missing+by[0]+by[1]+by[2] != n {
			t.Fatalf("cut at %d: %v found, %d missing; %d records before", size, by, missing, before)
		}
		before = records
		m := letter(99)
		m.ID = 99
		h.Event(takenEvent(99, m))
		find := func(h *History) int { f, _ := h.Find(Query{ID: queueID(99), Most: 1}); return len(f.Messages) }
		if find(h) != 1 {
			t.Fatalf("cut at %d: it does not go on", size)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		if again := reopen(t, small(), dir); find(again) != 1 {
			t.Fatalf("cut at %d: what came then is lost", size)
		}
	}
	if before != 3*n && stride() == 1 {
		t.Errorf("%d records of %d", before, 3*n)
	}
}

// TestDamage: a byte that has changed costs its record, or the texts in it, and no other; with an index or without.
func TestDamage(t *testing.T) {
	const n = 6
	whole, dir := written(t, n), t.TempDir()+"/history"
	for at := headerSize; at < len(whole); at += stride() {
		bad := bytes.Clone(whole)
		bad[at] ^= byte(1 + at%255)
		h := put(t, dir, bad)
		by, missing := found(t, h, n)
		if records := by[0] + 2*by[1] + 3*by[2]; records < 3*n-3 || missing > 1 { // the first record has the message's names
			t.Fatalf("byte %d: %v found, %d missing", at, by, missing)
		}
		h.Close()
	}
	for at := range headerSize {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x55
		h := put(t, dir, bad)
		if by, missing := found(t, h, n); missing != n {
			t.Fatalf("byte %d of the header: %v found", at, by)
		}
		h.Event(takenEvent(99, letter(99)))
		if f, err := h.Find(Query{ID: queueID(99), Most: 1}); err != nil || len(f.Messages) != 1 {
			t.Fatalf("byte %d: %+v %v", at, f, err)
		}
		h.Close()
	}
}

// TestDamagedIndex: an index that does not check is made again; one that is wrong within finds less, and nothing that is not there.
func TestDamagedIndex(t *testing.T) {
	const n = 50
	h := newHistory(t, small())
	whole := written(t, n)
	h = put(t, h.deps.Dir, whole)
	h.tend(true)
	if err := h.shelf.close(); err != nil {
		t.Fatal(err)
	}
	h.Close()
	path := filepath.Join(h.deps.Dir, indexName(1))
	index, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		bad, unfit := bytes.Clone(index), false
		switch at := rng.IntN(len(bad)); {
		case rng.IntN(3) == 0:
			bad, unfit = bad[:at], true
		default:
			bad[at] ^= byte(1 + rng.IntN(255))
			unfit = at < indexHeader
		}
		if err := os.WriteFile(path, bad, fileMode); err != nil {
			t.Fatal(err)
		}
		h := reopen(t, small(), h.deps.Dir)
		if by, missing := found(t, h, n); unfit && by[2] != n {
			t.Fatalf("an index of %d bytes that does not check: %v found, %d missing", len(bad), by, missing)
		}
		h.Close()
	}
}

// FuzzWalk: whatever stands in a segment, reading it ends, stays within it, and finds each frame that was put behind it.
func FuzzWalk(f *testing.F) {
	whole := written(f, 5)
	f.Add(whole, uint16(0))
	f.Add(whole[:len(whole)/2], uint16(3))
	f.Add(bytes.Repeat([]byte{frameMark, 0xff, 0xff, 3}, 300), uint16(9))
	f.Fuzz(func(t *testing.T, b []byte, at uint16) {
		if len(b) > 1<<20 {
			return
		}
		tail := appendFrame(nil, []byte("\x01the last"))
		b = append(append(appendHeader(nil, base{time.Now().UnixMilli(), 7}), b...), tail...)
		x := &segment{base: base{1, 7}}
		x.scan(b)
		w := newWalk(b)
		last := []byte(nil)
		for w.next() {
			last = w.payload
		}
		if string(last) != "\x01the last" && w.vain <= mostVain*len(b) {
			t.Errorf("the last frame is lost: %q", last)
		}
		var n note
		r := scroll{text: func(int64) []byte { return []byte("text") }}
		r.read(b[min(int(at), len(b)):], &n)
	})
}
