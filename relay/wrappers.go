package relay

import (
	"container/list"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/relay/delta"
)

const (
	// maxIndexed is how many bytes all indexes take: those of 200 references or more of the usual size. An index is made again in some
	// hundred microseconds.
	maxIndexed = 16 << 20
	// maxResting is how many wrappers without a message are kept for the next message of their flow, and maxRest for how long. Mail
	// that leaves as fast as it comes would make a wrapper for each message otherwise. They are charged to nobody: a view over
	// maxRestingView is not kept.
	maxResting     = 64
	maxRest        = 10 * time.Minute
	maxRestingView = 64 << 10
	// smallPart is a part that no further reference would make much smaller: what a mailer personalises, and a signature.
	smallPart = 1 << 10
	// mostTries bounds how often a message is compared again because another door has made a reference meanwhile.
	mostTries = 2
)

// Wrappers holds the wrappers in use.
type Wrappers struct {
	budget  *Budget
	scratch sync.Pool  // of *delta.Scratch
	whole   sync.Pool  // of *[]byte
	large   sync.Mutex // one large message at a time is divided

	mu      sync.Mutex
	held    int
	indexes *list.List               // the wrappers that have an index, the one used last comes last
	weight  int                      // bytes of the indexes
	resting []*Wrapper               // those that have no message, the one that had one last comes last
	flows   map[FlowName]*References // those with resting wrappers
}

// NewWrappers returns an empty set, which charges each wrapper to the budget once.
func NewWrappers(b *Budget) *Wrappers {
	return &Wrappers{
		budget:  b,
		indexes: list.New(),
		flows:   make(map[FlowName]*References),
		scratch: sync.Pool{New: func() any { return new(delta.Scratch) }},
		whole:   sync.Pool{New: func() any { return new([]byte) }},
	}
}

// Divide gives c a part and a wrapper: the one of its flow that is most like it, or a new one, which it charges to a. A message that
// was restored has both already. Afterwards c keeps nothing of the door's memory.
func (w *Wrappers) Divide(c *Content, of *References, a Account) {
	if c.wrapper != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.retain(c, of, a)
		return
	}
	if size := largeCost * c.Size(); c.Size() > maxKept {
		w.large.Lock()
		defer w.large.Unlock()
		w.budget.Charge(AccountDoors, size)
		defer w.budget.Refund(AccountDoors, size)
	}
	s := w.scratch.Get().(*delta.Scratch)
	whole := w.whole.Get().(*[]byte)
	*whole = appendAll((*whole)[:0], c.letter.pieces())
	s.Read(*whole)
	w.choose(c, of, a, s)
	s.Forget()
	w.scratch.Put(s)
	if cap(*whole) <= maxKept {
		w.whole.Put(whole)
	}
	c.letter = nil
}

const (
	// maxKept is the largest buffer that is kept for the next message. What is larger is a large message.
	maxKept = 1 << 20
	// largeCost is how many times its own size a message takes while it is divided: itself in one piece, its view, and a copy of that.
	largeCost = 3
)

func appendAll(dst []byte, pieces [][]byte) []byte {
	for _, p := range pieces {
		dst = append(dst, p...)
	}
	return dst
}

// choose finds or makes the wrapper for the message that s has read.
func (w *Wrappers) choose(c *Content, of *References, a Account, s *delta.Scratch) {
	var view, own []byte
	var room [maxReferences]*Wrapper
	for try := 1; ; try++ {
		list, made, full := w.candidates(of, room[:0])
		wr, part := nearest(list, s, int(c.Size()))
		if wr != nil && (full || isSmall(part, int(c.Size()))) {
			c.wrapper, c.part = wr, part
			w.keep(c, of, a, list)
			return
		}
		if view == nil {
			view, own = s.View()
		}
		c.wrapper, c.part = NewWrapper(view), own
		if w.add(c, of, a, list, made, try == mostTries) {
			return
		}
	}
}

// likeEnough is by how much, of 100, the likeness of two wrappers to a message may differ and mean nothing: it is measured by a few samples,
// and texts in one language have much in common.
const likeEnough = 12

// nearest returns a wrapper of list that leaves a small part of the message, and that part. If there is none among the likeliest, it is the
// one of them that leaves the smallest part; nil when none leaves less than three quarters of the message.
func nearest(list []*Wrapper, s *delta.Scratch, size int) (best *Wrapper, part []byte) {
	var room [maxReferences]candidate
	most := size - size/4
	for try, c := range byLikeness(list, s, room[:0]) {
		if try == mostSplits || try > 0 && c.likeness < likeEnough { // what is like none of them is compared once
			break
		}
		if p, ok := c.reference.Split(s, most); ok {
			if best, part, most = c.Wrapper, p, len(p)-1; isSmall(part, size) {
				break
			}
		}
	}
	return best, part
}

// mostSplits bounds how many wrappers a message is split by: to split it in vain costs as much as to split it.
const mostSplits = 3

// isSmall reports that no further reference would make a part much smaller.
func isSmall(part []byte, size int) bool { return len(part) <= max(smallPart, size/8) }

// candidate is a wrapper that a message may be like.
type candidate struct {
	*Wrapper
	likeness int // of 100
}

// byLikeness appends list to all, the likeliest first, and before them the one used last that is about as likely. Text that repeats itself
// is like nothing by its samples, and may yet be the same as the last.
func byLikeness(list []*Wrapper, s *delta.Scratch, all []candidate) []candidate {
	for _, wr := range list {
		c := candidate{Wrapper: wr}
		if len(list) > 1 {
			c.likeness = wr.reference.Likeness(s)
		}
		all = append(all, c)
	}
	if len(all) < 2 {
		return all
	}
	best := slices.MaxFunc(all, func(x, y candidate) int { return x.likeness - y.likeness }).likeness
	last := slices.IndexFunc(all, func(c candidate) bool { return c.likeness > best-likeEnough })
	all[0], all[last] = all[last], all[0]
	slices.SortStableFunc(all[1:], func(x, y candidate) int { return y.likeness - x.likeness })
	return all
}

