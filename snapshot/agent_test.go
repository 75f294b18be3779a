package snapshot

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

func TestRoundTrip(t *testing.T) {
	for name, stop := range map[string]func(*Agent, *memFS) *memFS{
		"kill":  func(a *Agent, m *memFS) *memFS { return m.killed() },
		"clean": func(a *Agent, m *memFS) *memFS { a.Close(); return m.killed() },
	} {
		t.Run(name, func(t *testing.T) {
			m, w := newMemFS(), newWorld()
			a, _, _ := mustStart(t, m, smallConfig())
			w.campaign(t, a, 100)
			for i, id := range w.order[:90] {
				w.settle(a, id, 0)
				if i%8 == 0 {
					w.settle(a, id, 1)
				}
			}
			must(t, w.flush(a))
			m = stop(a, m)
			_, saved, r := mustStart(t, m, smallConfig())
			must(t, w.check(saved))
			if !r.Healthy() || r.Torn != 0 || r.Clean != (name == "clean") || r.Messages != len(saved) || r.Done == 0 {
				t.Errorf("report %+v", r)
			}
		})
	}
}

func TestSoftStateSurvives(t *testing.T) {
	for _, snap := range []bool{false, true} {
		m, w := newMemFS(), newWorld()
		a, _, _ := mustStart(t, m, smallConfig())
		msg := message(a.NewID(), "b", "x@a.example", "y@b.example", "z@a.example")
		must(t, w.take(a, msg))
		n, due := msg.Node(0), time.Unix(1800000000, 9)
		n.Resume(relay.SavedNode{Rcpts: n.Rcpts(), Visits: 7, Due: due, Reason: "451 4.7.1 later", Class: relay.ClassInject})
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: msg, Node: n, Rcpt: -1})
		if snap {
			must(t, a.WriteSnapshot())
		} else {
			must(t, a.Flush())
		}
		_, saved, _ := mustStart(t, m.killed(), smallConfig())
		if len(saved) != 1 || len(saved[0].Nodes) != 2 {
			t.Fatalf("saved %+v", saved)
		}
		got, other := saved[0].Nodes[0], saved[0].Nodes[1]
		if got.Index != 0 || got.Visits != 7 || got.Due.Sub(due).Abs() > time.Millisecond || got.Reason != n.Reason() || got.Class != n.Class() || len(got.Rcpts) != 2 {
			t.Errorf("node 0 came back as %+v", got)
		}
		if other.Index != 1 || other.Visits != 0 || !other.Due.IsZero() || other.Class != msg.Class() || len(other.Rcpts) != 1 {
			t.Errorf("node 1 came back as %+v", other)
		}
	}
}

func TestWhatEndsARecipient(t *testing.T) {
	tests := []struct {
		name   string
		events []relay.Event
		back   bool
	}{
		{"nothing", nil, true},
		{"sent", []relay.Event{{Kind: relay.EventSettled, Outcome: relay.Sent}}, false},
		{"handed back", []relay.Event{{Kind: relay.EventSettled, Outcome: relay.HandedBack}}, false},
		{"deferred", []relay.Event{{Kind: relay.EventSettled, Outcome: relay.Deferred}}, true},
		{"bounced, sender not told", []relay.Event{{Kind: relay.EventSettled, Outcome: relay.Bounced}}, true},
		{"expired, sender not told", []relay.Event{{Kind: relay.EventSettled, Outcome: relay.Expired}}, true},
		{"bounced and reported", []relay.Event{{Kind: relay.EventSettled, Outcome: relay.Bounced}, {Kind: relay.EventReported}}, false},
		{"removed", []relay.Event{{Kind: relay.EventRemoved, Rcpt: -1}}, false},
		{"restored", []relay.Event{{Kind: relay.EventRestored, Rcpt: -1}}, true},
		{"of no recipient", []relay.Event{{Kind: relay.EventSettled, Outcome: relay.Sent, Rcpt: 5}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemFS()
			a, _, _ := mustStart(t, m, smallConfig())
			msg := message(a.NewID(), "b", "x@a.example")
			must(t, a.Take(msg))
			for _, e := range tt.events {
				e.Message = msg
				a.Event(&e)
			}
			must(t, a.Flush())
			_, saved, _ := mustStart(t, m.killed(), smallConfig())
			if got := len(saved) == 1; got != tt.back {
				t.Errorf("back after a restart: %v, want %v", got, tt.back)
			}
		})
	}
}

