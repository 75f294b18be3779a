package relay

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// decree is an Act as the heart obeys it: a hold, release or pause that is in force, or a deed that is done to a node when its visit
// ends.
type decree struct {
	act   Act
	at    time.Time // when it was given, by the wall clock alone: after a restart it must mean the same
	ids   []ID      // of the messages that act.Selector.ID stood for
	match matcher
	why   Reason       // of the nodes that wait by it
	reply smtp.Reply   // of a delete or a bounce: the same for a million recipients, who share it
	nodes atomic.Int64 // that wait by it
	turn  uint64       // of two about the same node the later one counts
}

// newDecree makes act, which is valid and was given at a time, ready.
func (l *Lever) newDecree(act Act, ids []ID, at time.Time) *decree {
	at = at.Round(0)
	d := &decree{act: act, at: at, ids: ids, match: l.queues.newMatcher(act.Selector, ids, at), turn: l.turns.Add(1)}
	switch act.Verb {
	case VerbHold:
		d.why = WaitFor(ReasonHold, act.Who, d.words("held"), time.Time{})
	case VerbPause:
		d.why = WaitFor(ReasonPause, act.Who, d.words("paused"), act.Until)
	case VerbDelete:
		d.reply = smtp.Reply{Enhanced: deleted, Lines: []string{d.words("deleted")}}
	case VerbBounce:
		d.reply = smtp.Reply{Code: 554, Enhanced: cancelled, Lines: []string{cancellation(act.Reason)}}
	}
	return d
}

// cancellation is what the sender of mail reads that an admin bounces.
func cancellation(reason string) string {
	const words = "delivery cancelled by the administrator"
	if reason == "" {
		return words
	}
	return words + ": " + reason
}

// words says what was done, by whom, when and why.
func (d *decree) words(done string) string {
	if d.act.Who != "" {
		done += " by " + d.act.Who
	}
	when := " since "
	if d.deed() {
		when = " at "
	}
	done += when + d.at.UTC().Format("2006-01-02 15:04:05 UTC")
	if d.act.Reason != "" {
		done += ": " + d.act.Reason
	}
	return done
}

// over reports whether the decree has ended by itself.
func (d *decree) over(now time.Time) bool {
	return d.act.Verb == VerbPause && !d.act.Until.IsZero() && !now.Before(d.act.Until)
}

// deed reports whether d is done to a node once, and is not in force.
func (d *decree) deed() bool {
	return d.act.Verb == VerbDelete || d.act.Verb == VerbBounce || d.act.Verb == VerbHandback
}

// ofSite reports whether d pauses all mail for a site: that is the pool's matter, where the mail waits in line. A pause of some of a
// site's mail holds each node.
func (d *decree) ofSite() bool {
	s := d.act.Selector
	return d.act.Verb == VerbPause && s.Site != "" && s == Selector{Site: s.Site}
}

// cautious reports whether d is about mail of which nobody knows yet to which site it goes. A release is not.
func (d *decree) cautious() bool { return d.act.Verb == VerbHold || d.act.Verb == VerbPause }

// inTime reports whether m was taken early enough: a hold and a release are about the mail of before, that of the same millisecond
// included. The journal keeps no more of the time, and the answer must be the same after a restart.
func (d *decree) inTime(m *Message) bool {
	if d.act.Verb != VerbHold && d.act.Verb != VerbRelease {
		return true
	}
	end := d.at.Add(time.Millisecond - time.Duration(d.at.Nanosecond())%time.Millisecond)
	return m.waitsFrom().Before(end)
}

// about reports whether d is about a node of the class. known is false when nobody knows yet where its mail goes, and the answer
// depends on that.
func (d *decree) about(n *Node, class string, l *Lever) (about, known bool) {
	switch {
	case class != n.Message.Class(), d.act.Verb == VerbPause && class != ClassRemote:
		return false, true // it is on its way back to our own MTA, or for it
	case !d.inTime(n.Message) || !d.match.message(n.Message) || !d.match.node(n, class):
		return false, true
	case d.match.Site == "":
		return true, true
	}
	return l.siteHas(n.Domain, d.match.Site)
}

// decrees are the holds, releases and pauses in force. They are replaced as a whole and never changed, so that they are read without a
// lock. A nil *decrees is none.
type decrees struct {
	lever *Lever
	all   []*decree // in the order of their turns
	sites bool      // one of them asks for the site, which must not be done under the lock of a shard

	// Where the decrees that may be about a node are found, most under the lock of its shard. Each stands in one place.
	byID       map[ID][]*decree
	byDomain   map[string][]*decree
	byCampaign map[string][]*decree
	byTenant   map[string][]*decree
	bySender   map[string][]*decree // by the sender's domain
	rest       []*decree
}

