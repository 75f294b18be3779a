package snapshot

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// near is a message whose visit is expected at once.
func near(a *Agent) *relay.Message {
	m := message(a.NewID(), "b", "x@a.example")
	m.Node(0).Near = true
	return m
}

// ways are how a visit may be expected of the one node of a message that is taken.
var ways = map[string]func(t *testing.T, a *Agent) *relay.Message{
	"with the message": func(t *testing.T, a *Agent) *relay.Message {
		m := near(a)
		must(t, a.Take(m))
		return m
	},
	"while it waits": func(t *testing.T, a *Agent) *relay.Message {
		m := message(a.NewID(), "b", "x@a.example")
		must(t, a.Take(m))
		a.Expect([]*relay.Node{m.Node(0)})
		must(t, a.Flush())
		return m
	},
}

// begunAfter says how many recipients are in doubt after a crash.
func begunAfter(t *testing.T, m *memFS, cfg Config) (n int) {
	t.Helper()
	b, saved, _, err := start(m, cfg)
	must(t, err)
	defer b.Close()
	for _, k := range begun(saved) {
		n += k
	}
	return n
}

// TestMarkComesWithTheMessage: the visit of a message that was expected waits for nothing, and costs no sync; the mark is as safe as
// the message.
func TestMarkComesWithTheMessage(t *testing.T) {
	for _, ack := range []Ack{AckJournal, AckWritten, AckMemory} {
		cfg, m := smallConfig(), newMemFS()
		cfg.Ack, cfg.Journal.SyncInterval = ack, time.Hour
		a, _, _ := mustStart(t, m, cfg)
		msg := near(a)
		must(t, a.Take(msg))
		syncs := a.Status().Syncs
		if r := a.Begin(msg.Node(0)); r != nil {
			t.Errorf("%s: there is something to wait for", ack)
		}
		if n := a.Status().Syncs - syncs; n > 0 {
			t.Errorf("%s: %d syncs", ack, n)
		}
		left := m.killed()
		if ack == AckJournal {
			left = restart(m.safe, func(i *inode) []byte { return i.safe })
		}
		if n := begunAfter(t, left, cfg); n != 1 && ack != AckMemory {
			t.Errorf("%s: %d recipients are in doubt", ack, n)
		}
	}
}

// TestExpectedVisit: what becomes of the mark when something comes between message and visit, or the visit goes as any other.
func TestExpectedVisit(t *testing.T) {
	deferred := func(a *Agent, n *relay.Node, by string) {
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: n.Message, Node: n, Rcpt: -1, Relay: by})
	}
	for name, tt := range map[string]struct {
		then  func(a *Agent, n *relay.Node)
		doubt int
	}{
		"nothing yet":         {func(*Agent, *relay.Node) {}, 1},
		"nothing for a while": {func(a *Agent, _ *relay.Node) { time.Sleep(2 * a.cfg.Journal.CommitInterval) }, 0},
		"handed back":         {func(a *Agent, n *relay.Node) { deferred(a, n, noRelay) }, 0},
		"visited":             {func(a *Agent, n *relay.Node) { a.Begin(n) }, 1},
		"visited for long":    {func(a *Agent, n *relay.Node) { a.Begin(n); time.Sleep(2 * a.cfg.Journal.CommitInterval) }, 1},
		"visited late":        {func(a *Agent, n *relay.Node) { time.Sleep(2 * a.cfg.Journal.CommitInterval); await(a.Begin(n)) }, 1},
		"put back": {func(a *Agent, n *relay.Node) {
			a.Begin(n)
			a.Event(&relay.Event{Kind: relay.EventPutBack, Message: n.Message, Node: n, Rcpt: -1})
		}, 0},
		"deferred by receiver": {func(a *Agent, n *relay.Node) { a.Begin(n); deferred(a, n, "a.example[192.0.2.1]:25") }, 0},
		"no receiver reached":  {func(a *Agent, n *relay.Node) { a.Begin(n); deferred(a, n, noRelay) }, 1},
		"clean stop":           {func(a *Agent, _ *relay.Node) { a.Close() }, 0},
		"snapshots":            {func(a *Agent, _ *relay.Node) { a.WriteSnapshot(); a.WriteSnapshot() }, 1},
	} {
		for way, take := range ways {
			t.Run(name+", expected "+way, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					m := newMemFS()
					a, _, _, err := start(m, testConfig())
					must(t, err)
					defer a.Close()
					msg := take(t, a)
					tt.then(a, msg.Node(0))
					a.Flush()
					if n := begunAfter(t, m.killed(), testConfig()); n != tt.doubt {
						t.Errorf("%d recipients are in doubt, want %d", n, tt.doubt)
					}
				})
			})
		}
	}
}

