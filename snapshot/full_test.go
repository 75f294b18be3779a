package snapshot

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// TestFullDisk: takes are refused, outcomes are still recorded, and when there is space again takes go on by themselves.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		defer a.Close()
		w.campaign(t, a, 20)
		for _, op := range []string{"create", "allocate"} {
			f.set(op, syscall.ENOSPC)
		}
		taken := 0
		for i := range 200 {
			if w.take(a, message(a.NewID(), fmt.Sprint(i), "x@a.example")) == nil {
				taken++
			}
		}
		if taken == 0 || taken == 200 || !errors.Is(a.Blocked(), syscall.ENOSPC) || a.Status().Blocked == "" {
			t.Fatalf("%d taken, blocked by %v", taken, a.Blocked())
		}
		for _, id := range w.order[:20] {
			w.settle(a, id, 0)
		}
		if a.Flush(); a.book.next.marks != nil {
			t.Error("outcomes were not written into the reserve")
		}
		w.settled()
		b, saved, _, err := start(m.killed(), smallConfig())
		must(t, err)
		must(t, w.check(saved))
		b.Close()
		for _, op := range []string{"create", "allocate"} {
			f.set(op, nil)
		}
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		must(t, a.Blocked())
		w.campaign(t, a, 20)
	})
}

// TestStartOnAFullDisk: there is no room for a segment, but some for outcomes: what waits comes back and can be sent, and
// no mail is taken into that room, until there is more.
func TestStartOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemFS(), newWorld()
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		w.campaign(t, a, 10)
		k := m.killed()
		var full atomic.Bool
		full.Store(true)
		a.Close()
		room := format.BlockSize + smallConfig().Journal.reserve()
		k.space = func(size int64) bool { return !full.Load() || size <= room }
		b, saved, _, err := start(k, smallConfig())
		must(t, err)
		defer b.Close()
		must(t, w.check(saved))
		if err := b.Take(message(b.NewID(), "b", "x@a.example")); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("take: %v", err)
		}
		for _, s := range saved {
			must(t, await(b.Begin(w.offered[s.Message.ID].Node(0))))
		}
		full.Store(false)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		must(t, b.Take(message(b.NewID(), "b", "x@a.example")))
	})
}

// TestCrashLoop: a daemon that never lives until its snapshot is due does not fill the disk.
func TestCrashLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		for range 5 * manySegments {
			w := newWorld()
			a, saved, _, err := start(m, smallConfig())
			must(t, err)
			for _, s := range saved {
				a.Event(&relay.Event{Kind: relay.EventRemoved, Message: s.Message, Rcpt: -1})
			}
			w.campaign(t, a, 3)
			must(t, a.Flush())
			synctest.Wait()
			m = m.killed()
			a.Close()
		}
		if names, _ := m.List(journalDir); len(names) > 2*manySegments {
			t.Errorf("%d segments", len(names))
		}
	})
}