// TestGroupCommit: takes that come while the disk is busy share the next sync.
func TestGroupCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		a, _, _, err := start(m, testConfig())
		must(t, err)
		defer a.Close()
		m.hook = func(_ int, op, _ string) error {
			if op == "sync" {
				m.mu.Unlock()
				time.Sleep(10 * time.Millisecond)
				m.mu.Lock()
			}
			return nil
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				for range 20 {
					if err := a.Take(message(a.NewID(), "b", "x@a.example")); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		st := a.Status()
		if st.Takes != 1000 || st.Syncs > 50 {
			t.Errorf("%d takes in %d syncs", st.Takes, st.Syncs)
		}
	})
}

// TestOutcomesAreDurableSoon: nobody waits for an outcome, and still it is on the disk within the interval.
func TestOutcomesAreDurableSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemFS(), newWorld()
		cfg := testConfig()
		a, _, _, err := start(m, cfg)
		must(t, err)
		defer a.Close()
		must(t, w.take(a, message(a.NewID(), "b", "x@a.example")))
		w.settle(a, w.order[0], 0)
		syncs := a.Status().Syncs
		time.Sleep(cfg.Journal.CommitInterval - time.Millisecond)
		synctest.Wait()
		if got := a.Status().Syncs; got != syncs {
			t.Errorf("%d syncs before the interval, want %d", got, syncs)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if got := a.Status().Syncs; got != syncs+1 {
			t.Errorf("%d syncs after the interval, want %d", got, syncs+1)
		}
	})
}

func TestAckModes(t *testing.T) {
	for _, tt := range []struct {
		ack                  Ack
		wait                 time.Duration
		kill, power, waiting int // messages back after a kill and a power cut at once; syncs Take has made
	}{
		{AckJournal, 0, 1, 1, 1},
		{AckWritten, 0, 1, 0, 0},
		{AckWritten, 1100 * time.Millisecond, 1, 1, 1},
		{AckMemory, 0, 0, 0, 0},
		{AckMemory, time.Second, 1, 0, 0},
		{AckMemory, 32 * time.Second, 1, 1, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			m := newMemFS()
			cfg := testConfig()
			cfg.Ack = tt.ack
			a, _, _, err := start(m, cfg)
			must(t, err)
			defer a.Close()
			must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
			if tt.wait > 0 {
				time.Sleep(tt.wait)
				synctest.Wait()
			}
			if tt.ack == AckMemory && tt.wait == 0 {
				return // whether the writer had its turn already is not promised
			}
			if got := a.Status().Syncs; got != int64(tt.waiting) {
				t.Errorf("%s after %s: %d syncs, want %d", tt.ack, tt.wait, got, tt.waiting)
			}
			for how, want := range map[string]int{"kill": tt.kill, "power": tt.power} {
				after := m.killed()
				if how == "power" {
					after = restart(m.safe, func(i *inode) []byte { return i.safe })
				}
				b, saved, _, err := start(after, cfg)
				must(t, err)
				if len(saved) != want {
					t.Errorf("%s after %s, %s: %d messages back, want %d", tt.ack, tt.wait, how, len(saved), want)
				}
				must(t, b.Close())
			}
		})
	}
}

// TestIDsAreNeverReused also when everything has drained.
func TestIDsAreNeverReused(t *testing.T) {
	m := newMemFS()
	last := relay.ID(0)
	for i := range 6 {
		a, _, _ := mustStart(t, m, smallConfig())
		for range 3 {
			id := a.NewID()
			if id <= last {
				t.Fatalf("id %d after %d", id, last)
			}
			last = id
		}
		if i%2 == 0 {
			for range 3 {
				must(t, a.WriteSnapshot())
			}
			must(t, a.Close())
		}
		m = m.killed()
	}
}

