package relay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

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
		{VerbDelete, "deleted", "deleted by root at"}, {VerbBounce, "bounced", "554 5.7.1 delivery cancelled by the administrator: a test"}, {VerbHandback, "handedback", "250"},
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
					if n.Class() == ClassInject {
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
