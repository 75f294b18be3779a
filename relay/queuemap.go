package relay

import (
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay/delta"
)

// ErrFull is returned by Accept when memory holds as much as it may. The mail stays with the MTA.
var ErrFull = errors.New("queue map is full")

// What room answers, so that the admin learns which key to raise.
var (
	errMessages = fmt.Errorf("%w: queue.max_messages is reached", ErrFull)
	errBytes    = fmt.Errorf("%w: queue.max_bytes is reached", ErrFull)
	errNotices  = fmt.Errorf("%w: the share of queue.max_bytes that is kept for notifications is used", ErrFull)
)

// errLarge is what admit answers for a message that cannot be divided.
var errLarge = fmt.Errorf("a message of over %d bytes is never taken", delta.MaxSize)

// ErrClosed is returned by Accept before Open and after Close, while the daemon recovers or stops. The mail stays with the
// MTA.
var ErrClosed = errors.New("queue map is closed")

const shards = 64

// QueueMap holds every queue, every message that has unsettled recipients, and the line of queues that are ready.
type QueueMap struct {
	cfg      atomic.Pointer[QueueConfig]
	deps     Deps
	budget   *Budget
	reasons  reasons
	line     *Line
	wrappers *Wrappers
	nobodys  References // of mail that has no flow
	flows    *flows
	counts   counts
	open     atomic.Bool
	seed     maphash.Seed
	epoch    time.Time // ages are counted from here, by the monotonic clock
	shards   [shards]shard
	messages *index
	events   sync.Pool // of *Event, for Restore: each of a million messages would leave one to the collector

	lever   *Lever // nil: there is none
	decrees atomic.Pointer[decrees]
	drain   atomic.Pointer[drain]
}

// Deps are what the queue map works with.
type Deps struct {
	Journal  Journal
	Listener Listener                // is told of every event, after the journal
	Near     func(Key) bool          // whether a node with this key would be visited at once; nil: that is not known
	Want     func(domain string)     // told of each domain that gets a node, to look it up ahead of time; may be nil
	Healthy  func() bool             // false: DNS does not answer, so its failures are not the receivers'; nil: it always does
	Domain   func(string) string     // the queue's name for a recipient's domain; nil: the domain as it is spelled
	Flow     func(*Message) FlowName // the flow of a message that is restored; nil: the one that the message names
	Chance   func(n int) int         // a number below n, for RetryConfig.Jitter; nil: math/rand's
	Gate     *Gate                   // counts what waits for each site; nil: nobody does
	Budget   *Budget                 // what messages are charged to, limited to QueueConfig.MaxBytes; nil: one of our own
	NoMTA    bool                    // no MTA of ours takes mail: notifications go to their receivers, and nothing is handed back
}

type shard struct {
	budget  *Budget
	flows   *flows
	stalled *atomic.Int64 // counts.stalled

	mu      sync.Mutex
	spots   map[spotKey]spot
	holding int              // nodes that are held in the Deferrals
	number  int              // of queues
	active  int              // nodes in them
	busy    int              // nodes of them that visits hold
	claimed int              // nodes of queues that a reason of their own holds
	ages    map[string]*ages // by class, the nodes that wait in queues
}

// counts are the counters behind Status.
type counts struct {
	taken, restored, removed, messages            atomic.Int64
	deferrals, sent, bounced, expired, handedBack atomic.Int64
	deleted                                       atomic.Int64
	notices, noticesSent, noticesLost, maybeTwice atomic.Int64
	stalled                                       atomic.Int64 // nodes in lines from which nothing is sent now
}