// newDecrees returns the decrees; nil when there are none.
func newDecrees(l *Lever, all []*decree) *decrees {
	if len(all) == 0 {
		return nil
	}
	ds := &decrees{
		lever: l, all: all, byID: make(map[ID][]*decree), byDomain: make(map[string][]*decree), byCampaign: make(map[string][]*decree),
		byTenant: make(map[string][]*decree), bySender: make(map[string][]*decree),
	}
	for _, d := range all {
		if !d.ofSite() {
			ds.file(d)
			ds.sites = ds.sites || d.match.Site != ""
		}
	}
	return ds
}

// file puts d where candidates looks for it.
func (ds *decrees) file(d *decree) {
	under := func(by map[string][]*decree, key string) { by[key] = append(by[key], d) }
	switch s := d.match.Selector; {
	case s.ID != "":
		for _, id := range d.ids {
			ds.byID[id] = append(ds.byID[id], d)
		}
	case s.Domain != "":
		under(ds.byDomain, s.Domain)
	case s.Campaign != "":
		under(ds.byCampaign, s.Campaign)
	case s.Tenant != "":
		under(ds.byTenant, s.Tenant)
	case s.Sender != "":
		under(ds.bySender, d.match.senderDomain())
	default:
		ds.rest = append(ds.rest, d)
	}
}

// candidates yields those decrees that may be about n.
func (ds *decrees) candidates(n *Node) func(yield func(*decree) bool) {
	return func(yield func(*decree) bool) {
		m := n.Message
		for _, some := range [...][]*decree{
			ds.byID[m.ID], ds.byDomain[n.Domain], ds.byCampaign[m.Flow().Name], ds.byTenant[m.Flow().Tenant], ds.ofSender(m.From()), ds.rest,
		} {
			for _, d := range some {
				if !yield(d) {
					return
				}
			}
		}
	}
}

// ofSender is the decrees about the domain of a sender.
func (ds *decrees) ofSender(from string) []*decree {
	if len(ds.bySender) == 0 {
		return nil
	}
	return ds.bySender[ds.lever.queues.spelled(Domain(from))]
}

// of is the decree by which a node of the class must wait at now, or nil. A hold comes before a pause. Of two holds, or a hold and a
// release, the later counts. As long as nobody knows where the mail goes, a hold or a pause of a site counts and a release does not.
func (ds *decrees) of(n *Node, class string, now time.Time) *decree {
	if ds == nil {
		return nil
	}
	var last, pause *decree
	for d := range ds.candidates(n) {
		switch {
		case d.act.Verb == VerbPause:
			if about, known := d.about(n, class, ds.lever); (about || !known) && !d.over(now) && (pause == nil || d.outlasts(pause)) {
				pause = d
			}
		case last == nil || d.turn > last.turn:
			if about, known := d.about(n, class, ds.lever); about && known || !known && d.cautious() {
				last = d
			}
		}
	}
	if last != nil && last.act.Verb == VerbHold {
		return last
	}
	return pause
}

// outlasts reports whether pause d ends later than other.
func (d *decree) outlasts(other *decree) bool {
	return !other.act.Until.IsZero() && (d.act.Until.IsZero() || d.act.Until.After(other.act.Until))
}

// deciders marks those holds and releases without which of would say something else of a node of the class, or might.
func (ds *decrees) deciders(n *Node, class string, needed map[*decree]bool) {
	var last *decree
	for d := range ds.candidates(n) {
		if d.act.Verb == VerbPause {
			continue
		}
		about, known := d.about(n, class, ds.lever)
		if !known {
			needed[d] = true
		} else if about && (last == nil || d.turn > last.turn) {
			last = d
		}
	}
	if last != nil {
		needed[last] = true
	}
}

// replaces reports whether hold or release d, which comes later, decides about all mail about which x would.
func (d *decree) replaces(x *decree) bool {
	s, of := d.act.Selector, x.act.Selector
	own := s.Class != ClassInject && (of.Class == ClassInject || of.ID != "") // x may be about notifications, and d is not
	return x.act.Verb != VerbPause && s.ID == "" && s.Site == "" && s.covers(of) && !own && !d.at.Before(x.at)
}

// effective is all, which are in order, without the releases before which there is no hold.
func effective(all []*decree) []*decree {
	held := false
	return without(all, func(d *decree) bool {
		held = held || d.act.Verb == VerbHold
		return d.act.Verb == VerbRelease && !held
	})
}

// without returns all decrees but those that drop is true of.
func without(all []*decree, drop func(*decree) bool) []*decree {
	return slices.DeleteFunc(slices.Clone(all), drop)
}
