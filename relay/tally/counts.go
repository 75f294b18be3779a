package tally

import (
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// maxFaults is how many faults of one campaign are kept.
const maxFaults = 8

// Counts is what was counted for one key since the first start in the state directory, what is not yet durable included. Times are Unix
// seconds; 0: never. The counters of recipients count each recipient once, but for Deferred.
type Counts struct {
	Messages   int64 // taken
	Recipients int64 // of them
	Sent       int64 // recipients for whom a receiver has answered 2xx; mail that our MTA has back is not among them
	Deferred   int64 // visits of a recipient that end in another wait
	Bounced    int64
	BouncedBy  [classes]int64 // Bounced by smtp.Class
	Expired    int64
	HandedBack int64
	Suppressed int64
	Deleted    int64
	Left       int64 // recipients that wait or are visited

	LastMessage relay.ID // of a campaign: the last that was taken, as of the last commit; 0: none

	First, LastTaken, LastSent int64 // the latter two as of the last commit
}

// By is how many recipients bounced in a class.
func (c *Counts) By(class smtp.Class) int64 { return c.BouncedBy[class] }

// Counts is what was counted for a tenant; "" is the mail of none.
func (t *Tally) Counts(tenant string) Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.tenants[short(tenant)]; e != nil {
		return e.counts()
	}
	return Counts{}
}

// Installation is what was counted for all tenants together. Our own notifications are not among it.
func (t *Tally) Installation() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.all.counts()
}

// Own is what was counted for our own notifications.
func (t *Tally) Own() Counts {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.own.counts()
}

// counts is what e has counted.
func (e *entry) counts() Counts {
	of := func(c counter) int64 { return max(e.sum[c]+e.open[c], 0) }
	all := Counts{
		Messages: of(messages), Recipients: of(recipients), Sent: of(sent), Deferred: of(deferred), Expired: of(expired),
		HandedBack: of(handedBack), Suppressed: of(suppressed), Deleted: of(deleted), Left: e.left,
		LastMessage: relay.ID(e.last), First: e.first, LastTaken: e.taken, LastSent: e.sent,
	}
	for i := range all.BouncedBy {
		all.BouncedBy[i] = of(bounced + counter(i))
		all.Bounced += all.BouncedBy[i]
	}
	return all
}
