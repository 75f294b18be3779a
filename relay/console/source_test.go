package console

import (
	"errors"
	"fmt"
	"iter"
	"slices"
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

	traced atomic.Pointer[TraceQuery]
	asked  StatisticsOf

	upgradedBy string
	upgradeErr error
	handovers  atomic.Int64
	failure    string
}

// Sharing has a value for every field.
func (f *fakeSource) Sharing(most int) []relay.Sharing {
	rows := make([]relay.Sharing, min(f.n, most))
	for i := range rows {
		rows[i] = relay.Sharing{
			FlowListing: relay.FlowListing{Tenant: "shop", Flow: fmt.Sprintf("list:autumn-%d", i), Urgent: true}, Sender: "n.example",
			WrapperSize: relay.WrapperSize{Wrappers: 2, Messages: 1_000_000, Whole: 20_000_000_000, Shared: 44_000, Personal: 700_000_000},
		}
	}
	return rows
}

// Campaigns has n campaigns of the tenant "shop", or those two of any other name than "none".
func (f *fakeSource) Campaigns(tenant, name string, most int) (list []Campaign) {
	for i := range min(f.n, most) {
		if name == "none" || name != "" && i == 2 || tenant != "" && tenant != "shop" {
			break
		}
		list = append(list, fakeCampaign(i))
	}
	return list
}

// fakeCampaign has a value for every field.
func fakeCampaign(i int) Campaign {
	return Campaign{
		Tenant: "shop", Name: fmt.Sprintf("list:<autumn>-%d", i), Sender: "n.example", Rest: true, LastMessage: "CQ03L", Rate: 12.5, ETA: 600, Faults: []string{"no one-click"},
		Tallied: Tallied{
			Messages: 1, Recipients: 2, Sent: 3, Deferred: 4, Bounced: 5, BouncedBy: map[string]int64{"bad-mailbox": 4, "auth": 1}, Expired: 6, HandedBack: 7,
			Suppressed: 8, Deleted: 9, Left: 10, First: 1_700_000_000, LastTaken: 1_700_000_600, LastSent: 1_700_000_700,
		},
	}
}

// Statistics has so many minutes of everything but the site "none".
func (f *fakeSource) Statistics(of StatisticsOf) ([]Statistic, error) {
	if of.Site == "none" {
		return nil, errors.New("no statistics are kept of it")
	}
	f.asked = of
	list := make([]Statistic, min(f.n, of.Last))
	for i := range list {
		list[i] = fakeStatistic(i)
	}
	return list, nil
}

// fakeStatistic has a value for every field.
func fakeStatistic(i int) Statistic {
	return Statistic{
		Time: 1_700_000_040 + 60*int64(i), Span: 60, Messages: 1, Recipients: 2, Sent: 3, Deferred: 4, Bounced: 5, Expired: 6, HandedBack: 7, Deleted: 8,
		Peak: 9, Left: 10, MostLeft: 11, Queues: 12,
	}
}

// Sites has n sites. The name "none" stands for none of them, and every other for the first two.
func (f *fakeSource) Sites(name string, most int, yield func(Site) bool) {
	for i := range f.n {
		if name == "none" || name != "" && i == 2 || most > 0 && i == most || !yield(fakeSite(i)) {
			return
		}
	}
}

// fakeSite has a value for every field.
func fakeSite(i int) Site {
	return Site{
		Site: fmt.Sprintf("mx%d.example:25", i), Source: "news-1", Provider: "gmail", Rule: "goo", Hosts: []string{"mx.example"},
		Window: 10, WindowBy: "learned", Ceiling: 11, Channels: 3, Slow: 1, Rate: 0.5, RateBy: "rule goo", Goodput: 4.25, LatencyMS: 120, Open: 4, Idle: 1,
		Waiting: 12, Nodes: 1200, AtLeast: true, Oldest: 1_700_000_000, MoreFlows: 3,
		Flows:  []Flow{{Tenant: "shop", Name: "autumn", Sender: "n.example", Urgent: true, Queues: 2, Nodes: 900}},
		Reason: "451 <later>", ClosedUntil: 1_700_000_600,
		Held:         &relay.ReasonStatus{Kind: relay.ReasonSite, Who: "mx.example:25", Reason: "451 <later>", Next: 1_700_000_600},
		LearnedSince: 1_699_990_000, LastThrottle: "421 4.7.0 slow down", LastThrottleAt: 1_699_999_000,
		MessagesPerConnection: 50, RecipientsPerMessage: 100, DomainsPerTransaction: 1, TLS: "may",
		Warming:   &Warming{Provider: "gmail", Plan: 200, Spent: 120},
		Suspended: []Suspension{{Sender: "bad.example", Reason: "554 policy", Until: 1_700_001_000}},
		InClear:   []ClearHost{{Site: "mx.example:25", Host: "mx.example[192.0.2.1]:25", Connections: 3, Reason: "454 no", Until: 1_700_002_000}},
	}
}

// Trace has two messages of the recipient "joe@a.example", of which one waits, and none of any other.
func (f *fakeSource) Trace(q TraceQuery) (TraceReport, error) {
	f.traced.Store(&q)
	switch q.Recipient {
	case "broken@a.example":
		return TraceReport{}, errors.New("history: input/output error")
	case "joe@a.example":
		return fakeTrace(), nil
	}
	return TraceReport{Messages: []Trace{}, Off: true}, nil
}

func (f *fakeSource) ReloadFile() (Reloaded, error) { return f.reloaded, f.reloadErr }

func (f *fakeSource) Upgrade(who string) error {
	f.upgradedBy = who
	return f.upgradeErr
}

func (f *fakeSource) Status() Status {
	if f.hold != nil {
		<-f.hold
	}
	return Status{
		Status:  relay.Status{Taken: 1204, Messages: int64(f.n), Sent: 1 << 60},
		Version: "1.2.3", Handovers: int(f.handovers.Load()), HandoverFailure: f.failure, PID: 812, Hostname: "mail.example.org", Mode: "deliver", Started: 1_700_000_000, Uptime: 60,
		Doors:   []Door{{Name: "milter", Sessions: 12, Seen: 1310, Taken: 1204, Rules: []RuleCount{{Name: "list-id", Seen: 24}}}},
		Pool:    PoolStatus{Sites: 14, Connections: 38, Busy: 7},
		DNS:     DNS{Lookups: 1 << 60},
		Journal: Journal{Segments: 3, Recovering: f.read},
	}
}

var fakeQueues = []relay.QueueStatus{{Domain: "a.example", Active: 2}, {Domain: "b.example", Deferred: 1, ReasonStatus: relay.ReasonStatus{Reason: "<greylisted>"}}}

func (f *fakeSource) Queues(most int) iter.Seq[relay.QueueStatus] {
	if most == 0 || most > len(fakeQueues) {
		most = len(fakeQueues)
	}
	return slices.Values(fakeQueues[:most])
}

// Messages has the message with the ID i+1 as the i-th.
func (f *fakeSource) Messages(after relay.ID) iter.Seq[relay.Listing] {
	return func(yield func(relay.Listing) bool) {
		if f.ended != nil {
			defer close(f.ended)
		}
		for i := int(after); i < f.n; i++ {
			f.walked.Add(1)
			if !yield(fakeListing(i)) {
				return
			}
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