// candidates appends the wrappers of a flow to list, and says how many were made until now. full says that no further one is to be made,
// if one of these will do.
func (w *Wrappers) candidates(of *References, list []*Wrapper) (_ []*Wrapper, made int, full bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, wr := range of.list {
		w.warm(wr)
	}
	return append(list, of.list...), of.made, len(of.list) == maxReferences && of.since < replaceEvery
}

// warm notes that wr needs its index now, and takes it from the one that has needed its own least lately. The mutex is held.
func (w *Wrappers) warm(wr *Wrapper) {
	if wr.index != nil {
		w.indexes.MoveToBack(wr.index)
		return
	}
	wr.index = w.indexes.PushBack(wr)
	w.weight += wr.reference.IndexWeight()
	for w.weight > maxIndexed && w.indexes.Len() > 1 {
		w.cool(w.indexes.Front().Value.(*Wrapper))
	}
}

// cool drops the index of wr. The mutex is held.
func (w *Wrappers) cool(wr *Wrapper) {
	if wr.index != nil {
		w.indexes.Remove(wr.index)
		w.weight -= wr.reference.IndexWeight()
		wr.index = nil
	}
	wr.reference.Forget()
}

// coolAgain drops the indexes that a comparison has made again after they were dropped. The mutex is held.
func (w *Wrappers) coolAgain(compared []*Wrapper) {
	for _, wr := range compared {
		if wr.index == nil {
			wr.reference.Forget()
		}
	}
}

// keep counts one message more, and puts its wrapper first in the list.
func (w *Wrappers) keep(c *Content, of *References, a Account, compared []*Wrapper) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.coolAgain(compared)
	w.retain(c, of, a)
	of.first(c.wrapper)
}

// add counts a message whose wrapper is new, and makes that a reference for the messages to come. It reports false when others have
// made one meanwhile, of which one may fit, unless force is set.
func (w *Wrappers) add(c *Content, of *References, a Account, compared []*Wrapper, made int, force bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.coolAgain(compared)
	if of.made != made && !force {
		return false
	}
	w.retain(c, of, a)
	return true
}

// enter makes wr a reference of the flow, in place of the one used least lately if there are too many. The mutex is held.
func (w *Wrappers) enter(wr *Wrapper, of *References) {
	if len(of.list) == maxReferences {
		w.forget(of.list[maxReferences-1])
	}
	of.made++
	of.since = 0
	of.list = slices.Insert(of.list, 0, wr)
}

// retain counts a message of its wrapper. The first makes wr a reference of the flow. The mutex is held.
func (w *Wrappers) retain(c *Content, of *References, a Account) {
	wr := c.wrapper
	if wr.refs++; wr.refs == 1 {
		wr.account = a
		w.held++
		w.budget.Charge(a, wr.weigh())
		if !w.wake(wr) {
			wr.of = of
			w.enter(wr, of)
		}
		wr.of.countWrapper(wr, 1)
	}
	of.since++
	of.count(c, 1)
}

// Undivide gives back the references that c has on its wrapper and its flow. With its last message a wrapper is freed, or rests.
func (w *Wrappers) Undivide(c *Content, of *References) {
	w.mu.Lock()
	defer w.mu.Unlock()
	of.count(c, -1)
	wr := c.wrapper
	if wr.refs--; wr.refs > 0 {
		return
	}
	w.held--
	w.budget.Refund(wr.account, wr.weigh())
	wr.of.countWrapper(wr, -1)
	if !w.rest(wr) {
		w.forget(wr)
	}
}

// rest keeps wr, which has no message any more, for the next, and reports whether it did. The mutex is held.
func (w *Wrappers) rest(wr *Wrapper) bool {
	if other := w.flows[wr.of.name]; other != nil && other != wr.of || len(wr.view) > maxRestingView || !slices.Contains(wr.of.list, wr) {
		return false
	}
	if len(w.resting) == maxResting {
		w.forget(w.resting[0])
	}
	wr.rests = time.Now()
	w.resting = append(w.resting, wr)
	w.flows[wr.of.name] = wr.of
	return true
}

// wake ends the rest of wr, and reports whether it rested. The mutex is held.
func (w *Wrappers) wake(wr *Wrapper) bool {
	if wr.rests.IsZero() {
		return false
	}
	wr.rests = time.Time{}
	i := slices.Index(w.resting, wr)
	w.resting = slices.Delete(w.resting, i, i+1)
	if !wr.of.rest() {
		delete(w.flows, wr.of.name)
	}
	return true
}

// forget compares no message with wr any more. If no message has it, it is gone. The mutex is held.
func (w *Wrappers) forget(wr *Wrapper) {
	w.wake(wr)
	wr.of.drop(wr)
	w.cool(wr)
}

// Forget frees the wrappers that have rested for long.
func (w *Wrappers) Forget(now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.resting) > 0 && now.Sub(w.resting[0].rests) >= maxRest {
		w.forget(w.resting[0])
	}
}

// references are those of a flow that begins: it may go on where an earlier one of its name has ended.
func (w *Wrappers) references(name FlowName) *References {
	w.mu.Lock()
	defer w.mu.Unlock()
	if r := w.flows[name]; r != nil {
		return r
	}
	return &References{name: name}
}

// Held returns how many wrappers are in use.
func (w *Wrappers) Held() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.held
}
