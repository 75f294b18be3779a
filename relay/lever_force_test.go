package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestInForceAfterAKill: what was held stays held, what was released does not, a pause goes on to its end, and all the same a second
// time.
func TestInForceAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		held, released, byID := x.send(t, "u@held"), x.send(t, "u@released"), x.send(t, "u@id", "u@other")
		x.send(t, "u@paused", "v@held", "v@free")
		x.do(t, VerbHold, Selector{Domain: "held"})
		x.do(t, VerbHold, Selector{Domain: "released"})
		x.rename(byID, "4Zid")
		x.do(t, VerbHold, Selector{ID: "4Zid", Domain: "id"})
		x.rename(byID, "4Zagain") // the MTA gives short names again
		x.do(t, VerbRelease, Selector{Domain: "released"})
		end := time.Now().Add(5 * time.Hour)
		x.do(t, VerbPause, Selector{Domain: "paused"}, until(end))
		time.Sleep(time.Second)
		x.send(t, "new@held")
		_, _ = held, released
		for range 2 {
			x = x.killed(t)
			x.c.answer = fixed(Sent, 250)
			wantStates(t, x, "new@held active", "u@held held", "u@id held", "u@other active", "u@paused held", "u@released active", "v@free active", "v@held held")
			if p := x.l.Pauses(); len(p) != 3 { // the release has ended its hold
				t.Errorf("in force: %+v", p)
			}
		}
		x.run(t)
		synctest.Wait()
		wantStates(t, x, "u@held held", "u@id held", "u@paused held", "v@held held")
		time.Sleep(time.Until(end))
		synctest.Wait()
		wantStates(t, x, "u@held held", "u@id held", "v@held held")
		x.do(t, VerbRelease, Selector{})
		synctest.Wait()
		x.wantEmpty(t)
		time.Sleep(2 * pruneEvery)
		synctest.Wait()
		if n := len(x.l.inForce()); n != 0 {
			t.Errorf("%d decrees in force about no mail", n)
		}
	})
}

// TestStoreFails: what cannot be made durable is not done, and the error says so.
func TestStoreFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		x.send(t, "a@x")
		x.send(t, "a@held")
		x.do(t, VerbHold, Selector{Domain: "held"})
		x.do(t, VerbPause, Selector{Domain: "y"})
		x.broken = errors.New("no space left on device")
		for _, a := range []Act{
			{Verb: VerbHold}, {Verb: VerbRelease}, {Verb: VerbPause, Selector: Selector{Domain: "x"}}, {Verb: VerbResume}, {Verb: VerbDrain},
		} {
			rep, err := x.l.Do(t.Context(), a)
			var bad *ActError
			if !errors.Is(err, x.broken) || errors.As(err, &bad) || !strings.Contains(err.Error(), "nothing was done") || rep != (ActReport{}) {
				t.Errorf("%s: %+v, %v", a.Verb, rep, err)
			}
		}
		wantStates(t, x, "a@held held", "a@x active")
		if _, drains := x.l.Draining(); drains || len(x.l.Pauses()) != 2 {
			t.Errorf("draining %t, in force %+v", drains, x.l.Pauses())
		}
		x.do(t, VerbDelete, Selector{Domain: "x"}) // needs no block
		x.broken = nil
		x.do(t, VerbDrain, Selector{})
		x.broken = errors.New("no space left on device")
		if _, err := x.l.Do(t.Context(), Act{Verb: VerbUndrain}); !errors.Is(err, x.broken) {
			t.Error(err)
		}
		if _, drains := x.l.Draining(); !drains {
			t.Error("the drain ended, and would be in force again after a restart")
		}
	})
}

// TestUnreadableBlock: nobody knows what was held, so everything of before is, and the admin is told. New mail goes.
func TestUnreadableBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		x.send(t, "a@x")
		for _, text := range []string{"{", `{"version":2}`, `{"version":1,"acts":[{"verb":"delete","at":"2026-01-01T00:00:00Z"}]}`, `{"version":1}x`, `{"version":1,"more":1}`} {
			next := newLevered(t, x.h.retry(), HandbackConfig{})
			if err := next.l.Recall([]byte(text), nil); err == nil || !strings.Contains(err.Error(), "waits for its release") {
				t.Errorf("%s: %v", text, err)
			}
		}
		x.l.Recall(nil, errors.New("its checksum does not match"))
		next := newLevered(t, x.h.retry(), HandbackConfig{})
		next.l.Recall(nil, errors.New("its checksum does not match"))
		m := testMessage("old@x")
		next.Restore(Saved{Message: m, Nodes: []SavedNode{{Rcpts: []int{0}}}}, next.h)
		time.Sleep(time.Second)
		next.send(t, "new@x")
		wantStates(t, next, "new@x active", "old@x held")
		next.do(t, VerbRelease, Selector{})
		wantStates(t, next, "new@x active", "old@x active")
	})
}

