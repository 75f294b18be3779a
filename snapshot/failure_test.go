package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// failing makes every call op fail with err while it is on.
type failing struct {
	mu  sync.Mutex
	err map[string]error
	n   map[string]int // calls that failed
}

func (f *failing) set(op string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err, f.n = make(map[string]error), make(map[string]int)
	}
	f.err[op] = err
}

func (f *failing) hook(_ int, op, _ string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err[op] != nil {
		f.n[op]++
	}
	return f.err[op]
}

// TestSyncFails: all of the batch are told, the file is never synced again, and the journal goes on in a new one that
// says where the old one ends.
func TestSyncFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		defer a.Close()
		w.campaign(t, a, 5)
		f.set("sync", syscall.EIO)
		w.settle(a, w.order[1], 0) // goes down with the batch
		var wg sync.WaitGroup
		for range 10 {
			m := message(a.NewID(), "lost", "x@a.example")
			wg.Go(func() {
				if err := a.Take(m); !errors.Is(err, syscall.EIO) {
					t.Errorf("take: %v", err)
				}
			})
		}
		wg.Wait()
		w.settle(a, w.order[0], 0)
		if err := a.Flush(); !errors.Is(err, syscall.EIO) {
			t.Errorf("flush: %v", err)
		}
		f.set("sync", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		w.campaign(t, a, 5)
		must(t, w.flush(a))
		b, saved, r, err := start(m.killed(), smallConfig())
		must(t, err)
		must(t, w.check(saved))
		if !r.Healthy() || r.Torn != 0 {
			t.Errorf("%+v", r)
		}
		b.Close()
	})
}

// TestAnsweredForButNotSynced: what was answered for before its sync failed is written again.
func TestAnsweredForButNotSynced(t *testing.T) {
	for _, ack := range []Ack{AckWritten, AckMemory} {
		synctest.Test(t, func(t *testing.T) {
			m, w, f := newMemFS(), newWorld(), &failing{}
			m.hook = f.hook
			cfg := testConfig()
			cfg.Ack = ack
			a, _, _, err := start(m, cfg)
			must(t, err)
			defer a.Close()
			w.campaign(t, a, 20)
			w.settle(a, w.order[1], 0)
			w.settle(a, w.order[4], 1)
			time.Sleep(cfg.Journal.CommitInterval * 2)
			f.set("sync", syscall.EIO)
			time.Sleep(40 * time.Second)
			synctest.Wait()
			if a.Blocked() == nil {
				t.Fatal("the failed sync was not noticed")
			}
			w.settle(a, w.order[2], 0)
			f.set("sync", nil)
			time.Sleep(3 * time.Second)
			synctest.Wait()
			must(t, w.flush(a))
			b, saved, r, err := start(restart(m.safe, func(i *inode) []byte { return i.safe }), cfg)
			must(t, err)
			must(t, w.check(saved))
			if !r.Healthy() || len(saved) != 18 {
				t.Errorf("%s: %d messages, %+v", ack, len(saved), r)
			}
			b.Close()
		})
	}
}

// TestCopyFails: what is settled while its copy is on the way stays settled when the copy fails.
func TestCopyFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		defer a.Close()
		w.campaign(t, a, 60)
		for _, id := range w.order[2:30] {
			for r := range w.offered[id].Rcpts {
				w.settle(a, id, r)
			}
		}
		must(t, w.flush(a))
		if n, _ := a.book.copySome(); n == 0 {
			t.Fatal("nothing was copied")
		}
		w.settle(a, w.order[0], 1)
		w.settle(a, w.order[1], 0) // the whole message
		f.set("sync", syscall.EIO)
		if err := a.Flush(); !errors.Is(err, syscall.EIO) {
			t.Errorf("flush: %v", err)
		}
		f.set("sync", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		must(t, w.flush(a))
		b, saved, r, err := start(m.killed(), smallConfig())
		must(t, err)
		must(t, w.check(saved))
		if !r.Healthy() || len(saved) != 31 {
			t.Errorf("%d messages, %+v", len(saved), r)
		}
		b.Close()
		for range 4 {
			must(t, a.WriteSnapshot())
		}
		c, saved, _, err := start(m.killed(), smallConfig())
		must(t, err)
		must(t, w.check(saved))
		c.Close()
	})
}

