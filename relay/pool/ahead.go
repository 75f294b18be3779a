package pool

import "sync/atomic"

const (
	// firstAhead and mostAhead bound how many messages an agent lets the journal expect.
	firstAhead = 8
	mostAhead  = 32
	// easeAfter is how many messages in a row must not wait for the journal before fewer are expected.
	easeAfter = 50
)

// ahead is how many messages an agent lets the journal expect beyond those that it has in hand. A receiver at a distance takes longer
// over a message than the disk over its record: then it is none. One that is faster would wait for the disk with each message.
type ahead struct {
	messages int
	ease     int // messages since one waited for the journal
}

// due counts a message, and is how many the journal must be told to expect now; 0: none. What it expects is for all agents at work,
// so they count together in told the messages since it was told last.
func (a *ahead) due(told *atomic.Int64, agents int) int {
	if a.ease++; a.ease >= easeAfter {
		a.ease, a.messages = 0, max(a.messages-1, 0)
	}
	all := a.messages * max(agents, 1)
	if all == 0 || told.Add(1) < int64(all/4) {
		return 0
	}
	told.Store(0)
	return all
}

// waited notes that a message had to wait for the journal.
func (a *ahead) waited() { a.ease, a.messages = 0, min(max(2*a.messages, firstAhead), mostAhead) }
