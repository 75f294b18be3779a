package snapshot

import (
	"bytes"
	"reflect"
	"testing"

	"github.com/millrace/millrace/relay"
)

func FuzzTake(f *testing.F) {
	for i := range 4 {
		m := message(relay.ID(i+1), "b", rcptsFor(i)...)
		t := &takeRecord{msg: m, base: uint32(i), body: 7, nodeOf: nodesOf(m), copied: i%2 == 1, from: origin{3, 4}}
		if t.copied {
			t.done = []int{0}
		}
		f.Add(t.append(nil))
	}
	f.Add([]byte{0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		rec, err := decodeTake(p, newInterned())
		if err != nil {
			return
		}
		// What is read can be written, and reads the same.
		again, err := decodeTake(rec.append(nil), newInterned())
		if err != nil {
			t.Fatal(err)
		}
		again.msg.Body, rec.msg.Body = nil, nil
		if !reflect.DeepEqual(rec.msg.Rcpts, again.msg.Rcpts) || rec.msg.ID != again.msg.ID || !bytes.Equal(rec.msg.Header, again.msg.Header) ||
			rec.base != again.base || !reflect.DeepEqual(rec.nodeOf, again.nodeOf) || !reflect.DeepEqual(rec.done, again.done) {
			t.Fatalf("%+v became %+v", rec, again)
		}
	})
}

func FuzzMarks(f *testing.F) {
	f.Add(appendDone(appendDone(nil, 1, 2), 300, 70000))
	f.Add(appendDefer(nil, softKey{9, 1}, soft{visits: 3, due: -5, class: "inject", reason: "451 later"}))
	f.Add(appendBegin(nil, softKey{1 << 41, 3}))
	f.Add(appendHeard(appendHeard(nil, markHeard, 7), markDeaf, 1<<41))
	f.Fuzz(func(t *testing.T, p []byte) {
		var again []byte
		n := 0
		err := readMarks(p, newInterned(), markVisitor{
			done:    func(s uint64, pos uint32) { again = appendDone(again, s, pos); n++ },
			waiting: func(k softKey, s soft) { again = appendDefer(again, k, s); n++ },
			begun:   func(k softKey) { again = appendBegin(again, k); n++ },
			heard: func(id relay.ID, known bool) {
				again = appendHeard(again, map[bool]byte{true: markHeard, false: markDeaf}[known], id)
				n++
			},
		})
		if err != nil {
			return
		}
		m := 0
		if err := readMarks(again, newInterned(), markVisitor{func(uint64, uint32) { m++ }, func(softKey, soft) { m++ }, func(softKey) { m++ }, func(relay.ID, bool) { m++ }}); err != nil || m != n {
			t.Fatalf("%d marks became %d: %v", n, m, err)
		}
	})
}

// FuzzSegment changes a real segment: a part of it is overwritten. Whatever is read was written.
func FuzzSegment(f *testing.F) {
	h := header{magic: segmentMagic, version: formatVersion, number: 1, salt: 42}
	s := &segment{head: h, end: blockSize, bodies: make(map[[32]byte]uint32)}
	data := h.block()
	for i := range 3 {
		b := newBatch(s, nil, nil)
		m := message(relay.ID(i+1), "body", rcptsFor(i)...)
		b.take(&takeRecord{msg: m, body: b.body(m), nodeOf: nodesOf(m)})
		b.marks = appendDone(nil, 1, uint32(i))
		b.seal()
		b.head(b.start, m.Taken)
		data = append(data, b.buf...)
	}
	written := make(map[string]bool)
	sc := newScan("s", data, h)
	sc.run(func(fr frame) error { written[string(fr.payload)] = true; return nil })
	f.Add(0, []byte{1})
	f.Add(blockSize+3, []byte("MR\x02\x00\x00\x00\x00\x01"))
	f.Add(blockSize+100, bytes.Repeat([]byte("MR\x03\x00\x00\x00\x00\x09"), 30))
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		if at < 0 || at > len(data) {
			return
		}
		d := append(append(append([]byte(nil), data[:at]...), patch...), data[min(at+len(patch), len(data)):]...)
		sc := newScan("s", d, h)
		if err := sc.run(func(fr frame) error {
			if !written[string(fr.payload)] {
				t.Fatalf("frame at %d was never written", fr.at)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := readHeader("s", segmentMagic, d); err == nil && (got.number != 1 || got.salt != 42) {
			t.Fatalf("header %+v", got)
		}
		decodeNext(d)
	})
}

// FuzzSnapshot gives arbitrary payloads valid frames.
func FuzzSnapshot(f *testing.F) {
	f.Add(byte(kindVector), []byte{1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255})
	f.Add(byte(kindCounter), []byte{1, 2, 3})
	f.Add(byte(kindKept), []byte("\x04pacelearned"))
	f.Add(byte(kindSoft), appendDefer(nil, softKey{9, 1}, soft{visits: 3}))
	f.Add(byte(kindEnd), []byte{1})
	f.Fuzz(func(t *testing.T, k byte, payload []byte) {
		h := header{magic: snapshotMagic, version: formatVersion, number: 1, salt: 7}
		st := stamp{seed: h.seed(), commit: 1}
		buf, at := beginFrame(h.block())
		buf = append(buf, payload...)
		endFrame(buf, at, kind(k), st)
		buf, at = beginFrame(buf)
		buf = append(buf, 1)
		endFrame(buf, at, kindEnd, st)
		s, err := parseSnapshot("s", buf)
		if err != nil {
			return
		}
		for _, p := range s.soft {
			readMarks(p, newInterned(), markVisitor{func(uint64, uint32) {}, func(softKey, soft) {}, func(softKey) {}, func(relay.ID, bool) {}})
		}
		parseSnapshot("s", buf[:len(buf)-1])
	})
}

// FuzzDump feeds arbitrary payloads to the reader for people.
func FuzzDump(f *testing.F) {
	m := message(1, "b", "x@a.example")
	f.Add(byte(kindTake), (&takeRecord{msg: m}).append(nil))
	f.Add(byte(kindMarks), appendDone(nil, 1, 1))
	f.Add(byte(kindVector), []byte{1, 2, 3, 4})
	f.Add(byte(kindBatch), make([]byte, commitPayload))
	f.Add(byte(kindBody), make([]byte, 40))
	f.Fuzz(func(t *testing.T, k byte, payload []byte) {
		d := dumper{name: "f", names: newInterned(), out: func(r Record) error {
			if r.line() == "" {
				t.Fatal("empty line")
			}
			return nil
		}}
		if err := d.frame(frame{kind: kind(k), payload: payload}); err != nil {
			t.Fatal(err)
		}
	})
}
