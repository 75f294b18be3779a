package format

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// sample makes a take record; those of odd i are copied ones, every fourth has several nodes.
func sample(i int) *TakeRecord {
	t := &TakeRecord{
		ID: uint64(i + 1), Base: uint32(i), Body: 7, EightBit: i%2 == 0, UTF8: i%3 == 0, Arrived: time.Unix(1700000000, 5), Taken: time.Unix(1700000001, 6),
		QueueID: fmt.Sprintf("Q%d", i), From: "list@example.org", Ret: "HDRS", EnvID: "e+2D1", Rule: "list-unsubscribe", Client: "app[192.0.2.7]",
		Rcpts: []Rcpt{{Addr: "u@a.example", Notify: "FAILURE", ORcpt: "rfc822;u@a.example"}}, Trace: []byte("Received: by here\r\n"), Header: []byte("Subject: x\r\n"),
	}
	if i%4 == 0 {
		t.Rcpts = append(t.Rcpts, Rcpt{Addr: "v@b.example"}, Rcpt{Addr: "w@a.example"})
		t.Nodes = []uint32{0, 1, 0}
	}
	if i%3 == 2 {
		t.Tenant = "acme"
	}
	if t.Copied = i%2 == 1; t.Copied {
		t.Origin, t.Done = Origin{3, 4}, []int{0}
	}
	return t
}

// TestTakeRoundTrip: every field comes back, and nothing of the record that was read before.
func TestTakeRoundTrip(t *testing.T) {
	got := new(TakeRecord)
	for i := range 8 {
		want := sample(i)
		err := got.Decode(want.Append(nil), NewNames())
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: %+v became %+v, %v", i, want, got, err)
		}
	}
}

// decodeTake reads a record of its own.
func decodeTake(p []byte, names *Names) (*TakeRecord, error) {
	t := new(TakeRecord)
	return t, t.Decode(p, names)
}

func FuzzTake(f *testing.F) {
	for i := range 4 {
		f.Add(sample(i).Append(nil))
	}
	f.Add([]byte{0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		rec, err := decodeTake(p, NewNames())
		if err != nil {
			return
		}
		// What is read can be written, and reads the same.
		again, err := decodeTake(rec.Append(nil), NewNames())
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(rec, again) {
			t.Fatalf("%+v became %+v", rec, again)
		}
	})
}

// ignored is for tests that look only at the error.
var ignored = Marks{Done: func(uint64, uint32) {}, Waits: func(Node, Wait) {}, Begun: func(Node) {}, Heard: func(uint64, bool) {}}

func FuzzMarks(f *testing.F) {
	f.Add(AppendDone(AppendDone(nil, 1, 2), 300, 70000))
	f.Add(AppendWait(nil, Node{9, 1}, Wait{Visits: 3, Due: -5, Class: "inject", Reason: "451 later"}))
	f.Add(AppendBegun(nil, Node{1 << 41, 3}))
	f.Add(AppendUnheard(AppendHeard(nil, 7), 1<<41))
	f.Fuzz(func(t *testing.T, p []byte) {
		var again []byte
		n := 0
		err := ReadMarks(p, NewNames(), Marks{
			Done:  func(s uint64, pos uint32) { again = AppendDone(again, s, pos); n++ },
			Waits: func(k Node, w Wait) { again = AppendWait(again, k, w); n++ },
			Begun: func(k Node) { again = AppendBegun(again, k); n++ },
			Heard: func(id uint64, heard bool) {
				if again = AppendUnheard(again, id); heard {
					again[len(again)-len(AppendHeard(nil, id))] = markHeard
				}
				n++
			},
		})
		if err != nil {
			return
		}
		m := 0
		err = ReadMarks(again, NewNames(), Marks{
			Done: func(uint64, uint32) { m++ }, Waits: func(Node, Wait) { m++ }, Begun: func(Node) { m++ }, Heard: func(uint64, bool) { m++ },
		})
		if err != nil || m != n {
			t.Fatalf("%d marks became %d: %v", n, m, err)
		}
	})
}

// appendFrame appends one whole frame.
func appendFrame(b []byte, k Kind, payload []byte, s Stamp) []byte {
	b, at := BeginFrame(b)
	b = append(b, payload...)
	EndFrame(b, at, k, s)
	return b
}

// appendCommit appends a commit of a body, a message and a mark.
func appendCommit(b []byte, i int, s Stamp) []byte {
	at := len(b)
	b = append(b, make([]byte, CommitFrame)...)
	FillCommit(b[at:], int64(at), time.Unix(1700000001, 6), s)
	b = appendFrame(b, KindBody, (&Body{Number: uint32(i), Content: []byte("body")}).Append(nil), s)
	b = appendFrame(b, KindTake, sample(i).Append(nil), s)
	return appendFrame(b, KindMarks, AppendDone(nil, 1, uint32(i)), s)
}

// FuzzSegment changes a real segment: a part of it is overwritten. Whatever is read was written.
func FuzzSegment(f *testing.F) {
	h := Header{Magic: SegmentMagic, Version: Version, Number: 1, Salt: 42}
	data := h.Block()
	for i := range 3 {
		data = appendCommit(data, i, Stamp{Seed: h.Seed(), Commit: uint32(i + 1)})
	}
	written := make(map[string]bool)
	if err := NewScan("s", data, h, 0).Each(func(fr Frame) error { written[string(fr.Payload)] = true; return nil }); err != nil || len(written) != 12 {
		f.Fatalf("%d frames, %v", len(written), err)
	}
	f.Add(0, []byte{1})
	f.Add(BlockSize+3, []byte("MR\x02\x00\x00\x00\x00\x01"))
	f.Add(BlockSize+100, bytes.Repeat([]byte("MR\x03\x00\x00\x00\x00\x09"), 30))
	f.Fuzz(func(t *testing.T, at int, patch []byte) {
		if at < 0 || at > len(data) {
			return
		}
		d := append(append(append([]byte(nil), data[:at]...), patch...), data[min(at+len(patch), len(data)):]...)
		if err := NewScan("s", d, h, 0).Each(func(fr Frame) error {
			if !written[string(fr.Payload)] {
				t.Fatalf("frame at %d was never written", fr.At)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadHeader("s", SegmentMagic, d); err == nil && (got.Number != 1 || got.Salt != 42) {
			t.Fatalf("header %+v", got)
		}
		DecodeSuccessor(d)
	})
}

// FuzzSnapshot gives arbitrary payloads valid frames.
func FuzzSnapshot(f *testing.F) {
	f.Add(byte(KindVector), []byte{1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255})
	f.Add(byte(KindCounters), []byte{1, 2, 3})
	f.Add(byte(KindKept), []byte("\x04pacelearned"))
	f.Add(byte(KindSoft), AppendWait(nil, Node{9, 1}, Wait{Visits: 3}))
	f.Add(byte(KindEnd), []byte{1})
	f.Fuzz(func(t *testing.T, k byte, payload []byte) {
		h := Header{Magic: SnapshotMagic, Version: Version, Number: 1, Salt: 7}
		st := Stamp{Seed: h.Seed(), Commit: 1}
		buf := appendFrame(appendFrame(h.Block(), Kind(k), payload, st), KindEnd, AppendEnd(nil, 1), st)
		s, err := ParseSnapshot("s", buf)
		if err != nil {
			return
		}
		for _, p := range s.Soft {
			ReadMarks(p, NewNames(), ignored)
		}
		ParseSnapshot("s", buf[:len(buf)-1])
	})
}
