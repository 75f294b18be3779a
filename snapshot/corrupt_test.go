package snapshot

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// smallJournal is the state directory of an agent that was killed, and what it knew. Its messages are in one segment,
// followed by outcomes in a later commit.
func smallJournal(t *testing.T) (*memFS, *world) {
	t.Helper()
	m, w := newMemFS(), newWorld()
	cfg := smallConfig()
	a, _, _ := mustStart(t, m, cfg)
	for i := range 4 {
		must(t, w.take(a, message(a.NewID(), fmt.Sprintf("body %d", i%2), rcptsFor(i)...)))
	}
	w.settle(a, w.order[1], 0)
	must(t, w.flush(a))
	k := m.killed()
	f := k.names[segmentName(1)]
	f.data = bytes.TrimRight(f.data, "\x00")
	f.data = append(f.data, make([]byte, 64)...)
	return k, w
}

// recoverFrom starts on a copy of m in which change was made, and checks what can be checked: nothing was invented or
// altered, and nothing is missing in silence.
func recoverFrom(t *testing.T, m *memFS, w *world, change func(*memFS)) (int, Report, error) {
	t.Helper()
	k := m.killed()
	change(k)
	a, saved, r, err := start(k, smallConfig())
	if err != nil {
		if len(saved) > 0 {
			t.Fatalf("%d messages were given although the end is %v", len(saved), err)
		}
		return 0, r, err
	}
	defer a.Close()
	for _, s := range saved {
		if w.offered[s.Message.ID] == nil {
			t.Fatalf("message %d was invented", s.Message.ID)
		}
		if err := sameMessage(w.offered[s.Message.ID], s.Message); err != nil {
			t.Fatalf("message %d: %v", s.Message.ID, err)
		}
	}
	if len(saved) < 3 && r.Healthy() && r.Torn == 0 && len(r.Notes) == 0 {
		t.Fatalf("only %d messages, and nothing was said: %+v", len(saved), r)
	}
	return len(saved), r, nil
}

