package main

import (
	"cmp"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// Trace knows the recipient joe@slow.example, the Message-ID a.1@n.example and the queue id 4bXyZ2, which are of one message that waits.
// old@gone.example is in more messages than are shown. The history is off for the name "off".
func (f *fakeDaemon) Trace(q console.TraceQuery) (console.TraceReport, error) {
	r := console.TraceReport{Messages: []console.Trace{}, Since: 1_699_990_000_000}
	switch name := cmp.Or(q.ID, q.MessageID, q.Recipient); {
	case q.Recipient == "joe@slow.example", q.MessageID == "a.1@n.example", q.ID == "4bXyZ2":
		r.Messages = append(r.Messages, sampleTrace())
	case q.Recipient == "old@gone.example":
		r.Messages, r.More = append(r.Messages, sampleNotice(), console.Trace{ID: "17-0", State: console.TraceUnknown, MoreEvents: true}), true
		r.Gaps = []console.TraceGap{{Since: 1_699_999_000_000, Until: 1_699_999_060_500, Events: 12}}
	case name == "off":
		r.Off, r.Since = true, 0
	case name == "empty":
		r.Since = 0
	}
	return r, nil
}

// sampleTrace is a message of which one recipient waits.
func sampleTrace() console.Trace {
	delays := [4]float64{0.04, 1, 0.11, 0.1}
	event := func(at int64, what, rcpt, reply string) console.TraceEvent {
		return console.TraceEvent{
			Time: console.Moment(1_700_000_000_000 + at), Event: what, Recipient: rcpt, Reply: reply,
			Relay: "mx.slow.example[192.0.2.1]:25", ConnUse: 3, Delay: 1.25, Delays: &delays,
		}
	}
	lost := event(61_007, "deferred", "joe@slow.example", "421 4.4.2 connection lost")
	lost.MaybeTwice, lost.ConnUse = true, 1
	return console.Trace{
		ID: "17-2", QueueID: "4bXyZ2", MessageID: "a.1@n.example", Sender: "b+124@n.example", Size: 2000, Recipients: 3, Rule: "list-id",
		Client: "app[192.0.2.7]", FlowListing: relay.FlowListing{Tenant: "shop", Flow: "list:autumn\x1b[31m"}, State: console.TraceWaiting,
		Events: []console.TraceEvent{
			{Time: 1_700_000_000_040, Event: "taken", Delay: 0.04},
			event(1250, "deferred", "joe@slow.example", "451 4.7.1 later\r\nNov 14 forged"),
			event(1250, "bounced", "no@slow.example", "550 5.1.1 no such user"),
			event(1251, "sent", "", "250 2.0.0 Ok: queued as 5F1"),
			{Time: 1_700_000_001_300, Event: "reported", Recipient: "no@slow.example", Report: "17-9"},
			lost,
			{Time: 1_700_000_070_000, Event: "interrupted", Recipient: "joe@slow.example", MaybeTwice: true},
		},
		Waiting: []relay.ListedRcpt{{Address: "joe@slow.example", Domain: "slow.example", State: "deferred", Attempts: 2, NextAttempt: 1_700_000_600, DelayReason: "451 4.7.1 later"}},
	}
}

// sampleNotice is a notification that nobody takes.
func sampleNotice() console.Trace {
	return console.Trace{
		ID: "17-9", Recipients: 1, Notice: true, State: console.TraceDone,
		Events: []console.TraceEvent{
			{Time: 1_700_000_001_300, Event: "taken"},
			{Time: 1_700_000_002_000, Event: "bounced", Recipient: "old@gone.example", Reply: "550 no", Relay: "none"},
			{Time: 1_700_000_002_000, Event: "reported", Recipient: "old@gone.example"},
		},
	}
}

func TestPrintHistory(t *testing.T) {
	for _, test := range []struct {
		h    *console.History
		want string
	}{
		{nil, ""},
		{&console.History{}, "history  it is empty, 0 B in 0 files; 0 events written\n"},
		{&console.History{Since: 1_700_000_000_040, Bytes: 3_500_000, Segments: 2, Written: 12, Missed: 3, Fault: "no \x1bspace"},
			"history  since " + clock(1_700_000_000) + ", 3.3 MiB in 2 files; 12 events written, 3 missed; nothing is written now: no ?space\n"},
	} {
		var b strings.Builder
		if printHistory(&b, test.h); b.String() != test.want {
			t.Errorf("got %q, want %q", &b, test.want)
		}
	}
}
