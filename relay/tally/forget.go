package tally

import "time"

const (
	lookedAt  = 8   // campaigns with mail left that makeRoom passes over
	forgotten = 256 // campaigns that Forget forgets at once, so that the mutex is free soon
)

// makeRoom forgets one campaign that has no mail left, of those used the longest ago. It reports false when it finds none: those that it
// has looked at count as used. The mutex is held.
func (t *Tally) makeRoom() bool {
	for range lookedAt {
		e := t.campaignLine.oldest()
		switch {
		case e == nil:
			return false
		case e.left == 0:
			t.forget(e, t.rest(e.key.tenant))
			return true
		}
		t.campaignLine.use(e)
	}
	return false
}

// Forget forgets campaigns that have no mail left: those over the configured number, and those that were not used for the configured time.
// It forgets a few at a time and is called each second. A clock that was wrong for a moment makes it forget too much; the numbers of
// tenants and the installation stay.
func (t *Tally) Forget(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := now.Add(-t.cfg.Keep).Unix()
	n := 0
	for e := t.campaignLine.oldest(); e != nil && n < forgotten; n++ {
		newer := t.campaignLine.newer(e)
		old := e.used < before
		if !old && len(t.campaigns) <= t.cfg.Campaigns {
			return
		}
		if e.left == 0 {
			t.forget(e, t.rest(e.key.tenant))
		} else {
			t.campaignLine.use(e)
		}
		e = newer
	}
}

// forget folds e, a campaign or a site, into what counts for all that have no entry. Its owners have counted it already. The mutex is held.
func (t *Tally) forget(e, into *entry) {
	if e.kind == kindCampaign {
		delete(t.campaigns, e.key)
		t.campaignLine.leave(e)
	} else {
		delete(t.sites, e.key.name)
		t.siteLine.leave(e)
	}
	delete(t.numbered, e.number)
	t.mark(into)
	into.fold(e)
	e.gone = true
	if e.known {
		t.forgets = append(t.forgets, e.number)
	}
}

// fold makes what e has counted a part of what into has.
func (into *entry) fold(e *entry) {
	for c := range e.sum {
		into.sum[c] += e.sum[c]
		if e.open[c] != 0 {
			into.add(counter(c), e.open[c])
		}
	}
	into.last, into.fresh = max(into.last, e.last), max(into.fresh, e.fresh)
	into.taken, into.sent = max(into.taken, e.taken), max(into.sent, e.sent)
	into.left += e.left
}