// TestDiscardedSegment: outcomes that name a segment which never came to the disk do not fit the one that gets its number
// from the next start.
func TestDiscardedSegment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook = f.hook
		cfg := smallConfig()
		cfg.Ack = AckMemory
		a, _, _, err := start(m, cfg)
		must(t, err)
		defer a.Close()
		for a.Status().Segments == 1 && a.book.next.seg == a.book.active {
			w.campaign(t, a, 5)
			must(t, a.Flush())
		}
		f.set("create", syscall.ENOSPC)
		first := len(w.order)
		w.campaign(t, a, 5)
		discarded := a.book.next.seg.number
		if err := a.Flush(); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("flush: %v", err)
		}
		for _, id := range w.order[first:] {
			w.settle(a, id, 0)
		}
		a.Flush()
		k, v := m.killed(), newWorld()
		b, saved, _, err := start(k, cfg)
		must(t, err)
		if b.book.active.number != discarded {
			t.Fatalf("the new segment is %d, the discarded one was %d", b.book.active.number, discarded)
		}
		v.campaign(t, b, 5)
		must(t, v.flush(b))
		c, again, _, err := start(k.killed(), cfg)
		must(t, err)
		if len(again) != len(saved)+5 {
			t.Errorf("%d messages, want %d and 5", len(again), len(saved))
		}
		must(t, c.Close())
		must(t, b.Close())
	})
}

// TestReadOnly: a file system that becomes read-only stops takes; RAM goes on.
func TestReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, f := newMemFS(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		for _, op := range []string{"write", "create", "rename", "allocate", "truncate", "remove"} {
			f.set(op, syscall.EROFS)
		}
		for range 3 {
			if err := a.Take(message(a.NewID(), "b", "x@a.example")); !errors.Is(err, syscall.EROFS) {
				t.Errorf("take: %v", err)
			}
		}
		if err := a.Close(); !errors.Is(err, syscall.EROFS) {
			t.Errorf("close: %v", err)
		}
	})
}

// TestSlowSync: takes wait, within a bound, and none is held that found no room.
func TestSlowSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		cfg := smallConfig()
		cfg.Journal.CommitBytes = 16 << 10 // several commits end within the time, so that some of those who wait are in one of them
		a, _, _, err := start(m, cfg)
		must(t, err)
		m.hook = func(_ int, op, _ string) error {
			if op == "sync" {
				m.mu.Unlock()
				time.Sleep(3 * time.Second)
				m.mu.Lock()
			}
			return nil
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		busy, ok := 0, 0
		for i := range 100 {
			wg.Go(func() {
				began := time.Now()
				err := a.Take(message(a.NewID(), strings.Repeat(fmt.Sprint(i), 300), "x@a.example"))
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					ok++
				case errors.Is(err, ErrBusy):
					busy++
				default:
					t.Error(err)
				}
				if d := time.Since(began); d > maxWaiting+overdueAfter {
					t.Errorf("waited %s", d)
				}
			})
		}
		wg.Wait()
		if ok == 0 || busy == 0 {
			t.Errorf("%d taken, %d refused", ok, busy)
		}
		must(t, a.Close())
	})
}

// TestDirectoryDeleted under the running daemon: noticed within seconds, and nothing is taken any more.
func TestDirectoryDeleted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		must(t, a.Take(message(a.NewID(), "b", "x@a.example")))
		m.mu.Lock()
		clear(m.names)
		m.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if err := a.Take(message(a.NewID(), "b", "x@a.example")); !errors.Is(err, errGone) {
			t.Errorf("take: %v", err)
		}
		time.Sleep(time.Minute)
		if a.Close() == nil {
			t.Error("Close says that everything is safe")
		}
	})
}

// TestRecoverGoesOnTogether: mail is taken and settled while the recovery runs.
func TestRecoverGoesOnTogether(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 100)
	k := m.killed()
	b, err := open(k, smallConfig(), a.log)
	must(t, err)
	_, err = b.Recover(func(s relay.Saved) error {
		must(t, w.take(b, message(b.NewID(), "new", "n@a.example")))
		for _, n := range s.Nodes {
			for _, r := range n.Rcpts {
				w.settle(b, s.Message.ID, r)
			}
		}
		return b.WriteSnapshot() // does nothing yet
	})
	must(t, err)
	must(t, w.flush(b))
	_, saved, _ := mustStart(t, k.killed(), smallConfig())
	must(t, w.check(saved))
	if len(saved) != 100 {
		t.Errorf("%d messages", len(saved))
	}
	if _, err := b.Recover(nil); err == nil {
		t.Error("recovered twice")
	}
	must(t, b.Close())
}

func TestRecoverEndsWithTheError(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 10)
	b, err := open(m.killed(), smallConfig(), a.log)
	must(t, err)
	defer b.Close()
	stop, n := errors.New("stop"), 0
	_, err = b.Recover(func(relay.Saved) error {
		if n++; n == 3 {
			return stop
		}
		return nil
	})
	if !errors.Is(err, stop) || n != 3 {
		t.Errorf("%d messages, then %v", n, err)
	}
}

