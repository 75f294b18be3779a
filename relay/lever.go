package relay

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// ActError is why an Act cannot be carried out as it was given: a selector that cannot be, or a verb that needs one. Nothing was done.
type ActError struct {
	Field string // of the Act or its Selector, by its JSON key
	Text  string // what is wrong with it
}

// Error implements error.
func (e *ActError) Error() string { return e.Field + ": " + e.Text }

// maxDecrees is how many holds, releases and pauses are in force at most: they are one small block on the disk, and some of them are
// asked about each message.
const maxDecrees = 1000

// ErrManyActs is the error of Do when as many holds and pauses are in force as may be. Nothing was done.
var ErrManyActs = errors.New("1000 holds, releases and pauses are in force, which is as many as may be: end some, or select more with one")

// Lever is what an admin moves waiting mail with: it carries out Acts. All methods may be called from any goroutine.
//
// Holds, releases and pauses are in force for as long as a message may be about which they decide, and over a restart: one block on the
// disk has all of them, however many messages they are about. A hold and a release are about the messages that were taken before. The
// other verbs are deeds: they are done to what waits and leave marks in the journal.
type Lever struct {
	queues  *QueueMap
	handler *Handler
	deps    LeverDeps
	turns   atomic.Uint64 // decrees made
	unsure  unsure        // the sites that nobody knows yet
	kick    chan struct{} // holds a token when Run has something to do

	turn chan struct{} // held, by a token in it, by the one Act that is carried out
}

// LeverDeps are what the lever works with. A nil func is one that there is no use for.
type LeverDeps struct {
	// SiteHas reports whether the mail of a domain goes to the site of that name: its key, one of its hosts, or its provider. known is
	// false while nobody knows where the mail goes.
	SiteHas func(domain, name string) (has, known bool)
	// Site is the key of the site where the mail of a domain goes, "" while nobody knows.
	Site func(domain string) string
	// PauseSites makes the pool send nothing to the named sites, and resume at all others. A Reason without a time has no end.
	PauseSites func(map[string]Reason)
	// Reopen lets the sites with these keys be tried now although they are closed.
	Reopen func(sites map[string]bool)
	// Store makes the acts in force durable. nil: they end with the process.
	Store func([]byte) error
	// Secure makes durable what was recorded about messages: what Do has answered to a delete must hold over a power cut. nil: it does not.
	Secure func() error
	// Offered is how many messages the doors have been offered since the start, those that they left with the MTA included. While it
	// grows, long work rests now and then. nil: the mail that is taken and visited alone says so.
	Offered func() int64
	// Pace is called after every few hundred messages of an Act, so that whoever writes about them can follow.
	Pace func()
	// Log is told of each Act that was carried out or failed, dry runs apart, and of the end of a drain.
	Log func(Act, ActReport, error)
}

// NewLever returns the lever of m and its handler h. It must be made before mail is restored or taken.
func NewLever(m *QueueMap, h *Handler, deps LeverDeps) *Lever {
	l := &Lever{queues: m, handler: h, deps: deps, turn: make(chan struct{}, 1), kick: make(chan struct{}, 1)}
	m.lever = l
	return l
}

// Do carries out an Act. An error that is an *ActError is the giver's; after any other one the report says what was done before it. A
// hold, release, pause, resume, drain or undrain is durable when Do returns, and once it is durable it is carried out to its end also
// when ctx ends. If it cannot be made durable, nothing is done. Do waits for the Act before.
func (l *Lever) Do(ctx context.Context, act Act) (rep ActReport, err error) {
	act.Selector.Domain = l.queues.canonical(act.Selector.Domain)
	if err := act.Validate(time.Now()); err != nil {
		return ActReport{}, err
	}
	if l.queues.deps.NoMTA && (act.Verb == VerbHandback || act.Verb == VerbDrain) {
		return ActReport{}, &ActError{"verb", string(act.Verb) + ` gives mail back to an MTA, and bounce.inject = "direct" says that there is none`}
	}
	select {
	case l.turn <- struct{}{}:
	case <-ctx.Done():
		return ActReport{}, ctx.Err()
	}
	defer func() { <-l.turn }()
	switch act.Verb {
	case VerbHold, VerbRelease:
		rep, err = l.decide(ctx, act)
	case VerbPause:
		rep, err = l.pause(ctx, act)
	case VerbResume:
		rep, err = l.resume(ctx, act)
	case VerbDrain:
		rep, err = l.startDrain(ctx, act)
	case VerbUndrain:
		rep, err = l.endDrain(act)
	case VerbFlush:
		rep, err = l.flush(ctx, act)
	default:
		rep, err = l.deed(ctx, act)
	}
	if l.deps.Log != nil && !act.DryRun {
		l.deps.Log(act, rep, err)
	}
	return rep, err
}

