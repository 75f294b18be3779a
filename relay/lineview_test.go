package relay

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

// flowQueue is a queue of n nodes of a flow. Its first message arrived at that time.
func flowQueue(domain string, f *Flow, n int, arrived time.Time) *Queue {
	q := testQueue(domain, n)
	q.Flow = f
	q.head.Message.Slip.Arrived = arrived
	return q
}

// TestLineView: a line tells its queues, nodes and flows, and says when there are more of them than it looked at.
func TestLineView(t *testing.T) {
	at := time.Unix(1_700_000_000, 0)
	shop, club := &Flow{name: FlowName{Tenant: "shop", Name: "autumn"}}, &Flow{name: FlowName{Sender: "club.example"}}
	for _, c := range []struct {
		name  string
		most  int
		fill  func(*Line)
		want  LineView
		nodes int
	}{
		{"empty", 10, func(*Line) {}, LineView{Whole: true}, 0},
		{"several flows", 10, func(l *Line) {
			l.Push(flowQueue("a", club, 2, at.Add(time.Hour)))
			l.Push(flowQueue("a", shop, 3, at.Add(2*time.Hour)))
			l.Push(flowQueue("b", shop, 4, at))
			l.Push(flowQueue("c", nil, 1, at.Add(time.Minute)))
		}, LineView{Queues: 4, Nodes: 10, Whole: true, Oldest: at, Flows: []FlowView{{shop.name, 2, 7}, {club.name, 1, 2}, {FlowName{}, 1, 1}}}, 10},
		{"more than are looked at", 3, func(l *Line) {
			for i := range 10 {
				l.Push(flowQueue(fmt.Sprint(i), shop, 5, at))
			}
		}, LineView{Queues: 10, Nodes: 50, Oldest: at, Flows: []FlowView{{shop.name, 3, 15}}}, 50},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLine(RoundRobin, 0)
			c.fill(l)
			if got := l.View(c.most); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if n := l.Nodes(); n != c.nodes {
				t.Errorf("%d nodes, want %d", n, c.nodes)
			}
		})
	}
}

// TestLineViewOfEmptiedQueues: a queue that was emptied in line has no oldest message.
func TestLineViewOfEmptiedQueues(t *testing.T) {
	l, at := NewLine(RoundRobin, 0), time.Unix(1_700_000_000, 0)
	gone := flowQueue("a", nil, 1, at)
	l.Push(gone)
	l.Push(flowQueue("b", nil, 1, at.Add(time.Hour)))
	gone.shard.mu.Lock()
	gone.unlink(gone.head)
	gone.shard.mu.Unlock()
	if v := l.View(10); v.Queues != 2 || v.Nodes != 1 || !v.Oldest.Equal(at.Add(time.Hour)) {
		t.Errorf("%+v", v)
	}
}

// TestHeldTenants: a tenant at its limit is named while it has mail.
func TestHeldTenants(t *testing.T) {
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}})
	m.SetTenants([]TenantConfig{{Name: "shop", Connections: 1}, {Name: "club", Connections: 1}, {Name: "idle", Connections: 1}, {Name: "free"}})
	for _, name := range []string{"shop", "club", "free"} {
		m.flows.intern(FlowName{Tenant: name}).tenant.force(time.Now())
	}
	held := m.HeldTenants(10)
	if len(held) != 2 || held[0].Who != "club" || held[1].Who != "shop" || held[0].Kind != ReasonTenant {
		t.Errorf("%+v", held)
	}
	if held = m.HeldTenants(1); len(held) != 1 {
		t.Errorf("more than were asked for: %+v", held)
	}
}
