package relay

import (
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/millrace/millrace/relay/smtp"
)

// flowMessage is a message of a flow.
func flowMessage(f FlowName, rcpts ...string) *Message {
	m := testMessage(rcpts...)
	m.Slip.Flow = f
	return m
}

// offer has the heart take n messages of a flow, one recipient each.
func (x *heart) offer(t testing.TB, n int, f FlowName, rcpt string) {
	t.Helper()
	for range n {
		if err := x.Accept(flowMessage(f, rcpt)); err != nil {
			t.Fatal(err)
		}
	}
}

// gather puts every queue of the handler's line into l, as a site does.
func (x *heart) gather(l *Line) {
	for q := x.line.Pick(); q != nil; q = x.line.Pick() {
		l.Push(q)
	}
}

// settle ends a visit as sent.
func (x *heart) settle(v *Visit) {
	v.FailAll(Sent, smtp.Reply{Code: 250})
	x.h.Settle(v)
}

// served serves l n times and counts the visits of each flow.
func (x *heart) served(t testing.TB, l *Line, n int) map[FlowName]int {
	t.Helper()
	got := make(map[FlowName]int)
	for range n {
		v := x.h.Serve(l, time.Now())
		if v == nil {
			t.Fatalf("nothing was served after %v", got)
		}
		got[v.Node.Message.Flow()]++
		x.settle(v)
	}
	return got
}

// TestShares: two tenants 3 : 1, one of them with flows of very different sizes, and each gets its part of 10,000 turns.
func TestShares(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	x.SetTenants([]TenantConfig{{Name: "gold", Weight: 3}, {Name: "silver", Weight: 1}})
	small, large := FlowName{Tenant: "gold", Name: "small"}, FlowName{Tenant: "gold", Name: "large"}
	silver := FlowName{Tenant: "silver", Name: "news"}
	x.offer(t, 40_000, large, "a@x") // five queues
	x.offer(t, 4_000, small, "a@x")
	for i := range 4_000 {
		x.offer(t, 1, silver, fmt.Sprintf("a@y%d", i%700)) // many short queues
	}
	l := x.NewLine()
	x.gather(l)
	got := x.served(t, l, 10_000)
	for f, want := range map[FlowName]float64{large: 3750, small: 3750, silver: 2500} {
		if off := math.Abs(float64(got[f])-want) / want; off > 0.1 {
			t.Errorf("%+v had %d turns, want %g", f, got[f], want)
		}
	}
	x.SetTenants([]TenantConfig{{Name: "gold", Weight: 1}, {Name: "silver", Weight: 1}})
	if got := x.served(t, l, 200); got[silver] < 90 || got[silver] > 110 {
		t.Errorf("with equal weights: %v of 200 turns", got)
	}
}

// longQueue is a queue of a flow with so many nodes that none of the test empties it.
func longQueue(f *Flow, domain string, n int) *Queue {
	q := testQueue(domain, 1)
	q.Flow = f
	q.active.Store(int32(n))
	return q
}

// testFlow is a flow outside any map.
func testFlow(name FlowName, tenant *Tenant) *Flow { return &Flow{name: name, tenant: tenant} }

// TestOneMessageBehindAMillion: a message of another sender does not wait behind a campaign at the same domain.
func TestOneMessageBehindAMillion(t *testing.T) {
	for _, order := range []Order{RoundRobin, Longest, LongestAged} {
		for _, flows := range []int{1, 3, 50} {
			l := NewLine(order, time.Minute)
			l.SetSlice(50)
			now := time.Now()
			for f := range flows {
				flow := testFlow(FlowName{Name: fmt.Sprint("campaign ", f)}, nil)
				for range 100 {
					l.Push(longQueue(flow, "x", 1_000_000/100/flows))
				}
			}
			for range 1234 {
				l.serve(now)
			}
			other := longQueue(testFlow(FlowName{Name: "other"}, nil), "x", 1)
			l.Push(other)
			n := 1
			for l.serve(now) != other {
				n++
			}
			if n > 2*(flows+1) {
				t.Errorf("order %d, %d flows: served as number %d", order, flows, n)
			}
		}
	}
}

// TestUrgentGoesFirst: urgent mail has every turn but one in twenty while other mail waits, and every turn while none does.
func TestUrgentGoesFirst(t *testing.T) {
	l, now := NewLine(RoundRobin, 0), time.Now()
	urgent := longQueue(testFlow(FlowName{Urgent: true}, nil), "x", 1_000_000)
	l.Push(urgent)
	for range 100 {
		if l.serve(now) != urgent {
			t.Fatal("urgent mail is not served")
		}
	}
	for i := range 3 {
		l.Push(longQueue(testFlow(FlowName{Name: fmt.Sprint(i)}, nil), "x", 1_000_000))
	}
	since := 0
	for i := range 1000 {
		if l.serve(now) == urgent {
			since++
		} else {
			if since != 19 {
				t.Fatalf("turn %d: %d urgent turns before one of the rest", i, since)
			}
			since = 0
		}
	}
}

