package tally

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

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
