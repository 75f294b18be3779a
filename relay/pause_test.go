package relay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

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

// TestPause: mail that waits and mail to come waits, in its order, with the reason and the time, and costs nobody a visit; other mail
// goes on; the end of the pause is enough.
func TestPause(t *testing.T) {
	for _, resumed := range []bool{false, true} {
		t.Run(fmt.Sprint("resumed ", resumed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newLevered(t, retryEvery(time.Hour, 10*time.Hour), HandbackConfig{After: 2 * time.Hour})
				var order visited
				x.c.answer = func(n *Node, r int) Fate {
					order.note(n.Message.Rcpt(r).Addr)
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
				end := time.Now().Add(3*time.Hour + 7*time.Second) // no sweep, which hands back what is old, comes at that moment
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
			a.Slip.Flow = FlowName{Tenant: "shop", Name: "june", Sender: "n.example"}
			b.Slip.From, b.Slip.Flow = "other@o.example", FlowName{Tenant: "club", Name: "july", Urgent: true}
			c.Slip.Class, c.Slip.From = ClassInject, ""
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

// TestPauseAtSite: the mail of one campaign waits at one site, also mail to come, and mail of which nobody knows yet where it goes; the
// same campaign elsewhere and other mail there go on. It holds over a kill, and a resume that names a part of it ends it.
func TestPauseAtSite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{After: time.Hour})
		x.c.answer = fixed(Sent, 250)
		x.sites = map[string]string{"a": "mx.one", "b": "mx.two"}
		news, shop := FlowName{Name: "news", Sender: "s.example"}, FlowName{Name: "shop", Sender: "s.example"}
		send := func(x *levered, flow FlowName, rcpts ...string) {
			t.Helper()
			for _, r := range rcpts {
				m := testMessage(r)
				m.Slip.From, m.Slip.Flow = "news@s.example", flow
				if err := x.Accept(m); err != nil {
					t.Fatal(err)
				}
			}
		}
		send(x, news, "n1@a", "n1@b")
		act := Act{Verb: VerbPause, Selector: Selector{Campaign: "news", Sender: "s.example", Site: "mx.one"}, Who: "Millrace", Reason: "550 5.7.26 no"}
		if rep, err := x.l.Do(t.Context(), act); err != nil || rep.Messages != 1 || rep.Pauses != 1 {
			t.Errorf("%+v %v", rep, err)
		}
		if len(x.paused) > 0 {
			t.Errorf("the whole site is paused: %v", x.paused)
		}
		send(x, news, "n2@a", "n2@b", "n2@c")
		send(x, shop, "s1@a")
		wantStates(t, x, "n1@a held", "n1@b active", "n2@a held", "n2@b active", "n2@c held", "s1@a active")
		x = x.killed(t)
		wantStates(t, x, "n1@a held", "n1@b active", "n2@a held", "n2@b active", "n2@c held", "s1@a active")
		x.run(t)
		x.know("c", "mx.two")
		time.Sleep(5 * time.Second)
		wantStates(t, x, "n1@a held", "n2@a held")
		send(x, news, "n3@a", "n3@c")
		send(x, shop, "s2@a")
		time.Sleep(5 * time.Hour) // nor is it handed back
		wantStates(t, x, "n1@a held", "n2@a held", "n3@a held")
		for l := range x.h.Messages {
			if r := l.Recipients[0]; r.DelayKind != ReasonPause || r.DelayWho != "Millrace" || !strings.Contains(r.DelayReason, "5.7.26") || r.NextAttempt == 0 {
				t.Errorf("shown as %+v", r)
			}
		}
		if n := x.do(t, VerbResume, Selector{Campaign: "news", Site: "mx.two"}); n != 0 {
			t.Errorf("%d messages of another pause", n)
		}
		if n := x.do(t, VerbResume, Selector{Campaign: "news", Site: "mx.one"}); n != 3 {
			t.Errorf("%d messages go on", n)
		}
		synctest.Wait()
		x.wantEmpty(t)
	})
}
