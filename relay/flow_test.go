package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// TestNamesOfOneSenderAreBounded: a sender that names each message otherwise does not get a queue for each.
func TestNamesOfOneSenderAreBounded(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	for i := range 10 * maxNames {
		x.offer(t, 1, FlowName{Name: fmt.Sprintf("<%d.list.example>", i), Sender: "n.example"}, "a@x")
	}
	x.offer(t, 1, FlowName{Name: "<list.example>", Sender: "other.example"}, "a@x") // others are as free as before
	if n := x.h.Status().Queues; n != maxNames+2 {
		t.Errorf("%d queues", n)
	}
	common := FlowName{Sender: "n.example"}
	l := x.NewLine()
	x.gather(l)
	got := x.served(t, l, 3*(maxNames+2))
	if got[common] == 0 || got[FlowName{Name: "<list.example>", Sender: "other.example"}] != 1 {
		t.Errorf("the common flow had %d turns, the other sender %d", got[common], got[FlowName{Name: "<list.example>", Sender: "other.example"}])
	}
	x.served(t, l, 9*maxNames-got[common])
	if len(x.flows.byName) != 0 || len(x.flows.names) != 0 || x.budget.Used(AccountMail) != 0 {
		t.Errorf("%d flows are left, %d bytes", len(x.flows.byName), x.budget.Used(AccountMail))
	}
}

// TestFlowIsKnownWhileItHasMail: there is one Flow for each name, as long as there is mail of it.
func TestFlowIsKnownWhileItHasMail(t *testing.T) {
	b := NewBudget(0)
	fs := newFlows(b, NewWrappers(b))
	name := FlowName{Tenant: "gold", Name: "news", Sender: "n.example"}
	f := fs.intern(name)
	fs.retain(f) // a queue of it
	if g := fs.intern(name); g != f || f.owner() != fs.tenants["gold"] || f.Name() != name {
		t.Fatalf("another flow for the same name: %+v", g)
	}
	if urgent := fs.intern(FlowName{Tenant: "gold", Name: "news", Sender: "n.example", Urgent: true}); urgent == f || urgent.owner() != f.owner() {
		t.Error("urgent mail of the tenant is a flow of its own")
	} else {
		fs.disown(urgent)
	}
	fs.disown(f)
	fs.disown(f)
	if fs.intern(name) != f {
		t.Error("it is forgotten while it has a queue")
	}
	fs.disown(f)
	if fs.disown(f); len(fs.byName) != 0 || len(fs.tenants) != 0 || len(fs.names) != 0 || b.Used(AccountMail) != 0 {
		t.Error("it is known without mail")
	}
	if fs.intern(FlowName{}) != nil {
		t.Error("mail of nobody in particular is no flow")
	}
}

// TestRestoredFlow: a message that is brought back has the flow that the doors' rules give it today.
func TestRestoredFlow(t *testing.T) {
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}, Flow: func(m *Message) FlowName {
		return FlowName{Tenant: "gold", Name: m.QueueID()}
	}})
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	msg := testMessage("a@x")
	msg.Slip.QueueID = "A"
	m.Restore(Saved{Message: msg, Nodes: []SavedNode{{Rcpts: []int{0}}}}, h)
	if q := m.line.Pick(); q.Flow.Name() != (FlowName{Tenant: "gold", Name: "A"}) || msg.Flow() != q.Flow.Name() {
		t.Errorf("restored into %+v", q.Flow.Name())
	}
}

// TestOwnMailHasAFlow: notifications, and mail that is handed back, do not wait behind the tenant that they came from.
func TestOwnMailHasAFlow(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{Visits: 1})
	x.SetTenants([]TenantConfig{{Name: "gold", Rate: minRate}})
	x.offer(t, 2, FlowName{Tenant: "gold"}, "a@x")
	l := x.NewLine()
	x.gather(l)
	v := x.h.Serve(l, time.Now())
	v.FailAll(Deferred, smtp.Reply{Code: 451})
	x.h.Settle(v)
	notice := flowMessage(FlowName{Tenant: "gold", Name: "no notice has one"}, "list@n.example")
	notice.Slip.Class = ClassInject
	if err := x.Accept(notice); err != nil {
		t.Fatal(err)
	}
	x.gather(l)
	for range 2 {
		v := x.h.Serve(l, time.Now())
		if v == nil || v.Node.Class() != ClassInject || v.Node.queue.Flow != x.flows.own {
			t.Fatalf("served %+v", v)
		}
		x.settle(v)
	}
	if x.h.Serve(l, time.Now()) != nil {
		t.Error("the tenant exceeds its rate")
	}
}

// TestListedFlow: lists say with whose mail a message and a queue take turns.
func TestListedFlow(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	x.offer(t, 2, FlowName{Tenant: "gold", Name: "<news.n.example>", Sender: "n.example", Urgent: true}, "a@x")
	x.offer(t, 1, FlowName{Sender: "m.example"}, "a@x")
	want := []FlowListing{{Tenant: "gold", Flow: "<news.n.example>", Urgent: true}, {Flow: "m.example"}}
	qs := x.Queues(0)
	if len(qs) != 2 || qs[0].FlowListing != want[0] || qs[1].FlowListing != want[1] {
		t.Errorf("queues %+v", qs)
	}
	listed := make(map[FlowListing]int)
	for l := range x.h.Messages {
		listed[l.FlowListing]++
	}
	if listed[want[0]] != 2 || listed[want[1]] != 1 {
		t.Errorf("messages %v", listed)
	}
}
