package tally

import (
	"cmp"
	"strings"
	"sync"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

const (
	maxSites   = 4096   // with counters of their own
	maxTenants = 10_000 // likewise; mail of further ones counts for the installation alone
	maxText    = 255    // bytes of a name that are kept
)

// Tally has the counters. Its methods may be called from any goroutine.
type Tally struct {
	mu   sync.Mutex // a leaf: nothing is locked under it
	cfg  Config
	most int // sites: maxSites, but for tests

	all, own, aside, other *entry
	tenants, rests         map[string]*entry
	campaigns              map[key]*entry
	sites                  map[string]*entry
	campaignLine, siteLine line
	numbered               map[uint64]*entry

	seq     uint64   // of the last record
	closed  int64    // the time in the last record, Unix seconds
	base    uint64   // the last message id in the records
	last    int64    // of the last event
	next    uint64   // half the number of the next key
	dirty   []*entry // with something for the next record
	forgets []uint64 // for the next record
	whole   int      // bytes of the last record of all: the next one gets its room at once
}

// New returns a Tally that has counted nothing. cfg has been validated.
func New(cfg Config) *Tally {
	t := &Tally{cfg: cfg, most: maxSites}
	t.clear()
	return t
}

// clear forgets everything but the configuration.
func (t *Tally) clear() {
	t.all = &entry{kind: kindInstallation}
	t.own = &entry{kind: kindOwn, number: numberOwn, known: true}
	t.aside = &entry{kind: kindAside, number: numberAside, known: true, owner: t.all}
	t.other = &entry{kind: kindOther, number: numberOther, known: true}
	t.tenants, t.rests = make(map[string]*entry), make(map[string]*entry)
	t.campaigns, t.sites = make(map[key]*entry), make(map[string]*entry)
	t.numbered = map[uint64]*entry{numberOwn: t.own, numberAside: t.aside, numberOther: t.other}
	t.campaignLine.init()
	t.siteLine.init()
	t.next, t.dirty, t.forgets = firstNumber, t.dirty[:0], t.forgets[:0]
}

// SetConfig replaces the configuration, which has been validated. Campaigns above a number that became smaller go when Forget is called.
func (t *Tally) SetConfig(cfg Config) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cfg = cfg
}

// Taken counts a message: n is 1 when its record goes into the commit in the making, and -1 when it was not taken after all.
func (t *Tally) Taken(m *relay.Message, n int) {
	rcpts := int64(n) * int64(m.RcptCount())
	own, at := m.Class() == relay.ClassInject, m.Taken().Unix()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = at
	e := t.own
	if !own {
		e = t.campaign(m.Flow())
	}
	t.leave(e, rcpts)
	if n > 0 {
		e.fresh = uint64(m.ID)
	}
	for ; e != nil; e = e.owner {
		t.add(e, messages, int64(n))
		t.add(e, recipients, rcpts)
	}
}

// Count counts what an event says: of EventSettled the outcome, and of others nothing.
func (t *Tally) Count(e *relay.Event) {
	if e.Kind != relay.EventSettled {
		return
	}
	c, ok := counterOf(e)
	if !ok {
		return
	}
	at := e.Time.Unix()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = at
	if e.Message.Class() == relay.ClassInject {
		t.settle(t.own, c, at)
		return
	}
	t.settle(t.campaign(e.Message.Flow()), c, at)
	if e.Site != "" && (e.Node == nil || e.Node.Class() != relay.ClassInject) {
		t.score(t.site(e.Site), c, at)
	}
}

// counterOf is what the outcome of an event counts as.
func counterOf(e *relay.Event) (c counter, ok bool) {
	switch e.Outcome {
	case relay.Sent:
		return sent, true
	case relay.Deferred:
		return deferred, true
	case relay.Bounced:
		return bounced + counter(smtp.Classify(e.Reply, "").Class), true
	case relay.Expired:
		return expired, true
	case relay.HandedBack:
		return handedBack, true
	case relay.Deleted:
		return deleted, true
	}
	return 0, false
}

// settle counts one recipient's fate for e and its owners. The mutex is held.
func (t *Tally) settle(e *entry, c counter, at int64) {
	if c != deferred {
		t.leave(e, -1)
	}
	for ; e != nil; e = e.owner {
		t.score(e, c, at)
	}
}

// score counts one recipient's fate for e alone. The mutex is held.
func (t *Tally) score(e *entry, c counter, at int64) {
	t.add(e, c, 1)
	if c != deferred {
		e.pace.add(at)
	}
}