// NewQueueMap returns an empty queue map, still closed. cfg has been validated.
func NewQueueMap(cfg QueueConfig, deps Deps) *QueueMap {
	if deps.Budget == nil {
		deps.Budget = NewBudget(0)
	}
	if deps.Chance == nil {
		deps.Chance = rand.IntN
	}
	wrappers := NewWrappers(deps.Budget)
	m := &QueueMap{
		deps: deps, budget: deps.Budget, line: NewLine(RoundRobin, 0), wrappers: wrappers, flows: newFlows(deps.Budget, wrappers),
		seed: maphash.MakeSeed(), epoch: time.Now(),
	}
	m.reasons.seed, m.messages, m.events.New = m.seed, newIndex(m.seed), func() any { return new(Event) }
	if m.deps.Gate != nil {
		m.deps.Gate.queues = m
	}
	m.SetConfig(cfg)
	for i := range m.shards {
		m.shards[i].budget, m.shards[i].flows, m.shards[i].stalled = m.budget, m.flows, &m.counts.stalled
		m.shards[i].spots = make(map[spotKey]spot)
		m.shards[i].ages = map[string]*ages{ClassRemote: newAges(m.epoch), ClassInject: newAges(m.epoch)}
	}
	return m
}

// SetConfig replaces the configuration, which has been validated. Mail above a limit that became smaller stays, and no more is
// taken until there is room. A queue longer than it may be is not split: its next nodes go to a sibling.
func (m *QueueMap) SetConfig(cfg QueueConfig) {
	m.cfg.Store(&cfg)
	m.budget.SetLimit(cfg.MaxBytes)
	m.Order(m.line)
}

// NewLine returns an empty line that has the order of the configuration.
func (m *QueueMap) NewLine() *Line {
	l := NewLine(RoundRobin, 0)
	m.Order(l)
	return l
}

// SetTenants replaces the tenants, which have been validated. Mail that waits keeps the tenant that it has.
func (m *QueueMap) SetTenants(tenants []TenantConfig) {
	m.flows.configure(tenants)
	m.deps.Gate.setTenants(tenants)
}

// Order gives l the order of the configuration.
func (m *QueueMap) Order(l *Line) {
	cfg := m.cfg.Load()
	order, _ := ParseOrder(cfg.Order)
	l.Reorder(order, cfg.MaxAge)
}

// Accept records msg in the journal and then links one Node per destination domain. It returns nil only when both are
// done; the door may then answer for the message. It waits for the disk, never for the network.
// On an error nothing was taken and the message stays with the MTA; another try needs another Message.
func (m *QueueMap) Accept(msg *Message) error {
	if !m.open.Load() {
		return ErrClosed
	}
	if m.drain.Load() != nil && msg.Class() != ClassInject {
		return ErrDraining
	}
	slip := msg.Slip
	slip.Distinct()
	m.address(msg)
	slip.Taken = time.Now()
	messageID := msg.Content.MessageID() // admit divides the content
	if err := m.admit(msg); err != nil {
		return err
	}
	m.index(msg)
	if err := m.take(msg); err != nil {
		m.discard(msg)
		m.budget.Charge(AccountDoors, slip.Reserved)
		return err
	}
	var room [1]*Node
	nodes := msg.appendNodes(room[:0])
	grant := slip.Grant
	if msg.Class() == ClassRemote {
		m.deps.Gate.admit(msg, nodes, grant)
		slip.Grant = nil
	}
	if msg.Class() == ClassInject {
		m.counts.notices.Add(1)
	} else {
		m.counts.taken.Add(1)
	}
	m.Tell(&Event{Kind: EventTaken, Time: slip.Taken, Message: msg, Rcpt: -1, MessageID: messageID})
	grant.freeAllowance()
	m.linkAll(nodes)
	return nil
}

// take has the journal record msg. The gate sees how long that takes.
func (m *QueueMap) take(msg *Message) error {
	m.foresee(msg)
	m.deps.Gate.BeginTake()
	err := m.deps.Journal.Take(msg)
	m.deps.Gate.EndTake(err == nil)
	return err
}

// foresee notes whether msg will be visited as soon as it is linked. Of a message for several domains that is not said: their nodes
// could hardly all go at once. Nor of a notification: the commit of its visit must have the mark that the failure is reported, or a kill
// behind it has the sender told twice.
func (m *QueueMap) foresee(msg *Message) {
	if m.deps.Near != nil && msg.NodeCount() == 1 && msg.Class() == ClassRemote {
		n := msg.Node(0)
		n.Near = m.deps.Near(m.key(n))
	}
}