// Validate returns what is wrong with an Act that is given at now, as an *ActError.
func (a Act) Validate(now time.Time) error {
	if err := a.Selector.Validate(); err != nil {
		return err
	}
	if err := validText("reason", a.Reason); err != nil {
		return err
	}
	if err := validText("who", a.Who); err != nil {
		return err
	}
	all := a.Selector.IsZero()
	switch a.Verb {
	case VerbFlush, VerbHold, VerbRelease, VerbResume:
	case VerbDelete, VerbBounce, VerbHandback:
		if all {
			return &ActError{"selector", "is empty; " + string(a.Verb) + " must say of which mail"}
		}
	case VerbPause:
		return a.validPause(now)
	case VerbDrain, VerbUndrain:
		if !all {
			return &ActError{"selector", string(a.Verb) + " is about all mail and takes none"}
		}
	default:
		return &ActError{"verb", `"` + string(a.Verb) + `" is unknown`}
	}
	if !a.Until.IsZero() && a.Verb != VerbDrain {
		return &ActError{"until", "only a pause and a drain have an end"}
	}
	return nil
}

// validPause is Validate for a pause. What it is about must be the same for all messages to come.
func (a Act) validPause(now time.Time) error {
	s := a.Selector
	switch {
	case s.ID != "" || s.Class != "" || s.Older != 0:
		return &ActError{"selector", "a pause is of a domain, site, sender, tenant or campaign"}
	case s.Domain+s.Site+s.Sender+s.Tenant+s.Campaign == "":
		return &ActError{"selector", "names no domain, site, sender, tenant or campaign to pause"}
	case !a.Until.IsZero() && !a.Until.After(now):
		return &ActError{"until", "is over"}
	}
	return nil
}

// deed does what is done to nodes once: delete, bounce, handback.
func (l *Lever) deed(ctx context.Context, act Act) (ActReport, error) {
	d := l.newDecree(act, l.named(act.Selector.ID), time.Now())
	if act.DryRun {
		return l.each(ctx, d, nil)
	}
	rep, err := l.each(ctx, d, func(n *Node) { l.take(n, d) })
	if l.deps.Secure == nil || rep.Messages == 0 {
		return rep, err
	}
	return rep, errors.Join(err, l.deps.Secure())
}

// take does d to n, now or when its visit ends.
func (l *Lever) take(n *Node, d *decree) {
	m := l.queues
	s := m.shard(n.Domain)
	s.mu.Lock()
	got := m.detach(s, n)
	if !got && n.state != stateGone {
		if n.state == stateHeld { // it is being woken
			n.decree.nodes.Add(-1)
		}
		n.decree = d
	}
	s.mu.Unlock()
	if got {
		l.carryOut(n, d)
	}
}

// Enhanced status codes of mail that an admin ends: delivery not authorized (RFC 3463 section 3.8). Whoever keeps lists does not take
// them for news about the mailbox.
const (
	cancelled = "5.7.1"
	deleted   = "4.7.1" // nobody is told
)

// carryOut does the deed d to n, which is busy and in no visit.
func (l *Lever) carryOut(n *Node, d *decree) {
	switch d.act.Verb {
	case VerbDelete:
		l.handler.conclude(n, Deleted, d.reply)
	case VerbBounce:
		l.handler.conclude(n, Bounced, d.reply)
	case VerbHandback:
		l.queues.gather(n)
		if n.Class() == ClassInject { // it is on its way already
			l.queues.link(n)
		} else {
			l.handler.handBack(n)
		}
	}
}

// flush lets deferred nodes be visited now, and closed sites to which selected mail goes be tried now.
func (l *Lever) flush(ctx context.Context, act Act) (ActReport, error) {
	d := l.newDecree(act, l.named(act.Selector.ID), time.Now())
	if act.DryRun {
		return l.each(ctx, d, nil)
	}
	sites := make(map[string]bool)
	defer func() {
		if l.deps.Reopen != nil && len(sites) > 0 {
			l.deps.Reopen(sites)
		}
	}()
	site := remember(l.site)
	return l.each(ctx, d, func(n *Node) {
		if key := site(n.Domain); key != "" {
			sites[key] = true
		}
		l.rouse(n)
	})
}

// rouse puts n into its queue if it is deferred.
func (l *Lever) rouse(n *Node) {
	m := l.queues
	s := m.shard(n.Domain)
	s.mu.Lock()
	roused := n.state == stateDeferred && m.detach(s, n)
	s.mu.Unlock()
	if roused {
		m.link(n)
	}
}

// site is LeverDeps.Site, "" when there is none.
func (l *Lever) site(domain string) string {
	if l.deps.Site == nil {
		return ""
	}
	return l.deps.Site(domain)
}

// siteHas is LeverDeps.SiteHas. Without one no mail goes to any site. A question without an answer is asked again by Run.
func (l *Lever) siteHas(domain, name string) (has, known bool) {
	if l.deps.SiteHas == nil {
		return false, true
	}
	if has, known = l.deps.SiteHas(domain, name); !known && l.unsure.add(domain, name) {
		l.hurry()
	}
	return has, known
}

// remember returns f, which answers the second time from memory.
func remember(f func(string) string) func(string) string {
	known := make(map[string]string)
	return func(s string) string {
		a, ok := known[s]
		if !ok {
			a = f(s)
			known[s] = a
		}
		return a
	}
}