func TestEveryPrefix(t *testing.T) {
	m, w := smallJournal(t)
	name := segmentName(1)
	full := len(m.names[name].data)
	last := 0
	for n := format.BlockSize; n <= full; n++ {
		k := m.killed()
		k.names[name].data = k.names[name].data[:n]
		a, saved, _, err := start(k, smallConfig())
		must(t, err)
		for i, s := range saved {
			// A prefix: the first takes in their order, but for the one that is done once its outcome is there.
			if s.Message.ID != w.order[i] && s.Message.ID != w.order[i+1] {
				t.Fatalf("%d bytes: message %d at place %d", n, s.Message.ID, i)
			}
			must(t, sameMessage(w.offered[s.Message.ID], s.Message))
		}
		if len(saved) < last-1 {
			t.Fatalf("%d bytes: %d messages, %d in a shorter prefix", n, len(saved), last)
		}
		last = len(saved)
		a.Close()
	}
	if last != 3 {
		t.Errorf("%d messages in the whole", last)
	}
	for n := range format.BlockSize {
		if _, _, err := recoverFrom(t, m, w, func(k *memFS) { k.names[name].data = k.names[name].data[:n] }); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestEveryBitFlip(t *testing.T) {
	m, w := smallJournal(t)
	for _, name := range []string{segmentName(1), numbered(snapshotDir, 1, snapshotExt)} {
		for i := range m.names[name].data {
			if skip(i) {
				continue
			}
			for bit := range 8 {
				_, r, err := recoverFrom(t, m, w, func(k *memFS) { k.names[name].data[i] ^= 1 << bit })
				if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrMissing) {
					t.Fatalf("%s byte %d bit %d: %v", name, i, bit, err)
				}
				_ = r
			}
		}
	}
}

// skip leaves out the parts of a header block that hold nothing.
func skip(i int) bool {
	return i < format.BlockSize && i >= format.HeaderSize+8 && (i < format.CopyAt || i >= format.CopyAt+format.HeaderSize+8) && (i < format.SuccessorAt || i >= format.SuccessorAt+24)
}

// TestDamageInTheMiddle: a flip in one message costs that message, and it is told.
func TestDamageInTheMiddle(t *testing.T) {
	m, w := smallJournal(t)
	name := segmentName(1)
	at := bytes.Index(m.names[name].data, subject(w.order[0]))
	n, r, err := recoverFrom(t, m, w, func(k *memFS) { k.names[name].data[at] ^= 4 })
	must(t, err)
	if n != 2 || len(r.Damaged) != 1 || r.Healthy() || !strings.Contains(r.Damaged[0], name) || !strings.Contains(r.String(), "DAMAGE") {
		t.Errorf("%d messages, %+v", n, r)
	}
	at = bytes.Index(m.names[name].data, []byte("body 0"))
	n, r, err = recoverFrom(t, m, w, func(k *memFS) { k.names[name].data[at] ^= 4 })
	must(t, err)
	if n != 1 || len(r.Lost) != 2 || len(r.Damaged) != 1 {
		t.Errorf("body gone: %d messages, %+v", n, r)
	}
}

func TestQuarantineKeepsTheBytes(t *testing.T) {
	m, w := smallJournal(t)
	name := segmentName(1)
	at := bytes.Index(m.names[name].data, subject(w.order[0]))
	m.names[name].data[at] ^= 4
	damaged := slices.Clone(m.names[name].data[at : at+10])
	for range 3 { // a crash after the recovery, and again: the same each time
		a, saved, r, err := start(m, smallConfig())
		must(t, err)
		if len(saved) != 2 || len(r.Damaged) != 1 {
			t.Fatalf("%d messages, %+v", len(saved), r)
		}
		if bad := m.names[numbered(journalDir, 1, damageExt)]; bad == nil || !bytes.Contains(bad.data, damaged) {
			t.Fatal("the damaged bytes were not kept aside")
		}
		m = m.killed()
		a.Close()
	}
}

// TestForgedFrames: a body that holds frames, even copies of real ones, is never read as frames, whatever is damaged.
func TestForgedFrames(t *testing.T) {
	m := newMemFS()
	a, _, _ := mustStart(t, m, smallConfig())
	forged := forge(t)
	must(t, a.Take(message(a.NewID(), string(forged), "x@a.example")))
	must(t, a.Take(message(a.NewID(), "b", "y@a.example")))
	must(t, a.Flush())
	k := m.killed()
	data := k.names[segmentName(1)].data
	at := bytes.Index(data, forged)
	data[at-40] ^= 1 // in the head of the body's frame
	_, saved, r := mustStart(t, k, smallConfig())
	if len(saved) != 1 || saved[0].Message.Rcpt(0).Addr != "y@a.example" || r.Healthy() {
		t.Errorf("%d messages, %+v", len(saved), r)
	}
}

// forge makes frames of a shared part and a message, with the checksums one can compute without the salt.
func forge(t *testing.T) []byte {
	t.Helper()
	s := format.Stamp{Seed: 0, Commit: 1}
	buf, at := format.BeginFrame(nil)
	buf = (&format.Shared{Number: 9, View: []byte("\r\nevil")}).Append(buf)
	format.EndFrame(buf, at, format.KindShared, s)
	buf, at = format.BeginFrame(buf)
	evil := recordOf(message(666, "evil", "evil@a.example"))
	evil.Shared = 9
	buf = evil.Append(buf, format.Basis{}, &format.Common{})
	format.EndFrame(buf, at, format.KindTake, s)
	return buf
}

func TestMissingFiles(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 100)
	must(t, a.WriteSnapshot())
	w.campaign(t, a, 100)
	must(t, a.Flush())
	k := m.killed()
	names, _ := k.List(journalDir)
	for i, name := range names[:len(names)-1] {
		cut := k.killed()
		delete(cut.names, journalDir+"/"+name)
		_, _, _, err := start(cut, smallConfig())
		if !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), name) {
			t.Errorf("without %s: %v", name, err)
		}
		if err := verify(cut); !errors.Is(err, ErrMissing) {
			t.Errorf("verify without %s: %v", name, err)
		}
		cfg := smallConfig()
		cfg.salvage = true
		b, saved, r, err := start(cut.killed(), cfg)
		if err != nil || len(r.Missing) == 0 || len(saved) == 0 || len(saved) >= 200 {
			t.Errorf("salvage without segment %d: %d messages, %+v, %v", i, len(saved), r, err)
		} else {
			b.Close()
		}
	}
	last := names[len(names)-1]
	delete(k.names, journalDir+"/"+last)
	if _, _, _, err := start(k, smallConfig()); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), last) {
		t.Errorf("without the last, %s: %v", last, err)
	}
}

