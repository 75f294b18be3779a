package snapshot

import (
	"sync/atomic"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// A message id is, from the upper bits down, 24 bits epoch · 10 bits node · 30 bits count. Ids of versions 1 and 2 counted in the
// lower 40 bits; each epoch of today is above theirs, so no id is given out twice.
const (
	epochShift = format.EpochShift
	nodeShift  = 30
	lastCount  = 1<<nodeShift - 1
	maxEpoch   = 1<<(64-epochShift) - 1
)

// ids gives out message ids. An epoch may be used when a header that has it is durable: the next start is above it then. It needs
// no lock.
type ids struct{ last atomic.Uint64 }

// next returns an id, or 0 when the epoch is used up and the next one is not durable yet.
func (c *ids) next() relay.ID {
	for {
		n := c.last.Load()
		if n&lastCount == lastCount {
			return 0
		}
		if c.last.CompareAndSwap(n, n+1) {
			return relay.ID(n + 1)
		}
	}
}

// allow gives out ids of an epoch, whose header is durable, from now on.
func (c *ids) allow(h *format.Header) {
	first := h.Epoch<<epochShift | uint64(h.Node)<<nodeShift
	for {
		n := c.last.Load()
		if n >= first || c.last.CompareAndSwap(n, first) {
			return
		}
	}
}

// low reports whether more than half of an epoch is used: the next one is called for long before it is needed.
func (c *ids) low(epoch uint64) bool {
	n := c.last.Load()
	return n>>epochShift == epoch && n&lastCount > lastCount/2
}
