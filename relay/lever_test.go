package relay

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// levered is a heart with a lever.
type levered struct {
	*heart
	l      *Lever
	stored []byte
	broken error      // of Store
	known  sync.Mutex // guards sites while the heart runs
	sites  map[string]string
	paused map[string]Reason
	opened map[string]bool
	logged []Act
}

func newLevered(t testing.TB, retry RetryConfig, back HandbackConfig) *levered {
	t.Helper()
	x := &levered{heart: newHeart(t, retry, back), sites: make(map[string]string)}
	x.c.site = nil // each domain is a site
	x.attach(t, nil)
	return x
}

// attach gives the heart a lever, with what was stored.
func (x *levered) attach(t testing.TB, stored []byte) {
	t.Helper()
	x.l = NewLever(x.QueueMap, x.h, LeverDeps{
		SiteHas:    func(domain, name string) (bool, bool) { s := x.site(domain); return s == name, s != "" },
		Site:       x.site,
		PauseSites: func(s map[string]Reason) { x.paused = s },
		Reopen:     func(s map[string]bool) { x.opened = s },
		Store: func(b []byte) error {
			if x.broken == nil {
				x.stored = slices.Clone(b)
			}
			return x.broken
		},
		Log: func(a Act, _ ActReport, _ error) { x.logged = append(x.logged, a) },
	})
	if err := x.l.Recall(stored, nil); err != nil {
		t.Fatal(err)
	}
	x.stored = stored
}

// rename gives a message that waits another queue id.
func (x *levered) rename(m *Message, name string) {
	x.messages.remove(m)
	flow := m.flow()
	m.Slip = slipOf(m)
	m.Slip.QueueID = name
	m.pack(flow, time.Time{})
	x.messages.add(m)
}

// site is where the mail of a domain goes, "" for not known.
func (x *levered) site(domain string) string {
	x.known.Lock()
	defer x.known.Unlock()
	return x.sites[domain]
}

// know makes it known.
func (x *levered) know(domain, site string) {
	x.known.Lock()
	defer x.known.Unlock()
	x.sites[domain] = site
}

// killed is the heart that the next start makes after a kill: what is stored is in force, and what waited is restored.
func (x *levered) killed(t testing.TB) *levered {
	t.Helper()
	next := newLevered(t, x.h.retry(), x.h.handback())
	next.sites = x.sites
	next.attach(t, x.stored)
	next.c.answer = x.c.answer
	var all []*Message
	x.walk(func(some []*Message) bool { all = append(all, some...); return true })
	for _, m := range all {
		s := Saved{Message: &Message{
			ID: m.ID, Content: NewWrapper(m.Content.Wrapper().View()).Content(m.Content.Part(), m.Content.Facts()),
			Slip: slipOf(m),
		}}
		for _, n := range m.Nodes {
			if n.state != stateGone {
				s.Nodes = append(s.Nodes, SavedNode{Index: int(n.Index), Rcpts: slices.Concat(n.Rcpts(), n.later()), Class: n.Class(), Visits: int(n.Visits)})
			}
		}
		next.Restore(s, next.h)
	}
	return next
}

