package format

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func testHeader(version uint16) Header {
	return Header{Magic: SegmentMagic, Version: version, Number: 7, Epoch: 3, Salt: 42, Prev: 6, PrevEnd: 9000, Created: time.Unix(1700000000, 0)}
}

// TestHeader: the second copy serves when the first is damaged, and a newer version is never called damaged.
func TestHeader(t *testing.T) {
	flip := func(at ...int) func([]byte) []byte {
		return func(b []byte) []byte {
			for _, i := range at {
				b[i] ^= 1
			}
			return b
		}
	}
	for _, tt := range []struct {
		name    string
		version uint16
		change  func([]byte) []byte
		want    error
	}{
		{"whole", Version, flip(), nil},
		{"of version 1", 1, flip(), nil},
		{"first copy damaged", Version, flip(20), nil},
		{"second copy damaged", Version, flip(CopyAt + 20), nil},
		{"both damaged", Version, flip(20, CopyAt+20), ErrDamaged},
		{"other magic", Version, flip(0, CopyAt), ErrDamaged},
		{"version 0", 0, flip(), ErrDamaged},
		{"newer", Version + 1, flip(), ErrVersion},
		{"newer, first copy damaged", Version + 1, flip(20), ErrVersion},
		{"cut", Version, func(b []byte) []byte { return b[:HeaderSize-1] }, ErrDamaged},
		{"cut behind the first copy", Version, func(b []byte) []byte { return b[:HeaderSize] }, nil},
	} {
		h := testHeader(tt.version)
		got, err := ReadHeader("a.seg", SegmentMagic, tt.change(h.Block()))
		if !errors.Is(err, tt.want) || errors.Is(err, ErrVersion) && errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.want)
		}
		if err == nil && got != h {
			t.Errorf("%s: %+v, want %+v", tt.name, got, h)
		}
		if err != nil && !strings.Contains(err.Error(), "a.seg") {
			t.Errorf("%s: no file in %q", tt.name, err)
		}
	}
}

func TestSuccessor(t *testing.T) {
	h := testHeader(Version)
	b := h.Block()
	if got := DecodeSuccessor(b); got != 0 {
		t.Errorf("%d from an empty slot", got)
	}
	copy(b[SuccessorAt:], EncodeSuccessor(8))
	if got := DecodeSuccessor(b); got != 8 {
		t.Errorf("%d, want 8", got)
	}
	b[SuccessorAt+15] ^= 1
	if got := DecodeSuccessor(b); got != 0 {
		t.Errorf("%d from a damaged slot", got)
	}
	if got := DecodeSuccessor(b[:BlockSize-1]); got != 0 {
		t.Errorf("%d from a cut block", got)
	}
}

// TestFrameGuards: no flipped bit, no cut, no other salt and no older commit passes.
func TestFrameGuards(t *testing.T) {
	s := Stamp{Seed: 5, Commit: 9}
	b := appendFrame(nil, KindMarks, []byte("payload"), s)
	f, ok := ParseFrame(append(slices.Clone(b), "rest"...), s)
	if !ok || f.Kind != KindMarks || f.Commit != 9 || string(f.Payload) != "payload" || f.Len() != int64(len(b)) {
		t.Fatalf("%+v, %v", f, ok)
	}
	for i := range b {
		for bit := range 8 {
			c := slices.Clone(b)
			c[i] ^= 1 << bit
			if _, ok := ParseFrame(c, s); ok {
				t.Errorf("byte %d bit %d passes", i, bit)
			}
		}
		if _, ok := ParseFrame(b[:i], s); ok {
			t.Errorf("the first %d bytes pass", i)
		}
	}
	for _, other := range []Stamp{{Seed: 6, Commit: 9}, {Seed: 5, Commit: 10}} {
		if _, ok := ParseFrame(b, other); ok {
			t.Errorf("passes for %+v", other)
		}
	}
}

