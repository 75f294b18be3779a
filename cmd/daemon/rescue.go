package daemon

import (
	"sync/atomic"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// rescued counts what becomes of the recipients that a rescue has brought, since the start.
type rescued struct {
	taken, sent, returned, back atomic.Int64
}

// Event implements relay.Listener.
func (r *rescued) Event(e *relay.Event) {
	if e.Message == nil || e.Message.Rule() != filter.RescueRule {
		return
	}
	switch {
	case e.Kind == relay.EventTaken:
		r.taken.Add(int64(e.Message.RcptCount()))
	case e.Kind != relay.EventSettled:
	case e.Outcome == relay.Sent:
		r.sent.Add(1)
	case e.Outcome == relay.Bounced, e.Outcome == relay.Expired:
		r.returned.Add(1)
	case e.Outcome == relay.HandedBack:
		r.back.Add(1)
	}
}

// status is nil when there was no rescue.
func (r *rescued) status() *console.Rescue {
	v := console.Rescue{Taken: r.taken.Load(), Sent: r.sent.Load(), Returned: r.returned.Load(), HandedBack: r.back.Load()}
	if v == (console.Rescue{}) {
		return nil
	}
	return &v
}
