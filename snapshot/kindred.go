package snapshot

import (
	"bytes"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// kindred knows what messages have in common: the shared records of the segment that is being read, and the wrappers made of them.
// A campaign has an equal record in each of its segments, and gets one wrapper. One goroutine reads the records, and several ask for
// wrappers.
type kindred struct {
	kin  []*kin // by number; of this segment; nil: that one is not there
	seed maphash.Seed

	mu    sync.Mutex                // guards views
	views map[uint64]*relay.Wrapper // by hash of the view, or the first free number behind it
}

// kin is a shared record.
type kin struct {
	format.Shared
	body    bool                          // of version 1 or 2: the view is a body, without the empty line before it
	wrapper atomic.Pointer[relay.Wrapper] // nil until a message needs it
}

func newKindred() *kindred {
	return &kindred{seed: maphash.MakeSeed(), views: make(map[uint64]*relay.Wrapper)}
}

// reset forgets the records of the segment before, and no wrapper.
func (k *kindred) reset() {
	clear(k.kin)
	k.kin = k.kin[:0]
}

// meet reads a shared record of a segment. Numbers are given out without a gap, so that a high one is not of this program.
func (k *kindred) meet(s *found, f format.Frame, names *format.Names) error {
	if !f.Kind.In(s.head.Version) {
		return format.ErrMalformed
	}
	r, err := decodeShared(f, names)
	if err != nil || int64(r.Number) > f.At/format.FrameHead {
		return format.ErrMalformed
	}
	if n := int(r.Number) + 1; n > len(k.kin) {
		k.kin = slices.Grow(k.kin, n-len(k.kin))[:n]
	}
	k.kin[r.Number] = &kin{Shared: r, body: f.Kind == format.KindBody}
	return nil
}

// of returns the record of this number, or nil when it cannot be read.
func (k *kindred) of(number uint32) *kin {
	if int(number) >= len(k.kin) {
		return nil
	}
	return k.kin[number]
}

// wrapperOf returns the one wrapper of all messages with the view of x, over all segments: restoring it once for each would multiply
// the memory that a campaign takes. The view is copied, because the buffer of the segment is used again.
func (k *kindred) wrapperOf(x *kin) *relay.Wrapper {
	if w := x.wrapper.Load(); w != nil {
		return w
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	w := x.wrapper.Load() // another goroutine may have made it
	if w == nil {
		w = k.find(x)
		x.wrapper.Store(w)
	}
	return w
}

// find finds or makes the wrapper of x. The mutex is held.
func (k *kindred) find(x *kin) *relay.Wrapper {
	view := x.View
	if x.body {
		view = slices.Concat([]byte("\r\n"), x.View)
	}
	sum := maphash.Bytes(k.seed, view)
	for ; k.views[sum] != nil; sum++ {
		if bytes.Equal(k.views[sum].View(), view) {
			return k.views[sum]
		}
	}
	if !x.body {
		view = bytes.Clone(view)
	}
	k.views[sum] = relay.NewWrapper(view)
	return k.views[sum]
}
