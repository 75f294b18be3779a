package main

import (
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/pool"
)

// weigh holds the daemon's memory ledger against its limit (P8).
func (w *World) weigh() {
	if w.machine == nil {
		return
	}
	if m := w.machine.daemon.Overview().Status().Memory; m.Used > m.Limit {
		w.violate("the memory ledger has %d bytes, and its limit is %d", m.Used, m.Limit)
	}
}

// sample notes what the daemon says about its sites: how many paces there are for each receiver, and what they are.
func (w *World) sample() {
	const most = 1000 // sites: of more, nobody reads a table
	if w.machine == nil || len(w.sites) > most {
		return
	}
	of := make(map[string][]pool.Status)
	for _, st := range w.machine.daemon.Sites() {
		for _, host := range st.Hosts {
			of[host] = append(of[host], st)
		}
	}
	for _, site := range w.sites {
		if paces := of["mx."+site.name]; len(paces) > 0 {
			site.sampled(paces)
		}
	}
}

// audit looks at whatever waits: it must have a reason and a time (P5).
func (w *World) audit() {
	if w.machine == nil {
		return
	}
	now, vague := time.Now(), make(map[string]time.Time)
	for l := range w.machine.daemon.Overview().Messages(0) {
		for _, r := range l.Recipients {
			if what := silent(r, now); what != "" {
				w.violate("%s waits as %s %s: %q", r.Address, r.State, what, r.DelayReason)
			}
			if r.NextAttempt > 0 || r.State != "held" || r.DelayKind == relay.ReasonConnection || r.DelayKind == relay.ReasonHold || r.DelayKind == relay.ReasonPause {
				continue
			}
			key := r.Address + " " + r.DelayReason
			since, before := w.vague[key]
			if !before {
				since = now
			}
			vague[key] = since
			if now.Sub(since) > vagueFor {
				w.violate("%s is held without a time since %s: %q", r.Address, since.Sub(w.start), r.DelayReason)
			}
		}
	}
	w.vague = vague
}

const (
	// late is how long after its time a recipient may still wait to be looked at.
	late = time.Minute
	// vagueFor is how long a recipient may be held for one reason without a time. A site's own connections are a reason that needs
	// none: they have the mail in hand. There is none to tell while a lookup or a connection is under
	// way, and these end by their timeouts, the longest of which is five minutes for each host of a site.
	vagueFor = 20 * time.Minute
)

// silent says what is missing of a reason and a time; "" nothing. A recipient that is active goes as soon as there is a channel,
// and one that is busy is being sent.
func silent(r relay.ListedRcpt, now time.Time) string {
	if r.State != "deferred" && r.State != "held" {
		return ""
	}
	switch next := time.Unix(r.NextAttempt, 0); {
	case r.DelayReason == "":
		return "without a reason"
	case r.State == "deferred" && r.NextAttempt == 0:
		return "without a time"
	case r.State == "deferred" && next.Before(now.Add(-late)):
		return "past its time"
	}
	return ""
}
