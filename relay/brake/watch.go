package brake

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// Who is the name under which Watch gives its orders. No user has it: it begins with a capital.
const Who = "Millrace"

const (
	// maxPlaces is how many campaigns at providers are remembered, those that were refused last. As many pauses may be in force.
	maxPlaces = 1000
	// forgetAfter is how long a campaign is remembered that is refused no more.
	forgetAfter = 24 * time.Hour
	// retryAfter is when a pause is ordered again that could not be made durable.
	retryAfter = 10 * time.Second
	// brakeFor is how long the mail waits that an agent has picked before the pause is in force. If that cannot be stored, each message of
	// the campaign, of which there may be a million, is picked so often.
	brakeFor = time.Minute
	// maxWords bounds what is kept of a reply, in bytes.
	maxWords = 300
)

// Deps are what a Watch works with.
type Deps struct {
	Provider func(site string) string               // the provider of a site, "" if it is of none
	Order    func(context.Context, relay.Act) error // gives an order to the lever
	Log      hclog.Logger
}

// place is a campaign at a provider.
type place struct {
	flow relay.FlowName // Urgent is false: it is the same campaign
	at   string         // name of the provider, or key of a site that is of none
}

// Watch counts what providers answer to campaigns, and stops those whose sender they refuse. It is a relay.Listener. All methods may be
// called from any goroutine.
type Watch struct {
	deps   Deps
	cfg    atomic.Pointer[Config]
	known  atomic.Int32 // campaigns at providers that are counted: as long as there is none, an event costs nothing
	braked atomic.Int32 // of stops whose pause is not in force yet
	kick   chan struct{}

	mu     sync.RWMutex
	places map[place]*answers
	byAge  *list.List             // of places, *answers: the one that was refused last stands last
	flows  map[relay.FlowName]int // how many places each campaign has
	stops  map[place]relay.Act
}

// New returns a Watch that stops nothing before Run. cfg has been validated.
func New(cfg Config, deps Deps) *Watch {
	w := &Watch{
		deps: deps, kick: make(chan struct{}, 1),
		places: make(map[place]*answers), byAge: list.New(), flows: make(map[relay.FlowName]int), stops: make(map[place]relay.Act),
	}
	w.cfg.Store(&cfg)
	return w
}

// SetConfig replaces the configuration, which has been validated. What was counted is forgotten; a stop stays until it is resumed.
func (w *Watch) SetConfig(cfg Config) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cfg == *w.cfg.Load() {
		return
	}
	w.cfg.Store(&cfg)
	clear(w.places)
	clear(w.flows)
	w.byAge.Init()
	w.known.Store(0)
}

// Event implements relay.Listener.
func (w *Watch) Event(e *relay.Event) {
	if e.Kind != relay.EventSettled || e.Site == "" || e.Node == nil || e.Node.Class() != relay.ClassRemote {
		return
	}
	switch {
	case e.Outcome == relay.Sent && w.known.Load() > 0:
		w.sent(e)
	case e.Outcome == relay.Bounced && w.cfg.Load().Enabled && smtp.Classify(e.Reply, "").OfSender():
		w.refused(e)
	}
}

// sent notes that a message of a campaign that is counted was taken. It may be at another site than the refusals: a provider has as many as
// the domains that it hosts, and each of those may refuse for itself.
func (w *Watch) sent(e *relay.Event) {
	flow := campaign(e.Message.Flow())
	if !w.counts(flow) {
		return
	}
	p := place{flow, w.providerOf(e.Site)} // before the lock: the pool has its own
	w.mu.Lock()
	defer w.mu.Unlock()
	if a := w.places[p]; a != nil {
		a.add(false)
	}
}

// counts reports whether a campaign is counted at any provider. It is what a message of another one costs.
func (w *Watch) counts(flow relay.FlowName) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.flows[flow] > 0
}

// providerOf is the provider of a site. A site that is of none is its own.
func (w *Watch) providerOf(site string) string { return cmp.Or(w.deps.Provider(site), site) }

// refused notes a refusal of the sender, and stops the campaign if it is one too many.
func (w *Watch) refused(e *relay.Event) {
	flow := campaign(e.Message.Flow())
	if flow.Name+flow.Sender == "" { // nobody could say of which mail the pause is
		return
	}
	p := place{flow, w.providerOf(e.Site)} // before the lock: the pool has its own
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.counted(p, e.Time)
	if _, stopped := w.stops[a.place]; stopped || len(w.stops) >= maxPlaces {
		return
	}
	a.words = words(e.Reply)
	if a.add(true); a.enough(w.cfg.Load().After) {
		w.stop(a)
	}
}

// campaign is the identity of a campaign.
func campaign(f relay.FlowName) relay.FlowName {
	f.Urgent = false
	return f
}

