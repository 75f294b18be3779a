package relay

import (
	"slices"
	"testing"
	"time"
)

// seer is a journal that keeps in mind of which nodes it was told.
type seer struct {
	NoJournal
	calls  int
	domain []string // of their queues
	nodes  []*Node
}

func (s *seer) Expect(nodes []*Node) {
	s.calls++
	for _, n := range nodes {
		s.domain = append(s.domain, n.queue.Domain)
	}
	s.nodes = append(s.nodes, nodes...)
}

// TestForesight: the journal is told of the nodes that go next, of each once, and not until most of them are news.
func TestForesight(t *testing.T) {
	s := &seer{}
	h := NewHandler(NewQueueMap(DefaultQueueConfig(), Deps{Journal: s}), DefaultRetryConfig(), HandbackConfig{})
	l := NewLine(RoundRobin, 0)
	h.Foresee(l, 4)
	q := testQueue("a", 10)
	first := q.head
	l.Push(q)
	for range 2 {
		h.Foresee(l, 4)
	}
	if s.calls != 1 || len(s.nodes) != 4 || s.nodes[0] != first {
		t.Fatalf("%d calls, %d nodes", s.calls, len(s.nodes))
	}
	h.queues.pull(q)
	h.queues.pull(q)
	if h.Foresee(l, 4); s.calls != 1 {
		t.Error("the journal was told of two")
	}
	h.queues.pull(q)
	if h.Foresee(l, 4); s.calls != 2 || len(s.nodes) != 7 {
		t.Errorf("%d calls, %d nodes", s.calls, len(s.nodes))
	}
	q.pushFront(&Node{Message: &Message{}}) // of this one it is not told: the others are at their places all the same
	for range 5 {
		h.queues.pull(q)
	}
	h.Foresee(l, 4)
	seen := slices.Clone(s.nodes)
	slices.SortFunc(seen, func(a, b *Node) int { return slices.Index(s.nodes, a) - slices.Index(s.nodes, b) })
	if len(slices.Compact(seen)) != len(s.nodes) || len(s.nodes) != 10 || s.nodes[9] != q.tail {
		t.Errorf("%d nodes, some of them twice, or not the last", len(s.nodes))
	}
}

// TestForesightOfQueues: the nodes of several queues are foreseen in the order of their turns.
func TestForesightOfQueues(t *testing.T) {
	for _, tt := range []struct {
		name  string
		order Order
		slice int
		most  int
		want  map[string]int
	}{
		{"a node of each", RoundRobin, 1, 4, map[string]int{"a": 1, "b": 1, "c": 1, "d": 1}},
		{"slices", RoundRobin, 3, 4, map[string]int{"a": 3, "b": 1}},
		{"all of them, and again", RoundRobin, 1, 12, map[string]int{"a": 3, "b": 3, "c": 3, "d": 2}},
		{"more than there are", RoundRobin, 1, 100, map[string]int{"a": 5, "b": 5, "c": 5, "d": 2}},
		{"another order", Longest, 1, 4, nil},
	} {
		s := &seer{}
		h := NewHandler(NewQueueMap(DefaultQueueConfig(), Deps{Journal: s}), DefaultRetryConfig(), HandbackConfig{})
		l := NewLine(tt.order, time.Minute)
		l.SetSlice(tt.slice)
		for i, n := range []int{5, 5, 5, 2} {
			l.Push(testQueue(string(rune('a'+i)), n))
		}
		h.Foresee(l, tt.most)
		got := map[string]int{}
		for _, n := range s.nodes {
			for q := l.lanes[bulk].ready.First().next.first; q != nil; q = q.behind {
				if q == n.queue {
					got[q.Domain]++
				}
			}
		}
		for d := range map[string]bool{"a": true, "b": true, "c": true, "d": true} {
			if got[d] != tt.want[d] {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
				break
			}
		}
	}
}
