package daemon

import (
	"errors"

	"github.com/millrace/millrace/relay"
)

// keptActs is the name under which the state directory has the holds, pauses and the drain in force.
const keptActs = "lever"

// newLever makes the lever, with what was in force before. What it puts in force is in the state directory before it is done, so that it
// holds over a kill.
func (d *Daemon) newLever() *relay.Lever {
	l := relay.NewLever(d.queues, d.handler, relay.LeverDeps{
		SiteHas: d.pool.SiteHas, Site: d.pool.SiteOf, PauseSites: d.pool.Pause, Reopen: d.pool.Reopen,
		Store:   func(acts []byte) error { return d.agent.Store(keptActs, acts) },
		Secure:  func() error { return d.agent.Flush() },
		Offered: d.offered,
		Pace:    func() { d.mail.Flush() }, // the log counts what it could not write
		Log:     d.logAct,
	})
	if err := l.Recall(d.agent.Stored(keptActs)); err != nil {
		d.log.Error("lever", "error", err)
	}
	if act, drains := l.Draining(); drains {
		d.log.Warn("no mail is taken: a drain is in force since before this start", "until", act.Until, "who", act.Who)
	}
	if n := len(l.Pauses()); n > 0 {
		d.log.Warn("holds and pauses are in force since before this start", "number", n)
	}
	return l
}

// offered is how many messages the doors have been offered.
func (d *Daemon) offered() int64 {
	first := d.intake.Status()
	n := first.Seen()
	if d.smtpd != nil {
		letters := d.smtpd.intake.Status()
		n += letters.Seen()
	}
	return int64(n)
}

// logAct writes the one line of an act.
func (d *Daemon) logAct(act relay.Act, rep relay.ActReport, err error) {
	line := []any{
		"verb", act.Verb, "who", act.Who, "selector", act.Selector.String(), "reason", act.Reason,
		"messages", rep.Messages, "recipients", rep.Recipients, "busy", rep.Busy, "pauses", rep.Pauses,
	}
	if !act.Until.IsZero() {
		line = append(line, "until", act.Until)
	}
	if act.Verb == relay.VerbDrain {
		line = append(line, "waiting", rep.Waiting)
	}
	switch {
	case errors.As(err, new(*relay.ActError)):
		d.log.Info("act refused", append(line, "error", err)...)
		return
	case err != nil:
		d.log.Error("act", append(line, "error", err)...)
		return
	}
	d.log.Info("act", line...)
	d.noteAct(act, rep)
}
