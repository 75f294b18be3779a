package tally

import "math/bits"

// counter is a place in sums. The numbers stand in the journal: the classes of bounces stand last.
type counter uint8

const (
	messages counter = iota
	recipients
	sent
	deferred // visits of a recipient
	handedBack
	expired
	deleted
	suppressed
	bounced       // by the first smtp.Class; the others follow
	classes  = 16 // more than smtp has
	counters = int(bounced) + classes
)

// sums has one number for each counter.
type sums [counters]int64

// kind says what an entry counts for. The numbers stand in the journal.
type kind uint8

const (
	kindInstallation kind = iota
	kindOwn               // mail of relay.ClassInject
	kindAside             // campaigns whose name is not known any more
	kindOther             // sites without an entry
	kindTenant
	kindRest // campaigns of a tenant without an entry
	kindSite
	kindCampaign
	kinds
)

// key names an entry of its kind.
type key struct{ tenant, name, sender string } // of a site: the name

// What stands in a record in place of the key. Odd numbers are of sites, so that it is known what counts for a number that is not. The
// installation and tenants have none: they are the sum of others.
const (
	numberOwn   = 0
	numberAside = 2
	numberOther = 1
	firstNumber = 2 // half of the first number of a key
)

// entry counts for one key.
type entry struct {
	kind   kind
	number uint64
	key    key
	owner  *entry // of a campaign or a rest the tenant, of a tenant the installation; what counts for an entry counts for its owner

	sum     sums   // as of the last Append
	open    sums   // since then
	touched uint32 // the counters of open that may not be 0
	dirty   bool   // in Tally.dirty
	gone    bool   // folded into another
	known   bool   // its definition is in a record

	left               int64  // recipients taken or restored, less those settled; not in any record
	first, taken, sent int64  // when it was made, and when the last message was taken and the last recipient sent: Unix seconds
	last, fresh        uint64 // of a campaign: the id of the last message taken, as of the last Append and since
	used               int64  // when it was counted for last
	pace               pace
	faults             []string // see Note

	before, behind *entry // in its line
}

// add counts n.
func (e *entry) add(c counter, n int64) {
	e.open[c] += n
	e.touched |= 1 << c
}

// close makes what is open a part of the sum, as of a time in Unix seconds.
func (e *entry) close(at int64) {
	if !e.known || e.first == 0 {
		e.first = at
	}
	if e.open[messages] > 0 {
		e.taken, e.last = at, e.fresh
	}
	if e.open[sent] > 0 {
		e.sent = at
	}
	for m := e.touched; m != 0; m &= m - 1 {
		c := bits.TrailingZeros32(m)
		e.sum[c] += e.open[c]
		e.open[c] = 0
	}
	e.touched, e.dirty, e.known = 0, false, true
}

// changes says which counters are open and not 0, and whether each of them is 1.
func (e *entry) changes() (mask uint32, ones bool) {
	ones = true
	for m := e.touched; m != 0; m &= m - 1 {
		c := bits.TrailingZeros32(m)
		if n := e.open[c]; n != 0 {
			mask |= 1 << c
			ones = ones && n == 1
		}
	}
	return mask, ones
}

// line has entries in the order in which they were last used. Its own entry is the end of the ring.
type line struct{ end entry }

func (l *line) init() { l.end.before, l.end.behind = &l.end, &l.end }

// enter puts e in front: it is the one used last.
func (l *line) enter(e *entry) {
	e.before, e.behind = &l.end, l.end.behind
	e.before.behind, e.behind.before = e, e
}

// leave takes e out.
func (l *line) leave(e *entry) {
	e.before.behind, e.behind.before = e.behind, e.before
	e.before, e.behind = nil, nil
}

// use puts e in front again.
func (l *line) use(e *entry) {
	if l.end.behind != e {
		l.leave(e)
		l.enter(e)
	}
}

// newest is the entry used last, or nil.
func (l *line) newest() *entry { return l.older(&l.end) }

// older is the entry used last before e, or nil.
func (l *line) older(e *entry) *entry {
	if e.behind == &l.end {
		return nil
	}
	return e.behind
}

// oldest is the entry used the longest ago, or nil.
func (l *line) oldest() *entry { return l.newer(&l.end) }

// newer is the entry used next after e, or nil.
func (l *line) newer(e *entry) *entry {
	if e.before == &l.end {
		return nil
	}
	return e.before
}
