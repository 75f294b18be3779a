package tally

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// start is when the tests begin.
var start = time.Unix(1_700_000_000, 0)

// letter is a message of a campaign with so many recipients.
func letter(f relay.FlowName, rcpts int, class string) *relay.Message {
	m := &relay.Message{ID: 1, Slip: &relay.Slip{Flow: f, Class: class, Arrived: start, Taken: start}}
	for i := range rcpts {
		m.Slip.Rcpts = append(m.Slip.Rcpts, relay.Rcpt{Addr: fmt.Sprintf("r%d@example.com", i)})
	}
	return m
}

// settled is the event of one recipient of m.
func settled(m *relay.Message, o relay.Outcome, site string, at time.Time) *relay.Event {
	return &relay.Event{Kind: relay.EventSettled, Time: at, Message: m, Outcome: o, Site: site}
}

var unknownUser = smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"User unknown"}}

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

// TestCountsOfOneCampaign follows one message of four recipients through every outcome.
func TestCountsOfOneCampaign(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{Tenant: "shop", Name: "spring", Sender: "example.org", Urgent: true}, 6, relay.ClassRemote)
	y.Taken(m, 1)
	for _, o := range []relay.Outcome{relay.Deferred, relay.Deferred, relay.Sent, relay.Bounced, relay.Expired, relay.HandedBack, relay.Deleted} {
		e := settled(m, o, "mx.example.com", start.Add(time.Minute))
		if o == relay.Bounced {
			e.Reply = unknownUser
		}
		y.Count(e)
	}
	y.Append(nil, false)
	want := Counts{Messages: 1, Recipients: 6, Sent: 1, Deferred: 2, Bounced: 1, Expired: 1, HandedBack: 1, Deleted: 1, Left: 1,
		First: start.Unix() + 60, LastTaken: start.Unix() + 60, LastSent: start.Unix() + 60}
	want.BouncedBy[smtp.BadMailbox] = 1
	for name, got := range map[string]Counts{"tenant": y.Counts("shop"), "installation": y.Installation(),
		"campaign": y.campaign(relay.FlowName{Tenant: "shop", Name: "spring", Sender: "example.org"}).counts()} {
		want.LastMessage = 0
		if name == "campaign" {
			want.LastMessage = m.ID
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	if got := y.site("mx.example.com").counts(); got.Sent != 1 || got.Bounced != 1 || got.Messages != 0 {
		t.Errorf("site: %+v", got)
	}
	if got := y.Counts("nobody"); got != (Counts{}) {
		t.Errorf("a tenant that has sent nothing: %+v", got)
	}
}

// TestOwnMailCountsApart: notifications are nobody's campaign, and what a receiver takes of them is not sent by the allowance.
func TestOwnMailCountsApart(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{}, 1, relay.ClassInject)
	y.Taken(m, 1)
	y.Count(settled(m, relay.Sent, "inject", start))
	if got := y.Installation(); got != (Counts{}) {
		t.Errorf("installation: %+v", got)
	}
	if got := y.Own(); got.Messages != 1 || got.Sent != 1 || got.Left != 0 {
		t.Errorf("own: %+v", got)
	}
	if len(y.campaigns)+len(y.sites) != 0 {
		t.Errorf("%d campaigns and %d sites", len(y.campaigns), len(y.sites))
	}
}

// TestTakenBack: a message that was not taken after all leaves no trace in the sums, before or after the commit.
func TestTakenBack(t *testing.T) {
	for _, committed := range []bool{false, true} {
		y, back := New(DefaultConfig()), New(DefaultConfig())
		m := letter(relay.FlowName{Name: "a"}, 3, relay.ClassRemote)
		y.Taken(m, 1)
		if committed {
			replay(t, back, y.Append(nil, false))
		}
		y.Taken(m, -1)
		if p := y.Append(nil, false); len(p) > 0 {
			replay(t, back, p)
		}
		for name, z := range map[string]*Tally{"live": y, "replayed": back} {
			if got := z.Installation(); got.Messages != 0 || got.Recipients != 0 || got.Left != 0 {
				t.Errorf("committed %v, %s: %+v", committed, name, got)
			}
		}
	}
}

