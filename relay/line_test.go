package relay

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

// testQueue returns a queue of n nodes outside any map.
func testQueue(name string, n int) *Queue {
	q := &Queue{Key: Key{Domain: name}, shard: &shard{ages: map[string]*ages{ClassRemote: newAges(time.Now())}}}
	for range n {
		q.pushBack(&Node{Message: &Message{Slip: &Slip{}}})
	}
	return q
}

func pickAll(l *Line) []string {
	var names []string
	for q := l.Pick(); q != nil; q = l.Pick() {
		names = append(names, q.Domain)
	}
	return names
}

func TestLineOrders(t *testing.T) {
	cases := []struct {
		name  string
		order Order
		wait  time.Duration // between the first push and the others
		want  []string
	}{
		{"round robin", RoundRobin, 0, []string{"a", "b", "c", "d"}},
		{"longest first", Longest, 0, []string{"c", "b", "d", "a"}},
		{"longest first however old the others are", Longest, time.Hour, []string{"c", "b", "d", "a"}},
		{"longest while nobody is old", LongestAged, 0, []string{"c", "b", "d", "a"}},
		{"an old one goes first", LongestAged, time.Hour, []string{"a", "c", "b", "d"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := NewLine(c.order, time.Minute)
				l.Push(testQueue("a", 1))
				time.Sleep(c.wait)
				l.Push(testQueue("b", 5))
				l.Push(testQueue("c", 9))
				l.Push(testQueue("d", 5))
				if got := pickAll(l); !slices.Equal(got, c.want) {
					t.Errorf("picked %v, want %v", got, c.want)
				}
			})
		})
	}
}

func TestLineHoldsAQueueOnce(t *testing.T) {
	l := NewLine(RoundRobin, 0)
	q := testQueue("a", 1)
	if !l.Push(q) || l.Push(q) {
		t.Fatal("first push must enter, second must not")
	}
	if l.Pick() != q || l.Pick() != nil {
		t.Fatal("picked other than once")
	}
	if !l.Push(q) {
		t.Fatal("a picked queue may enter again")
	}
}

// TestPickOfAQueueThatIsEmptiedMeanwhile: the last node of a queue is taken between the line's look at it and the moment in which it leaves
// the line. Nobody else could drop the queue then: it must not stay in the map.
func TestPickOfAQueueThatIsEmptiedMeanwhile(t *testing.T) {
	x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
	m := testMessage("a@x")
	m.Slip.Flow.Tenant = "shop"
	if err := x.Accept(m); err != nil {
		t.Fatal(err)
	}
	n, asked := m.Node(0), 0
	q := x.line.pickBy(func(*Tenant, *share, time.Time) (time.Time, bool) {
		asked++
		s := x.shard(n.Domain)
		s.mu.Lock()
		defer s.mu.Unlock()
		return time.Time{}, x.detach(s, n)
	})
	if asked != 1 || q != nil {
		t.Errorf("asked %d times, picked %v", asked, q)
	}
	if s := x.h.Status(); s.Queues != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

func TestLineSeesGrowth(t *testing.T) {
	l := NewLine(Longest, 0)
	a, b := testQueue("a", 1), testQueue("b", 2)
	l.Push(a)
	l.Push(b)
	for range 7 {
		a.pushBack(&Node{Message: &Message{Slip: &Slip{}}})
	}
	l.grown(a)
	if got := l.Pick(); got != a {
		t.Errorf("picked %s, want the one that grew", got.Domain)
	}
}

func TestParseOrder(t *testing.T) {
	for s, want := range map[string]Order{"round-robin": RoundRobin, "longest": Longest, "longest-aged": LongestAged} {
		if got, err := ParseOrder(s); err != nil || got != want {
			t.Errorf("ParseOrder(%q) = %v, %v", s, got, err)
		}
	}
	if _, err := ParseOrder("shortest"); err == nil {
		t.Error("an unknown order was accepted")
	}
}

// TestLineModel compares the line with a slice under random pushes, picks and changes of the order.
func TestLineModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]Order{RoundRobin, Longest}).Draw(t, "order")
		l := NewLine(order, 0)
		queues := make([]*Queue, 8)
		for i := range queues {
			queues[i] = testQueue(string(rune('a'+i)), i%4+1)
		}
		var model []*Queue
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "reorder") == 0 {
				order = rapid.SampledFrom([]Order{RoundRobin, Longest}).Draw(t, "new order")
				l.Reorder(order, 0)
			}
			if rapid.Bool().Draw(t, "push") {
				q := rapid.SampledFrom(queues).Draw(t, "queue")
				if l.Push(q) != !slices.Contains(model, q) {
					t.Fatalf("push of %s disagrees with the model", q.Domain)
				}
				if !slices.Contains(model, q) {
					model = append(model, q)
				}
				continue
			}
			want := modelPick(model, order)
			if got := l.Pick(); got != want {
				t.Fatalf("picked %v, want %v", got, want)
			}
			model = slices.DeleteFunc(model, func(q *Queue) bool { return q == want })
		}
		if l.Len() != len(model) {
			t.Fatalf("length %d, want %d", l.Len(), len(model))
		}
	})
}

func modelPick(model []*Queue, order Order) *Queue {
	if len(model) == 0 {
		return nil
	}
	best := model[0]
	for _, q := range model[1:] {
		if order == Longest && q.Len() > best.Len() {
			best = q
		}
	}
	return best
}
