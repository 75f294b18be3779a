package relay

import (
	"fmt"
	"testing"
	"time"
	"unsafe"
)

// benchFlows is a line with a number of flows, each with a queue that no benchmark empties, in 1, 10 or 1000 tenants.
func benchFlows(b *testing.B, order Order, flows, tenants int) (*Line, []*Flow) {
	b.Helper()
	l := NewLine(order, time.Minute)
	fs := newFlows(NewBudget(0), NewWrappers(NewBudget(0)))
	fs.configure(nil)
	all := make([]*Flow, flows)
	for i := range all {
		all[i] = fs.intern(FlowName{Tenant: fmt.Sprint("t", i%tenants), Name: fmt.Sprint(i), Sender: fmt.Sprint("s", i)})
		l.Push(longQueue(all[i], "x", 1_000_000_000))
	}
	return l, all
}

// BenchmarkLineServe is one turn of a site's line.
func BenchmarkLineServe(b *testing.B) {
	for _, order := range []string{"round-robin", "longest"} {
		for _, c := range [][2]int{{1, 1}, {100, 1}, {100, 10}, {100_000, 1}, {100_000, 1000}} {
			b.Run(fmt.Sprintf("%s/%d flows of %d tenants", order, c[0], c[1]), func(b *testing.B) {
				o, _ := ParseOrder(order)
				l, _ := benchFlows(b, o, c[0], c[1])
				now := time.Now()
				b.ReportAllocs()
				for b.Loop() {
					l.serve(now).Flow.owner().conclude()
				}
			})
		}
	}
}

// BenchmarkLinePush is a queue of a flow that waits in the line already: it joins, and leaves.
func BenchmarkLinePush(b *testing.B) {
	for _, flows := range []int{1, 100, 100_000} {
		b.Run(fmt.Sprintf("%d flows", flows), func(b *testing.B) {
			l, all := benchFlows(b, RoundRobin, flows, 1)
			queues := make([]*Queue, min(flows, 1000))
			for i := range queues {
				queues[i] = longQueue(all[i], "y", 1)
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				q := queues[i%len(queues)]
				l.Push(q)
				l.remove(q)
				i++
			}
		})
	}
}

// BenchmarkLinePushNewFlow is the same with a queue whose flow does not wait in the line yet.
func BenchmarkLinePushNewFlow(b *testing.B) {
	for _, flows := range []int{1, 100, 100_000} {
		b.Run(fmt.Sprintf("%d flows", flows), func(b *testing.B) {
			l, _ := benchFlows(b, RoundRobin, flows, 1)
			q := longQueue(testFlow(FlowName{Name: "new"}, nil), "y", 1)
			b.ReportAllocs()
			for b.Loop() {
				l.Push(q)
				l.remove(q)
			}
		})
	}
}

// TestLineAllocatesNothing: turns, and queues of flows that wait already, make no garbage. Sites that are idle have small lines.
func TestLineAllocatesNothing(t *testing.T) {
	for _, flows := range []int{1, few, few + 1, 1000} {
		l := NewLine(RoundRobin, 0)
		fs := newFlows(NewBudget(0), NewWrappers(NewBudget(0)))
		for i := range flows {
			l.Push(longQueue(fs.intern(FlowName{Tenant: fmt.Sprint(i % 3), Name: fmt.Sprint(i)}), "x", 1_000_000))
		}
		q, now := longQueue(l.lanes[bulk].ready.First().next.flow, "y", 1), time.Now()
		if n := testing.AllocsPerRun(100, func() {
			l.serve(now).Flow.owner().conclude()
			l.Push(q)
			l.remove(q)
		}); n != 0 {
			t.Errorf("%d flows: %g allocations", flows, n)
		}
	}
	if n := unsafe.Sizeof(Line{}); n > 400 {
		t.Errorf("a line takes %d bytes", n)
	}
}