// Heard notes whether the MTA that gave us msg knows that it is taken. An MTA that does not know may offer it again. A door
// calls Heard once for each message that was accepted; the message may be gone by then.
func (m *QueueMap) Heard(msg *Message, heard bool) {
	kind := EventHeard
	if !heard {
		kind = EventHungUp
	}
	m.Tell(&Event{Kind: kind, Time: time.Now(), Message: msg, Rcpt: -1})
}

// Open lets Accept take messages. The daemon calls it when everything that waited before is restored.
func (m *QueueMap) Open() { m.open.Store(true) }

// Close makes Accept refuse. Mail that waits stays.
func (m *QueueMap) Close() { m.open.Store(false) }

// admit finds room for msg and wraps it. The bytes that its door has reserved for it count as found.
func (m *QueueMap) admit(msg *Message) error {
	own := msg.Class() == ClassInject
	if msg.Content.Size() > delta.MaxSize {
		return errLarge
	}
	if !own && m.counts.messages.Load() >= int64(m.cfg.Load().MaxMessages) {
		return errMessages // only checked: concurrent takes may exceed the number by a few
	}
	whole, reserved := wrapperCost+heapSize(int(msg.Content.Size())), msg.Slip.Reserved
	if !m.budget.Redeem(reserved, msg.account(), int64(msg.cost)+whole) {
		if own {
			return errNotices
		}
		return errBytes
	}
	flow, wrapped := m.flowOf(msg), false
	defer func() {
		m.budget.Refund(msg.account(), whole) // wrap has charged what of it is new
		if !wrapped {                         // a fault of ours costs this message, and no room for others
			m.budget.Refund(msg.account(), int64(msg.cost))
			m.budget.Charge(AccountDoors, reserved)
			m.flows.disown(flow)
		}
	}()
	m.wrap(msg, flow, time.Time{})
	wrapped = true
	return nil
}

// flowOf finds or makes the flow of msg, which has a slip.
func (m *QueueMap) flowOf(msg *Message) *Flow {
	if msg.Slip.Class == ClassInject {
		return m.flows.own
	}
	return m.flows.intern(msg.Slip.Flow)
}

// wrap divides the content of msg, charges what it takes and packs the slip. restored is when msg was brought back; zero: it was not.
func (m *QueueMap) wrap(msg *Message, flow *Flow, restored time.Time) {
	m.wrappers.Divide(&msg.Content, m.references(flow), msg.account())
	part := msg.Content.weigh()
	m.budget.Charge(msg.account(), part)
	msg.cost += uint32(part)
	msg.pack(flow, restored)
}

// account is what the message is charged to.
func (m *Message) account() Account {
	if m.Class() == ClassInject {
		return AccountNotices
	}
	return AccountMail
}

// address gives msg its nodes and weighs the message.
func (m *QueueMap) address(msg *Message) {
	msg.Address(m.domainName)
	msg.cost = uint32(msg.weigh())
	msg.open.Store(int32(msg.NodeCount()))
}

// references are those of a flow.
func (m *QueueMap) references(f *Flow) *References {
	if f == nil {
		return &m.nobodys
	}
	return f.mail
}

// index puts msg into the index and counts it.
func (m *QueueMap) index(msg *Message) {
	m.messages.add(msg)
	m.counts.messages.Add(1)
}

// discard undoes index and wrap.
func (m *QueueMap) discard(msg *Message) {
	m.messages.remove(msg)
	m.counts.messages.Add(-1)
	m.budget.Refund(msg.account(), int64(msg.cost))
	m.wrappers.Undivide(&msg.Content, m.references(msg.flow()))
	m.flows.disown(msg.flow())
	m.deps.Gate.depart(msg)
}

// domainName is what the queue for a domain is called.
func (m *QueueMap) domainName(d string) string {
	if m.deps.Domain != nil {
		return m.deps.Domain(d)
	}
	return d
}

// link puts n at the end of its queue, found or made, and the queue in line.
func (m *QueueMap) link(n *Node) { m.enqueue(n, (*Queue).pushBack) }

