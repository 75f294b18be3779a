package relay

import (
	"cmp"
	"slices"
	"time"
)

// LineView is a line as the admin sees it.
type LineView struct {
	Queues int        // in line
	Nodes  int        // that wait in them
	Whole  bool       // View looked at every queue; else Oldest and Flows are of those that it looked at, and there are more
	Oldest time.Time  // when the oldest message arrived of those that go first in their queues; zero: no node waits
	Flows  []FlowView // those with the most nodes first
	Holds  Reason     // why the mail of a tenant is passed over; zero: nobody's is
}

// FlowView is what a line has of one flow.
type FlowView struct {
	FlowName
	Queues int
	Nodes  int
}

// View looks at so many queues of the line at most. It holds the line for the time of that look alone.
func (l *Line) View(most int) LineView {
	some, n := l.sample(most)
	v := LineView{Queues: n, Nodes: l.Nodes(), Whole: n == len(some), Holds: l.Holds()}
	flows := make(map[*Flow]*FlowView)
	for _, q := range some {
		nodes, oldest := q.front()
		if v.Oldest.IsZero() || !oldest.IsZero() && oldest.Before(v.Oldest) {
			v.Oldest = oldest
		}
		f := flows[q.Flow]
		if f == nil {
			f = &FlowView{FlowName: q.Flow.Name()}
			flows[q.Flow] = f
		}
		f.Queues, f.Nodes = f.Queues+1, f.Nodes+nodes
	}
	for _, f := range flows {
		v.Flows = append(v.Flows, *f)
	}
	slices.SortFunc(v.Flows, func(a, b FlowView) int {
		return cmp.Or(cmp.Compare(b.Nodes, a.Nodes), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Sender, b.Sender), cmp.Compare(a.Name, b.Name))
	})
	return v
}

// Nodes is how many nodes wait in the line.
func (l *Line) Nodes() int { return int(l.load.nodes.Load()) }

// sample is so many queues of the line at most, and how many there are. The queues may have left the line already: their shards
// must not be locked under the mutex of the line.
func (l *Line) sample(most int) (some []*Queue, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	most = min(most, l.n)
	for st := range l.everyStrand {
		for q := st.first; q != nil && len(some) < most; q = q.behind {
			if some == nil {
				some = make([]*Queue, 0, most)
			}
			some = append(some, q)
		}
		if len(some) == most {
			break
		}
	}
	return some, l.n
}

// front is how many nodes wait in q, and when the message arrived that goes first; the zero time: none waits.
func (q *Queue) front() (nodes int, arrived time.Time) {
	q.shard.mu.Lock()
	defer q.shard.mu.Unlock()
	if q.head == nil {
		return 0, time.Time{}
	}
	return q.Len(), q.head.Message.Arrived()
}

// HeldTenants says which tenants have mail and are at a limit now, in the order of their names: so many at most.
func (m *QueueMap) HeldTenants(most int) []Reason {
	m.flows.mu.Lock()
	var all []*Tenant
	for _, t := range m.flows.tenants {
		if t.flows > 0 {
			all = append(all, t)
		}
	}
	m.flows.mu.Unlock()
	slices.SortFunc(all, func(a, b *Tenant) int { return cmp.Compare(a.name, b.name) })
	var held []Reason
	now := time.Now()
	for _, t := range all {
		if len(held) == most {
			break
		}
		if why := t.holds(now); why.Waits() {
			held = append(held, why)
		}
	}
	return held
}