// TestManyActs: the block is bounded, acts about no mail do not count, and what decides about some mail is never forgotten.
func TestManyActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		for i := range maxDecrees {
			x.send(t, fmt.Sprintf("a@d%d", i), "b@x")
			x.do(t, VerbHold, Selector{Domain: fmt.Sprintf("d%d", i)})
		}
		if _, err := x.l.Do(t.Context(), Act{Verb: VerbHold, Selector: Selector{Domain: "x"}}); !errors.Is(err, ErrManyActs) {
			t.Errorf("one more: %v", err)
		}
		wantHeld := func(n int) {
			t.Helper()
			if s := x.h.Status(); s.Held != int64(n) {
				t.Errorf("%d nodes held, want %d", s.Held, n)
			}
		}
		wantHeld(maxDecrees)
		x.do(t, VerbDelete, Selector{Domain: "d7"})
		time.Sleep(2 * justGiven)
		x.do(t, VerbHold, Selector{Domain: "x"})
		wantHeld(2*maxDecrees - 1)
		time.Sleep(2 * justGiven)
		x.do(t, VerbDelete, Selector{Domain: "d8"})
		x.do(t, VerbRelease, Selector{Domain: "x"})
		wantHeld(maxDecrees - 2)
		time.Sleep(2 * justGiven)
		x.l.prune()
		x = x.killed(t)
		wantHeld(maxDecrees - 2)
		x.do(t, VerbRelease, Selector{})
		wantHeld(0)
		time.Sleep(2 * justGiven)
		x.l.prune() // the release decides about what is here
		x = x.killed(t)
		wantHeld(0)
		if len(x.stored) > 200 {
			t.Errorf("stored: %s", x.stored)
		}
	})
}

// TestSiteNotKnown: after a restart nobody knows where mail goes. Mail for a site that is held waits until that is known.
func TestSiteNotKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		x.c.answer = fixed(Sent, 250)
		x.sites = map[string]string{"a": "mx.one", "b": "mx.two", "c": "mx.one"}
		x.send(t, "u@a", "u@b")
		x.send(t, "u@c")
		x.do(t, VerbHold, Selector{Site: "mx.one"})
		x.do(t, VerbRelease, Selector{Site: "mx.one", Domain: "c"})
		wantStates(t, x, "u@a held", "u@b active", "u@c active")
		x.sites = map[string]string{}
		x = x.killed(t)
		wantStates(t, x, "u@a held", "u@b held", "u@c held")
		x.run(t)
		time.Sleep(5 * time.Second)
		wantStates(t, x, "u@a held", "u@b held", "u@c held")
		x.know("b", "mx.two")
		x.know("c", "mx.one")
		time.Sleep(3 * time.Second)
		wantStates(t, x, "u@a held")
		x.know("a", "mx.one")
		time.Sleep(3 * time.Second)
		wantStates(t, x, "u@a held")
		if x.l.unsure.pending() {
			t.Error("it is still asked for")
		}
		x.do(t, VerbRelease, Selector{Site: "mx.one"})
		synctest.Wait()
		x.wantEmpty(t)
	})
}

// TestDomainsAreAskedFor: while DNS says nothing of a domain, each second costs one question for it, however much mail it has.
func TestDomainsAreAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		x.sites = map[string]string{"a": "mx.one"}
		x.c.answer = fixed(Sent, 250)
		var asked atomic.Int64
		has := x.l.deps.SiteHas
		x.l.deps.SiteHas = func(domain, name string) (bool, bool) { asked.Add(1); return has(domain, name) }
		for range 500 {
			x.send(t, "u@b", "u@c")
		}
		x.send(t, "u@a")
		x.do(t, VerbHold, Selector{Site: "mx.one"})
		x.run(t)
		time.Sleep(time.Second)
		synctest.Wait()
		asked.Store(0)
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := asked.Load(); n > 2*62 {
			t.Errorf("%d questions in a minute about two domains", n)
		}
		x.know("b", "mx.two")
		time.Sleep(3 * time.Second)
		if s := x.h.Status(); s.Held != 501 {
			t.Errorf("%d held, want those for a and c", s.Held)
		}
		x.do(t, VerbRelease, Selector{Site: "mx.one"})
		x.l.prune()
		x.do(t, VerbRelease, Selector{})
		time.Sleep(2 * pruneEvery)
		synctest.Wait()
		if x.l.unsure.pending() {
			t.Error("it is still asked for, and nothing is held by site")
		}
	})
}