// TestRestoredMailIsLeft: what the recovery agent brings back is left, and leaves by its outcome.
func TestRestoredMailIsLeft(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{Tenant: "t", Name: "a"}, 5, relay.ClassRemote)
	y.Restored(&relay.Saved{Message: m, Nodes: []relay.SavedNode{{Rcpts: []int{1, 2}}, {Index: 1, Rcpts: []int{4}}}})
	y.Count(settled(m, relay.Sent, "", start))
	if got := y.Counts("t"); got.Left != 2 || got.Messages != 0 || got.Sent != 1 {
		t.Errorf("%+v", got)
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

// world runs a Tally beside a naive model.
type world struct {
	*Tally
	rand      *rand.Rand
	now       time.Time
	ids       uint64
	messages  []*relay.Message // with recipients left
	left      map[*relay.Message]int
	campaigns map[key]*Counts
	sites     map[string]*Counts
}

func newWorld(seed uint64, campaigns, sites int) *world {
	keep := time.Hour
	if campaigns > 100 {
		keep = 24 * time.Hour // longer than any run
	}
	w := &world{Tally: New(Config{Campaigns: campaigns, Keep: keep}), rand: rand.New(rand.NewPCG(seed, 1)), now: start, ids: 1 << 63}
	w.most = sites
	w.left, w.campaigns, w.sites = make(map[*relay.Message]int), make(map[key]*Counts), make(map[string]*Counts)
	return w
}

// of is what the model has for a flow.
func (w *world) of(m *relay.Message) *Counts {
	f := m.Flow()
	k := key{f.Tenant, f.Name, f.Sender}
	if w.campaigns[k] == nil {
		w.campaigns[k] = &Counts{}
	}
	return w.campaigns[k]
}

// step does something by chance.
func (w *world) step() {
	w.now = w.now.Add(time.Duration(w.rand.IntN(40)-5) * time.Second) // the clock is set back now and then
	switch n := w.rand.IntN(10); {
	case n < 4 || len(w.messages) == 0:
		w.accept()
	case n == 4:
		w.Forget(w.now)
	default:
		w.fate()
	}
}

func (w *world) accept() {
	f := relay.FlowName{Tenant: fmt.Sprint("t", w.rand.IntN(3)), Name: fmt.Sprint("n", w.rand.IntN(10)), Sender: "example.org", Urgent: w.rand.IntN(2) == 0}
	m := letter(f, 1+w.rand.IntN(4), relay.ClassRemote)
	m.Slip.Taken = w.now
	w.ids += uint64(w.rand.IntN(1000))
	m.ID = relay.ID(w.ids)
	w.Taken(m, 1)
	if w.rand.IntN(8) == 0 {
		w.Taken(m, -1)
		return
	}
	c := w.of(m)
	c.Messages++
	c.Recipients += int64(m.RcptCount())
	w.left[m] = m.RcptCount()
	w.messages = append(w.messages, m)
}

// fate settles a recipient of some message.
func (w *world) fate() {
	i := w.rand.IntN(len(w.messages))
	m := w.messages[i]
	outcome := []relay.Outcome{relay.Sent, relay.Sent, relay.Sent, relay.Deferred, relay.Bounced, relay.Expired, relay.HandedBack, relay.Deleted}[w.rand.IntN(8)]
	e := settled(m, outcome, fmt.Sprint("mx", w.rand.IntN(9)), w.now)
	e.Reply = unknownUser
	w.Count(e)
	if w.sites[e.Site] == nil {
		w.sites[e.Site] = &Counts{}
	}
	for _, c := range []*Counts{w.of(m), w.sites[e.Site]} {
		switch outcome {
		case relay.Sent:
			c.Sent++
		case relay.Deferred:
			c.Deferred++
		case relay.Bounced:
			c.Bounced++
			c.BouncedBy[smtp.BadMailbox]++
		case relay.Expired:
			c.Expired++
		case relay.HandedBack:
			c.HandedBack++
		case relay.Deleted:
			c.Deleted++
		}
	}
	if outcome == relay.Deferred {
		return
	}
	if w.left[m]--; w.left[m] == 0 {
		delete(w.left, m)
		w.messages = append(w.messages[:i], w.messages[i+1:]...)
	}
}

// plus adds what two keys have counted.
func plus(a, b Counts) Counts {
	a.Messages += b.Messages
	a.Recipients += b.Recipients
	a.Sent += b.Sent
	a.Deferred += b.Deferred
	a.Bounced += b.Bounced
	a.BouncedBy[smtp.BadMailbox] += b.BouncedBy[smtp.BadMailbox]
	a.Expired += b.Expired
	a.HandedBack += b.HandedBack
	a.Deleted += b.Deleted
	a.Left += b.Left
	return a
}

// timeless is c without times.
func timeless(c Counts) Counts {
	c.First, c.LastTaken, c.LastSent, c.LastMessage = 0, 0, 0, 0
	return c
}

// check holds the sums against the model.
func (w *world) check(t *testing.T) {
	t.Helper()
	var all, sites Counts
	tenants := make(map[string]Counts)
	for k, c := range w.campaigns {
		x := *c
		for m, n := range w.left {
			if f := m.Flow(); (key{f.Tenant, f.Name, f.Sender}) == k {
				x.Left += int64(n)
			}
		}
		all, tenants[k.tenant] = plus(all, x), plus(tenants[k.tenant], x)
		if e := w.Tally.campaigns[k]; e != nil && w.cfg.Campaigns > 100 && timeless(e.counts()) != x {
			t.Fatalf("campaign %v:\n got %+v\nwant %+v", k, timeless(e.counts()), x)
		}
	}
	for _, c := range w.sites {
		sites = plus(sites, *c)
	}
	if got := timeless(w.Installation()); got != all {
		t.Fatalf("installation:\n got %+v\nwant %+v", got, all)
	}
	for name, want := range tenants {
		if got := timeless(w.Counts(name)); got != want {
			t.Fatalf("tenant %s:\n got %+v\nwant %+v", name, got, want)
		}
	}
	var parts, visited Counts
	w.each(func(e *entry) {
		switch e.kind {
		case kindCampaign, kindRest, kindAside:
			parts = plus(parts, e.counts())
		case kindSite, kindOther:
			visited = plus(visited, timeless(e.counts()))
		}
	})
	if timeless(parts) != all {
		t.Fatalf("all campaigns together:\n got %+v\nwant %+v", parts, all)
	}
	if visited.Left = 0; timeless(visited) != sites {
		t.Fatalf("all sites together:\n got %+v\nwant %+v", visited, sites)
	}
}

// TestAgainstAModel: whatever happens, the sums are those of a naive count, and a recovery that has a snapshot and any number of the
// records behind it knows what was known then.
func TestAgainstAModel(t *testing.T) {
	for seed := range uint64(20) {
		campaigns, sites := 1000, maxSites
		if seed%2 == 1 {
			campaigns, sites = 7, 4
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(seed, campaigns, sites)
			var records, snapshots [][]byte // a snapshot is taken before each record
			var states []map[string]Counts
			for range 150 {
				for range w.rand.IntN(8) {
					w.step()
				}
				snap := w.Snapshot(nil)
				w.check(t)
				if p := w.Append(nil, w.rand.IntN(20) == 0); len(p) > 0 {
					records, snapshots, states = append(records, p), append(snapshots, snap), append(states, dump(w.Tally))
				}
			}
			for from := 0; from < len(snapshots); from += 13 {
				y := New(w.cfg)
				y.most = sites
				replay(t, y, snapshots[from])
				for i := max(from-3, 0); i < len(records); i++ { // the records before it are ignored
					if replay(t, y, records[i]); i >= from {
						same(t, fmt.Sprintf("snapshot %d, record %d", from, i), dump(y), states[i])
					}
				}
			}
		})
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

// TestCountAllocatesNothing for a key that is known.
func TestCountAllocatesNothing(t *testing.T) {
	y := New(DefaultConfig())
	m := letter(relay.FlowName{Name: "a", Sender: "example.org"}, 1, relay.ClassRemote)
	e := settled(m, relay.Sent, "mx", start)
	b := make([]byte, 0, 256)
	if n := testing.AllocsPerRun(100, func() {
		y.Taken(m, 1)
		y.Count(e)
		y.Append(b, false)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkCount counts recipients of 1,000 campaigns at 100 sites.
func BenchmarkCount(b *testing.B) {
	y := New(DefaultConfig())
	var events []*relay.Event
	for i := range 1000 {
		m := letter(relay.FlowName{Tenant: "shop", Name: fmt.Sprint("campaign-2026-", i), Sender: "news.example.org"}, 1, relay.ClassRemote)
		events = append(events, settled(m, relay.Sent, fmt.Sprint("mx.example.com#", i%100), start))
	}
	for i := range 1000 {
		y.Count(events[i])
	}
	for _, e := range y.campaigns {
		e.left = 1 << 40
	}
	i := 0
	for b.Loop() {
		y.Count(events[i%1000])
		if i++; i%100 == 0 {
			y.Append(nil, false)
		}
	}
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