func (x *levered) run(t *testing.T) {
	x.heart.run(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { x.l.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
}

// do carries out an act, and says how many messages it was about.
func (x *levered) do(t testing.TB, v Verb, s Selector, more ...func(*Act)) int {
	t.Helper()
	act := Act{Verb: v, Selector: s, Who: "root", Reason: "a test"}
	for _, f := range more {
		f(&act)
	}
	rep, err := x.l.Do(context.Background(), act)
	if err != nil {
		t.Fatal(v, err)
	}
	return rep.Messages
}

func until(at time.Time) func(*Act) { return func(a *Act) { a.Until = at } }

func dry(a *Act) { a.DryRun = true }

// send has a message taken.
func (x *levered) send(t testing.TB, rcpts ...string) *Message {
	t.Helper()
	m := testMessage(rcpts...)
	if err := x.Accept(m); err != nil {
		t.Fatal(err)
	}
	return m
}

// states lists "address state" of everything that waits.
func (x *levered) states() (all []string) {
	for l := range x.h.Messages {
		for _, r := range l.Recipients {
			all = append(all, r.Address+" "+r.State)
		}
	}
	slices.Sort(all)
	return all
}

func wantStates(t testing.TB, x *levered, want ...string) {
	t.Helper()
	if got := x.states(); !slices.Equal(got, want) {
		t.Errorf("waiting: %q, want %q", got, want)
	}
}

// empty wants nothing to be left.
func (x *levered) wantEmpty(t testing.TB) {
	t.Helper()
	if s := x.h.Status(); s.Messages != 0 || s.Queues != 0 || s.Bytes != 0 || s.Wrappers != 0 || s.Held != 0 || s.Busy != 0 || s.Deferred != 0 {
		t.Errorf("left behind: %+v", s)
	}
	for _, p := range x.l.Pauses() {
		if p.Nodes != 0 {
			t.Errorf("nodes still wait by %+v", p)
		}
	}
}

func TestSelector(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, DefaultRetryConfig(), HandbackConfig{})
		x.deps.Domain = func(d string) string {
			return map[string]string{"bücher.example": "xn--bcher-kva.example"}[strings.ToLower(strings.TrimSuffix(d, "."))] + map[bool]string{
				false: strings.ToLower(strings.TrimSuffix(d, ".")), true: "",
			}[strings.HasPrefix(strings.ToLower(d), "bü")]
		}
		x.sites = map[string]string{"x": "mx.one", "y": "mx.two", "xn--bcher-kva.example": "mx.one", "z": "mx.three", "n.example": "mx.three"}
		names := map[ID]string{}
		add := func(name, from string, f FlowName, class string, rcpts ...string) {
			m := testMessage(rcpts...)
			m.Slip.From, m.Slip.Flow, m.Slip.Class, m.Slip.QueueID = from, f, class, "4Z"+name
			names[m.ID] = name
			if err := x.Accept(m); err != nil {
				t.Fatal(err)
			}
		}
		add("a", "News@N.example", FlowName{Tenant: "shop", Name: "june", Sender: "n.example"}, ClassRemote, "u@x", "v@x", "w@y")
		time.Sleep(time.Hour)
		add("b", "info@bücher.example", FlowName{Tenant: "shop", Name: "july", Urgent: true}, ClassRemote, "u@Bücher.example")
		add("c", "", FlowName{}, ClassRemote, "u@z", "u@y")
		add("d", "", FlowName{}, ClassInject, "news@n.example")
		time.Sleep(time.Minute)
		var id string
		for i, n := range names {
			if n == "c" {
				id = i.String()
			}
		}
		for _, test := range []struct {
			s     Selector
			want  string
			rcpts int
		}{
			{Selector{}, "abc", 6},
			{Selector{Domain: "X"}, "a", 2},
			{Selector{Domain: "y."}, "ac", 2},
			{Selector{Domain: "bücher.example"}, "b", 1},
			{Selector{Domain: "BÜCHER.example."}, "b", 1},
			{Selector{Domain: "xn--bcher-kva.example"}, "b", 1},
			{Selector{Domain: "n.example"}, "", 0},
			{Selector{Site: "mx.one"}, "ab", 3},
			{Selector{Site: "mx.one", Domain: "x"}, "a", 2},
			{Selector{Site: "mx.none"}, "", 0},
			{Selector{Sender: "news@n.example"}, "a", 3},
			{Selector{Sender: `"news"@n.example`}, "a", 3},
			{Selector{Sender: "other@n.example"}, "", 0},
			{Selector{Sender: "new@n.example"}, "", 0},
			{Selector{Sender: "@N.EXAMPLE"}, "a", 3},
			{Selector{Sender: "n.example"}, "a", 3},
			{Selector{Sender: "example"}, "", 0},
			{Selector{Sender: "@xn--bcher-kva.example"}, "b", 1},
			{Selector{Sender: "info@xn--bcher-kva.example"}, "b", 1},
			{Selector{Sender: "bücher.example"}, "b", 1},
			{Selector{Sender: "<>"}, "c", 2},
			{Selector{Tenant: "shop"}, "ab", 4},
			{Selector{Tenant: "Shop"}, "", 0},
			{Selector{Campaign: "june"}, "a", 3},
			{Selector{Campaign: "june", Tenant: "other"}, "", 0},
			{Selector{Lane: "urgent"}, "b", 1},
			{Selector{Lane: "bulk"}, "ac", 5},
			{Selector{Older: time.Hour}, "a", 3},
			{Selector{Older: 2 * time.Hour}, "", 0},
			{Selector{Older: time.Second, Lane: "bulk"}, "ac", 5},
			{Selector{Class: "remote"}, "abc", 6},
			{Selector{Class: ClassInject}, "d", 1},
			{Selector{ID: "4Za"}, "a", 3},
			{Selector{ID: "4Zd"}, "d", 1},
			{Selector{ID: id}, "c", 2},
			{Selector{ID: strings.ToLower(id)}, "c", 2},
			{Selector{ID: "4Za", Domain: "y"}, "a", 1},
			{Selector{ID: "4Za", Domain: "z"}, "", 0},
			{Selector{ID: "4Znone"}, "", 0},
		} {
			act := Act{Verb: VerbHold, Selector: test.s}
			act.DryRun = true
			rep, err := x.l.Do(t.Context(), act)
			if err != nil {
				t.Errorf("%s: %v", test.s, err)
			}
			if rep.Messages != len(test.want) || rep.Recipients != test.rcpts {
				t.Errorf("%s: %d messages, %d recipients, want %q and %d", test.s, rep.Messages, rep.Recipients, test.want, test.rcpts)
			}
			x.do(t, VerbHold, test.s)
			var held []string
			for l := range x.h.Messages {
				if slices.ContainsFunc(l.Recipients, func(r ListedRcpt) bool { return r.State == "held" }) {
					held = append(held, strings.TrimPrefix(l.QueueID, "4Z"))
				}
			}
			slices.Sort(held)
			if got := strings.Join(held, ""); got != test.want {
				t.Errorf("%s holds %q, want %q", test.s, got, test.want)
			}
			x.do(t, VerbRelease, Selector{})
			x.do(t, VerbRelease, Selector{Class: ClassInject})
			time.Sleep(2 * justGiven / 100)
		}
	})
}

