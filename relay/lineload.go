package relay

import (
	"sync"
	"sync/atomic"
)

// load counts the nodes that wait in a line, so that nobody has to look at its queues for that: there may be a million. Its mutex is
// taken under that of a shard, and nothing is locked under it.
type load struct {
	nodes atomic.Int64 // written under mu

	mu    sync.Mutex
	held  bool          // nothing in the line is sent now, as Line.Explain said
	total *atomic.Int64 // shard.stalled of the queues that stand here; nil until the first one
}

// weigh counts the nodes of q that l does not count yet, or not any more. Whoever changes how many there are calls it afterwards.
func (l *Line) weigh(q *Queue) {
	l.load.mu.Lock()
	defer l.load.mu.Unlock()
	if q.line.Load() == l {
		l.load.count(q, q.active.Load())
	}
}

// leave counts q out, which stands in l no more.
func (l *Line) leave(q *Queue) {
	l.load.mu.Lock()
	defer l.load.mu.Unlock()
	l.load.count(q, 0)
	q.line.Store(nil)
}

// count sets for how many nodes q counts. The mutex is held.
func (d *load) count(q *Queue, nodes int32) {
	more := int64(nodes - q.weight)
	q.weight = nodes
	d.nodes.Add(more)
	if d.total == nil {
		d.total = q.shard.stalled
	}
	if d.held && d.total != nil {
		d.total.Add(more)
	}
}

// hold notes whether anything in the line is sent.
func (d *load) hold(held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.held == held {
		return
	}
	d.held = held
	if d.total == nil {
		return
	}
	if held {
		d.total.Add(d.nodes.Load())
	} else {
		d.total.Add(-d.nodes.Load())
	}
}
