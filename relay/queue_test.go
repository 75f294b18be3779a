package relay

import (
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// TestQueueStates holds the states of a queue to the changes that QueueState allows.
func TestQueueStates(t *testing.T) {
	allowed := map[[2]QueueState]bool{
		{QueueLoose, QueueLined}: true, {QueueLoose, QueueClaimed}: true, {QueueLoose, QueueGone}: true,
		{QueueLined, QueueLoose}: true, {QueueClaimed, QueueLoose}: true,
	}
	for old := QueueLoose; old <= QueueGone; old++ {
		for next := QueueLoose; next <= QueueGone; next++ {
			var q Queue
			q.state.Store(uint32(old))
			want := old
			if allowed[[2]QueueState{old, next}] {
				want = next
			}
			if ok := q.enter(next); ok != (want == next && old != next) || q.State() != want {
				t.Errorf("%s to %s: %t, now %s", old, next, ok, q.State())
			}
		}
	}
}

// TestEmptiedQueueLeavesTheMap: a queue that is emptied while it is lined or claimed leaves the map when it is loose again,
// and until then takes new nodes in.
func TestEmptiedQueueLeavesTheMap(t *testing.T) {
	newMap := func(t *testing.T) (*heart, *Queue) {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		if err := x.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
		return x, x.shard("x").spots[spotKey{domain: "x"}].youngest
	}
	deliver := func(x *heart) { // as companions leave: from the middle of a queue that nobody carries
		for q := x.shard("x").spots[spotKey{domain: "x"}].youngest; q.head != nil; {
			n := q.head
			if !x.pullFrom(n, "") {
				return
			}
			v := x.h.newVisit(n)
			v.FailAll(Sent, smtp.Reply{Code: 250})
			x.h.Settle(v)
		}
	}
	queues := func(x *heart) int64 { return x.h.Status().Queues }

	t.Run("lined", func(t *testing.T) {
		x, q := newMap(t)
		if deliver(x); q.State() != QueueLined || queues(x) != 1 || len(x.Queues(0)) != 0 {
			t.Errorf("%s, %d in the map, listed %+v", q.State(), queues(x), x.Queues(0))
		}
		if got := x.line.Pick(); got != nil || q.State() != QueueGone || queues(x) != 0 {
			t.Errorf("picked %v, %s, %d in the map", got, q.State(), queues(x))
		}
	})
	t.Run("claimed", func(t *testing.T) {
		x, _ := newMap(t)
		q := x.line.Pick()
		if !q.Claim(WaitFor(ReasonDNS, "x", "lookup", time.Time{})) || q.Claim(Reason{}) {
			t.Fatal("claimed once is claimed")
		}
		deliver(x)
		if err := x.Accept(testMessage("b@x")); err != nil || q.Len() != 1 || q.State() != QueueClaimed {
			t.Errorf("%v: %d nodes, %s", err, q.Len(), q.State())
		}
		deliver(x)
		if q.Unclaim(); q.State() != QueueGone || queues(x) != 0 {
			t.Errorf("%s, %d in the map", q.State(), queues(x))
		}
		if x.line.Push(q) || q.Claim(Reason{}) {
			t.Error("a queue that is gone came back")
		}
	})
}

// TestQueueIsInOnePlace lets several goroutines line up, claim, pick and empty the same queues.
func TestQueueIsInOnePlace(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	const each = 300
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for i := range each {
				m := &Message{ID: ID(1 + g*each + i), Content: NewContent(Letter{Body: []byte("x")}), Slip: &Slip{Arrived: time.Now()}}
				m.Slip.Rcpts = []Rcpt{{Addr: "a@x"}, {Addr: "a@y"}}
				if err := x.Accept(m); err != nil {
					t.Error(err)
				}
			}
		})
		wg.Go(func() {
			for range each {
				if q := x.line.Pick(); q != nil {
					if q.Claim(WaitFor(ReasonDNS, "", "lookup", time.Time{})) {
						q.Unclaim()
					}
					x.h.Ready(q)
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for q := x.line.Pick(); q != nil; q = x.line.Pick() {
		for v := x.h.Visit(q); v != nil; v = x.h.Visit(q) {
			v.FailAll(Sent, smtp.Reply{Code: 250})
			x.h.Settle(v)
			n++
		}
	}
	if s := x.h.Status(); n != 4*each || s.Queues != 0 || s.Messages != 0 {
		t.Errorf("%d of %d nodes; %+v", n, 4*each, s)
	}
}
