package snapshot

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// states is how many crashed states TestCrashModel recovers: go test ./snapshot -run TestCrashModel -args -states 1000000
var states = flag.Int("states", 4000, "crashed states TestCrashModel recovers")

var errPower = errors.New("the power is off")

// script does random work until the power goes: it returns at the first error, or after its steps.
func script(w *world, sys FileSystem, cfg Config, rng *rand.Rand) error {
	a, saved, err := scriptStart(w, sys, cfg)
	if err != nil {
		return err
	}
	defer func() { a.Close() }()
	w.again(saved)
	for range 40 {
		switch rng.IntN(13) {
		case 0:
			err = w.flush(a)
		case 1:
			err = a.WriteSnapshot()
		case 2, 3, 4, 5:
			body := strings.Repeat(fmt.Sprint(rng.IntN(4)), 700+rng.IntN(2)*1500)
			m := message(a.NewID(), body, rcptsFor(rng.IntN(8))...)
			for _, n := range m.Nodes {
				n.Near = rng.IntN(2) == 0
			}
			err = w.take(a, m)
		case 6:
			if err = a.Close(); err == nil {
				w.settled()
				b, saved, serr := scriptStart(w, sys, cfg)
				if serr != nil {
					return serr
				}
				w.again(saved)
				a = b
			}
		case 7:
			a.book.lapse(time.Now().Add(2 * cfg.Journal.CommitInterval))
		default:
			w.something(a, rng)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func scriptStart(w *world, sys FileSystem, cfg Config) (*Agent, []relay.Saved, error) {
	a, saved, _, err := start(sys, cfg)
	if err != nil && a != nil {
		a.Close()
	}
	return a, saved, err
}

// something visits some node that is not done.
func (w *world) something(a *Agent, rng *rand.Rand) {
	for range 5 {
		if len(w.order) == 0 {
			return
		}
		id := w.order[rng.IntN(len(w.order))]
		m := w.offered[id]
		n := m.Node(rng.IntN(m.NodeCount()))
		if w.taken[id] && !w.done[id][n.Rcpts()[0]] {
			w.visit(a, n, rng.IntN(3) == 0)
		}
	}
}

// cutAt makes every call from the n-th on fail: what is not on the disk by then will not be.
func cutAt(n int) func(int, string, string) error {
	return func(i int, _, _ string) error {
		if i >= n {
			return errPower
		}
		return nil
	}
}

// TestCrashModel cuts the power at every call of a random script, tries some of the states the disk may be left in, works
// on, cuts it again, and compares with the ledger each time. Under the race detector it has every raceStep-th call.
func TestCrashModel(t *testing.T) {
	most := *states / raceStep
	for seed, done := uint64(1), 0; done < most; seed++ {
		for n := 1; done < most; n += raceStep {
			m, w := newMemFS(), newWorld()
			m.hook = cutAt(n)
			err := script(w, m, smallConfig(), rand.New(rand.NewPCG(seed, 0)))
			for v := range uint64(6) {
				rng := rand.New(rand.NewPCG(seed, uint64(n)<<8|v))
				if cerr := afterCut(w.clone(), m.cut(rng), rng); cerr != nil {
					t.Fatalf("seed %d, cut at call %d, state %d: %v", seed, n, v, cerr)
				}
				done++
			}
			if err == nil {
				break // the script ran to its end: there is no n-th call
			}
		}
	}
}

// afterCut recovers, works a little until the power goes again, perhaps during the recovery, and recovers again.
func afterCut(w *world, m *memFS, rng *rand.Rand) error {
	if rng.IntN(2) == 0 {
		m.hook = cutAt(1 + rng.IntN(30))
		if err := script(w, m, smallConfig(), rng); err != nil && !errors.Is(err, errPower) {
			return err
		}
		m = m.cut(rng)
	}
	a, saved, r, err := start(m, smallConfig())
	if err != nil {
		return err
	}
	defer a.Close()
	if !r.Healthy() {
		return fmt.Errorf("false alarm: %+v", r)
	}
	return w.check(saved)
}

// again takes back the outcomes a crash has made undone: these recipients are visited once more.
func (w *world) again(saved []relay.Saved) {
	for _, s := range saved {
		w.named[s.Message.ID] = true
		if s.Unheard {
			delete(w.heard, s.Message.ID)
		}
		for _, n := range s.Nodes {
			for _, r := range n.Rcpts {
				delete(w.done[s.Message.ID], r)
			}
		}
	}
}

func (w *world) clone() *world {
	c := newWorld()
	for id, m := range w.offered {
		c.offered[id] = m
	}
	for id := range w.taken {
		c.taken[id] = true
		c.done[id], c.durable[id] = make(map[int]bool), make(map[int]bool)
		for r := range w.done[id] {
			c.done[id][r] = true
		}
		for r := range w.durable[id] {
			c.durable[id][r] = true
		}
		c.sent[id] = maps.Clone(w.sent[id])
	}
	c.order = append(c.order, w.order...)
	c.heard, c.named = maps.Clone(w.heard), maps.Clone(w.named)
	return c
}

// TestKillAtEveryCall: kill -9 leaves everything that was written.
func TestKillAtEveryCall(t *testing.T) {
	for n := 1; ; n++ {
		m, w := newMemFS(), newWorld()
		m.hook = cutAt(n)
		err := script(w, m, smallConfig(), rand.New(rand.NewPCG(7, 7)))
		a, saved, r, serr := start(m.killed(), smallConfig())
		must(t, serr)
		if cerr := w.check(saved); cerr != nil || !r.Healthy() {
			t.Fatalf("killed at call %d: %v, %+v", n, cerr, r)
		}
		a.Close()
		if err == nil {
			return
		}
	}
}

// TestDiskErrors makes each call of a script fail once, with the machine running on. Nothing answered for is lost,
// neither while it runs nor after a power cut, no descriptor is synced again, and the agent works again by itself.
// Under the race detector each of the six rows has every raceStep-th call, and none has the same.
func TestDiskErrors(t *testing.T) {
	row := 0
	for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
		for _, ack := range []Ack{AckJournal, AckWritten, AckMemory} {
			first := 1 + row%raceStep
			row++
			t.Run(fmt.Sprintf("%s,%s", errno, ack), func(t *testing.T) {
				t.Parallel()
				for n, more := first, true; more; n += raceStep {
					more = diskError(t, errno, ack, n)
				}
			})
		}
	}
}

// diskError reports whether there was an n-th call.
func diskError(t *testing.T, errno syscall.Errno, ack Ack, n int) bool {
	m, w := newMemFS(), newWorld()
	failed := ""
	m.hook = func(i int, op, name string) error {
		if i == n {
			failed = op + " " + name
			return errno
		}
		return nil
	}
	cfg := smallConfig()
	cfg.Ack = ack
	rng := rand.New(rand.NewPCG(3, 3))
	for range 3 { // as a supervisor would: what ends the daemon is started again
		script(w, m, cfg, rng)
	}
	m.hook = nil
	a, saved, r, err := start(m, cfg)
	if err == nil {
		err = w.check(saved)
	}
	if err == nil && !r.Healthy() {
		err = fmt.Errorf("false alarm: %+v", r)
	}
	if err != nil {
		t.Fatalf("%v %s at call %d (%s): %v", errno, ack, n, failed, err)
	}
	must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
	must(t, a.Close())
	return failed != ""
}
