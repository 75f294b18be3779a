package main

import (
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

func sampleStatus() console.Status {
	return console.Status{
		Status: relay.Status{
			Taken: 1204, Restored: 3, Removed: 1000, Messages: 207, Bytes: 3_500_000, Queues: 40, Active: 190, Busy: 5, Deferred: 12,
			Sent: 980, Deferrals: 31, Bounced: 20, Expired: 1, HandedBack: 2, Deleted: 6, MaybeTwice: 4,
			Notices: 19, NoticesSent: 17, NoticesLost: 1,
		},
		Totals:  console.Tallied{First: 1_700_000_000, Messages: 91_204, Sent: 88_000, Bounced: 1720, Left: 207, LastTaken: 1_700_000_000},
		Version: "millrace v1.2.3 (go1.26)", PID: 812, Hostname: "mail.example.org", Mode: "deliver", Uptime: 11_524,
		Doors: []console.Door{{
			Name: "milter", Sessions: 12, Seen: 1310, Passed: 106, Taken: 1204, Dripped: 30,
			Rules: []console.RuleCount{{Name: "list-unsubscribe", Seen: 1183, Taken: 1180, Passed: 3}, {Name: "list-id", Seen: 24, Taken: 24}, {Name: "precedence", Seen: 7, Passed: 7}, {Name: "feedback-id"}},
			Left:  []console.LeftCount{{Cause: "form", Count: 2}, {Cause: "queues full", Count: 94}},
		}},
		Gate: console.Gate{
			GateStatus: relay.GateStatus{
				State: relay.GateHold, Since: 1_700_000_000, Fill: 0.95, Left: 40, LeftSites: 7, ShutRooms: 2,
				ReasonStatus: relay.ReasonStatus{Kind: relay.ReasonMemory, Reason: "95 % of queue.max_bytes is used"},
				Shut: []relay.ShutRoom{
					{Site: "mx.dead.example", State: relay.GateOverflow, Since: 1_700_000_000, ReasonStatus: relay.ReasonStatus{Reason: "it takes nothing"}},
					{Tenant: "acme", State: relay.GateHold, Since: 1_700_000_000, ReasonStatus: relay.ReasonStatus{Reason: "tenant acme has 100 messages here"}},
				},
			},
			Held: 3,
		},
		Pool: console.PoolStatus{Sites: 14, Connections: 38, Busy: 5, Closed: 1},
		DNS:  console.DNS{Entries: 44, Healthy: true, Hits: 1204, Stale: 7},
		Journal: console.Journal{
			Ack: "journal", Segments: 2, Unwritable: "disk full",
			Recovery: &console.Recovery{Messages: 3, MaybeTwice: 1, Took: 5},
		},
		Reasons: []relay.ReasonStatus{{Kind: relay.ReasonJournal, Reason: "nothing is sent that cannot be recorded: disk full"}},
	}
}

func sampleQueue() []relay.Listing {
	return []relay.Listing{
		{
			QueueName: "active", QueueID: "4bXyZ1", ID: "17-1", ArrivalTime: 1_700_000_000, MessageSize: 18_230, Expires: 1_700_172_800,
			Sender: "b+123@n.example", Rule: "list-unsubscribe",
			Recipients: []relay.ListedRcpt{{Address: "a@gmail.com", Domain: "gmail.com", State: "busy", Attempts: 0}},
		},
		{
			QueueName: "deferred", QueueID: "4bXyZ2", ID: "17-2", ArrivalTime: 1_700_000_060, MessageSize: 2_000, Expires: 1_700_172_860,
			Sender: "b+124@n.example", Rule: "list-id",
			Recipients: []relay.ListedRcpt{
				{Address: "x@slow.example", Domain: "slow.example", State: "deferred", Attempts: 2, NextAttempt: 1_700_000_600,
					DelayReason: "host mx.slow.example[192.0.2.1] said: 451 4.7.1 \x1b[31mlater\r\n"},
				{Address: "y@slow.example", Domain: "slow.example", State: "deferred", Attempts: 2, NextAttempt: 1_700_000_600,
					DelayReason: "host mx.slow.example[192.0.2.1] said: 451 4.7.1 \x1b[31mlater\r\n"},
				{Address: "z@other.example", Domain: "other.example", State: "active"},
			},
		},
		{
			QueueName: "deferred", QueueID: "4bXyZ3", ID: "17-3", ArrivalTime: 1_700_000_120, MessageSize: 900, Expires: 1_700_172_920,
			Recipients: []relay.ListedRcpt{{Address: "ü@dead.example", Domain: "dead.example", State: "deferred", Attempts: 1,
				NextAttempt: 1_700_003_600, DelayReason: "no route"}},
		},
	}
}

func sampleSites() []console.Site {
	return []console.Site{
		{
			Site: "mx1.example,mx2.example:25", Source: "news-1", Provider: "gmail", Rule: "goo", Hosts: []string{"mx1.example", "mx2.example"},
			Window: 10, WindowBy: "learned", Ceiling: 11, Channels: 3, Slow: 1, Rate: 5, RateBy: "rule goo", Goodput: 4.25, LatencyMS: 120, Open: 4, Idle: 1,
			Waiting: 1200, Nodes: 3400, AtLeast: true, Oldest: 1_700_000_000, MoreFlows: 3,
			Flows: []console.Flow{
				{Tenant: "shop", Name: "autumn", Sender: "n.example", Nodes: 3000, Queues: 900},
				{Sender: "reset.example", Urgent: true, Nodes: 40, Queues: 40},
			},
			LearnedSince: 1_699_990_000, LastThrottle: "421 4.7.0 \x1b[31mslow\r\ndown", LastThrottleAt: 1_700_000_000,
			Held:                  &relay.ReasonStatus{Kind: relay.ReasonRate, Reason: "waiting for its turn: 5/s"},
			MessagesPerConnection: 50, RecipientsPerMessage: 100, DomainsPerTransaction: 1, TLS: "may",
			Warming:   &console.Warming{Provider: "gmail", Plan: 200, Spent: 120},
			Suspended: []console.Suspension{{Sender: "bad.example", Reason: "554 policy", Until: 1_700_001_000}},
			InClear:   []console.ClearHost{{Host: "mx1.example[192.0.2.1]:25", Connections: 3, Reason: "454 no", Until: 1_700_002_000}},
		},
		{
			Site: "mx.dead.example:25", Hosts: []string{"mx.dead.example"}, WindowBy: "default", Waiting: 1, Nodes: 7, Oldest: 1_699_900_000,
			Reason: "connect to mx.dead.example[192.0.2.9]:25: refused", ClosedUntil: 1_700_000_600,
			Held:                  &relay.ReasonStatus{Kind: relay.ReasonSite, Reason: "connect to mx.dead.example[192.0.2.9]:25: refused", Next: 1_700_000_600},
			MessagesPerConnection: 100, RecipientsPerMessage: 100, TLS: "may",
		},
	}
}
