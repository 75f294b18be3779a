package relay

import (
	"context"
	"time"
)

// Pause is a pause or a hold that is in force.
type Pause struct {
	Verb     Verb      `json:"verb"` // VerbPause or VerbHold
	Selector Selector  `json:"selector,omitzero"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"` // zero: until it is ended
	Reason   string    `json:"reason,omitempty"`
	Who      string    `json:"who,omitempty"`
	Nodes    int64     `json:"nodes"` // parts of messages, one for each domain, that wait by it; 0 for a site, whose mail waits in line
}

// Pauses lists the pauses and holds that are in force, the oldest first. It never blocks.
func (l *Lever) Pauses() []Pause {
	all, now := []Pause{}, time.Now()
	for _, d := range l.inForce() {
		if d.act.Verb == VerbRelease || d.over(now) {
			continue
		}
		all = append(all, Pause{
			Verb: d.act.Verb, Selector: d.act.Selector, Since: d.at, Until: d.act.Until, Reason: d.act.Reason, Who: d.act.Who, Nodes: d.nodes.Load(),
		})
	}
	return all
}

// inForce is the decrees in force.
func (l *Lever) inForce() []*decree {
	if ds := l.queues.decrees.Load(); ds != nil {
		return ds.all
	}
	return nil
}

// decide holds what was taken up to now and is selected, or releases it.
func (l *Lever) decide(ctx context.Context, act Act) (ActReport, error) {
	d := l.newDecree(act, l.named(act.Selector.ID), time.Now())
	if act.DryRun {
		return l.each(ctx, d, nil)
	}
	if touches, err := l.touches(ctx, d); err != nil || !touches {
		return ActReport{}, err
	}
	over := ended(time.Now())
	next := without(l.inForce(), func(x *decree) bool { return over(x) || d.replaces(x) })
	if err := l.enact(effective(append(next, d))); err != nil {
		return ActReport{}, err
	}
	if act.Verb == VerbRelease {
		defer l.prune()
	}
	return l.each(context.WithoutCancel(ctx), d, l.reconsider)
}

// ended is a func for without: it drops pauses that have ended by themselves.
func ended(now time.Time) func(*decree) bool {
	return func(d *decree) bool { return d.over(now) }
}

// pause lets nothing that is selected be sent, now and in time to come. A pause of the same mail is replaced.
func (l *Lever) pause(ctx context.Context, act Act) (ActReport, error) {
	d := l.newDecree(act, nil, time.Now())
	if act.DryRun {
		rep, err := l.each(ctx, d, nil)
		rep.Pauses = 1
		return rep, err
	}
	over := ended(time.Now())
	next := without(l.inForce(), func(x *decree) bool {
		return over(x) || x.act.Verb == VerbPause && x.act.Selector == act.Selector
	})
	if err := l.enact(append(next, d)); err != nil {
		return ActReport{}, err
	}
	rep := l.settleOn(context.WithoutCancel(ctx), d)
	rep.Pauses = 1
	return rep, nil
}

// settleOn reconsiders all nodes about which d is, and counts them. A site's mail is left to the pool.
func (l *Lever) settleOn(ctx context.Context, d *decree) ActReport {
	f := l.reconsider
	if d.ofSite() {
		f = nil
	}
	rep, _ := l.each(ctx, d, f) // ctx has no end
	return rep
}

// resume ends every pause that has all the fields of the selector.
func (l *Lever) resume(ctx context.Context, act Act) (rep ActReport, err error) {
	var next, ended []*decree
	now := time.Now()
	for _, d := range l.inForce() {
		switch {
		case d.over(now):
		case d.act.Verb == VerbPause && act.Selector.covers(d.act.Selector):
			ended = append(ended, d)
		default:
			next = append(next, d)
		}
	}
	if len(ended) == 0 {
		return ActReport{}, nil
	}
	if !act.DryRun {
		if err := l.enact(next); err != nil {
			return ActReport{}, err
		}
	}
	for _, d := range ended {
		if act.DryRun {
			about, err := l.each(ctx, d, nil)
			if err != nil {
				return rep, err
			}
			rep.plus(about)
		} else {
			rep.plus(l.settleOn(context.WithoutCancel(ctx), d))
		}
	}
	rep.Pauses = len(ended)
	return rep, nil
}

// plus adds what another pause was about.
func (r *ActReport) plus(o ActReport) {
	r.Messages, r.Recipients, r.Bytes, r.Busy = r.Messages+o.Messages, r.Recipients+o.Recipients, r.Bytes+o.Bytes, r.Busy+o.Busy
}

// enact puts other decrees in force, once they are durable. On an error those of before stay.
func (l *Lever) enact(all []*decree) error {
	if len(all) > maxDecrees {
		if all = l.needed(all); len(all) > maxDecrees {
			return ErrManyActs
		}
	}
	if err := l.store(all, l.queues.drain.Load()); err != nil {
		return err
	}
	l.impose(all)
	return nil
}

// impose puts decrees in force. What waits already is reconsidered by whoever calls.
func (l *Lever) impose(all []*decree) {
	l.queues.decrees.Store(newDecrees(l, all))
	if l.holdsBySite() {
		l.hurry() // there may be questions of before
	}
	if l.deps.PauseSites == nil {
		return
	}
	sites := make(map[string]Reason)
	for _, d := range all {
		if d.ofSite() {
			sites[d.act.Selector.Site] = d.why
		}
	}
	l.deps.PauseSites(sites)
}

// justGiven is how long a hold stays in force in any case: a message that was taken before may not be in the index yet.
const justGiven = time.Minute

// needed is those decrees without which some message would wait that does not, or the other way around. It looks at
// messages until it knows of all decrees, or at all.
func (l *Lever) needed(all []*decree) []*decree {
	ds, needed := newDecrees(l, all), make(map[*decree]bool)
	if ds == nil {
		return nil
	}
	most := len(without(all, func(d *decree) bool { return d.act.Verb == VerbPause }))
	l.queues.walk(func(some []*Message) bool {
		for _, msg := range some {
			for _, n := range msg.Nodes {
				if class, waits := l.classOf(n); waits {
					ds.deciders(n, class, needed)
				}
			}
		}
		return len(needed) < most
	})
	now := time.Now()
	return without(all, func(d *decree) bool {
		if d.act.Verb == VerbPause {
			return d.over(now)
		}
		return !needed[d] && now.Sub(d.at) > justGiven
	})
}

// classOf is the class of n, and whether it has recipients who are not settled.
func (l *Lever) classOf(n *Node) (class string, waits bool) {
	s := l.queues.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	return n.Class(), n.state != stateGone
}

// prune forgets decrees that are not needed any more. If that cannot be stored, they stay.
func (l *Lever) prune() {
	all := l.inForce()
	if next := l.needed(all); len(next) < len(all) {
		_ = l.enact(next)
	}
}