// TestSegmentsGo: finished segments are deleted, and one that is nearly finished is copied forward and then deleted.
func TestSegmentsGo(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 400)
	many := a.Status().Segments
	if many < 8 {
		t.Fatalf("only %d segments", many)
	}
	for _, id := range w.order[1:] { // the first stays
		for r := range w.offered[id].Rcpts {
			w.settle(a, id, r)
		}
	}
	must(t, w.flush(a))
	for range 4 {
		must(t, a.WriteSnapshot())
	}
	if got := a.Status(); got.Segments > 2 || got.Messages != 1 {
		t.Errorf("%d segments for %d messages, %d before", got.Segments, got.Messages, many)
	}
	names, _ := m.List(journalDir)
	if len(names) > 2 {
		t.Errorf("files left: %v", names)
	}
	names, _ = m.List(snapshotDir)
	names = slices.DeleteFunc(names, func(n string) bool { return strings.HasSuffix(n, temporaryExt) }) // the room for the next
	if len(names) != 2 {
		t.Errorf("snapshots: %v", names)
	}
	_, saved, _ := mustStart(t, m.killed(), smallConfig())
	must(t, w.check(saved))
	if len(saved) != 1 {
		t.Errorf("%d messages back", len(saved))
	}
}

func TestSharedBodyIsWrittenOnce(t *testing.T) {
	m := newMemFS()
	a, _, _ := mustStart(t, m, testConfig())
	body := strings.Repeat("0123456789", 2000)
	for i := range 500 {
		must(t, a.Take(message(a.NewID(), body, rcptsFor(i)[0])))
	}
	if got := a.Status().PerMessage; got > 400 {
		t.Errorf("%d bytes a message of 20 KB", got)
	}
	_, saved, _ := mustStart(t, m.killed(), testConfig())
	for _, s := range saved {
		if s.Message.Content.Wrapper() != saved[0].Message.Content.Wrapper() {
			t.Fatal("bodies are not shared after recovery")
		}
	}
}

func TestKeep(t *testing.T) {
	m := newMemFS()
	a, _, _ := mustStart(t, m, smallConfig())
	if a.Kept("pace") != nil {
		t.Error("something kept from nothing")
	}
	a.Keep("pace", func() []byte { return []byte("learned") })
	must(t, a.Close())
	b, _, _ := mustStart(t, m.killed(), smallConfig())
	if got := string(b.Kept("pace")); got != "learned" {
		t.Errorf("kept %q", got)
	}
}

func TestTakeRefuses(t *testing.T) {
	m := newMemFS()
	a, _, _ := mustStart(t, m, smallConfig())
	msg := message(a.NewID(), "b", "x@a.example")
	must(t, a.Take(msg))
	if err := a.Take(msg); err == nil {
		t.Error("one id was taken twice")
	}
	if err := a.Take(message(a.NewID(), "b")); err == nil {
		t.Error("a message without recipients was taken")
	}
	must(t, a.Close())
	must(t, a.Close())
	if err := a.Take(message(99, "b", "x@a.example")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := a.Flush(); !errors.Is(err, ErrClosed) {
		t.Errorf("flush after Close: %v", err)
	}
	if err := a.WriteSnapshot(); !errors.Is(err, ErrClosed) {
		t.Errorf("snapshot after Close: %v", err)
	}
}

// TestLargeMessage: one larger than a segment and than a commit is taken whole.
func TestLargeMessage(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 3)
	must(t, w.take(a, message(a.NewID(), strings.Repeat("x", 9<<20), "x@a.example")))
	w.campaign(t, a, 3)
	_, saved, r := mustStart(t, m.killed(), smallConfig())
	must(t, w.check(saved))
	if len(saved) != 7 || !r.Healthy() {
		t.Errorf("%d messages, %+v", len(saved), r)
	}
}

func TestTwoDaemons(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(dir, DefaultConfig(), nil)
	must(t, err)
	_, err = Open(dir, DefaultConfig(), nil)
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), "another daemon (pid ") || !strings.HasSuffix(err.Error(), "uses "+dir) {
		t.Errorf("second Open: %v", err)
	}
	must(t, a.Close())
	b, err := Open(dir, DefaultConfig(), nil)
	must(t, err)
	must(t, b.Close())
}

