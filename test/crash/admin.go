package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// admin gives the daemon orders about the mail that waits, at random, over all its crashes. What the daemon has answered must be so from
// then on. An order that got no answer may be carried out or not.
type admin struct {
	sandbox *sandbox
	rng     *rand.Rand
	cancel  context.CancelFunc
	done    chan struct{}
	gone    atomic.Int64 // recipients whom an order has made go without a trace

	mu      sync.Mutex
	bars    map[pair][]*bar
	touched map[string]relay.Verb // messages that an order may have ended, by id
	all     bool                  // a drain may have handed back any message
	orders  int                   // that were answered
}

// bar is a time in which a recipient must not get a message.
type bar struct {
	verb     relay.Verb
	from, to time.Time // to is zero while it lasts
}

// administer starts an admin. stop ends it.
func (s *sandbox) administer(rng *rand.Rand) *admin {
	ctx, cancel := context.WithCancel(context.Background())
	a := &admin{sandbox: s, rng: rng, cancel: cancel, done: make(chan struct{}), bars: make(map[pair][]*bar), touched: make(map[string]relay.Verb)}
	s.admin = a
	go func() { // ends with ctx
		defer close(a.done)
		for ctx.Err() == nil {
			rest(ctx, time.Duration(20+rng.IntN(60))*time.Millisecond)
			a.order(ctx)
		}
	}()
	return a
}

// stop ends the admin, who first lets go of all mail.
func (a *admin) stop() error {
	a.cancel()
	<-a.done
	for _, verb := range []relay.Verb{relay.VerbRelease, relay.VerbResume, relay.VerbUndrain} {
		a.lift(verb)
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		_, err := a.tell(ctx, relay.Act{Verb: verb})
		cancel()
		if err != nil && verb != relay.VerbUndrain { // there is no drain, usually
			return err
		}
	}
	return nil
}

// order gives one order.
func (a *admin) order(ctx context.Context) {
	switch k := a.rng.IntN(12); {
	case k < 2:
		a.while(ctx, relay.Act{Verb: relay.VerbHold}, relay.VerbRelease)
	case k < 4:
		a.while(ctx, relay.Act{Verb: relay.VerbPause, Selector: relay.Selector{Domain: domains[a.rng.IntN(len(domains))]}}, relay.VerbResume)
	case k < 7:
		a.end(ctx, relay.VerbDelete)
	case k < 9:
		a.end(ctx, relay.VerbHandback)
	case k == 9:
		a.end(ctx, relay.VerbBounce)
	case k == 10:
		_, _ = a.tell(ctx, relay.Act{Verb: relay.VerbFlush})
	default:
		a.mu.Lock()
		a.all = true
		a.mu.Unlock()
		a.while(ctx, relay.Act{Verb: relay.VerbDrain, Until: time.Now().Add(200 * time.Millisecond)}, relay.VerbUndrain)
	}
}

// tell gives the order to the daemon, as a command does.
func (a *admin) tell(ctx context.Context, act relay.Act) (relay.ActReport, error) {
	c := console.NewClient(a.sandbox.daemon.Socket())
	defer c.Close()
	act.Reason = "a test"
	rep, err := c.Act(ctx, act)
	if err == nil {
		a.mu.Lock()
		a.orders++
		a.mu.Unlock()
	}
	return rep, err
}

// while has something held up for a moment, and lets go of it when the daemon is there to hear it.
func (a *admin) while(ctx context.Context, act relay.Act, end relay.Verb) {
	begin := time.Now()
	if _, err := a.tell(ctx, act); err == nil && act.Verb != relay.VerbDrain {
		if waiting, err := a.idle(); err == nil {
			a.bar(act.Verb, slices.DeleteFunc(waiting, func(p pair) bool { return !a.selects(act, p, begin) }), time.Now())
		}
	}
	rest(ctx, time.Duration(50+a.rng.IntN(300))*time.Millisecond)
	a.lift(end)
	for ctx.Err() == nil {
		if _, err := a.tell(ctx, relay.Act{Verb: end}); err == nil || end == relay.VerbUndrain && strings.Contains(err.Error(), "no drain") {
			return
		}
		rest(ctx, 20*time.Millisecond)
	}
}

