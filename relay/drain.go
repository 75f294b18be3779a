package relay

import (
	"context"
	"errors"
	"time"
)

// ErrDraining is returned by Accept while a drain is in force. The mail stays with the MTA.
var ErrDraining = errors.New("the daemon is drained and takes no mail")

// drain is a drain in force. What can be delivered is delivered until its end. What would wait goes back to our MTA: a node whose visit
// has failed, and nodes for a site that is closed, at once; all others at the end. So do held and paused nodes: an admin has a reason to
// keep them from being sent, and our MTA would send them. Notifications are for our MTA anyway.
type drain struct {
	act  Act
	at   time.Time
	deed *decree // the hand-back
}

func (l *Lever) newDrain(act Act, at time.Time) *drain {
	back := act
	back.Verb = VerbHandback
	return &drain{act: act, at: at.Round(0), deed: l.newDecree(back, nil, at)}
}

// late reports whether everything must go back to our MTA.
func (d *drain) late(now time.Time) bool {
	return !d.act.Until.IsZero() && !now.Before(d.act.Until)
}

// Draining is the drain that is in force. It never blocks.
func (l *Lever) Draining() (Act, bool) {
	if d := l.queues.drain.Load(); d != nil {
		return d.act, true
	}
	return Act{}, false
}

// DrainReport is how far the drain in force is: what still waits, our own notifications included. It never blocks.
func (l *Lever) DrainReport() ActReport {
	n := int(l.queues.counts.messages.Load())
	return ActReport{Waiting: n, Done: n == 0}
}

// startDrain begins a drain, or gives the one in force another end. Run carries it on.
func (l *Lever) startDrain(ctx context.Context, act Act) (ActReport, error) {
	d := l.newDrain(act, time.Now())
	rep, err := l.each(ctx, l.newDecree(act, nil, d.at), nil)
	if err != nil {
		return ActReport{}, err
	}
	if !act.DryRun {
		if err := l.store(l.inForce(), d); err != nil {
			return ActReport{}, err
		}
		l.queues.drain.Store(d)
		l.hurry()
	}
	now := l.DrainReport()
	rep.Waiting, rep.Done = now.Waiting, now.Done
	return rep, nil
}

// endDrain lets mail be taken again.
func (l *Lever) endDrain(act Act) (ActReport, error) {
	if _, drains := l.Draining(); !drains {
		return ActReport{}, &ActError{"verb", "no drain is in force"}
	}
	if act.DryRun {
		return ActReport{}, nil
	}
	if err := l.store(l.inForce(), nil); err != nil {
		return ActReport{}, err
	}
	l.queues.drain.Store(nil)
	return ActReport{}, nil
}

// hurry makes Run look at once what there is to do.
func (l *Lever) hurry() {
	select {
	case l.kick <- struct{}{}:
	default:
	}
}

// How often Run looks: for holds of sites and drains once a second, or a tenth of the time if a look takes long; for decrees that are not
// needed any more each hour.
const (
	lookEvery  = time.Second
	doneEvery  = 30 * time.Second // when nothing waits any more
	pruneEvery = time.Hour
)

// Run carries on what an Act began, above all a drain, until ctx is done. While there is nothing of the kind it does nothing.
func (l *Lever) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	r := rounds{l: l, pruned: time.Now()}
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.kick:
		case <-timer.C:
		}
		timer.Reset(r.work(ctx))
	}
}

// rounds is what Run remembers.
type rounds struct {
	l      *Lever
	again  time.Time // not before, for what is done each second
	pruned time.Time
	done   *drain // whose end was told
	seen   *drain // that was in force at the last look
}

// work does what there is to do, and says how long there is nothing.
func (r *rounds) work(ctx context.Context) time.Duration {
	begin := time.Now()
	if begin.Sub(r.pruned) >= pruneEvery {
		r.prune(ctx)
		r.pruned = begin
	}
	d := r.l.queues.drain.Load()
	asks := r.l.holdsBySite() && r.l.unsure.pending()
	if d == nil && !asks {
		return pruneEvery - time.Since(r.pruned)
	}
	if wait := r.again.Sub(begin); wait > 0 && d == r.seen { // a new drain need not wait; whoever only kicks must
		return wait
	}
	r.seen = d
	if asks {
		r.l.askSites(ctx)
	}
	if d != nil {
		r.drain(ctx, d)
	}
	now := time.Now()
	wait := max(lookEvery, 10*now.Sub(begin))
	if d != nil && d.act.Until.After(now) {
		wait = min(wait, d.act.Until.Sub(now))
	}
	r.again = now.Add(wait)
	if d != nil && d == r.done {
		wait = max(wait, doneEvery)
	}
	return wait
}

// prune is Lever.prune between two Acts.
func (r *rounds) prune(ctx context.Context) {
	select {
	case r.l.turn <- struct{}{}:
		r.l.prune()
		if !r.l.holdsBySite() { // no Act can change that while the turn is ours
			r.l.unsure.forget()
		}
		<-r.l.turn
	case <-ctx.Done():
	}
}

// holdsBySite reports whether a hold, a release or a pause in force asks for the site of each node.
func (l *Lever) holdsBySite() bool {
	ds := l.queues.decrees.Load()
	return ds != nil && ds.sites
}

// askSites reconsiders the mail for those domains of which it is known now where their mail goes.
func (l *Lever) askSites(ctx context.Context) {
	domains := l.unsure.look(l.deps.SiteHas)
	if len(domains) == 0 {
		return
	}
	l.queues.walk(func(some []*Message) bool {
		for _, msg := range some {
			for _, n := range msg.Nodes {
				if domains[n.Domain] {
					l.reconsider(n)
				}
			}
		}
		return ctx.Err() == nil
	})
}

// drain hands back what must not wait for the end of d, or everything at the end, and tells once when nothing is left.
func (r *rounds) drain(ctx context.Context, d *drain) {
	l, now := r.l, time.Now()
	if d == r.done && l.DrainReport().Done {
		return
	}
	polite := l.queues.courtesy()
	l.queues.walkBy(polite, 0, func(some []*Message) bool {
		for i, msg := range some {
			if i%lookEach == 0 {
				polite.rest()
			}
			if msg.Class() == ClassInject {
				continue
			}
			for _, n := range msg.Nodes {
				l.drainNode(n, d, now)
			}
		}
		if l.deps.Pace != nil {
			l.deps.Pace()
		}
		return ctx.Err() == nil && l.queues.drain.Load() == d
	})
	rep := l.DrainReport()
	if rep.Done && r.done != d && l.deps.Log != nil {
		l.deps.Log(d.act, rep, nil)
	}
	if rep.Done {
		r.done = d
	}
}

// drainNode hands n back if it would wait, or at the end of d. Without an MTA it waits: the drain is from a time when there was one.
func (l *Lever) drainNode(n *Node, d *drain, now time.Time) {
	if l.queues.deps.NoMTA {
		return
	}
	if class, waits := l.classOf(n); waits && class == ClassRemote && (d.late(now) || l.stuck(n, now)) {
		l.take(n, d.deed)
	}
}

// stuck reports whether n waits for something else than its turn: for the time of its next visit, or for a site that is closed.
func (l *Lever) stuck(n *Node, now time.Time) bool {
	s := l.queues.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case n.Class() != ClassRemote:
		return false
	case n.state == stateDeferred:
		return true
	case n.state != stateActive:
		return false
	}
	why := n.queue.heldBy()
	return (why.Kind == ReasonSite || why.Kind == ReasonDNS) && why.Until.After(now)
}
