package relay

// prospect is a queue whose turn comes soon, and how many of its nodes go then.
type prospect struct {
	queue *Queue
	nodes int
}

// Foresee tells the journal which nodes go next from l, about most of them, so that their visits need not wait for the record that they
// were begun. It does so only when most of them are news: one commit is for many. The nodes stay where they are, and whatever the
// line decides then is right.
func (h *Handler) Foresee(l *Line, most int) {
	var room [16]prospect
	list := l.prospects(room[:0], most)
	all, news := 0, 0
	for _, p := range list {
		all += p.nodes
		news += p.queue.unforeseen(p.nodes)
	}
	if news == 0 || 4*news < 3*all {
		return
	}
	nodes := make([]*Node, 0, news)
	for _, p := range list {
		nodes = p.queue.foresee(nodes, p.nodes)
	}
	h.queues.deps.Journal.Expect(nodes)
}

// prospects appends the queues of the flow whose turn it is, in their order, until so many nodes are found. In another order than by
// turns, nobody knows which queue is the next but one.
func (l *Line) prospects(list []prospect, most int) []prospect {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.turnOf()
	if s == nil || l.order != RoundRobin {
		return list
	}
	left := most
	for q := s.next.first; q != nil && left > 0; q = q.behind {
		n := min(q.Len(), max(l.slice-q.served, 1), left)
		list, left = append(list, prospect{q, n}), left-n
	}
	for i := range list { // they have their turns again
		p := &list[i]
		p.nodes = min(p.queue.Len(), p.nodes+(left+len(list)-1)/len(list))
	}
	return list
}

// unforeseen is how many of the first n nodes the journal was not told of.
func (q *Queue) unforeseen(n int) int {
	q.shard.mu.Lock()
	defer q.shard.mu.Unlock()
	return max(min(n, q.Len())-q.foreseen, 0)
}

// foresee appends to nodes those of the first n that the journal was not told of.
func (q *Queue) foresee(nodes []*Node, n int) []*Node {
	q.shard.mu.Lock()
	defer q.shard.mu.Unlock()
	x := q.head
	for i := 0; i < n && x != nil; i, x = i+1, x.next {
		if i >= q.foreseen {
			nodes, q.foreseen = append(nodes, x), i+1
		}
	}
	return nodes
}
