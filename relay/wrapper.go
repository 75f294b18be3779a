package relay

import (
	"crypto/sha256"
	"sync"
	"sync/atomic"
)

// Wrapper is the part that many messages have in common: here the body, held once for a whole campaign.
// It is immutable after it is made and freed with its last message.
type Wrapper struct {
	Body []byte   // raw bytes, not dot-stuffed
	Sum  [32]byte // SHA-256 of Body

	refs int // guarded by its Wrappers
}

// Wrappers holds every wrapper in use, by content.
type Wrappers struct {
	bytes atomic.Int64 // of all bodies

	mu    sync.Mutex
	bySum map[[32]byte]*Wrapper
	last  *Wrapper // the one Wrap returned last, if it is still in use
}

// NewWrappers returns an empty set.
func NewWrappers() *Wrappers {
	return &Wrappers{bySum: make(map[[32]byte]*Wrapper)}
}

// Wrap returns the wrapper of body, made when it is new, with one reference more. It keeps body only when it is new;
// the caller must not change it afterwards.
func (w *Wrappers) Wrap(body []byte) *Wrapper {
	if wr := w.again(body); wr != nil {
		return wr
	}
	sum := sha256.Sum256(body) // outside of the lock: it takes longest
	w.mu.Lock()
	defer w.mu.Unlock()
	wr := w.bySum[sum]
	if wr == nil {
		wr = &Wrapper{Body: body, Sum: sum}
		w.bySum[sum] = wr
		w.bytes.Add(int64(len(body)))
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
		w.bytes.Add(-int64(len(wr.Body)))
	}
}

// Held returns how many wrappers are in use and the bytes of their bodies.
func (w *Wrappers) Held() (n int, bytes int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.bySum), w.bytes.Load()
}
