package format

import (
	"bytes"
	"fmt"
	"reflect"
	"testing"
	"time"
)

// basis is that of the segment of the samples.
var basis = Basis{ID: 5 << EpochShift, Time: 1_700_000_000e9}

// common is the strings of the shared record of the samples.
var common = Common{From: "list@example.org", Rule: "list-unsubscribe", Campaign: "news", Client: "app[192.0.2.7]", Notify: "FAILURE"}

// sample makes a take record; those of odd i are copied ones, every fourth has several nodes.
func sample(i int) *TakeRecord {
	t := &TakeRecord{
		Stand:    Stand{ID: basis.ID + uint64(i+1), Base: uint32(i), Shared: 7},
		EightBit: i%2 == 0, UTF8: i%3 == 0, Urgent: i%5 == 0, BySender: i%5 == 1, Form: uint64(i % 3),
		Arrived: time.Unix(1700000000, 5), Taken: time.Unix(1700000001, 6), QueueID: fmt.Sprintf("Q%d", i), Common: common,
		Rcpts: []Rcpt{{Addr: "u@a.example", Notify: "FAILURE", ORcpt: "rfc822;u@a.example"}}, Part: []byte("Received: by here\r\nSubject: x\r\n"),
	}
	if i%4 == 0 {
		t.Rcpts = append(t.Rcpts, Rcpt{Addr: "v@b.example"}, Rcpt{Addr: "w@a.example", ORcpt: "rfc822;else"})
		t.Nodes = []uint32{0, 1, 0}
	}
	if i%3 == 2 {
		t.Tenant, t.Campaign, t.From, t.EnvID, t.Ret = "acme", "", "bounce+7@example.org", "e+2D1", "HDRS"
	}
	if i%4 == 1 {
		t.Job, t.IsRow, t.Row = "spring", true, 300
	}
	if i == 6 {
		t.Arrived, t.Taken = time.Time{}, time.Time{}
	}
	if t.Copied = i%2 == 1; t.Copied {
		t.Origin, t.Done, t.Unheard, t.Again = Origin{3, 4}, []int{0}, i%4 == 1, i%4 == 3
	}
	t.Count = len(t.Rcpts)
	return t.asBrief()
}

// asBrief is t as it comes back when it is written beside a shared record.
func (t *TakeRecord) asBrief() *TakeRecord {
	t.brief = true
	for _, x := range []*time.Time{&t.Arrived, &t.Taken} {
		*x = fromNanos(nanos(*x) / t.tick() * t.tick())
	}
	t.flags = t.flagsNow()
	return t
}

// bytes is the record as the samples' segment holds it.
func (t *TakeRecord) bytes() []byte { return t.Append(nil, basis, &common) }

// TestTakeRoundTrip: every field comes back, and nothing of the record that was read before.
func TestTakeRoundTrip(t *testing.T) {
	got := new(TakeRecord)
	for i := range 12 {
		want := sample(i)
		p := want.bytes()
		err := got.Decode(p, basis, &common, NewNames())
		if len(got.Done) == 0 {
			got.Done = nil
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d: %+v became %+v, %v", i, want, got, err)
		}
		if got.DecodeStand(p, basis) != nil || !reflect.DeepEqual(got.Stand, want.Stand) && len(want.Done) > 0 {
			t.Errorf("%d: stands at %+v, want %+v", i, got.Stand, want.Stand)
		}
		other := Common{From: "x", Notify: "y", Job: "z"}
		again, err := decodeTake(want.Append(nil, Basis{}, &other), Basis{}, &other)
		if again.Notify = want.Notify; err != nil || !reflect.DeepEqual(again, want) {
			t.Errorf("%d: beside another shared record %+v became %+v, %v", i, want, again, err)
		}
	}
}

