package daemon

import (
	"testing"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// TestRescuedCountsItsOwn: a recipient counts once, and only if a rescue has brought him.
func TestRescuedCountsItsOwn(t *testing.T) {
	var r rescued
	mine, other := &relay.Message{Slip: &relay.Slip{Rule: filter.RescueRule}}, &relay.Message{Slip: &relay.Slip{Rule: "list-id"}}
	mine.Slip.Rcpts = make([]relay.Rcpt, 6)
	if r.status() != nil {
		t.Error("counts before there was a rescue")
	}
	for _, m := range []*relay.Message{mine, other} {
		r.Event(&relay.Event{Kind: relay.EventTaken, Message: m, Rcpt: -1})
		for _, o := range []relay.Outcome{relay.Sent, relay.Sent, relay.Deferred, relay.Bounced, relay.Expired, relay.HandedBack} {
			r.Event(&relay.Event{Kind: relay.EventSettled, Message: m, Outcome: o})
		}
		r.Event(&relay.Event{Kind: relay.EventRemoved, Message: m, Outcome: relay.Sent})
	}
	want := console.Rescue{Taken: 6, Sent: 2, Returned: 2, HandedBack: 1}
	if got := r.status(); got == nil || *got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
