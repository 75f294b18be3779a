package pool

import (
	"sync"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// maxLeads is how many keys a site remembers. The next one takes the place of all.
const maxLeads = 256

// lead is by which route and rules mail was found to go to a site.
type lead struct {
	route  *route.Route
	policy *Policy
}

// leads is what Site.serves has found, by key. What is there by another route or other rules is no use, and does no harm. Its mutex is a
// leaf.
type leads struct {
	mu  sync.Mutex
	all map[relay.Key]lead
}

func (l *leads) has(k relay.Key, now lead) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all[k] == now
}

func (l *leads) add(k relay.Key, now lead) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all == nil || len(l.all) >= maxLeads {
		l.all = make(map[relay.Key]lead)
	}
	l.all[k] = now
}
