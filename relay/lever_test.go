package relay

import (
	"context"
	"errors"
	"fmt"
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
	sortByID(all)
	for _, m := range all {
		s := Saved{Message: &Message{
			ID: m.ID, QueueID: m.QueueID, Envelope: m.Envelope, Content: NewContent(m.Content.Personal, []byte("hello\r\n")), Class: m.Class, Flow: m.Flow,
			Arrived: m.Arrived, Taken: m.Taken,
		}}
		for _, n := range m.Nodes {
			if n.state != stateGone {
				s.Nodes = append(s.Nodes, SavedNode{Index: n.Index, Rcpts: slices.Concat(n.Rcpts, n.later), Class: n.Class, Visits: n.Visits})
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
			m.From, m.Flow, m.Class, m.QueueID = from, f, class, "4Z"+name
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
		{Act{Verb: VerbPause, Selector: Selector{Domain: "x", Site: "y"}}, "site"},
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

// TestHoldAndRelease: what waits in a queue and what is deferred is held, with a reason and a time; new mail is not; nothing is handed
// back or charged meanwhile; a release sends it at once.
func TestHoldAndRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(3*time.Hour, 10*time.Hour), HandbackConfig{After: 5 * time.Hour})
		x.c.answer = fixed(Deferred, 451)
		x.run(t)
		begin := time.Now()
		x.send(t, "deferred@x")
		synctest.Wait()
		x.c.closed = func(k Key) bool { return k.Domain == "y" }
		x.send(t, "queued@y")
		synctest.Wait()
		wantStates(t, x, "deferred@x deferred", "queued@y held") // its site is closed
		if got := x.do(t, VerbHold, Selector{}); got != 2 {
			t.Errorf("%d messages held", got)
		}
		time.Sleep(time.Second)
		x.c.open()
		x.c.answer = fixed(Sent, 250)
		x.send(t, "new@x", "new@y")
		time.Sleep(6 * time.Hour)
		synctest.Wait()
		if !x.rec.has("sent new@x") || !x.rec.has("sent new@y") || x.rec.has("sent queued@y") || x.rec.count("deferred deferred@x") != 1 {
			t.Errorf("events %q", x.rec.lines)
		}
		for l := range x.h.Messages {
			r := l.Recipients[0]
			if r.State != "held" || r.DelayKind != ReasonHold || r.DelayWho != "root" || !strings.HasSuffix(r.DelayReason, ": a test") || r.NextAttempt != begin.Add(10*time.Hour).Unix() {
				t.Errorf("shown as %+v", r)
			}
		}
		if s := x.h.Status(); s.Held != 2 || s.Deferred != 0 || s.Active != 0 {
			t.Errorf("%+v", s)
		}
		if p := x.l.Pauses(); len(p) != 1 || p[0].Verb != VerbHold || p[0].Nodes != 2 || p[0].Who != "root" {
			t.Errorf("%+v", p)
		}
		if got := x.do(t, VerbRelease, Selector{}); got != 2 {
			t.Errorf("%d messages released", got)
		}
		synctest.Wait()
		if got := x.do(t, VerbRelease, Selector{}); got != 0 {
			t.Errorf("%d messages released again", got)
		}
		x.c.answer = fixed(Sent, 250)
		if x.rec.count("handedback queued@y")+x.rec.count("sent queued@y") != 1 || x.rec.count("handedback deferred@x")+x.rec.count("sent deferred@x") != 1 {
			t.Errorf("events %q", x.rec.lines)
		}
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		x.wantEmpty(t)
		if p := x.l.Pauses(); len(p) != 0 {
			t.Errorf("not needed any more: %+v", p)
		}
		if strings.Contains(string(x.stored), "hold") {
			t.Errorf("still stored: %s", x.stored)
		}
	})
}

