package relay

import "time"

// ages finds nodes by a time that each has, to the second, without a look at the others: in a shard those that have waited in
// queues for too long, by the begin of their life, among the Deferrals those that are due. Nodes with the same second are peers.
// The place of a node in a queue depends on its age and not on the end of its life, so that a reload may change the lifetime. The
// mutex of the shard, or that of the Deferrals, guards it.
type ages struct {
	epoch    time.Time
	bySecond map[int64]*peers
	order    *Heap[*peers] // the oldest first
}

// peers is a list of nodes, in the order in which they came.
type peers struct {
	second           int64 // since the epoch
	place            int32 // in ages.order
	eldest, youngest *Node
}

func newAges(epoch time.Time) *ages {
	return &ages{epoch: epoch, bySecond: make(map[int64]*peers), order: NewHeap(
		func(a, b *peers) bool { return a.second < b.second }, func(p *peers) *int32 { return &p.place },
	)}
}

// second is the second in which t lies.
func (a *ages) second(t time.Time) int64 {
	d := t.Sub(a.epoch)
	if d < 0 {
		d -= time.Second - 1
	}
	return int64(d / time.Second)
}

// add takes n in as one with the time from.
func (a *ages) add(n *Node, from time.Time) {
	s := a.second(from)
	p := a.bySecond[s]
	if p == nil {
		p = &peers{second: s}
		a.bySecond[s] = p
		a.order.Insert(p)
	}
	n.peers, n.elder, n.junior = p, p.youngest, nil
	if p.youngest != nil {
		p.youngest.junior = n
	} else {
		p.eldest = n
	}
	p.youngest = n
}

// drop takes n out.
func (a *ages) drop(n *Node) {
	p := n.peers
	if n.elder != nil {
		n.elder.junior = n.junior
	} else {
		p.eldest = n.junior
	}
	if n.junior != nil {
		n.junior.elder = n.elder
	} else {
		p.youngest = n.elder
	}
	n.peers, n.elder, n.junior = nil, nil, nil
	if p.eldest == nil {
		delete(a.bySecond, p.second)
		a.order.Remove(p)
	}
}

// oldest is a node with a time in a second before that of from; nil for none.
func (a *ages) oldest(from time.Time) *Node {
	if a.order.Len() == 0 || a.order.First().second >= a.second(from) {
		return nil
	}
	return a.order.First().eldest
}

// first is when the second of the oldest nodes begins. There must be some.
func (a *ages) first() time.Time {
	return a.epoch.Add(time.Duration(a.order.First().second) * time.Second)
}