func TestStateDirectory(t *testing.T) {
	dir := t.TempDir()
	plain := filepath.Join(dir, "file")
	must(t, os.WriteFile(plain, nil, 0o600))
	if _, err := Open(plain, DefaultConfig(), nil); err == nil || !strings.Contains(err.Error(), plain) {
		t.Errorf("a file as state directory: %v", err)
	}
	err := stateError("/state", &fs.PathError{Op: "open", Path: "/state/lock", Err: fs.ErrPermission})
	if !errors.Is(err, fs.ErrPermission) || strings.Contains(err.Error(), "\n") {
		t.Errorf("no permission: %v", err)
	}
	bad := DefaultConfig()
	bad.Ack = "soon"
	if _, err := Open(dir, bad, nil); err == nil || !strings.HasPrefix(err.Error(), "ack:") {
		t.Errorf("bad configuration: %v", err)
	}
}

// TestRealDirectory goes through Open, crash, recovery and Close on a real file system.
func TestRealDirectory(t *testing.T) {
	dir, w := t.TempDir(), newWorld()
	cfg := testConfig()
	cfg.Journal.SegmentBytes = 64 << 10
	for round := range 3 {
		a, err := Open(dir, cfg, nil)
		must(t, err)
		var saved []relay.Saved
		r, err := a.Recover(func(s relay.Saved) error { saved = append(saved, s); return nil })
		must(t, err)
		must(t, w.check(saved))
		w.again(saved)
		if r.Clean != (round > 0) || !r.Healthy() {
			t.Errorf("round %d: %s", round, r.String())
		}
		w.campaign(t, a, 200)
		for _, id := range w.order[round*200 : round*200+150] {
			for i := range w.offered[id].Rcpts {
				w.settle(a, id, i)
			}
		}
		must(t, a.WriteSnapshot())
		must(t, a.Close())
		w.settled()
	}
	must(t, Verify(dir))
}

// TestStatusOfTheRecovery: the first start in a directory has nothing to say of a recovery, and every later one has.
func TestStatusOfTheRecovery(t *testing.T) {
	m := newMemFS()
	for round, want := range []string{`"recovered":true}`, `"clean":true`, `"clean":false`} {
		a, _, _ := mustStart(t, m, smallConfig())
		text, err := json.Marshal(a.Status())
		must(t, err)
		if !strings.Contains(string(text), want) {
			t.Errorf("start %d: no %s in %s", round, want, text)
		}
		if round == 0 {
			must(t, a.Close())
		}
		m = m.killed()
	}
}

// TestIdleAgentWritesNoSnapshots: when nothing has happened since the newest snapshot, another one is not written; whatever
// happens has one written.
func TestIdleAgentWritesNoSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		cfg := testConfig()
		a, _, _ := mustStart(t, m, cfg)
		intervals := func(n int) int64 {
			before := a.Status().Snapshots
			time.Sleep(time.Duration(n) * cfg.Snapshot.Interval)
			synctest.Wait()
			return a.Status().Snapshots - before
		}
		w := newWorld()
		msg := message(a.NewID(), "b", "x@a.example", "y@b.example")
		must(t, w.take(a, msg))
		if n := intervals(10); n == 0 || n > 3 {
			t.Errorf("%d snapshots after a message was taken", n)
		}
		if n := intervals(10); n != 0 {
			t.Errorf("%d snapshots of an idle agent", n)
		}
		w.visit(a, msg.Node(0), true)
		if n := intervals(10); n == 0 || n > 3 {
			t.Errorf("%d snapshots after a node was deferred", n)
		}
		w.settle(a, msg.ID, 1)
		if n := intervals(10); n == 0 || n > 3 {
			t.Errorf("%d snapshots after a recipient was done", n)
		}
		_, saved, _ := mustStart(t, m.killed(), cfg)
		must(t, w.check(saved))
		must(t, a.Close())
	})
}