// TestHeldMailExpires: at the end of its life, and the reason is true.
func TestHeldMailExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{})
		var said string
		x.deps.Listener = Listeners{x.rec, listener(func(e *Event) {
			if e.Outcome == Expired {
				said = e.Reply.String()
			}
		})}
		x.c.answer, x.c.closed = fixed(Sent, 250), everything
		x.run(t)
		x.send(t, "a@x")
		x.do(t, VerbHold, Selector{Domain: "x"})
		x.c.open()
		time.Sleep(10*time.Hour - time.Second)
		synctest.Wait()
		wantStates(t, x, "a@x held")
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if x.rec.count("expired a@x") != 1 || !strings.Contains(said, "held by root since") || !strings.Contains(said, "a test") {
			t.Errorf("events %q; %q", x.rec.lines, said)
		}
		x.wantEmpty(t)
	})
}

type listener func(*Event)

func (f listener) Event(e *Event) { f(e) }

// TestBusyNodes: what an act wants of a node that is being visited is done when the visit ends, unless it has delivered.
func TestBusyNodes(t *testing.T) {
	for _, test := range []struct {
		verb Verb
		ends Outcome
		want string
	}{
		{VerbHold, Deferred, "held"}, {VerbHold, Again, "held"}, {VerbHold, Sent, "sent a@x"},
		{VerbDelete, Deferred, "deleted a@x"}, {VerbDelete, Again, "deleted a@x"}, {VerbDelete, Sent, "sent a@x"},
		{VerbBounce, Deferred, "bounced a@x"}, {VerbBounce, Bounced, "bounced a@x"}, {VerbHandback, Again, "handedback a@x"}, {VerbHandback, Deferred, "handedback a@x"},
		{VerbPause, Again, "held"}, {VerbPause, Deferred, "deferred"},
	} {
		t.Run(fmt.Sprint(test.verb, test.ends), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{})
				x.send(t, "a@x", "b@x")
				v := x.h.Visit(x.h.Next(t.Context()))
				rep, err := x.l.Do(t.Context(), Act{Verb: test.verb, Selector: Selector{Domain: "x"}})
				if err != nil || rep.Busy != 1 || rep.Messages != 1 || rep.Recipients != 2 {
					t.Errorf("%+v %v", rep, err)
				}
				v.FailAll(test.ends, fixed(test.ends, 451)(nil, 0).Reply)
				if test.ends == Again {
					v.Fates[1].Outcome = Deferred // this one waits behind the first
				}
				x.h.Settle(v)
				x.c.answer = fixed(Sent, 250)
				x.run(t)
				synctest.Wait()
				if strings.Contains(test.want, " ") {
					if x.rec.count(test.want) != 1 || x.rec.count(strings.Replace(test.want, "a@x", "b@x", 1)) != 1 {
						t.Errorf("events %q, want %s", x.rec.lines, test.want)
					}
					x.wantEmpty(t)
					return
				}
				wantStates(t, x, "a@x "+test.want, "b@x "+test.want)
			})
		})
	}
}

// TestDeeds: each verb for what waits in a queue, is deferred and is held.
func TestDeeds(t *testing.T) {
	for _, test := range []struct {
		verb Verb
		want string
		say  string
	}{
		{VerbDelete, "deleted", "deleted by root since"}, {VerbBounce, "bounced", "554 5.7.1 delivery cancelled by the administrator: a test"}, {VerbHandback, "handedback", "250"},
	} {
		t.Run(string(test.verb), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{})
				var said []string
				x.deps.Listener = Listeners{x.rec, listener(func(e *Event) {
					if e.Kind == EventSettled && e.Outcome.Final() {
						said = append(said, e.Reply.String())
					}
				})}
				x.c.answer = func(n *Node, _ int) Fate {
					if n.Class == ClassInject {
						return fixed(Sent, 250)(nil, 0)
					}
					return fixed(Deferred, 451)(nil, 0)
				}
				x.c.closed = func(k Key) bool { return k.Domain == "queued" && k.Class != ClassInject }
				x.run(t)
				x.send(t, "a@held", "b@held", "a@kept")
				synctest.Wait()
				x.do(t, VerbHold, Selector{Domain: "held"})
				x.send(t, "a@deferred")
				x.send(t, "a@queued")
				synctest.Wait()
				for _, d := range []string{"held", "deferred", "queued"} {
					if got := x.do(t, test.verb, Selector{Domain: d}, dry); got != 1 {
						t.Errorf("dry run for %s: %d messages", d, got)
					}
				}
				if len(said) > 0 {
					t.Errorf("dry runs did something: %q", said)
				}
				for _, d := range []string{"held", "deferred", "queued"} {
					if got := x.do(t, test.verb, Selector{Domain: d}); got != 1 {
						t.Errorf("%s: %d messages", d, got)
					}
				}
				synctest.Wait()
				for _, a := range []string{"a@held", "b@held", "a@deferred", "a@queued"} {
					if x.rec.count(test.want+" "+a) != 1 {
						t.Errorf("events %q, want %s %s", x.rec.lines, test.want, a)
					}
				}
				for _, s := range said {
					if !strings.Contains(s, test.say) {
						t.Errorf("said %q, want %q", s, test.say)
					}
				}
				wantStates(t, x, "a@kept deferred")
				x.do(t, VerbDelete, Selector{Domain: "kept"})
				x.c.open()
				time.Sleep(2 * time.Minute)
				synctest.Wait()
				x.wantEmpty(t)
			})
		})
	}
}