// TestScan: what lies before the durable offset is damage, what lies behind it is a torn tail, and zeros are neither.
func TestScan(t *testing.T) {
	h := testHeader(Version)
	data := h.Block()
	var ends []int
	for i := range 3 {
		data = appendCommit(data, i, Stamp{Seed: h.Seed(), Commit: uint32(i + 1)})
		ends = append(ends, len(data))
	}
	for _, tt := range []struct {
		name          string
		change        func([]byte) []byte
		durable       int64
		frames        int
		damage, torns int
	}{
		{"whole", func(b []byte) []byte { return b }, 0, 12, 0, 0},
		{"reserved space behind", func(b []byte) []byte { return append(b, make([]byte, 5000)...) }, 0, 12, 0, 0},
		{"garbage behind", func(b []byte) []byte { return append(b, "garbage"...) }, 0, 12, 0, 1},
		{"first commit", func(b []byte) []byte { b[BlockSize+60] ^= 1; return b }, 0, 11, 1, 0},
		{"last commit", func(b []byte) []byte { b[ends[1]+60] ^= 1; return b }, 0, 11, 0, 1},
		{"last commit, known as durable", func(b []byte) []byte { b[ends[1]+60] ^= 1; return b }, int64(ends[2]), 11, 1, 0},
		{"end cut, known as durable", func(b []byte) []byte { return b[:ends[1]] }, int64(ends[2]), 8, 1, 0},
		{"end cut", func(b []byte) []byte { return b[:ends[1]] }, 0, 8, 0, 0},
		{"empty", func(b []byte) []byte { return b[:BlockSize] }, 0, 0, 0, 0},
	} {
		sc, n := NewScan("a.seg", tt.change(slices.Clone(data)), h, tt.durable), 0
		if err := sc.Each(func(Frame) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		if n != tt.frames || len(sc.Damage) != tt.damage || len(sc.Torn) != tt.torns || len(sc.Gaps) != tt.damage+tt.torns {
			t.Errorf("%s: %d frames, damage %v, torn %v", tt.name, n, sc.Damage, sc.Torn)
		}
	}
	stop := errors.New("stop")
	if err := NewScan("a.seg", data, h, 0).Each(func(Frame) error { return stop }); !errors.Is(err, stop) || !strings.Contains(err.Error(), "a.seg: at byte 4096") {
		t.Errorf("an error of visit: %v", err)
	}
}

// TestScanIsNotForEver: content that looks like many heads with great lengths costs bounded time. Without the bound this
// test would compute checksums over a terabyte.
func TestScanIsNotForEver(t *testing.T) {
	h := testHeader(Version)
	data := append(h.Block(), make([]byte, 4<<20)...)
	for at := BlockSize; at+FrameHead < len(data); at += FrameHead {
		copy(data[at:], frameMark)
		data[at+2] = byte(KindTake)
		binary.BigEndian.PutUint32(data[at+4:], uint32(len(data)-at-FrameHead))
	}
	sc := NewScan("a.seg", data, h, 0)
	if err := sc.Each(func(Frame) error { return nil }); err != nil || len(sc.Torn) != 1 {
		t.Errorf("torn %v, %v", sc.Torn, err)
	}
}

// TestKnownBytes holds every record to its bytes on the disk: FORMAT.md and the golden directories of the package above
// are about these.
func TestKnownBytes(t *testing.T) {
	take := &TakeRecord{
		ID: 1<<40 + 1, Base: 300, Body: 2, EightBit: true, Arrived: time.Unix(0, 1), QueueID: "Q", From: "f", Rule: "r", Client: "c",
		Rcpts: []Rcpt{{"a@b", "N", "o"}, {"c@d", "", ""}}, Nodes: []uint32{0, 1}, Copied: true, Origin: Origin{4, 5}, Done: []int{1},
		Trace: []byte("T"), Header: []byte("H"),
	}
	tenant := *take
	tenant.Tenant = "t"
	sum := [32]byte{1, 31: 2}
	for name, tt := range map[string]struct {
		got  []byte
		want string
	}{
		"done":     {AppendDone(nil, 1, 300), "0101ac02"},
		"waits":    {AppendWait(nil, Node{1 << 41, 2}, Wait{3, -5, "in", "no"}), "0280808080804002030902696e026e6f"},
		"begun":    {AppendBegun(nil, Node{7, 1}), "030701"},
		"heard":    {AppendHeard(nil, 7), "0407"},
		"unheard":  {AppendUnheard(nil, 7), "0507"},
		"body":     {(&Body{Number: 1, Sum: sum, Content: []byte("b")}).Append(nil), "0101" + strings.Repeat("00", 30) + "02" + "62"},
		"vector":   {(&Vector{Number: 2, Total: 3, End: 4, Sure: 5, Done: Bits{5}}).Append(nil), "020304050000000000000005"},
		"counters": {Counters{1, 2, 300}.AppendAll(nil), "0102ac02"},
		"kept":     {AppendKept(nil, "n", []byte("k")), "016e6b"},
		"end":      {AppendEnd(nil, 300), "ac02"},
		"take":     {take.Append(nil), "0000002c818080808020ac02020d02000151016600000001720163040501010203614062014e016f0003634064000001015448"},
		"tenant":   {tenant.Append(nil), "0000002e818080808020ac02020d02000151016600000003722f740163040501010203614062014e016f0003634064000001015448"},
		"frame":    {appendFrame(nil, KindEnd, []byte{1}, Stamp{Seed: 1, Commit: 2}), "4d52090000000001000000020000000001"},
	} {
		if name == "frame" {
			clear(tt.got[12:16]) // TestFrameGuards is about the checksum
		}
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	h := testHeader(2)
	head := h.Block()[:HeaderSize]
	want := "4d526a6f75726e61" + "0002" + "0000" + "00000000" + "0000000000000007" + "0000000000000003" + "000000000000002a" + "0000000000000006" + "0000000000002328" + "6553f100"
	if got := hex.EncodeToString(head[:60]); got != want || binary.BigEndian.Uint32(head[60:]) != crc32.Checksum(head[:60], crc32.MakeTable(crc32.Castagnoli)) {
		t.Errorf("header %s, want %s", got, want)
	}
}

// TestMalformed: what the decoders refuse, without a panic and before memory is taken for it.
func TestMalformed(t *testing.T) {
	take := func(p []byte) error { _, err := decodeTake(p, NewNames()); return err }
	body := func(p []byte) error { _, err := DecodeBody(p); return err }
	marks := func(p []byte) error { return ReadMarks(p, NewNames(), ignored) }
	vector := func(p []byte) error { _, err := DecodeVector(p); return err }
	counters := func(p []byte) error { _, err := DecodeCounters(p); return err }
	kept := func(p []byte) error { _, _, err := DecodeKept(p); return err }
	whole := sample(0).Append(nil)
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	for name, tt := range map[string]struct {
		read func([]byte) error
		p    []byte
	}{
		"take: empty":               {take, nil},
		"take: envelope too long":   {take, []byte{0, 0, 0, 9, 1}},
		"take: no recipients":       {take, (&TakeRecord{ID: 1}).Append(nil)},
		"take: cut":                 {take, whole[:40]},
		"take: done beyond":         {take, (&TakeRecord{ID: 1, Copied: true, Done: []int{1}, Rcpts: []Rcpt{{}}}).Append(nil)},
		"take: position too high":   {take, (&TakeRecord{ID: 1, Base: MaxPosition, Rcpts: []Rcpt{{}}}).Append(nil)},
		"take: node not yet named":  {take, (&TakeRecord{ID: 1, Nodes: []uint32{1}, Rcpts: []Rcpt{{}}}).Append(nil)},
		"body: shorter than a sum":  {body, make([]byte, 32)},
		"mark of no kind":           {marks, []byte{9, 1}},
		"mark 0":                    {marks, []byte{0}},
		"mark cut":                  {marks, []byte{1, 1}},
		"mark of a huge position":   {marks, append([]byte{1, 1}, huge...)},
		"mark with a lying length":  {marks, append([]byte{2, 1, 1, 1, 0}, huge...)},
		"vector: cut":               {vector, []byte{1, 2}},
		"counters: cut":             {counters, []byte{1, 2}},
		"kept: name longer than it": {kept, []byte{9, 'n'}},
	} {
		if err := tt.read(tt.p); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSnapshotRoundTrip, and a snapshot that lost its end is not used.
func TestSnapshotRoundTrip(t *testing.T) {
	h := testHeader(Version)
	h.Magic = SnapshotMagic
	s := Stamp{Seed: h.Seed(), Commit: 1}
	v := Vector{Number: 2, Total: 3, End: 4, Sure: 5, Done: Bits{5}}
	b := appendFrame(h.Block(), KindVector, v.Append(nil), s)
	b = appendFrame(b, KindSoft, AppendBegun(nil, Node{7, 1}), s)
	b = appendFrame(b, KindCounters, Counters{1, 2, 3}.AppendAll(nil), s)
	b = appendFrame(b, KindKept, AppendKept(nil, "n", []byte("k")), s)
	unended := len(b)
	b = appendFrame(b, KindEnd, AppendEnd(nil, 4), s)
	got, err := ParseSnapshot("a.snap", b)
	if err != nil {
		t.Fatal(err)
	}
	want := &Snapshot{Head: h, Vectors: []Vector{v}, Soft: [][]byte{{3, 7, 1}}, Kept: map[string][]byte{"n": []byte("k")}, Counters: Counters{1, 2, 3}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
	for name, p := range map[string][]byte{
		"end lost":       b[:unended],
		"frame lost":     append(h.Block(), b[unended:]...),
		"foreign frame":  appendFrame(b[:unended:unended], KindTake, nil, s),
		"header damaged": append(make([]byte, BlockSize), b[BlockSize:]...),
	} {
		if _, err := ParseSnapshot("a.snap", p); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