// TestReadErrorRefuses: what cannot be read is no empty queue.
func TestReadErrorRefuses(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 10)
	k := &unreadable{memFS: m.killed(), name: segmentName(1)}
	if _, _, _, err := start(k, smallConfig()); !errors.Is(err, syscall.EIO) || !strings.Contains(err.Error(), k.name) {
		t.Errorf("start: %v", err)
	}
	if err := verify(k); !errors.Is(err, ErrDamaged) {
		t.Errorf("verify: %v", err)
	}
	cfg := smallConfig()
	cfg.salvage = true
	b, saved, r, err := start(k, cfg)
	must(t, err)
	if len(saved) != 0 || len(r.Missing) != 1 || !strings.Contains(r.Missing[0], k.name) || !strings.Contains(r.Missing[0], "input/output error") {
		t.Errorf("salvage: %d messages, %v", len(saved), r.Missing)
	}
	must(t, b.Close())
	if c, _, r, err := start(k, smallConfig()); err != nil || !r.Healthy() {
		t.Errorf("after the salvage: %v, %+v", err, r)
	} else {
		c.Close()
	}
	if k.names[numbered(journalDir, 1, asideExt)] == nil {
		t.Error("what cannot be read was not set aside")
	}
}

// unreadable is a file system on which the frames of one file cannot be read.
type unreadable struct {
	*memFS
	name string
}

func (u *unreadable) OpenRead(name string) (File, error) {
	f, err := u.memFS.OpenRead(name)
	if err == nil && name == u.name {
		f = unreadableFile{f}
	}
	return f, err
}

type unreadableFile struct{ File }

func (f unreadableFile) ReadAt(b []byte, at int64) (int, error) {
	if len(b) > format.BlockSize {
		return 0, syscall.EIO
	}
	return f.File.ReadAt(b, at)
}

// TestErrorsNameTheFile as it is called now, and not as it was called while it was made. os.File keeps that name.
func TestErrorsNameTheFile(t *testing.T) {
	s := &segment{number: 7}
	for path, want := range map[string]string{
		"/var/lib/millrace/journal/00000007.tmp": "write journal/00000007.seg: input/output error",
		"/var/lib/millrace/journal/00000008.tmp": "write /var/lib/millrace/journal/00000008.tmp: input/output error",
	} {
		err := fmt.Errorf("journal: %w", withNameNow(s, &fs.PathError{Op: "write", Path: path, Err: syscall.EIO}))
		if err.Error() != "journal: "+want || !errors.Is(err, syscall.EIO) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestFailedCopyIsNotBelieved: copies are written, their sync fails, and no new segment can be made. A snapshot is taken. The next
// start believes the places from which they were made.
func TestFailedCopyIsNotBelieved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemFS(), newWorld()
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		var bad atomic.Bool
		m.hook = func(_ int, op, name string) error {
			if bad.Load() && strings.Contains(name, journalDir) && (op == "sync" || op == "create") {
				return syscall.EIO
			}
			return nil
		}
		w.campaign(t, a, 60)
		for _, id := range w.order[2:30] {
			for r := range w.offered[id].Rcpts {
				w.settle(a, id, r)
			}
		}
		must(t, w.flush(a))
		if n, _ := a.book.copySome(); n == 0 {
			t.Fatal("nothing was copied")
		}
		bad.Store(true)
		if a.Flush() == nil {
			t.Error("the copies are durable")
		}
		must(t, a.WriteSnapshot())
		b, saved, _, err := start(m.killed(), smallConfig())
		must(t, err)
		must(t, w.check(saved))
		must(t, b.Close())
		bad.Store(false)
		a.Close()
	})
}

// TestResumedTwice: a sync fails, and there is room for outcomes alone; then there is room for more before those are committed. What
// waits in RAM for its second record gets it.
func TestResumedTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemFS(), newWorld()
		cfg := smallConfig()
		cfg.Ack, cfg.Journal.SegmentBytes = AckWritten, 256<<10
		a, _, _, err := start(m, cfg)
		must(t, err)
		w.campaign(t, a, 5)
		var failed, room atomic.Bool
		m.hook = func(_ int, op, name string) error {
			if op == "sync" && failed.CompareAndSwap(false, true) {
				return syscall.EIO
			}
			return nil
		}
		m.space = func(n int64) bool { return room.Load() || n < 40<<10 }
		for i := 0; a.Blocked() == nil && i < 100; i++ {
			time.Sleep(100 * time.Millisecond)
		}
		if a.Blocked() == nil {
			t.Fatal("no sync has failed")
		}
		room.Store(true)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		must(t, a.Flush())
		must(t, a.Close())
		b, saved, _, err := start(m.killed(), cfg)
		must(t, err)
		must(t, w.check(saved))
		must(t, b.Close())
	})
}
