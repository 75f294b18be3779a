package snapshot

import (
	"errors"
	"maps"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// begun lists the recipients a recovery says were being sent to, by message.
func begun(saved []relay.Saved) map[relay.ID]int {
	found := make(map[relay.ID]int)
	for _, s := range saved {
		for _, n := range s.Nodes {
			if n.Begun {
				found[s.Message.ID] += len(n.Rcpts)
			}
		}
	}
	return found
}

func wait(t *testing.T, r relay.Record) {
	t.Helper()
	must(t, await(r))
}

// TestDoubtIsGivenOut: what was being sent at a crash is named by every start until something becomes of it, whether the
// journal or a snapshot has it.
func TestDoubtIsGivenOut(t *testing.T) {
	for name, snap := range map[string]bool{"journal": false, "snapshot": true} {
		t.Run(name, func(t *testing.T) {
			m, w := newMemFS(), newWorld()
			a, _, _ := mustStart(t, m, smallConfig())
			w.campaign(t, a, 8)
			for _, i := range []int{1, 2, 3, 4} {
				wait(t, a.Begin(w.offered[w.order[i]].Node(0)))
			}
			w.settle(a, w.order[1], 0) // sent
			n := *w.offered[w.order[2]].Node(0)
			a.Event(&relay.Event{Kind: relay.EventDeferred, Message: n.Message, Node: &n, Rcpt: -1})
			w.settle(a, w.order[4], 0) // one of the two recipients of this node
			must(t, w.flush(a))
			want := map[relay.ID]int{w.order[3]: 1, w.order[4]: 1}
			for range 3 {
				if snap {
					must(t, a.WriteSnapshot())
					must(t, a.WriteSnapshot()) // after this one nothing older is read
				}
				m = m.killed()
				b, saved, r := mustStart(t, m, smallConfig())
				if got := begun(saved); !maps.Equal(got, want) || r.MaybeTwice < 2 {
					t.Fatalf("begun %v, want %v; %s", got, want, &r)
				}
				a = b
			}
			w.settle(a, w.order[3], 0)
			a.Event(&relay.Event{Kind: relay.EventDeferred, Message: w.offered[w.order[4]], Node: w.offered[w.order[4]].Node(0), Rcpt: -1})
			must(t, w.flush(a))
			if _, saved, _ := mustStart(t, m.killed(), smallConfig()); len(begun(saved)) != 0 {
				t.Errorf("decided and still named: %v", begun(saved))
			}
		})
	}
}

// TestBegunIsAsSafeAsATake: when it is done, a power cut (ack = "journal") or a kill ("written") does not lose the
// mark, and with "memory" nobody waits.
func TestBegunIsAsSafeAsATake(t *testing.T) {
	for _, ack := range []Ack{AckJournal, AckWritten, AckMemory} {
		m := newMemFS()
		cfg := smallConfig()
		cfg.Ack = ack
		cfg.Journal.SyncInterval = time.Hour
		a, _, _ := mustStart(t, m, cfg)
		msg := message(a.NewID(), "b", "x@a.example")
		must(t, a.Take(msg))
		must(t, a.Flush())
		r := a.Begin(msg.Node(0))
		if ack == AckMemory {
			if r != nil {
				t.Error("memory: there is something to wait for")
			}
			continue
		}
		wait(t, r)
		left := m.killed()
		if ack == AckJournal {
			left = restart(m.safe, func(i *inode) []byte { return i.safe })
		}
		if _, saved, _ := mustStart(t, left, cfg); begun(saved)[msg.ID] != 1 {
			t.Errorf("%s: the mark is lost", ack)
		}
	}
}

// TestWaitMakesTheCommit: whoever waits for a mark does not wait for the commit interval, and one that nobody waits for
// is durable within it.
func TestWaitMakesTheCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, _, err := start(newMemFS(), testConfig())
		must(t, err)
		defer a.Close()
		msg := message(a.NewID(), "b", "x@a.example")
		must(t, a.Take(msg))
		began := time.Now()
		wait(t, a.Begin(msg.Node(0)))
		if d := time.Since(began); d > 0 {
			t.Errorf("waited %s", d)
		}
		r := a.Begin(msg.Node(0))
		time.Sleep(2 * testConfig().Journal.CommitInterval)
		synctest.Wait()
		select {
		case <-r.(*batch).done:
		default:
			t.Error("the mark waits for somebody to ask")
		}
	})
}