// selects reports whether an order that holds mail up is certainly about p: a hold is about what was taken before.
func (a *admin) selects(act relay.Act, p pair, begin time.Time) bool {
	_, domain, _ := strings.Cut(p.rcpt, "@")
	return act.Verb == relay.VerbPause && domain == act.Selector.Domain || act.Verb == relay.VerbHold && a.sandbox.ledger.takenBy(p.id, begin)
}

// end ends one message that waits.
func (a *admin) end(ctx context.Context, verb relay.Verb) {
	waiting, err := a.idle()
	if err != nil || len(waiting) == 0 {
		return
	}
	id := waiting[a.rng.IntN(len(waiting))].id
	a.mu.Lock()
	if a.touched[id] == "" {
		a.touched[id] = verb
	}
	first := a.touched[id] == verb
	a.mu.Unlock()
	if !first {
		return
	}
	rep, err := a.tell(ctx, relay.Act{Verb: verb, Selector: relay.Selector{ID: strings.ToUpper(id)}})
	now := time.Now()
	if verb == relay.VerbDelete {
		a.gone.Add(int64(rep.Recipients))
	}
	if err != nil || rep.Busy > 0 {
		return
	}
	e := a.sandbox.ledger.find(id)
	if e == nil {
		return
	}
	var all []pair
	for _, r := range e.rcpts {
		all = append(all, pair{id, r})
	}
	a.bar(verb, all, now)
}

// idle is who waits and is not being sent to, held recipients included.
func (a *admin) idle() (list []pair, err error) {
	c := console.NewClient(a.sandbox.daemon.Socket())
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for l, err := range c.Messages(ctx, console.Filter{}) {
		if err != nil {
			return nil, err
		}
		id, ok := idOfSender(l.Sender)
		for _, r := range l.Recipients {
			if ok && r.State != "busy" && (r.State == "held" || r.State == "deferred") {
				list = append(list, pair{id, r.Address})
			}
		}
	}
	return list, nil
}

// bar forbids what the order was to end or to hold up. Of what waits, a hold and a pause are about what is held now.
func (a *admin) bar(verb relay.Verb, list []pair, from time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, p := range list {
		a.bars[p] = append(a.bars[p], &bar{verb: verb, from: from})
	}
}

// lift ends what an order is going to let go.
func (a *admin) lift(end relay.Verb) {
	verb := map[relay.Verb]relay.Verb{relay.VerbRelease: relay.VerbHold, relay.VerbResume: relay.VerbPause}[end]
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range a.bars {
		for _, b := range list {
			if b.verb == verb && b.to.IsZero() {
				b.to = time.Now()
			}
		}
	}
}

// forbade returns the order by which p must not have got a message at t, or "".
func (a *admin) forbade(p pair, t time.Time) relay.Verb {
	if a == nil {
		return ""
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, b := range a.bars[p] {
		if t.After(b.from) && (b.to.IsZero() || t.Before(b.to)) && !a.forgotten(b, t) {
			return b.verb
		}
	}
	return ""
}

// forgotten reports whether a crash has undone an order before t. A message on its way to the sender or to the MTA is sent to its
// recipients again when the daemon dies before it has left: both are better than a loss. An order that was answered just after the disk was
// cut off may be on no disk: the kernel may have told the daemon falsely that it was.
func (a *admin) forgotten(b *bar, t time.Time) bool {
	if c := a.sandbox.dark(b.from); c != nil && t.After(c.until) {
		return true
	}
	return (b.verb == relay.VerbBounce || b.verb == relay.VerbHandback) && len(a.sandbox.between(b.from, t)) > 0
}

// may reports whether an order may have done that to a message.
func (a *admin) may(verb relay.Verb, id string) bool {
	if a == nil {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.touched[id] == verb || verb == relay.VerbHandback && a.all
}
