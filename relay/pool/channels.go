package pool

import (
	"context"
	"sync/atomic"
)

// How many agents may be on probation, and slow, for each channel. Both wait more than they work.
const (
	probationRoom = 4
	slowRoom      = 4
)

// token is what an agent holds while it works.
type token uint8

const (
	// channelToken is for sites that are known to work. The tokens are the channels of the [queue] table.
	channelToken token = iota
	// probationToken is for sites of which nobody knows yet whether they answer: one agent each. It is no channel, so that
	// any number of dead sites leaves the channels to the sites that live.
	probationToken
	// slowToken is for agents whose receiver has not answered for a while. A channel is for work that moves: what hangs must
	// not hold up the rest (promise P7).
	slowToken
	tokens = iota
)

// Channels bounds the agents at work, all sites together. Manager.launch gives a new agent its token before the agent's
// goroutine runs, and takes it back when the agent has ended its work. In between agent.slowDown may exchange it for a
// slowToken. Nobody passes a token on: an agent whose site has proven itself ends, and another with a channel goes on over
// its connection.
type Channels struct {
	count   [tokens]atomic.Int64
	most    [tokens]atomic.Int64
	leaving atomic.Int64  // agents that end because there are more channels in use than there may be
	freed   chan struct{} // holds a signal when a channel may be free; Manager.dispatch alone waits for it
}

// newChannels makes so many channels, and tokens for at least so many slow agents.
func newChannels(channels, slow int) *Channels {
	c := &Channels{freed: make(chan struct{}, 1)}
	c.resize(channels, slow)
	return c
}

// resize changes how many channels there are. Agents with a channel too many end behind their transaction: see resign.
func (c *Channels) resize(channels, slow int) {
	n := int64(max(channels, 1))
	for t, most := range [tokens]int64{n, n * probationRoom, max(n*slowRoom, int64(slow))} {
		c.most[t].Store(most)
	}
	c.ring()
}

// ring has the dispatcher look whether a channel is free.
func (c *Channels) ring() {
	select {
	case c.freed <- struct{}{}:
	default: // a signal is there already
	}
}

// resign reports whether an agent with a channel must end, because more channels are in use than there may be. Each agent that
// is told so counts until it says resigned: only as many end as are too many.
func (c *Channels) resign() bool {
	for {
		n := c.leaving.Load()
		if c.count[channelToken].Load()-n <= c.most[channelToken].Load() {
			return false
		}
		if c.leaving.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// resigned says that an agent that was told to end has given its token back.
func (c *Channels) resigned() { c.leaving.Add(-1) }

// acquire hands out a token. It reports false when there is none.
func (c *Channels) acquire(t token) bool {
	if c.count[t].Add(1) > c.most[t].Load() {
		c.count[t].Add(-1)
		return false
	}
	return true
}

// giveBack takes a token back.
func (c *Channels) giveBack(t token) {
	c.count[t].Add(-1)
	if t == channelToken {
		c.ring()
	}
}

// await waits until a channel is free. It reports false when ctx is done first.
func (c *Channels) await(ctx context.Context) bool {
	for c.full(channelToken) {
		select {
		case <-ctx.Done():
			return false
		case <-c.freed:
		}
	}
	return ctx.Err() == nil
}

// full reports whether every token of the kind is in use.
func (c *Channels) full(t token) bool { return c.count[t].Load() >= c.most[t].Load() }

// free is how many channels are in use by nobody. It is less than 0 while there may be fewer than are in use.
func (c *Channels) free() int { return int(c.most[channelToken].Load() - c.count[channelToken].Load()) }

// working is how many tokens of the kind are in use.
func (c *Channels) working(t token) int { return int(c.count[t].Load()) }

// hurried reports whether so many sites are being tried that none should be waited for long.
func (c *Channels) hurried() bool {
	return c.count[probationToken].Load() > c.most[probationToken].Load()/4
}
