package pool

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/relay"
)

// hours is why an admin or the rules let nothing be sent now, or the zero Reason. The mutex is held.
func (s *Site) hours(now time.Time) relay.Reason {
	if why := s.stopped(now); why.Waits() {
		return why
	}
	if until, quiet := s.terms.ClosedAt(now); quiet {
		return relay.WaitFor(relay.ReasonSite, s.Key, "quiet hours by "+s.terms.QuietBy, until)
	}
	return relay.Reason{}
}

// plan puts the site into the manager's agenda for the time when there is next something to do: a queue to let in, an idle
// connection to end, a domain to look for, the site to forget. The mutex is held.
func (s *Site) plan(now time.Time) {
	at := s.used.Add(forgetAfter)
	if why := s.pace.Closed(); why.Until.Add(forgetAfter).After(at) {
		at = why.Until.Add(forgetAfter)
	}
	sooner := func(t time.Time) {
		if t.Before(at) {
			at = t
		}
	}
	if since := s.conns.idleSince(); !since.IsZero() {
		sooner(since.Add(s.m.cfg.Load().Idle))
	}
	if s.line.Len() > 0 {
		sooner(s.opens(now))
	}
	if s.route != nil && s.route.Err != nil && s.line.Len() > 0 {
		sooner(s.looked.Add(s.m.lookEvery()))
	}
	if at.Before(now) {
		at = now
	}
	s.m.agenda.plan(s, at)
	s.explain(now)
}

// explain tells the line why it waits, and when the site was last tried in vain. A time that is over is none: the site is being tried
// now. The mutex is held.
func (s *Site) explain(now time.Time) {
	s.noteOrder(now)
	s.noteFailure()
	if s.line.Len() == 0 {
		return
	}
	why := s.waits(now)
	if !why.Until.After(now) {
		why.Until = time.Time{}
	}
	s.line.Explain(why)
}

// noteOrder counts the site among the closed ones if an admin or the rules let nothing be sent now. The mutex is held.
func (s *Site) noteOrder(now time.Time) {
	s.pace.shut.set(byOrder, s.hours(now).Waits() || s.pace.suspended())
}

// noteFailure tells the line when the site was last tried in vain: once, because that DNS did not find the domain says nothing about
// the domain while DNS itself is in trouble. The mutex is held.
func (s *Site) noteFailure() {
	at := s.pace.FailedAt()
	if at.Equal(s.failed) {
		return
	}
	s.failed = at
	if !s.lost || s.m.router.Healthy() {
		s.line.NoteFailure(at)
	}
}

// opens is when a queue in line may be let in: when what is timed is over, or, for all that is signalled and not timed, soon.
func (s *Site) opens(now time.Time) time.Time {
	at := now.Add(tick)
	if why := s.stopped(now); why.Waits() && why.Until.IsZero() {
		return now.Add(forgetAfter) // whoever ends the pause tends the site
	}
	if until := s.shut(now).Until; until.After(at) {
		return until
	}
	if s.again.After(now) && s.again.Before(at) {
		return s.again
	}
	return at
}

// shut is what keeps the site from being tried longest, of all that has a time: this machine cannot connect, the site is closed, or
// the rules let nothing be sent now.
func (s *Site) shut(now time.Time) (last relay.Reason) {
	for _, why := range []relay.Reason{s.m.machine.waits(), s.hours(now), s.pace.Closed()} {
		if why.Until.After(last.Until) {
			last = why
		}
	}
	return last
}

// waits is why a queue cannot be carried here now. What has a time comes first: the site is looked after when that is over, and a
// reason that is signalled, like the journal's, may have ended unnoticed by then.
func (s *Site) waits(now time.Time) relay.Reason {
	if why := s.shut(now); why.Until.After(now) {
		return why
	}
	if why := s.stopped(now); why.Waits() {
		return why
	}
	if err := s.m.handler.Unwritable(); err != nil {
		return relay.WaitFor(relay.ReasonJournal, "", "nothing is sent that cannot be recorded: "+err.Error(), time.Time{})
	}
	if why := s.m.machine.waits(); why.Waits() {
		return why
	}
	switch why := s.pace.Closed(); {
	case s.trying != "":
		return relay.WaitFor(relay.ReasonAnswer, s.Key, s.trying, time.Time{})
	case !s.line.AtLeast(1) && s.line.Holds().Waits():
		return s.line.Holds() // nobody tries the site before its tenant may send
	case why.Waits():
		return why
	case s.again.After(now):
		return relay.WaitFor(relay.ReasonRate, s.Key, rateWords(s.pace.View(now)), s.again)
	case s.agents > 0 && s.roomy(now):
		return relay.Reason{} // its mail is under way
	case s.slow > 0:
		return relay.WaitFor(relay.ReasonConnection, s.Key, fmt.Sprintf("waiting for a connection to the site: %d of %d have had no answer for more than %s",
			s.slow, s.agents, s.m.slowAfter), time.Time{})
	}
	return relay.WaitFor(relay.ReasonConnection, s.Key, "waiting for a connection to the site", time.Time{})
}

// rateWords says how fast a site is fed, and who wants it so.
func rateWords(v View) string {
	return fmt.Sprintf("waiting for its turn: the site gets %.3g messages a second (%s)", v.Rate, v.RateBy)
}

// noteTrying says for everyone to see which host is being connected to; "" for none.
func (s *Site) noteTrying(peer string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	open, _ := s.conns.counts()
	if s.trying = ""; peer != "" && open == 0 {
		s.trying = fmt.Sprintf("connecting to %s since %s", peer, now.Format(time.TimeOnly))
	}
	s.explain(now)
}
