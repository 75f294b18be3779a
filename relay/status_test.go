package relay

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// counted is the part of Status that a walk over all queues finds.
func (x *heart) counted() (st Status) {
	for i := range x.shards {
		s := &x.shards[i]
		s.mu.Lock()
		for _, p := range s.spots {
			for q := p.youngest; q != nil; q = q.older {
				st.Queues++
				st.Busy += int64(q.busy)
				nodes := int64(0)
				for n := q.head; n != nil; n = n.next {
					nodes++
				}
				if q.heldBy().Holds() {
					st.Held += nodes
				} else {
					st.Active += nodes
				}
			}
		}
		s.mu.Unlock()
	}
	return st
}

// TestStatusCountsAtTheChange: the counters say what a walk over all queues would, whatever happens to the queues at the same time.
func TestStatusCountsAtTheChange(t *testing.T) {
	x := newHeart(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{})
	sites := []*Line{NewLine(RoundRobin, 0), NewLine(Longest, 0), NewLine(RoundRobin, 0)}
	claimed := make(chan *Queue, 100)
	act := func(r *rand.Rand) {
		site := sites[r.IntN(len(sites))]
		switch r.IntN(7) {
		case 0, 1:
			if q := x.line.Pick(); q != nil {
				site.Push(q)
			}
		case 2:
			if q := x.line.Pick(); q != nil && q.Claim(WaitFor(ReasonDNS, q.Domain, "lookup", time.Time{})) {
				claimed <- q
			}
			if len(claimed) > 4 {
				q := <-claimed
				q.Unclaim()
				x.h.Ready(q)
			}
		case 3:
			site.Explain(WaitFor([]ReasonKind{ReasonNone, ReasonSite, ReasonConnection}[r.IntN(3)], "x", "", time.Time{}))
		case 4:
			if v := x.h.Serve(site, time.Now()); v != nil {
				v.FailAll([]Outcome{Sent, Deferred, Again}[r.IntN(3)], smtp.Reply{Code: 450})
				x.h.Settle(v)
			}
		case 5:
			if q := site.Pick(); q != nil {
				x.h.Ready(q)
			}
		case 6:
			x.h.sweep(time.Now())
		}
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 7))
			for i := range 2000 {
				m := &Message{ID: ID(1_000_000*g + i), Content: NewContent(Letter{Body: []byte("x\r\n")}), Slip: &Slip{Arrived: time.Now()}}
				m.Slip.Rcpts = []Rcpt{{Addr: fmt.Sprint("a@d", r.IntN(20))}, {Addr: fmt.Sprint("b@d", r.IntN(20))}}
				if err := x.Accept(m); err != nil {
					t.Error(err)
				}
				act(r)
			}
		})
	}
	wg.Wait()
	for held := range 2 {
		got, want := x.h.Status(), x.counted()
		if got.Queues != want.Queues || got.Active != want.Active || got.Busy != want.Busy || got.Held != want.Held {
			t.Errorf("counted: %d queues, %d active, %d busy, %d held; there are %d, %d, %d, %d",
				got.Queues, got.Active, got.Busy, got.Held, want.Queues, want.Active, want.Busy, want.Held)
		}
		for _, l := range sites {
			n := 0
			for st := range l.everyStrand {
				for q := st.first; q != nil; q = q.behind {
					n += q.Len()
				}
			}
			if l.Nodes() != n {
				t.Errorf("a line counts %d nodes and has %d", l.Nodes(), n)
			}
			l.Explain(WaitFor([]ReasonKind{ReasonSite, ReasonNone}[held], "x", "", time.Time{}))
		}
	}
}

// TestPages: pages one after the other have every message that waits all the time, once and in order, whatever comes and goes meanwhile.
func TestPages(t *testing.T) {
	x := crowd(t, 3*mostAtOnce)
	var got []ID
	for after, more := ID(0), true; more; {
		more = false
		n := 0
		for l := range x.h.MessagesAfter(after) {
			id, _ := ParseID(l.ID)
			got, after, more = append(got, id), id, true
			if n++; n == 100 {
				break
			}
		}
		for _, gone := range []ID{after, after + 1, after - 7} { // the cursor itself leaves too
			if msg := x.messages.byID(gone); msg != nil {
				x.l.take(msg.Node(0), x.l.newDecree(Act{Verb: VerbDelete}, nil, msg.Taken()))
			}
		}
	}
	if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
		t.Errorf("not in order: %v", got)
	}
	for msg := range x.each {
		if !slices.Contains(got, msg.ID) {
			t.Errorf("%d is missed", msg.ID)
		}
	}
}

// TestQueuesInOrder: the longest come first, and those that are only deferred or held are there too.
func TestQueuesInOrder(t *testing.T) {
	x := crowd(t, 1000)
	for range 3 {
		x.accept(t, "a@d8.example")
	}
	x.accept(t, "a@d9.example") // where one is deferred; its mail has no flow, and a queue of its own
	qs := x.Queues(0)
	if len(qs) != 1002 || qs[0].Domain != "d8.example" || qs[0].Active != 3 {
		t.Fatalf("%d queues, the first %+v", len(qs), qs[0])
	}
	if some := x.Queues(10); !slices.Equal(some, qs[:10]) {
		t.Errorf("%+v\nwant %+v", some, qs[:10])
	}
	n := 0
	x.EachQueue(func(QueueStatus) bool { n++; return n < 300 })
	if n != 300 {
		t.Errorf("%d queues after the reader had enough", n)
	}
}
