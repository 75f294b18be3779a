package relay

import (
	"container/list"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay/delta"
)

// Wrapper is the part that many messages have in common, held once for a whole campaign. It is immutable after it is made, and
// freed with its last message or some minutes later.
type Wrapper struct {
	view      []byte // what the parts of messages refer to
	serial    uint64
	reference *delta.Reference // of view

	// The mutex of its Wrappers guards the rest.
	refs    int
	account Account
	of      *References   // of the flow whose message made it
	index   *list.Element // its place among the indexes; nil: it has none
	rests   time.Time     // since when it has no message, while it is kept for the next; zero: it is not kept
}

// serials gives each wrapper a number of its own.
var serials atomic.Uint64

// NewWrapper returns a wrapper that holds view, which must not be changed. Recovery makes one for all messages that have it.
func NewWrapper(view []byte) *Wrapper {
	return &Wrapper{view: view, serial: serials.Add(1), reference: delta.NewReference(view)}
}

// View is what the journal records of the wrapper. It must not be changed.
func (wr *Wrapper) View() []byte { return wr.view }

// Serial is a number that no other wrapper of this process has. Whoever notes it does not keep the wrapper in memory.
func (wr *Wrapper) Serial() uint64 { return wr.serial }

// wrapperCost is the bytes that a wrapper takes beside its view.
const wrapperCost = 300

// weigh is the bytes that the wrapper takes. The view counts with the room behind it.
func (wr *Wrapper) weigh() int64 { return wrapperCost + heapSize(cap(wr.view)) }