// TestHeldInTheDoor: a message that is being taken while a hold is given is held like all of before.
func TestHeldInTheDoor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		journal := slowJournal{release: make(chan error)}
		x.deps.Journal = journal
		go func() {
			if err := x.Accept(testMessage("in@x", "in@y")); err != nil {
				t.Error(err)
			}
		}()
		synctest.Wait()
		x.do(t, VerbHold, Selector{Domain: "x"})
		journal.release <- nil
		synctest.Wait()
		wantStates(t, x, "in@x held", "in@y active")
	})
}

// TestDrain: nothing is taken; what moves is sent; what is deferred or waits for a closed site goes back at once, what is held or only
// slow at the end; our own notifications go out; it outlasts a restart; and afterwards mail is taken again.
func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		answer := func(n *Node, r int) Fate {
			if n.Domain == "greylist" && n.Class() == ClassRemote {
				return fixed(Deferred, 451)(n, r)
			}
			return fixed(Sent, 250)(n, r)
		}
		x.c.answer = answer
		x.c.closed = func(k Key) bool { return k.Class == ClassRemote && k.Domain != "greylist" }
		x.run(t)
		x.send(t, "a@greylist")
		synctest.Wait()
		x.send(t, "a@held", "a@paused")
		x.do(t, VerbHold, Selector{Domain: "held"})
		x.do(t, VerbPause, Selector{Domain: "paused"})
		x.send(t, "a@dead", "a@greylist")
		synctest.Wait()
		slow := x.send(t, "a@slow")
		synctest.Wait()
		for _, q := range x.c.claimed {
			if q.Domain == "slow" {
				q.Wait(Reason{}) // its site works
			}
		}
		end := time.Now().Add(time.Hour)
		rep, err := x.l.Do(t.Context(), Act{Verb: VerbDrain, Until: end, Who: "root"})
		// What is handed back goes while the report is made.
		if err != nil || rep.Messages != 4 || rep.Recipients != 6 || rep.Waiting < 2 || rep.Waiting > 4 || rep.Done {
			t.Errorf("%+v %v", rep, err)
		}
		if act, drains := x.l.Draining(); !drains || act.Who != "root" {
			t.Errorf("draining: %t %+v", drains, act)
		}
		if err := x.Accept(testMessage("new@x")); !errors.Is(err, ErrDraining) {
			t.Errorf("new mail: %v", err)
		}
		notice := testMessage("list@n.example")
		notice.Slip.Class = ClassInject
		if err := x.Accept(notice); err != nil {
			t.Errorf("a notification: %v", err)
		}
		time.Sleep(30 * time.Second)
		synctest.Wait()
		wantStates(t, x, "a@held held", "a@paused held", "a@slow active")
		if x.rec.count("handedback a@greylist") != 2 || x.rec.count("handedback a@dead") != 1 || !x.rec.has("sent list@n.example") {
			t.Errorf("events %q", x.rec.lines)
		}
		next := x.killed(t)
		if _, drains := next.l.Draining(); !drains {
			t.Error("the drain ended with a restart")
		}
		if rep, err := x.l.Do(t.Context(), Act{Verb: VerbDrain, Until: end, Who: "root"}); err != nil || rep.Waiting != 2 || rep.Done {
			t.Errorf("%+v %v", rep, err)
		}
		time.Sleep(time.Until(end) + 3*time.Second)
		synctest.Wait()
		for _, a := range []string{"a@held", "a@paused", "a@slow"} {
			if x.rec.count("handedback "+a) != 1 {
				t.Errorf("%s: events %q", a, x.rec.lines)
			}
		}
		if rep := x.l.DrainReport(); !rep.Done || rep.Waiting != 0 {
			t.Errorf("%+v", rep)
		}
		_ = slow
		logged := 0
		for _, a := range x.logged {
			if a.Verb == VerbDrain {
				logged++
			}
		}
		if logged != 3 { // twice given, once done
			t.Errorf("logged %d times", logged)
		}
		x.do(t, VerbUndrain, Selector{})
		x.c.open()
		x.do(t, VerbResume, Selector{})
		x.send(t, "after@x")
		synctest.Wait()
		if !x.rec.has("sent after@x") {
			t.Errorf("events %q", x.rec.lines)
		}
		x.wantEmpty(t)
	})
}

// TestDrainBusy: a node that is being visited goes back when its visit has failed, and not when it was sent.
func TestDrainBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		x.send(t, "a@x", "b@x")
		v := x.h.Visit(x.h.Next(t.Context()))
		x.do(t, VerbDrain, Selector{})
		v.FailAll(Sent, fixed(Sent, 250)(nil, 0).Reply)
		v.Fates[1].Outcome = Deferred
		x.h.Settle(v)
		x.c.answer = fixed(Sent, 250)
		x.run(t)
		synctest.Wait()
		if x.rec.count("sent a@x") != 1 || x.rec.count("handedback b@x") != 1 {
			t.Errorf("events %q", x.rec.lines)
		}
		x.wantEmpty(t)
	})
}

func TestShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, DefaultRetryConfig(), HandbackConfig{})
		x.sites = map[string]string{"x": "mx.one", "y": "mx.one"}
		for _, wait := range []time.Duration{22 * time.Hour, 100 * time.Minute, 5 * time.Minute, time.Minute, 0} {
			x.send(t, "a@x", "b@x", "c@y")
			time.Sleep(wait)
		}
		x.send(t, "a@z")
		row := func(name string, ages ...int) ShapeRow {
			r := ShapeRow{Name: name}
			copy(r.Ages[:], ages)
			for _, n := range ages {
				r.Total += n
			}
			return r
		}
		for _, test := range []struct {
			by   string
			most int
			want []ShapeRow
		}{
			{"domain", 10, []ShapeRow{row("x", 4, 2, 0, 0, 0, 2, 0, 0, 0, 2), row("y", 2, 1, 0, 0, 0, 1, 0, 0, 0, 1), row("z", 1)}},
			{"domain", 1, []ShapeRow{row("x", 4, 2, 0, 0, 0, 2, 0, 0, 0, 2), row("", 3, 1, 0, 0, 0, 1, 0, 0, 0, 1)}},
			{"site", 10, []ShapeRow{row("mx.one", 6, 3, 0, 0, 0, 3, 0, 0, 0, 3), row("?", 1)}},
			{"sender", 10, []ShapeRow{row("n.example", 7, 3, 0, 0, 0, 3, 0, 0, 0, 3)}},
		} {
			if got, err := x.l.Shape(test.by, test.most); err != nil || !slices.Equal(got, test.want) {
				t.Errorf("by %s: %v %v, want %v", test.by, got, err, test.want)
			}
		}
		var bad *ActError
		if _, err := x.l.Shape("age", 1); !errors.As(err, &bad) {
			t.Error(err)
		}
	})
}

// TestOneActAtATime: an act waits for the one before, as long as its giver does.
func TestOneActAtATime(t *testing.T) {
	x := newLevered(t, DefaultRetryConfig(), HandbackConfig{})
	x.l.turn <- struct{}{}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := x.l.Do(ctx, Act{Verb: VerbFlush}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	<-x.l.turn
	x.send(t, "a@x")
	if _, err := x.l.Do(ctx, Act{Verb: VerbDelete, Selector: Selector{Domain: "x"}}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	wantStates(t, x, "a@x active")
}

// FuzzBlock: whatever stands in the file, it is read or refused, and what is read is written and read again as the same.
func FuzzBlock(f *testing.F) {
	f.Add([]byte(`{"version":1,"drain":{"verb":"drain","until":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"},"acts":[` +
		`{"verb":"hold","selector":{"campaign":"june","older":5},"who":"root","at":"2026-01-01T00:00:00.000000001Z","ids":[1,2]},` +
		`{"verb":"pause","selector":{"site":"mx.one"},"until":"2026-01-01T00:00:00Z","at":"2026-01-01T00:00:00Z"},` +
		`{"verb":"release","selector":{"id":"4Z"},"at":"2026-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(``))
	x := newLevered(f, DefaultRetryConfig(), HandbackConfig{})
	f.Fuzz(func(t *testing.T, text []byte) {
		all, dr, err := x.l.decodeBlock(text)
		if err != nil {
			return
		}
		once, err := encodeBlock(all, dr)
		if err != nil {
			t.Fatal(err)
		}
		all, dr, err = x.l.decodeBlock(once)
		if err != nil {
			t.Fatalf("%s: %v", once, err)
		}
		if twice, _ := encodeBlock(all, dr); string(once) != string(twice) {
			t.Errorf("%s became %s", once, twice)
		}
	})
}

// TestDrainRests: a drain asks for sites that are not known once a second, and not as fast as it can.
func TestDrainRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newLevered(t, retryEvery(time.Hour, 20*time.Hour), HandbackConfig{})
		asked := 0
		has := x.l.deps.SiteHas
		x.l.deps.SiteHas = func(domain, name string) (bool, bool) { asked++; return has(domain, name) }
		x.sites["x"] = ""
		x.c.closed = func(Key) bool { return true }
		x.send(t, "a@x")
		x.do(t, VerbHold, Selector{Site: "mx.example"})
		x.do(t, VerbDrain, Selector{})
		x.run(t)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if asked > 200 {
			t.Errorf("the site was asked for %d times in ten seconds", asked)
		}
	})
}