// counted finds or makes the answers of p, which is refused now. The mutex is held.
func (w *Watch) counted(p place, now time.Time) *answers {
	a := w.places[p]
	if a == nil {
		w.forget(now)
		a = newAnswers(p, w.cfg.Load().After)
		a.age = w.byAge.PushBack(a)
		w.places[p] = a
		w.flows[p.flow]++
		w.known.Store(int32(len(w.places)))
	}
	a.last = now
	w.byAge.MoveToBack(a.age)
	return a
}

// forget makes room for one more place: it drops those that were not refused for long, else the one that has not been for longest. The
// mutex is held.
func (w *Watch) forget(now time.Time) {
	for e := w.byAge.Front(); e != nil; e = w.byAge.Front() {
		a := e.Value.(*answers)
		if len(w.places) < maxPlaces && now.Sub(a.last) <= forgetAfter {
			return
		}
		w.drop(a)
	}
}

// drop forgets a. The mutex is held.
func (w *Watch) drop(a *answers) {
	delete(w.places, a.place)
	w.byAge.Remove(a.age)
	if w.flows[a.place.flow]--; w.flows[a.place.flow] == 0 {
		delete(w.flows, a.place.flow)
	}
	w.known.Store(int32(len(w.places)))
}

// stop lets nothing more of the campaign go to the provider, and has Run order the pause. The mutex is held.
func (w *Watch) stop(a *answers) {
	p := a.place
	act := relay.Act{Verb: relay.VerbPause, Who: Who, Reason: fmt.Sprintf("%d of the last %d answers refuse its sender: %s", a.refused, a.heard, a.words)}
	act.Selector = relay.Selector{Tenant: p.flow.Tenant, Campaign: p.flow.Name, Sender: p.flow.Sender, Site: p.at}
	w.stops[p] = act
	w.braked.Store(int32(len(w.stops)))
	select {
	case w.kick <- struct{}{}:
	default:
	}
}

// words is what a reply says, in a form that an Act may have.
func words(r smtp.Reply) string {
	text := strings.Map(func(c rune) rune {
		if unicode.IsControl(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(r.String(), "?"))
	if len(text) > maxWords {
		text = strings.ToValidUTF8(text[:maxWords], "") + "..."
	}
	return text
}

// Holds is why mail of a campaign must not be sent to a site now, although no pause is in force yet; the zero Reason if it may.
func (w *Watch) Holds(flow relay.FlowName, site string) relay.Reason {
	if w.braked.Load() == 0 {
		return relay.Reason{}
	}
	at := w.providerOf(site)
	w.mu.RLock()
	defer w.mu.RUnlock()
	act, stopped := w.stops[place{campaign(flow), at}]
	if !stopped {
		return relay.Reason{}
	}
	return relay.WaitFor(relay.ReasonPause, Who, "the campaign is stopped at "+at+": "+act.Reason, time.Now().Add(brakeFor))
}

// Run orders the pauses of the campaigns that are stopped, until ctx is done.
func (w *Watch) Run(ctx context.Context) {
	var again <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.kick:
		case <-again:
		}
		again = nil
		if !w.order(ctx) {
			again = time.After(retryAfter)
		}
	}
}

// order orders the pauses that are not in force yet. It reports false if one of them must be tried again.
func (w *Watch) order(ctx context.Context) (done bool) {
	done = true
	for p, act := range w.pending() {
		err := w.deps.Order(ctx, act)
		if err != nil && !errors.As(err, new(*relay.ActError)) {
			w.deps.Log.Error("a campaign is stopped, and its pause cannot be put in force yet", "campaign", p.flow.Name, "at", p.at, "error", err)
			done = false
			continue
		}
		if err != nil { // it would be refused again
			w.deps.Log.Error("a campaign cannot be stopped", "campaign", p.flow.Name, "at", p.at, "error", err)
		} else {
			w.tell(p, act)
		}
		w.release(p)
	}
	return done
}

// pending is the stops whose pause is not in force.
func (w *Watch) pending() map[place]relay.Act {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return maps.Clone(w.stops)
}

// release forgets p: its pause is in force. After the pause the count begins anew.
func (w *Watch) release(p place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.stops, p)
	w.braked.Store(int32(len(w.stops)))
	if a := w.places[p]; a != nil {
		w.drop(a)
	}
}

// tell logs a stop, and how it is ended.
func (w *Watch) tell(p place, act relay.Act) {
	w.deps.Log.Warn("a campaign is stopped at a provider that refuses its sender; the rest of its mail there waits",
		"campaign", p.flow.Name, "sender", p.flow.Sender, "tenant", p.flow.Tenant, "at", p.at, "because", act.Reason,
		"resume", "millrace resume "+act.Selector.String())
}
