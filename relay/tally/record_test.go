package tally

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// dump is what a Tally has closed, by kind and key.
func dump(t *Tally) map[string]Counts {
	all := make(map[string]Counts)
	t.each(func(e *entry) {
		x := entry{kind: e.kind, sum: e.sum, first: e.first, taken: e.taken, sent: e.sent, last: e.last}
		if e.kind == kindTenant {
			x.first = 0 // a tenant whose only campaign was forgotten at once has a first time here alone
		}
		all[fmt.Sprint(e.kind, e.key)] = x.counts()
	})
	return all
}

// same fails where two dumps differ.
func same(t *testing.T, what string, got, want map[string]Counts) {
	t.Helper()
	for name := range maps.Keys(want) {
		if !reflect.DeepEqual(got[name], want[name]) {
			t.Fatalf("%s: %s\n got %+v\nwant %+v", what, name, got[name], want[name])
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%s: %d entries, want %d", what, len(got), len(want))
	}
}

func replay(t *testing.T, y *Tally, p []byte) {
	t.Helper()
	if err := y.Replay(p); err != nil {
		t.Fatal(err)
	}
}

// TestUsualRecordsAreSmall: the journal writes one with each commit, and none when nothing has happened.
func TestUsualRecordsAreSmall(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{Name: "a", Sender: "example.org"}, 1, relay.ClassRemote)
	for i := range 1000 {
		n := settled(m, relay.Deferred, fmt.Sprint("mx", i), start)
		n.Message = letter(relay.FlowName{Name: fmt.Sprint(i)}, 1, relay.ClassRemote)
		y.Count(n)
	}
	y.Append(nil, false)
	y.seq = 2_000_001 // a million commits is a busy day
	y.Taken(m, 1)
	y.Append(nil, false)
	for _, tt := range []struct {
		name string
		do   func()
		most int
	}{
		{"nothing", func() {}, 0},
		{"a message taken", func() { y.Taken(m, 1) }, 11},
		{"a recipient sent", func() { y.Count(settled(m, relay.Sent, "mx7", start)) }, 11},
		{"a recipient deferred", func() { y.Count(settled(m, relay.Deferred, "mx7", start)) }, 11},
	} {
		tt.do()
		before := []byte("frame")
		p := y.Append(before, false)
		if got := len(p) - len(before); got > tt.most || !bytes.HasPrefix(p, before) {
			t.Errorf("%s: %d bytes, want at most %d: %x", tt.name, got, tt.most, p)
		}
	}
}

// TestLostRecord: a record is lost in the middle of the journal. What it defined is counted aside, and never for another key.
func TestLostRecord(t *testing.T) {
	y, back := New(DefaultConfig()), New(DefaultConfig())
	count := func(name, site string) {
		m := letter(relay.FlowName{Tenant: "t", Name: name}, 1, relay.ClassRemote)
		y.Taken(m, 1)
		y.Count(settled(m, relay.Sent, site, start))
	}
	count("a", "mx1")
	replay(t, back, y.Append(nil, false))
	count("b", "mx2")
	y.Append(nil, false) // lost
	count("b", "mx2")
	count("c", "mx3")
	replay(t, back, y.Append(nil, false))
	if got := back.Installation(); got.Sent != 3 || got.Messages != 3 {
		t.Errorf("installation: %+v", got)
	}
	if got := back.aside.counts(); got.Sent != 1 {
		t.Errorf("aside: %+v", got)
	}
	if got := back.other.counts(); got.Sent != 1 {
		t.Errorf("other sites: %+v", got)
	}
	replay(t, back, y.Append(nil, true))
	same(t, "after a record of all", dump(back), dump(y))
}

// TestLostEnd: the record is lost that says that a campaign is gone, and the campaign comes again. Its old number stands for nothing then.
func TestLostEnd(t *testing.T) {
	y, back := New(Config{Campaigns: 1, Keep: time.Hour}), New(DefaultConfig())
	count := func(name string) {
		m := letter(relay.FlowName{Name: name}, 1, relay.ClassRemote)
		y.Taken(m, 1)
		y.Count(settled(m, relay.Sent, "", start))
	}
	count("a")
	replay(t, back, y.Append(nil, false))
	old := y.campaign(relay.FlowName{Name: "a"}).number
	count("b")
	y.Append(nil, false) // lost
	count("a")
	replay(t, back, y.Append(nil, false))
	if e := back.campaign(relay.FlowName{Name: "a"}); e.sum[sent] != 2 || e.number == old || back.numbered[e.number] != e || back.numbered[old] != nil {
		t.Errorf("a has number %d, which was %d: %v", e.number, old, back.numbered)
	}
	gone := binary.AppendUvarint([]byte{version, recordSame, byte(back.seq + 1)}, head(old, formGone))
	replay(t, back, binary.AppendUvarint(binary.AppendUvarint(gone, head(old, formOnes)), 1<<sent))
	if got := back.aside.counts(); got.Sent != 1 || back.Installation().Sent != 3 {
		t.Errorf("aside: %+v; in all %+v", got, back.Installation())
	}
}