func TestSnapshotGenerations(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	for round := range 4 {
		w.campaign(t, a, 60)
		for _, id := range w.order[round*60 : round*60+59] {
			for r := range w.offered[id].Rcpts {
				w.settle(a, id, r)
			}
		}
		must(t, a.WriteSnapshot())
	}
	must(t, w.flush(a))
	names, _ := m.List(snapshotDir)
	newest, previous := snapshotDir+"/"+names[1], snapshotDir+"/"+names[0]
	for name, change := range map[string]func(*memFS){
		"newest damaged": func(k *memFS) { k.names[newest].data[format.BlockSize+30] ^= 1 },
		"newest empty":   func(k *memFS) { k.names[newest].data = nil },
		"newest cut":     func(k *memFS) { d := k.names[newest]; d.data = d.data[:len(d.data)-1] },
		"newest gone":    func(k *memFS) { delete(k.names, newest) },
		"previous gone":  func(k *memFS) { delete(k.names, previous) },
	} {
		k := m.killed()
		change(k)
		b, saved, r, err := start(k, smallConfig())
		if err == nil {
			err = w.check(saved)
		}
		if err != nil || !r.Healthy() {
			t.Fatalf("%s: %v, %+v", name, err, r)
		}
		b.Close()
	}
	for name, change := range map[string]func(*memFS){
		"both damaged": func(k *memFS) {
			k.names[newest].data[70] ^= 1
			k.names[newest].data = k.names[newest].data[:99]
			k.names[previous].data = nil
		},
		"both gone": func(k *memFS) { delete(k.names, newest); delete(k.names, previous) },
	} {
		k := m.killed()
		change(k)
		if _, _, _, err := start(k, smallConfig()); !errors.Is(err, ErrMissing) {
			t.Errorf("%s: %v", name, err)
		}
		cfg := smallConfig()
		cfg.salvage = true
		b, saved, _, err := start(k, cfg)
		if err != nil || len(saved) < 4 {
			t.Fatalf("%s, salvage: %d messages, %v", name, len(saved), err)
		}
		b.Close()
	}
}

// TestNewerVersion: refused as such, never called damaged, and nothing is changed.
func TestNewerVersion(t *testing.T) {
	m, _ := smallJournal(t)
	for _, name := range []string{segmentName(1), numbered(snapshotDir, 1, snapshotExt)} {
		k := m.killed()
		for _, at := range []int{0, format.CopyAt} {
			h := k.names[name].data[at : at+format.HeaderSize]
			binary.BigEndian.PutUint16(h[8:], format.Version+1)
			binary.BigEndian.PutUint32(h[60:], crc32.Checksum(h[:60], crc32.MakeTable(crc32.Castagnoli)))
		}
		_, _, _, err := start(k, smallConfig())
		if !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if k.ops != 0 {
			t.Errorf("%s: %d calls that change something", name, k.ops)
		}
	}
}

// TestStaleFrames: what an earlier commit left behind a later one is not read.
func TestStaleFrames(t *testing.T) {
	h := format.Header{Magic: format.SegmentMagic, Version: format.Version, Number: 1, Salt: 42}
	s := &segment{head: h, end: format.BlockSize, shared: make(map[uint64]sharedAt)}
	old, now := newBatch(s, nil, nil), newBatch(s, nil, nil)
	old.marks, now.marks = format.AppendDone(nil, 1, 1, format.WhySent), format.AppendDone(nil, 1, 2, format.WhySent)
	data := h.Block()
	for _, b := range []*batch{now, old} {
		b.seal()
		b.fillHead(format.BlockSize, time.Now(), &format.Totals{})
		data = append(data, b.buf...)
	}
	sc := format.NewScan("s", data, h, 0)
	frames := 0
	must(t, sc.Each(func(f format.Frame) error {
		if frames++; f.Commit != now.stamp.Commit {
			t.Errorf("frame of commit %d", f.Commit)
		}
		return nil
	}))
	if frames != 2 || len(sc.Torn) != 1 {
		t.Errorf("%d frames, torn %v", frames, sc.Torn)
	}
}

// TestCopyWithoutItsBody: a copy that cannot be used leaves the message where it stood.
func TestCopyWithoutItsBody(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	must(t, w.take(a, message(a.NewID(), "a body of its own", "x@a.example")))
	w.campaign(t, a, 60)
	for _, id := range w.order[1:30] {
		for r := range w.offered[id].Rcpts {
			w.settle(a, id, r)
		}
	}
	must(t, w.flush(a))
	if n, _ := a.book.copySome(); n == 0 {
		t.Fatal("nothing was copied")
	}
	must(t, a.Flush())
	k := m.killed()
	data := k.names[segmentName(a.book.active.number)].data
	at := bytes.Index(data, []byte("a body of its own"))
	if at < 0 {
		t.Fatal("the body was not copied")
	}
	data[at] ^= 1
	_, saved, _ := mustStart(t, k, smallConfig())
	must(t, w.check(saved))
}

func TestLyingLength(t *testing.T) {
	m, w := smallJournal(t)
	name := segmentName(1)
	for _, n := range []uint32{0xFFFFFFFF, 1 << 31, 1 << 30, 1 << 20} {
		_, r, err := recoverFrom(t, m, w, func(k *memFS) {
			binary.BigEndian.PutUint32(k.names[name].data[format.BlockSize+4:], n)
		})
		if err != nil || len(r.Damaged) != 1 {
			t.Errorf("length %d: %+v, %v", n, r, err)
		}
	}
}