// leave counts n recipients among those who are left, for e and its owners. When more leave a campaign than it has, they were taken while
// it had no entry. The mutex is held.
func (t *Tally) leave(e *entry, n int64) {
	if e.kind == kindCampaign && e.left+n < 0 {
		e = cmp.Or(t.rests[e.key.tenant], e)
	}
	for ; e != nil; e = e.owner {
		e.left = max(e.left+n, 0)
	}
}

// Restored counts the recipients of a message that the recovery agent has brought back among those who are left. It comes when the queue
// map has the message.
func (t *Tally) Restored(s *relay.Saved) {
	n := 0
	for i := range s.Nodes {
		n += len(s.Nodes[i].Rcpts)
	}
	if n == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.last == 0 {
		t.last = s.Message.Taken().Unix()
	}
	e := t.own
	if s.Message.Class() != relay.ClassInject {
		e = t.campaign(s.Message.Flow())
	}
	t.leave(e, int64(n))
}

// add counts n for e alone. The mutex is held.
func (t *Tally) add(e *entry, c counter, n int64) {
	t.mark(e)
	e.add(c, n)
}

// mark has the next record look at e. The mutex is held.
func (t *Tally) mark(e *entry) {
	if !e.dirty {
		e.dirty = true
		t.dirty = append(t.dirty, e)
	}
}

// campaign is what counts for a flow: its own entry, or the rest of its tenant. The mutex is held.
func (t *Tally) campaign(f relay.FlowName) *entry {
	k := key{short(f.Tenant), short(f.Name), short(f.Sender)}
	if e := t.campaigns[k]; e != nil {
		e.used = t.last
		t.campaignLine.use(e)
		return e
	}
	if len(t.campaigns) >= t.cfg.Campaigns && !t.makeRoom() {
		return t.rest(k.tenant)
	}
	e := t.newCampaign(t.number(0), k)
	t.mark(e)
	return e
}

// newCampaign makes an entry. It copies the text, which may be a piece of a message. The mutex is held.
func (t *Tally) newCampaign(number uint64, k key) *entry {
	k = key{strings.Clone(k.tenant), strings.Clone(k.name), strings.Clone(k.sender)}
	e := &entry{kind: kindCampaign, number: number, key: k, owner: t.tenant(k.tenant), first: t.last, used: t.last}
	t.campaigns[k], t.numbered[number] = e, e
	t.campaignLine.enter(e)
	return e
}

// tenant is what counts for a tenant. Where there are too many it is the installation. The mutex is held.
func (t *Tally) tenant(name string) *entry {
	e := t.tenants[name]
	switch {
	case e != nil:
	case len(t.tenants) >= maxTenants:
		return t.all
	default:
		name = strings.Clone(name)
		e = &entry{kind: kindTenant, key: key{tenant: name}, owner: t.all, first: t.last}
		t.tenants[name] = e
	}
	return e
}

// rest is what counts for the campaigns of a tenant that have no entry. The mutex is held.
func (t *Tally) rest(tenant string) *entry {
	e := t.rests[tenant]
	if e != nil {
		return e
	}
	if t.tenant(tenant) == t.all {
		return t.aside
	}
	e = t.newRest(t.number(0), tenant)
	t.mark(e)
	return e
}

// newRest makes an entry for the campaigns of a tenant that have none. The mutex is held.
func (t *Tally) newRest(number uint64, tenant string) *entry {
	e := &entry{kind: kindRest, number: number, key: key{tenant: strings.Clone(tenant)}, owner: t.tenant(tenant), first: t.last}
	t.rests[e.key.tenant], t.numbered[number] = e, e
	return e
}

// site is what counts for a site. The mutex is held.
func (t *Tally) site(name string) *entry {
	name = short(name)
	if e := t.sites[name]; e != nil {
		e.used = t.last
		t.siteLine.use(e)
		return e
	}
	for len(t.sites) >= t.most {
		t.forget(t.siteLine.oldest(), t.other)
	}
	e := t.newSite(t.number(1), name)
	t.mark(e)
	return e
}

// newSite makes an entry. The mutex is held.
func (t *Tally) newSite(number uint64, name string) *entry {
	e := &entry{kind: kindSite, number: number, key: key{name: strings.Clone(name)}, first: t.last, used: t.last}
	t.sites[e.key.name], t.numbered[number] = e, e
	t.siteLine.enter(e)
	return e
}

// number names a key in records. It is never given twice. odd is 1 for a site, else 0.
func (t *Tally) number(odd uint64) uint64 {
	n := t.next<<1 | odd
	t.next++
	return n
}

// short is s, cut where it is too long to be kept.
func short(s string) string { return s[:min(len(s), maxText)] }
