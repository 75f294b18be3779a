package daemon

import (
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/stream"
)

// keptEvents is the name under which the state directory has how far the event stream and its webhooks have come.
const keptEvents = "events"

// newEvents makes the event stream. It stands behind the journal, whose totals it is compared with.
func (d *Daemon) newEvents() (err error) {
	d.events, err = stream.New(d.cfg.Events, stream.Deps{
		Hostname: d.cfg.Hostname, Totals: d.journalTotals, Kept: d.agent.Kept(keptEvents), Log: d.log.Named("events"),
	})
	if err == nil {
		d.agent.Keep(keptEvents, d.events.Positions)
	}
	return err
}

// journalTotals are those that the journal has at the start.
func (d *Daemon) journalTotals() stream.Totals {
	t := d.agent.Status().Totals
	return stream.Totals{
		Messages: int64(t.Messages), Recipients: int64(t.Recipients), Sent: int64(t.Sent), HandedBack: int64(t.HandedBack),
		Reported: int64(t.Reported), Suppressed: int64(t.Suppressed), Removed: int64(t.Removed), Deferred: int64(t.Deferred),
	}
}

// witness tells the event stream of mail that finds no room.
type witness struct{ events *stream.Stream }

var _ filter.Witness = witness{}

// Held implements filter.Witness.
func (w witness) Held(a filter.Applicant, waited time.Duration, room bool) {
	n := applicantNote(stream.Held, a)
	n.Waited, n.Taken = waited, room
	w.events.Note(n)
}

// Overflow implements filter.Witness.
func (w witness) Overflow(a filter.Applicant) { w.events.Note(applicantNote(stream.Overflow, a)) }

func applicantNote(k stream.Kind, a filter.Applicant) stream.Note {
	return stream.Note{
		Kind: k, QueueID: a.QueueID, Sender: a.Sender, Recipients: a.Rcpts, Tenant: a.Flow.Tenant, Campaign: a.Flow.Name, Rule: a.Rule,
		Client: a.Client, Size: a.Size, Reason: a.Reason,
	}
}

// noteAct tells the event stream of an order that was carried out.
func (d *Daemon) noteAct(act relay.Act, rep relay.ActReport) {
	d.events.Note(stream.Note{
		Kind: stream.Act, Verb: string(act.Verb), Who: act.Who, Selector: act.Selector.String(), Tenant: act.Selector.Tenant,
		Campaign: act.Selector.Campaign, Reason: act.Reason, Messages: int64(rep.Messages), Rcpts: int64(rep.Recipients),
	})
}

// eventStream is the event stream in numbers.
func (d *Daemon) eventStream() console.EventStream {
	st := d.events.Status()
	e := console.EventStream{Position: st.Position, Watchers: st.Watchers}
	for _, o := range st.Outputs {
		e.Outputs = append(e.Outputs, console.EventOutput(o))
	}
	return e
}
