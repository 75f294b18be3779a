package tally

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/relay"
)

// Campaign is one campaign, or the rest: those of a tenant that have no counters of their own.
type Campaign struct {
	Flow relay.FlowName // Urgent is false: it is no part of what a campaign is
	Rest bool           // then Flow has the tenant alone
	Counts
	Rate   float64       // recipients settled a second, over the last minute or so
	ETA    time.Duration // until all who are left are settled at that rate; 0: nobody is left, or nothing moves
	Faults []string      // see Note
}

// atOnce is how many campaigns are read without giving the mutex free: the journal counts meanwhile.
const atOnce = 128

// Campaigns returns so many campaigns, those used last first, and behind them the rests, which do not count towards most.
func (t *Tally) Campaigns(f Filter, most int, now time.Time) []Campaign {
	entries := t.matching(f, most)
	all := make([]Campaign, 0, len(entries))
	for chunk := range slices.Chunk(entries, atOnce) {
		all = t.read(all, chunk, now)
	}
	return all
}

// Filter narrows a list of campaigns.
type Filter struct {
	Tenant string // "": of any
	Name   string // of the campaign; of one without a name its sender's domain. "": of any, and the rests
}

// match reports whether f lets e through.
func (f Filter) match(e *entry) bool {
	if f.Tenant != "" && e.key.tenant != f.Tenant {
		return false
	}
	return f.Name == "" || e.kind == kindCampaign && cmp.Or(e.key.name, e.key.sender) == f.Name
}

// matching is what f lets through, in order.
func (t *Tally) matching(f Filter, most int) []*entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	entries := make([]*entry, 0, min(len(t.campaigns), most)+len(t.rests))
	for e := t.campaignLine.newest(); e != nil && len(entries) < most; e = t.campaignLine.older(e) {
		if f.match(e) {
			entries = append(entries, e)
		}
	}
	for _, tenant := range slices.Sorted(maps.Keys(t.rests)) {
		if e := t.rests[tenant]; f.match(e) {
			entries = append(entries, e)
		}
	}
	if f == (Filter{}) && t.aside.counts() != (Counts{}) {
		entries = append(entries, t.aside)
	}
	return entries
}

// read appends what some entries have counted. One that was forgotten since is left out: the rest has it.
func (t *Tally) read(all []Campaign, entries []*entry, now time.Time) []Campaign {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range entries {
		if !e.gone {
			all = append(all, e.campaign(now))
		}
	}
	return all
}

func (e *entry) campaign(now time.Time) Campaign {
	c := Campaign{
		Flow: relay.FlowName{Tenant: e.key.tenant, Name: e.key.name, Sender: e.key.sender}, Rest: e.kind != kindCampaign,
		Counts: e.counts(), Rate: e.pace.rate(now.Unix()), Faults: slices.Clone(e.faults),
	}
	if c.Rate >= 0.001 && c.Left > 0 {
		c.ETA = time.Duration(min(float64(c.Left)/c.Rate, 365*86400) * float64(time.Second))
	}
	return c
}