// TestFlush: deferred mail is visited now, closed sites are tried, held and paused mail stays.
func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{})
		x.sites = map[string]string{"x": "mx.x", "held": "mx.held", "p": "mx.p"}
		x.c.answer = fixed(Deferred, 451)
		x.run(t)
		for i := range 5 {
			x.send(t, fmt.Sprintf("%d@x", i), "a@p")
		}
		x.send(t, "a@held")
		synctest.Wait()
		x.do(t, VerbHold, Selector{Domain: "held"})
		x.do(t, VerbPause, Selector{Domain: "p"})
		x.c.answer, x.c.visits = fixed(Sent, 250), nil
		if got := x.do(t, VerbFlush, Selector{}, dry); got != 5 || len(x.opened) > 0 {
			t.Errorf("dry run: %d, %v", got, x.opened)
		}
		if got := x.do(t, VerbFlush, Selector{}); got != 5 || !x.opened["mx.x"] || x.opened["mx.held"] {
			t.Errorf("%d, %v", got, x.opened)
		}
		synctest.Wait()
		if x.h.Status().Sent != 5 || slices.Contains(x.c.visits, "p") {
			t.Errorf("events %q", x.rec.lines)
		}
		wantStates(t, x, "a@held held", "a@p held", "a@p held", "a@p held", "a@p held", "a@p held")
	})
}

// TestPause: mail that waits and mail to come waits, in its order, with the reason and the time, and costs nobody a visit; other mail
// goes on; the end of the pause is enough.
func TestPause(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		t.Run(fmt.Sprint("resumed ", resumed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{After: 2 * time.Hour})
				var order visited
				x.c.answer = func(n *Node, r int) Fate {
					order.note(n.Message.Rcpts[r].Addr)
					return fixed(Sent, 250)(n, r)
				}
				x.c.closed = func(k Key) bool { return k.Domain == "x" }
				x.run(t)
				want := []string{}
				add := func() {
					a := fmt.Sprintf("u%02d@x", len(want))
					want = append(want, a)
					x.send(t, a)
				}
				for range 20 {
					add()
				}
				synctest.Wait()
				end := time.Now().Add(3 * time.Hour)
				x.do(t, VerbPause, Selector{Domain: "X"}, until(end))
				x.c.open()
				for range 20 {
					add()
				}
				x.send(t, "other@y")
				synctest.Wait()
				if got := order.taken(); !slices.Equal(got, []string{"other@y"}) {
					t.Errorf("visited: %q", got)
				}
				for l := range x.h.Messages {
					if r := l.Recipients[0]; r.State != "held" || r.DelayKind != ReasonPause || r.NextAttempt != end.Unix() {
						t.Errorf("shown as %+v", r)
					}
				}
				if p := x.l.Pauses(); len(p) != 1 || p[0].Nodes != 40 || !p[0].Until.Equal(end) {
					t.Errorf("%+v", p)
				}
				time.Sleep(time.Until(end) - time.Second)
				synctest.Wait()
				if got := order.taken(); len(got) > 0 {
					t.Errorf("visited before the end, or handed back: %q", got)
				}
				if resumed {
					if got := x.do(t, VerbResume, Selector{Domain: "x"}); got != 40 {
						t.Errorf("%d messages go on", got)
					}
				} else {
					time.Sleep(time.Second)
				}
				synctest.Wait()
				if got := order.taken(); !slices.Equal(got, want) {
					t.Errorf("visited in the order %q", got)
				}
				x.wantEmpty(t)
				if p := x.l.Pauses(); len(p) != 0 {
					t.Errorf("%+v", p)
				}
			})
		})
	}
}

