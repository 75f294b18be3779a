package relay

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// Wrapper is the part that many messages have in common, held once for a whole campaign. It is immutable after it is made and
// freed with its last message.
type Wrapper struct {
	view   []byte // what the parts of messages refer to
	serial uint64

	sum     [32]byte
	refs    int // guarded by its Wrappers
	account Account
}

// serials gives each wrapper a number of its own.
var serials atomic.Uint64

// NewWrapper returns a wrapper that holds view, which must not be changed. Recovery makes one for all messages that have it.
func NewWrapper(view []byte) *Wrapper { return &Wrapper{view: view, serial: serials.Add(1)} }

// View is what the journal records of the wrapper. It must not be changed.
func (wr *Wrapper) View() []byte { return wr.view }

// Serial is a number that no other wrapper of this process has. Whoever notes it does not keep the wrapper in memory.
func (wr *Wrapper) Serial() uint64 { return wr.serial }

// Wrappers holds every wrapper in use, by content.
type Wrappers struct {
	budget *Budget

	mu    sync.Mutex
	bySum map[[32]byte]*Wrapper
	held  int
}

// NewWrappers returns an empty set, which charges each wrapper to the budget once.
func NewWrappers(b *Budget) *Wrappers {
	return &Wrappers{budget: b, bySum: make(map[[32]byte]*Wrapper)}
}

// Wrap returns the wrapper of body, made when it is new, with one reference more. It keeps body only when it is new, and
// then charges it to a; the caller must not change it afterwards.
func (w *Wrappers) Wrap(body []byte, a Account) *Wrapper {
	sum := sha256.Sum256(body) // outside of the lock: it takes longest
	w.mu.Lock()
	defer w.mu.Unlock()
	wr := w.bySum[sum]
	if wr == nil {
		wr = NewWrapper(append(append(make([]byte, 0, len(crlf)+len(body)), crlf...), body...))
		wr.sum = sum
		w.bySum[sum] = wr
	}
	w.hold(wr, a)
	return wr
}

// adopt takes one reference more on a wrapper that recovery has made.
func (w *Wrappers) adopt(wr *Wrapper, a Account) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hold(wr, a)
}

// hold counts one message more. The mutex is held.
func (w *Wrappers) hold(wr *Wrapper, a Account) {
	if wr.refs++; wr.refs == 1 {
		wr.account = a
		w.held++
		w.budget.Charge(a, wr.weigh())
	}
}

// Unwrap gives one reference back.
func (w *Wrappers) Unwrap(wr *Wrapper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wr.refs--; wr.refs == 0 {
		if w.bySum[wr.sum] == wr {
			delete(w.bySum, wr.sum)
		}
		w.held--
		w.budget.Refund(wr.account, wr.weigh())
	}
}

// wrapperCost is the bytes that a wrapper takes beside its view.
const wrapperCost = 200

// weigh is the bytes that the wrapper takes. The view counts with the room behind it.
func (wr *Wrapper) weigh() int64 { return wrapperCost + heapSize(cap(wr.view)) }

// Held returns how many wrappers are in use.
func (w *Wrappers) Held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}
