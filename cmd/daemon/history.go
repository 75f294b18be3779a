package daemon

import (
	"cmp"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/history"
)

// newHistory makes the history, which lies in the state directory, and returns it as a listener.
func (d *Daemon) newHistory() relay.Listener {
	d.history = history.New(d.cfg.History, history.Deps{Dir: filepath.Join(d.cfg.StateDir, "history"), Log: d.log.Named("history")})
	return guarded{d.history, "history", d.faults}
}

// closeHistory writes the rest. That it fails is told by the history itself.
func (d *Daemon) closeHistory() {
	if d.history != nil {
		_ = d.history.Close()
	}
}

// history is what the status shows of it.
func (o overview) history() *console.History {
	if o.d.Config().History.Keep == 0 {
		return nil
	}
	st := o.d.history.Status()
	return &console.History{Since: moment(st.Oldest), Segments: st.Segments, Bytes: st.Bytes, Written: st.Written, Missed: st.Missed, Fault: st.Fault}
}

// Trace implements console.Source. What the history knows of a message comes first, and then, if it waits, what the heart knows.
func (o overview) Trace(q console.TraceQuery) (report console.TraceReport, err error) {
	found, err := o.d.history.Find(history.Query{Recipient: q.Recipient, ID: q.ID, MessageID: q.MessageID, Most: q.Most})
	switch {
	case errors.Is(err, history.ErrOff):
		report.Off = true
	case err != nil:
		return report, err
	}
	report.Messages, report.More, report.Since = []console.Trace{}, found.More, moment(found.Since)
	for _, g := range found.Gaps {
		report.Gaps = append(report.Gaps, console.TraceGap{Since: moment(g.Since), Until: moment(g.Until), Events: g.Events})
	}
	if q.ID != "" {
		for _, l := range slices.Backward(o.d.handler.MessagesNamed(q.ID)) {
			if !slices.ContainsFunc(found.Messages, func(m history.Message) bool { return m.ID.String() == l.ID }) && len(report.Messages) < q.Most {
				report.Messages = append(report.Messages, unrecorded(&l))
			}
		}
	}
	for i := range found.Messages {
		report.Messages = append(report.Messages, o.trace(&found.Messages[i], q.Recipient))
	}
	return report, nil
}

// unrecorded is a message that waits and is not in the history, which was off or lost events when it came.
func unrecorded(l *relay.Listing) console.Trace {
	return console.Trace{
		ID: l.ID, QueueID: l.QueueID, Sender: l.Sender, Size: l.MessageSize, Rule: l.Rule, FlowListing: l.FlowListing,
		State: console.TraceWaiting, Waiting: l.Recipients, Expires: l.Expires, Events: []console.TraceEvent{},
	}
}

// trace is a message in the console's words. rcpt is the recipient that was asked for, or "".
func (o overview) trace(m *history.Message, rcpt string) console.Trace {
	t := console.Trace{ID: m.ID.String(), MoreEvents: m.Cut, Events: []console.TraceEvent{}}
	if k := m.Taken; k != nil {
		t.QueueID, t.MessageID, t.Sender, t.Size, t.Recipients, t.Notice = k.QueueID, k.MessageID, k.Sender, k.Size, k.Rcpts, k.Notice
		t.Rule, t.Client = k.Rule, k.Client
		t.FlowListing = relay.FlowListing{Tenant: k.Flow.Tenant, Flow: cmp.Or(k.Flow.Name, k.Flow.Sender)}
		t.Events = append(t.Events, console.TraceEvent{Time: moment(k.Time), Event: "taken", Delay: k.Time.Sub(k.Arrived).Seconds()})
	}
	for i := range m.Lines {
		t.Events = append(t.Events, traceEvent(&m.Lines[i]))
	}
	for _, l := range o.d.handler.MessagesNamed(t.ID) {
		t.Expires, t.Waiting = l.Expires, l.Recipients
		if rcpt != "" {
			t.Waiting = slices.DeleteFunc(l.Recipients, func(r relay.ListedRcpt) bool { return !strings.EqualFold(r.Address, rcpt) })
		}
	}
	t.State = stateOf(m, len(t.Waiting))
	return t
}

func stateOf(m *history.Message, waiting int) string {
	switch {
	case waiting > 0:
		return console.TraceWaiting
	case m.Settled:
		return console.TraceDone
	case m.Ended:
		return console.TraceReporting
	}
	return console.TraceUnknown
}

func traceEvent(l *history.Line) console.TraceEvent {
	e := console.TraceEvent{Time: moment(l.Time), Recipient: l.Recipient}
	switch l.Kind {
	case history.Reported:
		e.Event, e.Report = "reported", l.Report
		return e
	case history.Unheard:
		e.Event, e.MaybeTwice = "unheard", true
		return e
	case history.Interrupted:
		e.Event, e.MaybeTwice = "interrupted", true
		return e
	}
	e.Event, e.Relay, e.Site, e.Code, e.Reply = l.Outcome.String(), l.Relay, l.Site, l.Code, l.ReplyText()
	e.ConnUse, e.MaybeTwice, e.Delay = l.ConnUse, l.Twice, l.Delays.Total().Seconds()
	e.Delays = &[4]float64{l.Delays.Before.Seconds(), l.Delays.Queue.Seconds(), l.Delays.Setup.Seconds(), l.Delays.Transmit.Seconds()}
	return e
}

// moment is a time in the console's form; 0 for none.
func moment(t time.Time) console.Moment {
	if t.IsZero() {
		return 0
	}
	return console.Moment(t.UnixMilli())
}