// visited is who was, in order.
type visited struct {
	mu  sync.Mutex
	all []string
}

func (v *visited) note(who string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.all = append(v.all, who)
}

// taken is who was since it was asked last.
func (v *visited) taken() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	defer func() { v.all = nil }()
	return v.all
}

// TestPausesOf: what a pause may be of, and that it leaves our own MTA's mail alone.
func TestPausesOf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{})
		x.c.answer = fixed(Sent, 250)
		x.run(t)
		for _, s := range []Selector{
			{Sender: "list@n.example"}, {Sender: "@n.example"}, {Tenant: "shop"}, {Campaign: "june"}, {Domain: "x", Campaign: "june"}, {Tenant: "shop", Lane: "bulk"},
		} {
			x.do(t, VerbPause, s)
			a, b, c := testMessage("a@x"), testMessage("b@y"), testMessage("list@n.example")
			a.Flow = FlowName{Tenant: "shop", Name: "june", Sender: "n.example"}
			b.From, b.Flow = "other@o.example", FlowName{Tenant: "club", Name: "july", Urgent: true}
			c.Class, c.From = ClassInject, ""
			for _, m := range []*Message{a, b, c} {
				if err := x.QueueMap.Accept(m); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
			wantStates(t, x, "a@x held")
			if rep, err := x.l.Do(t.Context(), Act{Verb: VerbResume, Selector: s, DryRun: true}); err != nil || rep.Pauses != 1 || rep.Messages != 1 {
				t.Errorf("%s: %+v %v", s, rep, err)
			}
			if rep, err := x.l.Do(t.Context(), Act{Verb: VerbResume, Selector: Selector{Domain: "nobody's"}}); err != nil || rep.Pauses != 0 {
				t.Errorf("%s: %+v %v", s, rep, err)
			}
			x.do(t, VerbResume, Selector{})
			synctest.Wait()
			x.wantEmpty(t)
		}
	})
}

// TestPausedSite: the pool is told of all sites that are paused, and mail expires meanwhile with a true reason.
func TestPausedSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{After: 5 * time.Hour})
		x.sites = map[string]string{"x": "mx.x"}
		var said string
		x.deps.Listener = Listeners{x.rec, listener(func(e *Event) { said = e.Reply.String() + said })}
		x.send(t, "a@x")
		end := time.Now().Add(20 * time.Hour)
		if got := x.do(t, VerbPause, Selector{Site: "mx.x"}, until(end)); got != 1 {
			t.Errorf("%d messages wait", got)
		}
		x.do(t, VerbPause, Selector{Site: "mx.y"})
		if len(x.paused) != 2 || !x.paused["mx.x"].Until.Equal(end) || x.paused["mx.y"].Kind != ReasonPause || !x.paused["mx.y"].Until.IsZero() {
			t.Errorf("the pool was told %v", x.paused)
		}
		if next := x.killed(t); len(next.paused) != 2 {
			t.Errorf("after a restart the pool was told %v", next.paused)
		}
		line := x.NewLine()
		line.Push(x.h.Next(t.Context()))
		line.Explain(x.paused["mx.x"])
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go x.h.Run(ctx)
		time.Sleep(9 * time.Hour)
		synctest.Wait()
		wantStates(t, x, "a@x held")
		time.Sleep(time.Hour + 2*time.Minute)
		synctest.Wait()
		if x.rec.count("expired a@x") != 1 || !strings.Contains(said, "paused by root since") {
			t.Errorf("events %q, %q", x.rec.lines, said)
		}
		x.do(t, VerbResume, Selector{Site: "mx.x"})
		if len(x.paused) != 1 {
			t.Errorf("the pool was told %v", x.paused)
		}
	})
}
