package relay

import (
	"crypto/sha256"
	"sync"
)

// Wrapper is the part that many messages have in common: here the body, held once for a whole campaign.
// It is immutable after it is made and freed with its last message.
type Wrapper struct {
	Body []byte   // raw bytes, not dot-stuffed
	Sum  [32]byte // SHA-256 of Body

	refs    int // guarded by its Wrappers
	account Account
}

// Wrappers holds every wrapper in use, by content.
type Wrappers struct {
	budget *Budget

	mu    sync.Mutex
	bySum map[[32]byte]*Wrapper
	last  *Wrapper // the one Wrap returned last, if it is still in use
}

// NewWrappers returns an empty set, which charges each wrapper to the budget once.
func NewWrappers(b *Budget) *Wrappers {
	return &Wrappers{budget: b, bySum: make(map[[32]byte]*Wrapper)}
}

// Wrap returns the wrapper of body, made when it is new, with one reference more. It keeps body only when it is new, and
// then charges it to a; the caller must not change it afterwards.
func (w *Wrappers) Wrap(body []byte, a Account) *Wrapper {
	if wr := w.again(body); wr != nil {
		return wr
	}
	sum := sha256.Sum256(body) // outside of the lock: it takes longest
	w.mu.Lock()
	defer w.mu.Unlock()
	wr := w.bySum[sum]
	if wr == nil {
		wr = &Wrapper{Body: body, Sum: sum, account: a}
		w.bySum[sum] = wr
		w.budget.Charge(a, wr.weigh())
	}
	wr.refs++
	w.last = wr
	return wr
}

// again returns the last wrapper if body is the very same slice of memory: so the recovery agent gives all messages of a
// campaign.
func (w *Wrappers) again(body []byte) *Wrapper {
	w.mu.Lock()
	defer w.mu.Unlock()
	wr := w.last
	if wr == nil || len(body) == 0 || len(body) != len(wr.Body) || &body[0] != &wr.Body[0] {
		return nil
	}
	wr.refs++
	return wr
}

// Unwrap gives one reference back.
func (w *Wrappers) Unwrap(wr *Wrapper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if wr.refs--; wr.refs == 0 {
		delete(w.bySum, wr.Sum)
		if w.last == wr {
			w.last = nil
		}
		w.budget.Refund(wr.account, wr.weigh())
	}
}

// wrapperCost is the bytes that a wrapper takes beside its body.
const wrapperCost = 200

// weigh is the bytes that the wrapper takes. The body counts with the room behind it.
func (wr *Wrapper) weigh() int64 { return wrapperCost + heapSize(cap(wr.Body)) }

// Held returns how many wrappers are in use.
func (w *Wrappers) Held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.bySum)
}