// TestBegunWhileTheSegmentChanges: a mark that waited for its commit when the journal went on in another segment is there
// as well, and whoever waits is told to begin again.
func TestBegunWhileTheSegmentChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		defer a.Close()
		w.campaign(t, a, 4)
		f.set("create", syscall.ENOSPC)
		for a.Blocked() == nil {
			w.take(a, message(a.NewID(), string(make([]byte, 500)), "x@a.example"))
		}
		n := w.offered[w.order[1]].Node(0)
		r := a.Begin(n)
		f.set("create", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		select {
		case <-r.(*batch).done:
		default:
			t.Fatal("whoever waits is forgotten")
		}
		if err := await(r); !errors.Is(err, errMoved) {
			t.Errorf("wait: %v", err)
		}
		must(t, a.Flush())
		b, saved, _, err := start(m.killed(), smallConfig())
		must(t, err)
		if begun(saved)[n.Message.ID] != 1 {
			t.Error("the mark did not move on")
		}
		b.Close()
	})
}

// TestNothingBegunIsKept in memory when it is decided.
func TestNothingBegunIsKept(t *testing.T) {
	a, _, _ := mustStart(t, newMemFS(), smallConfig())
	w := newWorld()
	w.campaign(t, a, 10)
	for i, id := range w.order {
		for _, n := range w.offered[id].Nodes {
			w.visit(a, n, i%2 == 0)
		}
	}
	if len(a.book.doubts.nodes) > 0 {
		t.Errorf("%d nodes are still being sent", len(a.book.doubts.nodes))
	}
}

// TestDoneAndUnheard: a message that is done before the MTA has heard that it is taken is given out, whole, until the door
// says what the MTA has heard.
func TestDoneAndUnheard(t *testing.T) {
	for name, tt := range map[string]struct {
		kind  relay.EventKind
		named bool
	}{
		"nothing yet": {relay.EventRestored, true},
		"heard":       {relay.EventHeard, false},
		"hung up":     {relay.EventHungUp, true},
	} {
		for _, late := range []bool{false, true} {
			m, w := newMemFS(), newWorld()
			a, _, _ := mustStart(t, m, smallConfig())
			msg := message(a.NewID(), "b", "x@a.example", "y@b.example")
			must(t, a.Take(msg))
			w.offered[msg.ID], w.done[msg.ID] = msg, make(map[int]bool)
			say := func() { a.Event(&relay.Event{Kind: tt.kind, Message: msg, Rcpt: -1}) }
			if !late {
				say()
			}
			w.settle(a, msg.ID, 0)
			w.settle(a, msg.ID, 1)
			if late {
				say()
			}
			must(t, a.Flush())
			b, err := open(m.killed(), smallConfig(), hclog.NewNullLogger())
			must(t, err)
			var saved []relay.Saved
			r, err := b.Recover(func(s relay.Saved) error { saved = append(saved, s); return nil })
			must(t, err)
			must(t, b.Close())
			named := len(saved) == 1 && saved[0].Unheard && len(saved[0].Nodes) == 0
			if named != tt.named || (r.MaybeTwice == 2) != tt.named || r.Messages != 0 || len(saved) > 1 {
				t.Errorf("%s, late %v: %d given out, %s", name, late, len(saved), &r)
			}
			if tt.kind != relay.EventRestored && len(a.book.doubts.unheard) > 0 {
				t.Errorf("%s, late %v: the message is kept in mind", name, late)
			}
		}
	}
}

// TestHungUpAndStopped: a clean stop leaves no doubt about a message whose MTA hung up, done or not, although its take record stands
// in the last segment without a mark that the MTA has heard.
func TestHungUpAndStopped(t *testing.T) {
	for _, done := range []bool{false, true} {
		m, w := newMemFS(), newWorld()
		a, _, _ := mustStart(t, m, smallConfig())
		msg := message(a.NewID(), "b", "x@a.example")
		must(t, a.Take(msg))
		w.offered[msg.ID], w.done[msg.ID] = msg, make(map[int]bool)
		a.Event(&relay.Event{Kind: relay.EventHungUp, Message: msg, Rcpt: -1})
		if done {
			w.settle(a, msg.ID, 0)
		}
		must(t, a.Close())
		b, err := open(m.killed(), smallConfig(), hclog.NewNullLogger())
		must(t, err)
		given := 0
		r, err := b.Recover(func(s relay.Saved) error {
			given++
			if s.Unheard {
				t.Errorf("done %v: unheard after a clean stop", done)
			}
			return nil
		})
		must(t, err)
		must(t, b.Close())
		if (given == 0) != done || r.MaybeTwice > 0 {
			t.Errorf("done %v: %d given out, %s", done, given, &r)
		}
	}
}

