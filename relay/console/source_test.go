package console

import (
	"fmt"
	"sync/atomic"

	"github.com/millrace/millrace/relay"
)

// fakeSource has n messages, every third for b.example.
type fakeSource struct {
	n      int
	walked atomic.Int64  // messages yielded
	ended  chan struct{} // closed when a walk has returned
	hold   chan struct{} // when set, Status waits for it
	read   *Progress     // of a recovery that is not over

	reloaded  Reloaded
	reloadErr error
}

func (f *fakeSource) ReloadFile() (Reloaded, error) { return f.reloaded, f.reloadErr }

func (f *fakeSource) Status() Status {
	if f.hold != nil {
		<-f.hold
	}
	return Status{
		Status:  relay.Status{Taken: 1204, Messages: int64(f.n), Sent: 1 << 60},
		Version: "1.2.3", PID: 812, Hostname: "mail.example.org", Mode: "deliver", Started: 1_700_000_000, Uptime: 60,
		Doors:   []Door{{Name: "milter", Sessions: 12, Seen: 1310, Taken: 1204, Rules: []RuleCount{{Name: "list-id", Seen: 24}}}},
		Pool:    PoolStatus{Sites: 14, Connections: 38, Busy: 7},
		DNS:     DNS{Lookups: 1 << 60},
		Journal: Journal{Segments: 3, Recovering: f.read},
	}
}

func (f *fakeSource) Queues() []relay.QueueStatus {
	return []relay.QueueStatus{{Domain: "a.example", Active: 2}, {Domain: "b.example", Deferred: 1, ReasonStatus: relay.ReasonStatus{Reason: "<greylisted>"}}}
}

func (f *fakeSource) Messages(yield func(relay.Listing) bool) {
	if f.ended != nil {
		defer close(f.ended)
	}
	for i := range f.n {
		f.walked.Add(1)
		if !yield(fakeListing(i)) {
			return
		}
	}
}

// MessagesNamed has two messages of the queue id "twice".
func (f *fakeSource) MessagesNamed(id string) (named []relay.Listing) {
	for i := range f.n {
		if l := fakeListing(i); l.ID == id || l.QueueID == id || id == "twice" && i < 2 {
			named = append(named, l)
		}
	}
	return named
}

func fakeListing(i int) relay.Listing {
	domain := "a.example"
	if i%3 == 2 {
		domain = "b.example"
	}
	return relay.Listing{
		QueueName: "deferred", QueueID: fmt.Sprintf("4bXy%d", i), ArrivalTime: 1_700_000_000, MessageSize: 18230,
		Sender: fmt.Sprintf("b+%d@n.example", i), ID: fmt.Sprintf("m/%d", i), Rule: "list-id", Expires: 1_700_172_800,
		Recipients: []relay.ListedRcpt{{
			Address: "x@" + domain, Domain: domain, State: "deferred", Attempts: 2, DelayReason: "451 <later>",
		}},
	}
}