// TestSlice: a queue has its slice before the next queue of its flow, while the flows take turns node by node.
func TestSlice(t *testing.T) {
	l, now := NewLine(RoundRobin, 0), time.Now()
	l.SetSlice(3)
	f, g := testFlow(FlowName{Name: "f"}, nil), testFlow(FlowName{Name: "g"}, nil)
	for _, q := range []*Queue{longQueue(f, "a", 99), longQueue(f, "b", 99), longQueue(g, "A", 99), longQueue(g, "B", 99)} {
		l.Push(q)
	}
	got := ""
	for range 16 {
		got += l.serve(now).Domain
	}
	if want := "aAaAaAbBbBbBaAaA"; got != want {
		t.Errorf("served %s, want %s", got, want)
	}
}

// TestAgedQueueHasItsSlice: with longest-aged a queue that has become old has one slice, and not all turns until it is empty.
func TestAgedQueueHasItsSlice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := NewLine(LongestAged, time.Minute)
		l.SetSlice(2)
		l.Push(longQueue(nil, "a", 5))
		time.Sleep(time.Hour)
		l.Push(longQueue(nil, "b", 99))
		got := ""
		for range 6 {
			got += l.serve(time.Now()).Domain
		}
		if want := "aabbbb"; got != want {
			t.Errorf("served %s, want %s", got, want)
		}
	})
}

// TestServeModel compares serve of one flow alone, with and without nodes that leave elsewhere, with a list: then the order is that
// of the admin, as without flows.
func TestServeModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		order := rapid.SampledFrom([]Order{RoundRobin, Longest}).Draw(t, "order")
		slice := rapid.IntRange(1, 4).Draw(t, "slice")
		l := NewLine(order, 0)
		l.SetSlice(slice)
		var model []*Queue
		turn := make(map[*Queue]int)
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			if rapid.IntRange(0, 3).Draw(t, "push") == 0 {
				q := longQueue(nil, string(rune('a'+len(turn)%26)), rapid.IntRange(1, 9).Draw(t, "nodes"))
				turn[q] = 0
				model = append(model, q)
				l.Push(q)
				continue
			}
			want := modelPick(model, order)
			got := l.serve(time.Now())
			if got != want {
				t.Fatalf("served %v, want %v", got, want)
			}
			if got == nil {
				continue
			}
			got.active.Add(-1)
			turn[got]++
			i := 0
			for model[i] != got {
				i++
			}
			if got.Len() == 0 || turn[got] >= slice {
				model = append(model[:i:i], model[i+1:]...)
				turn[got] = 0
				if got.Len() > 0 {
					model = append(model, got)
				} else if !l.remove(got) {
					t.Fatal("an emptied queue had left the line")
				}
			}
		}
		if l.Len() != len(model) {
			t.Fatalf("%d queues in line, want %d", l.Len(), len(model))
		}
	})
}

// TestServeGivesBack: a turn that met an emptied queue is no turn.
func TestServeGivesBack(t *testing.T) {
	l, now := NewLine(RoundRobin, 0), time.Now()
	a, b := longQueue(testFlow(FlowName{Name: "a"}, nil), "a", 9), longQueue(testFlow(FlowName{Name: "b"}, nil), "b", 9)
	l.Push(a)
	l.Push(b)
	if l.serve(now) != a {
		t.Fatal("a comes first")
	}
	pass := a.strand.share.pass
	l.giveBack(a)
	if a.strand.share.pass >= pass || l.serve(now) != a || l.serve(now) != b {
		t.Error("the turn was lost")
	}
}

// TestFlowsLeaveTheLine: nothing of a flow stays in a line when its last node is gone, with few flows and with many.
func TestFlowsLeaveTheLine(t *testing.T) {
	for _, n := range []int{1, few, few + 1, 100} {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		l := x.NewLine()
		for i := range n {
			x.offer(t, 2, FlowName{Name: fmt.Sprint(i % 7), Tenant: fmt.Sprint(i), Sender: "n.example", Urgent: i%2 == 1}, "a@x")
		}
		x.gather(l)
		if (l.strands != nil) != (n > few) || (l.lanes[bulk].shares != nil) != (n > 2*few) {
			t.Errorf("%d flows: maps %t, %t", n, l.strands != nil, l.lanes[bulk].shares != nil)
		}
		x.served(t, l, 2*n)
		if v := x.h.Serve(l, time.Now()); v != nil || l.Len() != 0 {
			t.Errorf("%d flows: served %v, %d queues in line", n, v, l.Len())
		}
		for st := range l.everyStrand {
			t.Errorf("%+v is left", st.flow.Name())
		}
		if l.strands != nil || l.flows != 0 || l.lanes[bulk].shares != nil || l.lanes[urgent].n != 0 {
			t.Errorf("%d flows: %d left", n, l.flows)
		}
		if len(x.flows.byName) != 0 || len(x.flows.names) != 0 || len(x.flows.tenants) != 0 || x.h.Status().Bytes != 0 {
			t.Errorf("%d flows are known, %d names, %d tenants, %d bytes charged", len(x.flows.byName), len(x.flows.names), len(x.flows.tenants), x.h.Status().Bytes)
		}
	}
}
