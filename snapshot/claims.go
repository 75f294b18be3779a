package snapshot

import (
	"fmt"
	"iter"
	"runtime"
	"sync"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

const (
	// lotSize is how many claims one goroutine checks at a time: some hundred microseconds of work.
	lotSize = 64
	// lotsEach is how many lots are read for each processor, ahead of the one that is given out next.
	lotsEach = 4
)

// claim is a message of the second pass that is to be given out, unless it turns out to be damaged.
type claim struct {
	in      *found
	frame   format.Frame
	kin     *kin  // its shared record; nil: it is lost
	left    []int // recipients who are not done
	unheard bool

	// What the check has found:
	err     error
	message *relay.Message
	slip    *slip // of message; nil: there is no room yet
	nodes   []relay.SavedNode
	entry   *entry
	base    uint32
	copied  bool
}

// lot is some claims that are checked together.
type lot struct {
	claims []claim
	done   chan struct{} // gets a token when all of them are checked
}

// next is room for one claim more.
func (l *lot) next() *claim {
	n := len(l.claims)
	l.claims = l.claims[:n+1]
	return &l.claims[n]
}

// reset makes l empty. It keeps the slips that their messages do without by now: the queue map packs what they say.
func (l *lot) reset() {
	for i := range l.claims {
		c := &l.claims[i]
		slip := c.slip
		if c.message == nil || c.message.Slip != nil {
			slip = nil
		}
		*c = claim{slip: slip}
	}
	l.claims = l.claims[:0]
}

// claims are the messages between the goroutine that reads them, which gives them out too, and those that check them. Reading and
// giving out must keep the order and take less time than the check, which keeps none. Only the first goroutine calls the methods.
type claims struct {
	most    int // lots ahead
	filling *lot
	ahead   []*lot // under way, in their order
	spare   []*lot
	work    chan *lot
	joined  sync.WaitGroup
}

// begin starts to check for r.
func (c *claims) begin(r *recovery) {
	processors := runtime.GOMAXPROCS(0)
	c.most = lotsEach * processors
	c.work = make(chan *lot, c.most+1)
	for range processors {
		k := checker{r: r, names: format.NewNames()}
		c.joined.Go(func() { k.run(c.work) }) // ends with end
	}
}

// end ends the goroutines, and waits for them: they read the buffer of the segment.
func (c *claims) end() {
	close(c.work)
	c.joined.Wait()
}

// add hands a claim to be checked.
func (c *claims) add(x claim) {
	if c.filling == nil {
		c.filling = c.empty()
	}
	to := c.filling.next()
	x.slip = to.slip
	*to = x
	if len(c.filling.claims) == cap(c.filling.claims) {
		c.send()
	}
}

// empty is a lot without claims.
func (c *claims) empty() *lot {
	n := len(c.spare)
	if n == 0 {
		return &lot{claims: make([]claim, 0, lotSize), done: make(chan struct{}, 1)}
	}
	l := c.spare[n-1]
	c.spare = c.spare[:n-1]
	return l
}

func (c *claims) send() {
	if c.filling != nil {
		c.work <- c.filling
		c.ahead = append(c.ahead, c.filling)
		c.filling = nil
	}
}

// upTo yields the first lots, checked, until no more than so many are ahead; 0: all.
func (c *claims) upTo(ahead int) iter.Seq[*lot] {
	return func(yield func(*lot) bool) {
		if ahead == 0 {
			c.send()
		}
		for len(c.ahead) > ahead {
			l := c.ahead[0]
			<-l.done
			c.ahead = c.ahead[1:]
			if !yield(l) {
				return
			}
			l.reset()
			c.spare = append(c.spare, l)
		}
	}
}

// checker checks claims. It changes nothing of the recovery but the wrappers.
type checker struct {
	r        *recovery
	names    *format.Names
	take     format.TakeRecord // the record that is being read
	assembly relay.Assembly
}

func (k *checker) run(work <-chan *lot) {
	for l := range work {
		for i := range l.claims {
			c := &l.claims[i]
			c.err = k.check(c)
		}
		l.done <- struct{}{}
	}
}

// check reads the record of c and makes the message of it.
func (k *checker) check(c *claim) error {
	t := &k.take
	if err := k.read(c); err != nil {
		return err
	}
	if c.slip == nil {
		c.slip = new(slip)
	}
	m := messageOf(t, c.slip)
	c.message, c.base, c.copied = m, t.Base, t.Copied
	if len(c.left) == 0 || c.kin == nil {
		return nil
	}
	m.Content = contentOf(t, k.r.kin.wrapperOf(c.kin), c.frame.Kind == format.KindOldTake)
	if err := k.assembly.Check(&m.Content); err != nil {
		return fmt.Errorf("%w: message %s: %w", format.ErrMalformed, m.Name(), err)
	}
	c.nodes = k.nodes(c.left)
	c.entry = newEntry(m, t.Nodes)
	c.entry.acked, c.entry.waits = true, true
	return nil
}

// read reads the record of c into take.
func (k *checker) read(c *claim) error {
	if c.frame.Kind == format.KindOldTake {
		return k.take.DecodeOld(c.frame.Payload, k.names)
	}
	var common *format.Common
	if c.kin != nil {
		common = &c.kin.Common
	}
	return k.take.Decode(c.frame.Payload, c.in.head.Basis(), common, k.names)
}

// nodes puts the recipients that are left back into their nodes, each with what it had learned.
func (k *checker) nodes(left []int) []relay.SavedNode {
	if k.take.Nodes == nil {
		n := k.node(0)
		n.Rcpts = left
		return []relay.SavedNode{n}
	}
	var nodes []relay.SavedNode
	at := make(map[uint32]int)
	for _, i := range left {
		index := k.take.Nodes[i]
		n, ok := at[index]
		if !ok {
			n = len(nodes)
			at[index] = n
			nodes = append(nodes, k.node(int(index)))
		}
		nodes[n].Rcpts = append(nodes[n].Rcpts, i)
	}
	return nodes
}

// node is the node of this index without recipients. One that never waited has the class the message was taken with.
func (k *checker) node(index int) relay.SavedNode {
	at := format.Node{ID: k.take.ID, Index: uint32(index)}
	n := relay.SavedNode{Index: index, Class: k.take.Class, Begun: k.r.doubts[at]}
	if s, ok := k.r.book.waits.of(at); ok {
		n.Class, n.Visits, n.Due, n.Reason = s.Class, s.Visits, s.DueTime(), s.Reason
	}
	return n
}