// TestEnvelopeIsSmall: what the journal needs of a message of a campaign beside the shared record and the part.
func TestEnvelopeIsSmall(t *testing.T) {
	now := time.Unix(1700000060, 123456789)
	r := &TakeRecord{
		Stand: Stand{ID: basis.ID + 1_000_000, Base: 100_000, Shared: 3}, Form: 9, Arrived: now, Taken: now.Add(20 * time.Millisecond), BySender: true,
		QueueID: "4bXyZ0123AB", Common: common, Rcpts: []Rcpt{{Addr: "reader12345@example.net", Notify: "FAILURE", ORcpt: "rfc822;reader12345@example.net"}},
	}
	b := r.bytes()
	if len(b) > 60 {
		t.Errorf("%d bytes", len(b))
	}
	if n := testing.AllocsPerRun(100, func() { b = r.Append(b[:0], basis, &common) }); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func BenchmarkAppendTake(b *testing.B) {
	r, buf := sample(2), []byte(nil)
	for b.Loop() {
		buf = r.Append(buf[:0], basis, &common)
	}
}

// decodeTake reads a record of its own.
func decodeTake(p []byte, from Basis, c *Common) (*TakeRecord, error) {
	t := new(TakeRecord)
	return t, t.Decode(p, from, c, NewNames())
}

func FuzzTake(f *testing.F) {
	for i := range 8 {
		f.Add(sample(i).bytes())
	}
	f.Add([]byte{0, 0, 0, 1, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		rec, err := decodeTake(p, basis, &common)
		if err != nil {
			return
		}
		read := rec.Stand
		// What is read can be written, and reads the same.
		again, err := decodeTake(rec.bytes(), basis, &common)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(rec.asBrief(), again) {
			t.Fatalf("%+v became %+v", rec, again)
		}
		if err := rec.DecodeStand(p, basis); err != nil || !reflect.DeepEqual(rec.Stand, read) {
			t.Fatalf("stands at %+v, want %+v: %v", rec.Stand, read, err)
		}
	})
}

func FuzzOldTake(f *testing.F) {
	f.Add(unhex(oldTake))
	f.Add(unhex(oldTenant))
	f.Fuzz(func(t *testing.T, p []byte) {
		r := new(TakeRecord)
		if r.DecodeOld(p, NewNames()) == nil && (len(r.Rcpts) == 0 || r.Count != len(r.Rcpts)) {
			t.Fatalf("%+v", r)
		}
	})
}

func FuzzShared(f *testing.F) {
	f.Add((&Shared{Number: 3, Common: common, View: []byte("\r\nbody")}).Append(nil))
	f.Add([]byte{1, 0xff})
	f.Fuzz(func(t *testing.T, p []byte) {
		DecodeBody(p)
		r, err := DecodeShared(p, NewNames())
		if err != nil {
			return
		}
		if again, err := DecodeShared(r.Append(nil), NewNames()); err != nil || !reflect.DeepEqual(again, r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func FuzzCommit(f *testing.F) {
	b := make([]byte, CommitFrame)
	(&Commit{Durable: 5, At: time.Unix(1, 2), Totals: Totals{1, 2, 3}}).Fill(b, Stamp{})
	f.Add(b[FrameHead:])
	f.Add(make([]byte, barePayload))
	f.Fuzz(func(t *testing.T, p []byte) {
		c, ok := DecodeCommit(p)
		if !ok {
			return
		}
		again := make([]byte, FrameHead+len(p))
		if c.Fill(again, Stamp{}); !bytes.Equal(again[FrameHead:], p) {
			t.Fatalf("%x became %x", p, again[FrameHead:])
		}
	})
}

// ignored is for tests that look only at the error.
var ignored = Marks{
	Done: func(uint64, uint32, uint32, Why) {}, Waits: func(Node, Wait, bool) {}, Begun: func(Node) {}, HeardID: func(uint64, bool) {},
	Heard: func(uint64, uint32) {},
}

func FuzzMarks(f *testing.F) {
	f.Add(AppendDone(AppendDone(nil, 1, 2, WhyUnknown), 300, 70000, WhyReported))
	f.Add(AppendDoneAll(nil, 1, 2, WhyRefused, 300))
	f.Add(AppendWait(nil, Node{9, 1}, Wait{Visits: 3, Due: -5, Class: "inject", Reason: "451 later"}))
	f.Add(AppendDeferred(nil, Node{9, 1}, Wait{Visits: 3}))
	f.Add(AppendBegun(nil, Node{1 << 41, 3}))
	f.Add(AppendUnheard(AppendHeard([]byte{markHeardID, 7}, 7, 8), 1<<41))
	f.Fuzz(func(t *testing.T, p []byte) {
		marks, err := rewritten(t, p)
		if err != nil {
			return
		}
		if again, err := rewritten(t, marks); err != nil || !bytes.Equal(again, marks) {
			t.Fatalf("%x became %x: %v", marks, again, err)
		}
	})
}

// rewritten reads marks and writes them again.
func rewritten(t *testing.T, p []byte) (again []byte, err error) {
	err = ReadMarks(p, NewNames(), Marks{
		Done: func(s uint64, pos, n uint32, why Why) {
			switch {
			case n == 0 || why >= whys || why == WhyUnknown && n > 1:
				t.Fatalf("%d recipients done: %d", n, why)
			case n == 1:
				again = AppendDone(again, s, pos, why)
			default:
				again = AppendDoneAll(again, s, pos, why, int(n))
			}
		},
		Waits: func(k Node, w Wait, deferred bool) {
			if deferred {
				again = AppendDeferred(again, k, w)
			} else {
				again = AppendWait(again, k, w)
			}
		},
		Begun: func(k Node) { again = AppendBegun(again, k) },
		HeardID: func(id uint64, heard bool) {
			at := len(again)
			if again = AppendUnheard(again, id); heard {
				again[at] = markHeardID
			}
		},
		Heard: func(s uint64, pos uint32) { again = AppendHeard(again, s, pos) },
	})
	return again, err
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
	(&Commit{Durable: int64(at), At: time.Unix(1700000001, 6), Totals: Totals{uint64(i)}}).Fill(b[at:], s)
	b = appendFrame(b, KindShared, (&Shared{Number: uint32(i), Common: common, View: []byte("view")}).Append(nil), s)
	b = appendFrame(b, KindTake, sample(i).bytes(), s)
	return appendFrame(b, KindMarks, AppendDone(nil, 1, uint32(i), WhySent), s)
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
	f.Add(BlockSize+3, []byte("MR\x0a\x00\x00\x00\x00\x01"))
	f.Add(BlockSize+100, bytes.Repeat([]byte("MR\x0b\x00\x00\x00\x00\x09"), 30))
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
	f.Add(byte(KindCounters), []byte{1, 2, 3, 4, 5, 6, 7, 8})
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