// TestLostReply: a deferral because the reply was lost does not end the doubt whether the receiver has the message; the
// next outcome does.
func TestLostReply(t *testing.T) {
	m := newMemFS()
	a, _, _ := mustStart(t, m, smallConfig())
	msg := message(a.NewID(), "b", "x@a.example")
	must(t, a.Take(msg))
	n := msg.Node(0)
	for i, lost := range []bool{true, false} {
		wait(t, a.Begin(n))
		a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Deferred, Message: msg, Node: n, MaybeTwice: lost})
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: msg, Node: n, Rcpt: -1})
		must(t, a.Flush())
		_, saved, _ := mustStart(t, m.killed(), smallConfig())
		if named := begun(saved)[msg.ID] == 1; named != lost {
			t.Errorf("visit %d: named %v, want %v", i, named, lost)
		}
	}
}

// TestCleanStopLeavesNoDoubt: what was begun and not decided when the daemon stopped came to nothing; a lost reply stays one.
func TestCleanStopLeavesNoDoubt(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 4)
	for _, id := range w.order {
		wait(t, a.Begin(w.offered[id].Node(0)))
	}
	n := w.offered[w.order[2]].Node(0)
	a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Deferred, Message: n.Message, Node: n, MaybeTwice: true})
	a.Event(&relay.Event{Kind: relay.EventDeferred, Message: n.Message, Node: n, Rcpt: -1})
	must(t, a.Close())
	_, saved, r := mustStart(t, m.killed(), smallConfig())
	if got := begun(saved); !r.Clean || len(saved) != 4 || len(got) != 1 || got[n.Message.ID] != 1 {
		t.Errorf("begun %v, %s", got, &r)
	}
}

// TestDoubtStays: what does not answer whether a receiver has the message does not end the doubt of an earlier visit.
func TestDoubtStays(t *testing.T) {
	lost := func(a *Agent, n *relay.Node, rcpt int) {
		a.Event(&relay.Event{Kind: relay.EventSettled, Outcome: relay.Deferred, Message: n.Message, Node: n, Rcpt: rcpt, MaybeTwice: true})
	}
	deferred := func(a *Agent, n *relay.Node, by string) {
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: n.Message, Node: n, Rcpt: -1, Relay: by})
	}
	back := func(a *Agent, n *relay.Node) {
		a.Event(&relay.Event{Kind: relay.EventPutBack, Message: n.Message, Node: n, Rcpt: -1})
	}
	const host = "mx.example[192.0.2.1]:25"
	for _, tt := range []struct {
		name  string
		do    func(a *Agent, n *relay.Node)
		named bool
	}{
		{"put back", func(a *Agent, n *relay.Node) { a.Begin(n); back(a, n) }, false},
		{"put back after a lost reply", func(a *Agent, n *relay.Node) {
			a.Begin(n)
			lost(a, n, 0)
			deferred(a, n, host)
			a.Begin(n)
			back(a, n)
		}, true},
		{"lost for one, at once again for the other, then deferred", func(a *Agent, n *relay.Node) {
			a.Begin(n)
			lost(a, n, 0)
			a.Begin(n)
			deferred(a, n, host)
		}, true},
		{"no receiver was reached", func(a *Agent, n *relay.Node) {
			a.Begin(n)
			lost(a, n, 0)
			deferred(a, n, host)
			deferred(a, n, "none")
		}, true},
		{"a receiver said no", func(a *Agent, n *relay.Node) {
			a.Begin(n)
			lost(a, n, 0)
			deferred(a, n, host)
			a.Begin(n)
			deferred(a, n, host)
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, restarted := range []bool{false, true} {
				m := newMemFS()
				a, _, _ := mustStart(t, m, smallConfig())
				msg := message(a.NewID(), "b", "x@a.example", "y@a.example")
				must(t, a.Take(msg))
				n := msg.Node(0)
				if restarted {
					wait(t, a.Begin(n))
					m = m.killed()
					a, _, _ = mustStart(t, m, smallConfig())
					a.Begin(n)
					back(a, n)
				}
				tt.do(a, n)
				must(t, a.Flush())
				_, saved, _ := mustStart(t, m.killed(), smallConfig())
				if named, want := len(begun(saved)) == 1, tt.named || restarted && tt.name == "put back"; named != want {
					t.Errorf("restarted %v: named %v, want %v", restarted, named, want)
				}
			}
		})
	}
}