func TestBadActs(t *testing.T) {
	x := newLevered(t, DefaultRetryConfig(), HandbackConfig{})
	soon := time.Now().Add(time.Hour)
	for _, test := range []struct {
		act   Act
		field string
	}{
		{Act{Verb: "explode"}, "verb"},
		{Act{}, "verb"},
		{Act{Verb: VerbDelete}, "selector"},
		{Act{Verb: VerbBounce}, "selector"},
		{Act{Verb: VerbHandback}, "selector"},
		{Act{Verb: VerbPause}, "selector"},
		{Act{Verb: VerbPause, Selector: Selector{Lane: "bulk"}}, "selector"},
		{Act{Verb: VerbPause, Selector: Selector{ID: "1"}}, "selector"},
		{Act{Verb: VerbPause, Selector: Selector{Domain: "x", Older: time.Hour}}, "selector"},
		{Act{Verb: VerbPause, Selector: Selector{Domain: "x", Class: "remote"}}, "selector"},
		{Act{Verb: VerbPause, Selector: Selector{Domain: "x"}, Until: time.Now()}, "until"},
		{Act{Verb: VerbHold, Until: soon}, "until"},
		{Act{Verb: VerbDrain, Selector: Selector{Domain: "x"}}, "selector"},
		{Act{Verb: VerbUndrain, Selector: Selector{Domain: "x"}}, "selector"},
		{Act{Verb: VerbUndrain}, "verb"},
		{Act{Verb: VerbHold, Selector: Selector{Lane: "fast"}}, "lane"},
		{Act{Verb: VerbHold, Selector: Selector{Class: "local"}}, "class"},
		{Act{Verb: VerbHold, Selector: Selector{Older: -1}}, "older"},
		{Act{Verb: VerbHold, Selector: Selector{Domain: "a@x"}}, "domain"},
		{Act{Verb: VerbHold, Selector: Selector{Sender: "@"}}, "sender"},
		{Act{Verb: VerbHold, Selector: Selector{Campaign: strings.Repeat("x", 1025)}}, "campaign"},
		{Act{Verb: VerbHold, Selector: Selector{Tenant: "a\nb"}}, "tenant"},
		{Act{Verb: VerbHold, Selector: Selector{ID: "a\x00"}}, "id"},
		{Act{Verb: VerbHold, Selector: Selector{Site: "\xff"}}, "site"},
		{Act{Verb: VerbHold, Reason: "a\r\nb"}, "reason"},
		{Act{Verb: VerbHold, Who: "a\tb"}, "who"},
	} {
		rep, err := x.l.Do(t.Context(), test.act)
		var bad *ActError
		if !errors.As(err, &bad) || bad.Field != test.field || rep != (ActReport{}) {
			t.Errorf("%+v: %v, %+v; want an error about %s", test.act, err, rep, test.field)
		}
	}
	if len(x.logged) > 1 { // that of undrain was tried
		t.Errorf("logged: %v", x.logged)
	}
}

// TestActEnds: an act is about the messages that wait when it begins, also when it makes messages.
func TestActEnds(t *testing.T) {
	x := newLevered(t, DefaultRetryConfig(), HandbackConfig{})
	for range 3 * mostAtOnce {
		x.send(t, "a@x")
	}
	d := x.l.newDecree(Act{Verb: VerbBounce, Selector: Selector{Domain: "x"}}, nil, time.Now())
	rep, err := x.l.each(t.Context(), d, func(*Node) { x.send(t, "a@x") })
	if err != nil || rep.Messages != 3*mostAtOnce {
		t.Errorf("%+v %v", rep, err)
	}
}

// TestHeldWhereItIsDeferred: a deferred node that is held is looked at again at its time, and waits on; its release lets it go at once.
func TestHeldWhereItIsDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		x.c.answer = fixed(Deferred, 451)
		x.run(t)
		x.send(t, "a@x")
		synctest.Wait()
		x.do(t, VerbHold, Selector{Domain: "x"})
		if s := x.h.Status(); s.Held != 1 || s.Deferred != 0 {
			t.Errorf("%+v", s)
		}
		time.Sleep(150 * time.Minute)
		synctest.Wait()
		wantStates(t, x, "a@x held")
		if n := x.rec.count("deferred a@x"); n != 1 {
			t.Errorf("visited %d times", n)
		}
		x.c.answer = fixed(Sent, 250)
		x.do(t, VerbRelease, Selector{Domain: "x"})
		synctest.Wait()
		x.wantEmpty(t)
	})
}