func TestDumpAndVerify(t *testing.T) {
	m, w := smallJournal(t)
	must(t, verify(m))
	if m.ops != 0 {
		t.Errorf("verify made %d calls that change something", m.ops)
	}
	kinds := make(map[string]int)
	must(t, walk(m, func(r Record) error {
		kinds[r.Kind]++
		if r.File == "" || r.line() == "" {
			t.Errorf("record %+v", r)
		}
		_, err := json.Marshal(r)
		return err
	}))
	want := map[string]int{"file": 2, "commit": 5, "shared": 2, "take": 4, "done": 1, "end": 1, "counters": 1}
	for k, n := range want {
		if kinds[k] != n {
			t.Errorf("%d records of kind %s, want %d", kinds[k], k, n)
		}
	}
	at := bytes.Index(m.names[segmentName(1)].data, subject(w.order[0]))
	m.names[segmentName(1)].data[at] ^= 1
	if err := verify(m); !errors.Is(err, ErrDamaged) {
		t.Errorf("verify of a damaged journal: %v", err)
	}
}

func TestDumpOfADirectory(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(dir, testConfig(), nil)
	must(t, err)
	msg := message(a.NewID(), "b", "x@a.example")
	must(t, a.Take(msg))
	msg.Node(0).Resume(relay.SavedNode{Rcpts: []int{0}, Reason: "later"})
	a.Event(&relay.Event{Kind: relay.EventDeferred, Message: msg, Node: msg.Node(0), Rcpt: -1})
	must(t, a.Flush())
	var text, js bytes.Buffer
	must(t, Dump(dir, &text, false))
	must(t, Dump(dir, &js, true))
	for _, want := range []string{"take", "x@a.example", msg.ID.String(), `"later"`} {
		if !strings.Contains(text.String(), want) || !strings.Contains(js.String(), want) {
			t.Errorf("no %q in the dump:\n%s%s", want, &text, &js)
		}
	}
	must(t, Verify(dir))
	must(t, a.Close())
}

// subject is a field that only the message with this id has. No run of digits is in it: a part would hold them packed.
func subject(id relay.ID) []byte {
	return []byte("Subject: " + strings.Join(strings.Split(fmt.Sprint(id), ""), "."))
}

// TestRandomCorruption: whatever happens to one file of a large journal, what is missing afterwards was told.
func TestRandomCorruption(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 300)
	for i, id := range w.order {
		if i%3 == 0 {
			w.settle(a, id, 0)
		}
	}
	must(t, w.flush(a))
	must(t, a.WriteSnapshot())
	w.campaign(t, a, 100)
	must(t, a.Close())
	m = m.killed()
	names, _ := m.List(journalDir)
	for seed := range uint64(400) {
		rng := rand.New(rand.NewPCG(seed, 9))
		k := m.killed()
		name := journalDir + "/" + names[rng.IntN(len(names))]
		what := corrupt(k, name, rng)
		b, saved, r, err := start(k, smallConfig())
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrMissing) {
				t.Fatalf("seed %d, %s of %s: %v", seed, what, name, err)
			}
			continue
		}
		if err := w.check(saved); err != nil && r.Healthy() {
			t.Fatalf("seed %d, %s of %s: %v, and nothing was said: %+v", seed, what, name, err, r)
		}
		b.Close()
	}
}

func corrupt(m *memFS, name string, rng *rand.Rand) string {
	i := m.names[name]
	at := rng.IntN(len(i.data))
	switch rng.IntN(4) {
	case 0:
		i.data[at] ^= 1 << rng.IntN(8)
		return "bit flip"
	case 1:
		i.data = i.data[:at]
		return "truncation"
	case 2:
		clear(i.data[at/4096*4096 : min(at/4096*4096+4096, len(i.data))])
		return "zeroed block"
	}
	delete(m.names, name)
	return "deletion"
}

// TestMalformedRecord: a record that checks and makes no sense costs itself, and is told.
func TestMalformedRecord(t *testing.T) {
	for _, k := range []format.Kind{format.KindTake, format.KindMarks, format.KindShared, format.KindBody, format.KindOldTake} {
		m, w := smallJournal(t)
		f := m.names[segmentName(1)]
		h, err := format.ReadHeader("s", format.SegmentMagic, f.data)
		must(t, err)
		buf, at := format.BeginFrame(bytes.TrimRight(f.data, "\x00"))
		buf = append(buf, 0xff, 0xff)
		format.EndFrame(buf, at, k, format.Stamp{Seed: h.Seed(), Commit: 99})
		f.data = buf
		_, saved, r := mustStart(t, m, smallConfig())
		must(t, w.check(saved))
		if len(r.Damaged) != 1 || !strings.Contains(r.Damaged[0], k.String()) {
			t.Errorf("%s: %+v", k, r)
		}
		if err := verify(m); !errors.Is(err, ErrDamaged) {
			t.Errorf("verify: %v", err)
		}
	}
}