// TestNamed: what was given out as doubtful is given out again until somebody says that it is on record, also when a
// snapshot was taken meanwhile.
func TestNamed(t *testing.T) {
	for _, named := range []bool{false, true} {
		m := newMemFS()
		a, _, _ := mustStart(t, m, smallConfig())
		must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
		m = m.killed()
		b, saved, _ := mustStart(t, m, smallConfig())
		if len(saved) != 1 || !saved[0].Unheard {
			t.Fatalf("given out: %+v", saved)
		}
		if named {
			must(t, b.NameDoubts(func() error { return nil }))
		}
		must(t, b.WriteSnapshot())
		must(t, b.WriteSnapshot())
		if _, saved, _ := mustStart(t, m.killed(), smallConfig()); len(saved) != 1 || saved[0].Unheard == named {
			t.Errorf("named %v, given out: %+v", named, saved)
		}
	}
}

// TestNamedOnce: each event after which a recipient may get the message twice is named once: by the line about the lost reply,
// or by the next start. A later visit is an event of its own.
func TestNamedOnce(t *testing.T) {
	ok := func() error { return nil }
	lose := func(a *Agent, n *relay.Node) {
		a.Event(&relay.Event{Kind: relay.EventSettled, Message: n.Message, Node: n, Outcome: relay.Deferred, MaybeTwice: true, Relay: "mx.a.example[192.0.2.1]:25"})
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: n.Message, Node: n, Rcpt: -1, Relay: "mx.a.example[192.0.2.1]:25"})
	}
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, a *Agent, n *relay.Node)
		want int
	}{
		{"reply lost", func(t *testing.T, a *Agent, n *relay.Node) { lose(a, n) }, 1},
		{"reply lost and named", func(t *testing.T, a *Agent, n *relay.Node) { lose(a, n); must(t, a.NameDoubts(ok)) }, 0},
		{"the log cannot be written", func(t *testing.T, a *Agent, n *relay.Node) {
			lose(a, n)
			if err := a.NameDoubts(func() error { return syscall.EIO }); !errors.Is(err, syscall.EIO) {
				t.Errorf("named: %v", err)
			}
		}, 1},
		{"named during the next visit", func(t *testing.T, a *Agent, n *relay.Node) {
			lose(a, n)
			wait(t, a.Begin(n))
			must(t, a.NameDoubts(ok))
		}, 1},
		{"named, and a visit put back", func(t *testing.T, a *Agent, n *relay.Node) {
			lose(a, n)
			wait(t, a.Begin(n))
			must(t, a.NameDoubts(ok))
			a.Event(&relay.Event{Kind: relay.EventPutBack, Message: n.Message, Node: n, Rcpt: -1})
		}, 0},
		{"before its fate is told", func(t *testing.T, a *Agent, n *relay.Node) { must(t, a.NameDoubts(ok)) }, 1},
	} {
		for _, stop := range []string{"clean", "killed", "killed after a snapshot"} {
			t.Run(tt.name+", "+stop, func(t *testing.T) {
				m, w := newMemFS(), newWorld()
				a, _, _ := mustStart(t, m, smallConfig())
				w.campaign(t, a, 2)
				n := w.offered[w.order[1]].Node(0)
				wait(t, a.Begin(n))
				tt.do(t, a, n)
				must(t, a.Flush())
				switch stop {
				case "clean":
					must(t, a.Close())
				case "killed after a snapshot":
					must(t, a.WriteSnapshot())
					must(t, a.WriteSnapshot())
				}
				m = m.killed()
				want := tt.want
				if stop == "clean" && tt.name == "before its fate is told" || stop == "clean" && tt.name == "named during the next visit" {
					want = 0 // no visit is under way at a clean stop
				}
				for start := range 3 {
					b, saved, _ := mustStart(t, m, smallConfig())
					if got := begun(saved)[n.Message.ID]; got != want {
						t.Fatalf("start %d names %d recipients, want %d", start, got, want)
					}
					must(t, b.NameDoubts(ok))
					must(t, b.Flush())
					m, want = m.killed(), 0
				}
			})
		}
	}
}