// TestExpectedWhileUnwritable: a visit that was expected does not go out either while nothing can be recorded, and leaves no doubt.
func TestExpectedWhileUnwritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := newMemFS(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		defer a.Close()
		msg := near(a)
		must(t, a.Take(msg))
		f.set("sync", syscall.EIO)
		f.set("create", syscall.ENOSPC)
		if err := a.Take(message(a.NewID(), "b", "x@a.example")); !errors.Is(err, syscall.EIO) {
			t.Fatalf("take: %v", err)
		}
		n := msg.Node(0)
		if await(a.Begin(n)) == nil {
			t.Error("the visit may go out")
		}
		a.Event(&relay.Event{Kind: relay.EventPutBack, Message: msg, Node: n, Rcpt: -1})
		f.set("sync", nil)
		f.set("create", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		must(t, a.Flush())
		if n := begunAfter(t, m.killed(), smallConfig()); n != 0 {
			t.Errorf("%d recipients are in doubt", n)
		}
	})
}

// TestExpectedAndRefused: a take that fails leaves nothing of what was expected.
func TestExpectedAndRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := newMemFS(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, testConfig())
		must(t, err)
		defer a.Close()
		f.set("sync", syscall.EIO)
		if a.Take(near(a)) == nil {
			t.Fatal("taken")
		}
		f.set("sync", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		must(t, a.Blocked())
		if n := len(a.book.doubts.nodes) + len(a.book.early); n > 0 {
			t.Errorf("%d nodes are kept in mind", n)
		}
	})
}

// TestExpectedBehindAnEarlyCall: the call that was to look after the mark came for something else, and too early. The mark is taken
// back all the same.
func TestExpectedBehindAnEarlyCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, m := testConfig(), newMemFS()
		a, _, _, err := start(m, cfg)
		must(t, err)
		defer a.Close()
		msg, other := near(a), message(a.NewID(), "o", "x@b.example")
		must(t, a.Take(other))
		first := true
		m.hook = func(_ int, op, name string) error {
			if first && op == "sync" {
				first = false
				time.Sleep(5 * time.Millisecond)
				a.Event(&relay.Event{Kind: relay.EventHeard, Message: other})
				time.Sleep(time.Millisecond)
			}
			return nil
		}
		must(t, a.Take(msg))
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := begunAfter(t, m.killed(), cfg); n != 0 {
			t.Errorf("%d recipients are in doubt", n)
		}
	})
}

// TestExpectedInOneCommit: the visits of nodes that were expected together wait for one sync at most, and those that begin behind it
// for nothing.
func TestExpectedInOneCommit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _, _, err := start(newMemFS(), testConfig())
		must(t, err)
		defer a.Close()
		var nodes []*relay.Node
		for range 10 {
			m := message(a.NewID(), "b", "x@a.example")
			must(t, a.Take(m))
			nodes = append(nodes, m.Node(0))
		}
		must(t, a.Flush())
		syncs := a.Status().Syncs
		a.Expect(nodes)
		must(t, await(a.Begin(nodes[0])))
		for _, n := range nodes[1:] {
			if a.Begin(n) != nil {
				t.Error("there is something to wait for")
			}
		}
		if n := a.Status().Syncs - syncs; n != 1 {
			t.Errorf("%d syncs", n)
		}
	})
}

// TestExpectedInALostCommit: the commit with the mark is lost. The visit that was expected is as safe as any other, and a mark that
// nobody needs is taken back.
func TestExpectedInALostCommit(t *testing.T) {
	for _, visited := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			m, f := newMemFS(), &failing{}
			m.hook = f.hook
			a, _, _, err := start(m, testConfig())
			must(t, err)
			defer a.Close()
			msg := message(a.NewID(), "b", "x@a.example")
			must(t, a.Take(msg))
			f.set("sync", syscall.EIO)
			a.Expect([]*relay.Node{msg.Node(0)})
			synctest.Wait()
			f.set("sync", nil)
			time.Sleep(2 * pulseInterval)
			synctest.Wait()
			must(t, a.Unwritable())
			want := 0
			if visited {
				must(t, await(a.Begin(msg.Node(0))))
				want = 1
			}
			time.Sleep(time.Minute)
			if n := begunAfter(t, m.killed(), testConfig()); n != want {
				t.Errorf("visited %v: %d recipients are in doubt, want %d", visited, n, want)
			}
		})
	}
}