// linkAll links the nodes of a message. The queues come into line behind the last node, so that whoever visits the first finds its
// companions.
func (m *QueueMap) linkAll(nodes []*Node) {
	if len(nodes) == 1 {
		m.link(nodes[0])
		return
	}
	queues := make([]*Queue, len(nodes))
	for i, n := range nodes {
		queues[i] = m.enter(n, (*Queue).pushBack)
	}
	for _, q := range queues {
		if q != nil {
			m.ready(q)
		}
	}
}

func (m *QueueMap) enqueue(n *Node, push func(*Queue, *Node)) {
	if q := m.enter(n, push); q != nil {
		m.ready(q)
	}
}

// enter puts n into its queue, which it returns; nil when the lever wants n elsewhere.
func (m *QueueMap) enter(n *Node, push func(*Queue, *Node)) *Queue {
	key := m.key(n)
	if m.deps.Want != nil && key.Class == ClassRemote {
		m.deps.Want(key.Domain)
	}
	s := m.shard(key.Domain)
	if d := m.lockDecided(s, n); m.divert(s, n, d, false) {
		return nil
	}
	q := s.queueFor(key, m.cfg.Load().MaxLength)
	push(q, n)
	s.mu.Unlock()
	return q
}

// key is the key of the queue that n belongs in.
func (m *QueueMap) key(n *Node) Key {
	if n.Class() == ClassInject {
		return Key{n.Domain, n.Class(), m.flows.own}
	}
	return Key{n.Domain, n.Class(), n.Message.flow()}
}

// ready puts q in line. If q stands in a line already, ready tells the line that q has grown, at powers of two only: the
// longest queue is found, and most additions cost nothing.
func (m *QueueMap) ready(q *Queue) {
	if m.line.Push(q) {
		return
	}
	if n := q.Len(); n&(n-1) == 0 {
		if l := q.line.Load(); l != nil {
			l.grown(q)
		}
	}
}

// pull gives the next node of q, busy from now on, or nil.
func (m *QueueMap) pull(q *Queue) *Node {
	q.shard.mu.Lock()
	defer q.shard.mu.Unlock()
	n := q.head
	if n != nil {
		q.unlink(n)
	}
	return n
}

// waits reports whether n waits in a queue of the given class.
func (m *QueueMap) waits(n *Node, class string) bool {
	s := m.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.state == stateActive && n.Class() == class
}

// pullFrom takes n out of the middle of its queue if it waits in one of the given class.
func (m *QueueMap) pullFrom(n *Node, class string) bool {
	s := m.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.state != stateActive || n.Class() != class {
		return false
	}
	n.queue.unlink(n)
	return true
}

// unbind takes busy node n out of its queue, if it has one, and applies change. An emptied queue that is loose leaves the
// map.
func (m *QueueMap) unbind(n *Node, st state, change func()) {
	s := m.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	n.state = st
	if q := n.queue; q != nil {
		n.queue = nil
		q.count(-1)
		s.drop(q)
	}
}

// shard depends on the domain alone, so that a node stays in its shard when its class changes.
func (m *QueueMap) shard(domain string) *shard {
	return &m.shards[maphash.String(m.seed, domain)%shards]
}

// Release gives back one Hold on msg, or the hold of a node that is gone. With its last hold msg leaves memory and journal.
func (m *QueueMap) Release(msg *Message) {
	if msg.open.Add(-1) > 0 {
		return
	}
	m.Tell(&Event{Kind: EventRemoved, Time: time.Now(), Message: msg, Rcpt: -1})
	m.counts.removed.Add(1)
	m.discard(msg)
}

// Pending reports whether recipients of msg are still to be settled; holds do not count.
func (m *QueueMap) Pending(msg *Message) bool {
	for _, n := range msg.Nodes {
		s := m.shard(n.Domain)
		s.mu.Lock()
		gone := n.state == stateGone
		s.mu.Unlock()
		if !gone {
			return true
		}
	}
	return false
}

// Tell counts e, then tells the listeners and the journal. A listener that causes an event of its own, as the bounce server
// does when it has sent a notification, tells it here.
func (m *QueueMap) Tell(e *Event) {
	m.counts.tally(e)
	if m.deps.Listener != nil {
		m.deps.Listener.Event(e)
	}
	m.deps.Journal.Event(e) // last: what it has recorded, the mail log knows
}