// TestKeptFromItsLastMail: a restart gives a campaign that has no mail left no new time, whether a snapshot has it or a record.
func TestKeptFromItsLastMail(t *testing.T) {
	cfg := DefaultConfig()
	y, snapshot, records := New(cfg), New(cfg), New(cfg)
	for i, name := range []string{"new", "old", "new"} {
		m := letter(relay.FlowName{Name: name}, 1, relay.ClassRemote)
		m.Slip.Taken = start.Add(time.Duration(i/2) * cfg.Keep / 2)
		y.Taken(m, 1)
		y.Count(settled(m, relay.Sent, "", m.Slip.Taken))
		replay(t, records, y.Append(nil, false))
	}
	replay(t, snapshot, y.Snapshot(nil))
	for name, z := range map[string]*Tally{"snapshot": snapshot, "records": records} {
		z.Forget(start.Add(cfg.Keep))
		if len(z.campaigns) != 2 {
			t.Errorf("%s: %d campaigns before the time of the first is over", name, len(z.campaigns))
		}
		z.Forget(start.Add(cfg.Keep + time.Second))
		if len(z.campaigns) != 1 || z.campaigns[key{name: "new"}] == nil {
			t.Errorf("%s: %d campaigns", name, len(z.campaigns))
		}
	}
}

// FuzzReplay: a malformed record is an error that changes nothing, and what was taken up can be given to the next start.
func FuzzReplay(f *testing.F) {
	w := newWorld(3, 7, 4)
	for range 30 {
		w.step()
		w.step()
		f.Add(w.Append(nil, false))
	}
	f.Add(w.Append(nil, true))
	f.Add(w.Snapshot(nil))
	first := w.Snapshot(nil)
	f.Fuzz(func(t *testing.T, p []byte) {
		y := New(Config{Campaigns: 7, Keep: time.Hour})
		y.most = 4
		replay(t, y, first)
		before := dump(y)
		if err := y.Replay(p); err != nil {
			same(t, "after an error", dump(y), before)
		}
		y.Forget(start.Add(time.Hour))
		z := New(Config{Campaigns: 7, Keep: time.Hour})
		z.most = 4
		y.Append(nil, true)
		if err := z.Replay(y.Snapshot(nil)); err != nil {
			t.Fatal(err)
		}
		same(t, "after another start", dump(z), dump(y))
	})
}

// BenchmarkAppend closes the count of one sent recipient.
func BenchmarkAppend(b *testing.B) {
	y := New(DefaultConfig())
	e := settled(letter(relay.FlowName{Name: "a"}, 1, relay.ClassRemote), relay.Sent, "mx", start)
	buf := make([]byte, 0, 256)
	for b.Loop() {
		y.Count(e)
		y.Append(buf, false)
	}
}

// BenchmarkSnapshot writes 10,000 campaigns and 4,096 sites.
func BenchmarkSnapshot(b *testing.B) {
	y := New(DefaultConfig())
	for i := range 10_000 {
		m := letter(relay.FlowName{Tenant: "shop", Name: fmt.Sprint("campaign-2026-", i), Sender: "news.example.org"}, 1, relay.ClassRemote)
		y.Taken(m, 1)
		y.Count(settled(m, relay.Sent, fmt.Sprint("mx.example.com#", i%maxSites), start))
	}
	y.Append(nil, false)
	b.ReportMetric(float64(len(y.Snapshot(nil))), "B")
	for b.Loop() {
		y.Snapshot(nil)
	}
}

// TestFaultsAreKept: each once, the first few, over a restart.
func TestFaultsAreKept(t *testing.T) {
	y, back := New(DefaultConfig()), New(DefaultConfig())
	f := relay.FlowName{Name: "a"}
	for i := range 3 * maxFaults {
		y.Note(f, fmt.Sprint("fault ", i/2))
	}
	y.Append(nil, false)
	replay(t, back, y.Snapshot(nil))
	if got := back.campaign(f).faults; len(got) != maxFaults || got[1] != "fault 1" {
		t.Errorf("%q", got)
	}
}
