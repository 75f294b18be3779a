package format

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func testHeader(version uint16) Header {
	return Header{Magic: SegmentMagic, Version: version, Node: 9, Number: 7, Epoch: 3, Salt: 42, Prev: 6, PrevEnd: 9000, Created: time.Unix(1700000000, 0)}
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

// Take records as programs of version 2 wrote them, without and with a tenant.
const (
	oldTake   = "0000002c818080808020ac02020d02000151016600000001720163040501010203614062014e016f0003634064000001015448"
	oldTenant = "0000002e818080808020ac02020d02000151016600000003722f740163040501010203614062014e016f0003634064000001015448"
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// TestKnownBytes holds every record to its bytes on the disk: FORMAT.md and the golden directories of the package above
// are about these.
func TestKnownBytes(t *testing.T) {
	from, c := Basis{ID: 1 << 40, Time: -9e6}, &Common{From: "f", Rule: "r", Client: "c", Notify: "N"}
	take := &TakeRecord{
		Stand: Stand{ID: 1<<40 + 1, Base: 300, Shared: 2, Copied: true, Origin: Origin{4, 5}, Done: []int{1}}, EightBit: true,
		Arrived: time.UnixMilli(1), Taken: time.UnixMilli(3), QueueID: "Q", Form: 6, Common: *c,
		Rcpts: []Rcpt{{"a@b", "N", "o"}, {"c@d", "", "rfc822;c@d"}}, Nodes: []uint32{0, 1}, Part: []byte("TH"),
	}
	row := &TakeRecord{
		Stand: Stand{ID: 1<<40 + 2, Base: 1}, Urgent: true, BySender: true, IsRow: true, Row: 9, Common: Common{EnvID: "e", Tenant: "t", Job: "j"},
		Rcpts: []Rcpt{{"a@b", "", ""}},
	}
	verp := &TakeRecord{Stand: Stand{ID: 1<<40 + 3}, Common: Common{From: "b+bob@list"}, Rcpts: []Rcpt{{"a@b", "", ""}}}
	commit := make([]byte, CommitFrame)
	(&Commit{Durable: 5, At: time.Unix(0, 6), Totals: Totals{1, 2, 3, 4, 5, 6, 7, 8}}).Fill(commit, Stamp{})
	bare := make([]byte, BareCommit)
	(&Commit{Durable: 5, At: time.Unix(0, 6), Totals: Totals{1}}).Fill(bare, Stamp{})
	totals := ""
	for i := range 8 {
		totals += fmt.Sprintf("%016x", i+1)
	}
	for name, tt := range map[string]struct {
		got  []byte
		want string
	}{
		"done, uncounted": {AppendDone(nil, 1, 300, WhyUnknown), "0101ac02"},
		"done":            {AppendDone(nil, 1, 300, WhyReported), "0601ac0203"},
		"all done":        {AppendDoneAll(nil, 1, 300, WhyRemoved, 2), "0701ac020502"},
		"waits":           {AppendWait(nil, Node{1 << 41, 2}, Wait{3, -5, "in", "no"}), "0280808080804002030902696e026e6f"},
		"deferred":        {AppendDeferred(nil, Node{1 << 41, 2}, Wait{3, -5, "in", "no"}), "0880808080804002030902696e026e6f"},
		"begun":           {AppendBegun(nil, Node{7, 1}), "030701"},
		"heard":           {AppendHeard(nil, 1, 300), "0901ac02"},
		"unheard":         {AppendUnheard(nil, 7), "0507"},
		"shared":          {(&Shared{Number: 1, Common: Common{"f", "", "", "", "r", "", "k", "c", "", "N"}, View: []byte("v")}).Append(nil), "01" + "0166000000" + "0172" + "00" + "016b" + "0163" + "00" + "014e" + "76"},
		"vector":          {(&Vector{Number: 2, Total: 3, End: 4, Sure: 5, Done: Bits{5}}).Append(nil), "020304050000000000000005"},
		"counters":        {(&Totals{1, 2, 300}).Append(nil), "0102ac020000000000"},
		"kept":            {AppendKept(nil, "n", []byte("k")), "016e6b"},
		"end":             {AppendEnd(nil, 300), "ac02"},
		"commit":          {commit[FrameHead:], "0000000000000005" + "0000000000000006" + totals},
		"bare commit":     {bare[FrameHead:], "0000000000000005" + "0000000000000006"},
		"take":            {take.Append(nil, from, c), "02" + "ac02" + "02" + "8d04" + "02" + "04050101" + "14" + "04" + "0151" + "06" + "00" + "0361406202016f00" + "03634064050001" + "5448"},
		"row":             {row.Append(nil, from, &Common{}), "04" + "01" + "00" + "f004" + "01" + "12" + "00" + "00" + "00" + "a402" + "00000165" + "00000174" + "0000016a" + "09" + "0361406200"},
		"verp":            {verp.Append(nil, from, &Common{From: "b+alice@list"}), "06" + "00" + "00" + "8004" + "01" + "12" + "00" + "00" + "00" + "01" + "020503626f62" + "0361406200"},
		"frame":           {appendFrame(nil, KindEnd, []byte{1}, Stamp{Seed: 1, Commit: 2}), "4d52090000000001000000020000000001"},
	} {
		if name == "frame" {
			clear(tt.got[12:16]) // TestFrameGuards is about the checksum
		}
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
	h := testHeader(Version)
	head := h.Block()[:HeaderSize]
	want := "4d526a6f75726e61" + "0003" + "0000" + "0009" + "0000" + "0000000000000007" + "0000000000000003" + "000000000000002a" + "0000000000000006" + "0000000000002328" + "6553f100"
	if got := hex.EncodeToString(head[:60]); got != want || binary.BigEndian.Uint32(head[60:]) != crc32.Checksum(head[:60], crc32.MakeTable(crc32.Castagnoli)) {
		t.Errorf("header %s, want %s", got, want)
	}
}

// Take records of version 3 from before they were brief.
const (
	longTake = "02ac02020d02040501011404015106000361406202016f00036340640500015448"
	longRow  = "040100700112000000a40201650174016a090361406200"
)

// TestLongTakes: such a record is read as it was meant.
func TestLongTakes(t *testing.T) {
	from, c := Basis{ID: 1 << 40, Time: -9}, &Common{From: "f", Rule: "r", Client: "c", Notify: "N"}
	take, err := decodeTake(unhex(longTake), from, c)
	want := &TakeRecord{
		Stand:    Stand{ID: 1<<40 + 1, Base: 300, Shared: 2, Count: 2, Copied: true, Origin: Origin{4, 5}, Done: []int{1}, flags: 13},
		EightBit: true, Arrived: time.Unix(0, 1), Taken: time.Unix(0, 3), QueueID: "Q", Form: 6, Common: *c,
		Rcpts: []Rcpt{{"a@b", "N", "o"}, {"c@d", "", "rfc822;c@d"}}, Nodes: []uint32{0, 1}, Part: []byte("TH"),
	}
	if err != nil || !reflect.DeepEqual(take, want) {
		t.Errorf("%+v, %v", take, err)
	}
	row, err := decodeTake(unhex(longRow), from, &Common{From: "x"})
	if err != nil || row.From != "x" || row.EnvID != "e" || row.Tenant != "t" || row.Job != "j" || row.Row != 9 {
		t.Errorf("%+v, %v", row, err)
	}
}

// TestOldRecords: what versions 1 and 2 wrote is read in their way.
func TestOldRecords(t *testing.T) {
	want := TakeRecord{
		Stand:    Stand{ID: 1<<40 + 1, Base: 300, Shared: 2, Count: 2, Copied: true, Origin: Origin{4, 5}, Done: []int{1}, flags: 13},
		EightBit: true, Arrived: time.Unix(0, 1), QueueID: "Q", Common: Common{From: "f", Rule: "r", Client: "c"},
		Rcpts: []Rcpt{{"a@b", "N", "o"}, {"c@d", "", ""}}, Nodes: []uint32{0, 1}, Part: []byte("TH"),
	}
	got := new(TakeRecord)
	for _, tt := range []struct{ record, tenant string }{{oldTake, ""}, {oldTenant, "t"}} {
		want.Tenant = tt.tenant
		if err := got.DecodeOld(unhex(tt.record), NewNames()); err != nil || !reflect.DeepEqual(got, &want) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	b, err := DecodeBody(unhex("0101" + strings.Repeat("00", 31) + "62"))
	if err != nil || b.Number != 1 || string(b.View) != "b" {
		t.Errorf("body %+v, %v", b, err)
	}
	c, ok := DecodeCommit(unhex("00000000000000050000000000000006"))
	if !ok || c.Counted || c.Durable != 5 || !c.At.Equal(time.Unix(0, 6)) {
		t.Errorf("commit %+v, %v", c, ok)
	}
	if totals, err := DecodeCounters([]byte{1, 2, 3}, 2); err != nil || totals != (Totals{}) {
		t.Errorf("counters %v, %v", totals, err)
	}
	for k := KindCommit; k < kinds; k++ {
		old, now := k.In(2), k.In(3)
		if only := k == KindBody || k == KindOldTake; old != (k < KindShared) || now == only {
			t.Errorf("%s: in version 2 %v, in version 3 %v", k, old, now)
		}
	}
}

func TestTotals(t *testing.T) {
	var n Totals
	n.Take(3)
	n.Take(2)
	for why := WhyUnknown; why < WhyRefused; why++ {
		n.Done(why, int(why))
	}
	if want := (Totals{2, 5, 1, 2, 3, 4, 5}); n != want {
		t.Errorf("%v, want %v", n, want)
	}
	n.Done(WhyRefused, 2)
	n.Add(&Totals{TotalDeferred: 7})
	n.Newest(&Totals{9, 1})
	if want := (Totals{9, 3, 1, 2, 3, 4, 5, 7}); n != want {
		t.Errorf("%v, want %v", n, want)
	}
}

// TestMalformed: what the decoders refuse, without a panic and before memory is taken for it.
func TestMalformed(t *testing.T) {
	take := func(p []byte) error { _, err := decodeTake(p, basis, &common); return err }
	old := func(p []byte) error { return new(TakeRecord).DecodeOld(p, NewNames()) }
	body := func(p []byte) error { _, err := DecodeBody(p); return err }
	shared := func(p []byte) error { _, err := DecodeShared(p, NewNames()); return err }
	marks := func(p []byte) error { return ReadMarks(p, NewNames(), ignored) }
	vector := func(p []byte) error { _, err := DecodeVector(p); return err }
	counters := func(p []byte) error { _, err := DecodeCounters(p, Version); return err }
	kept := func(p []byte) error { _, _, err := DecodeKept(p); return err }
	whole := sample(0).bytes()
	with := func(stand Stand, rest TakeRecord) []byte {
		rest.Stand = stand
		return rest.bytes()
	}
	one := []Rcpt{{}}
	flags := func(f byte) []byte { return append([]byte{2, 0, 0, f, 1}, make([]byte, 20)...) }
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f}
	for name, tt := range map[string]struct {
		read func([]byte) error
		p    []byte
	}{
		"take: empty":               {take, nil},
		"take: no recipients":       {take, with(Stand{}, TakeRecord{})},
		"take: cut":                 {take, whole[:30]},
		"take: done beyond":         {take, with(Stand{Copied: true, Done: []int{1}}, TakeRecord{Rcpts: one})},
		"take: position too high":   {take, with(Stand{Base: MaxPosition}, TakeRecord{Rcpts: one})},
		"take: node not yet named":  {take, with(Stand{}, TakeRecord{Rcpts: one, Nodes: []uint32{1}})},
		"take: more recipients":     {take, append([]byte{2, 0, 0, 0}, append(huge, make([]byte, 40)...)...)},
		"take: unknown flag":        {take, append([]byte{2, 0, 0, 0x80, 0x08, 1}, make([]byte, 20)...)},
		"take: no copy, unheard":    {take, append([]byte{2, 0, 0, 0x80, 0x01, 1}, make([]byte, 20)...)},
		"take: two ways of orcpt":   {take, []byte{2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 6, 0}},
		"take: more of the shared":  {take, []byte{2, 0, 0, 0x80, 0x04, 1, 0, 0, 0, 0, 1, byte(len(common.From)), 1, 0, 0, 0, 0}},
		"take: time of no program":  {take, slices.Concat([]byte{2, 0, 0, 0x80, 0x04, 1}, huge, make([]byte, 20))},
		"old take: flag of today":   {old, append([]byte{0, 0, 0, 25}, append(flags(16), 0)...)},
		"old take: envelope longer": {old, []byte{0, 0, 0, 9, 1}},
		"old take: cut":             {old, unhex(oldTake)[:30]},
		"old take: no trace":        {old, unhex(oldTake)[:48]},
		"body: shorter than a sum":  {body, make([]byte, 32)},
		"shared: string cut":        {shared, []byte{1, 0, 0, 0, 0, 5, 'x'}},
		"shared: cut":               {shared, []byte{1, 0, 0}},
		"mark of no kind":           {marks, []byte{10, 1}},
		"mark 0":                    {marks, []byte{0}},
		"mark cut":                  {marks, []byte{1, 1}},
		"done for no reason":        {marks, []byte{6, 1, 1, 0}},
		"done for another reason":   {marks, []byte{6, 1, 1, 7}},
		"nobody done":               {marks, []byte{7, 1, 1, 1, 0}},
		"mark of a huge position":   {marks, append([]byte{1, 1}, huge...)},
		"mark with a lying length":  {marks, append([]byte{2, 1, 1, 1, 0}, huge...)},
		"vector: cut":               {vector, []byte{1, 2}},
		"counters: cut":             {counters, []byte{1, 2, 3}},
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
	b = appendFrame(b, KindCounters, (&Totals{1, 2, 3}).Append(nil), s)
	b = appendFrame(b, KindKept, AppendKept(nil, "n", []byte("k")), s)
	unended := len(b)
	b = appendFrame(b, KindEnd, AppendEnd(nil, 4), s)
	got, err := ParseSnapshot("a.snap", b)
	if err != nil {
		t.Fatal(err)
	}
	want := &Snapshot{Head: h, Vectors: []Vector{v}, Soft: [][]byte{{3, 7, 1}}, Kept: map[string][]byte{"n": []byte("k")}, Totals: Totals{1, 2, 3}}
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
