package snapshot

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// takeAll takes mail until it is refused, and returns why.
func (w *world) takeAll(t *testing.T, a *Agent) error {
	t.Helper()
	for range 10_000 {
		if err := w.take(a, message(a.NewID(), strings.Repeat("x", 300), "x@a.example")); err != nil {
			return err
		}
	}
	t.Fatal("the disk does not become full")
	return nil
}

// settleAll delivers all that was taken and not done.
func (w *world) settleAll(a *Agent) {
	for id := range w.taken {
		for r := range w.offered[id].Rcpts {
			if !w.done[id][r] {
				w.settle(a, id, r)
			}
		}
	}
}

// beginAll begins all visits and reports whether it is on record.
func (w *world) beginAll(a *Agent, saved []relay.Saved) bool {
	var last relay.Record
	for _, s := range saved {
		last = a.Begin(w.offered[s.Message.ID].Node(0))
	}
	return await(last) == nil
}

// smallDisk is a configuration whose keeper looks after the disk once a minute.
func smallDisk() Config {
	c := smallConfig()
	c.Journal.CommitInterval = 10 * time.Millisecond
	c.Snapshot.Interval = time.Minute
	return c
}

// TestFullDiskFreesItself: the journal fills the disk, whatever its size, and is told the truth about it; when everything is
// delivered, mail is taken again, without a restart and although nothing else makes room.
func TestFullDiskFreesItself(t *testing.T) {
	for size := int64(190 << 10); size < 220<<10; size += 1200 {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, w := newMemFS(), newWorld()
				m.size = size
				a, _, _, err := start(m, smallDisk())
				must(t, err)
				defer a.Close()
				refused := w.takeAll(t, a)
				for _, text := range []string{"are missing", "journal.segment_bytes"} {
					if !errors.Is(refused, syscall.ENOSPC) || !strings.Contains(refused.Error(), text) {
						t.Fatalf("the refusal does not say %q: %v", text, refused)
					}
				}
				b, saved, _, err := start(m.killed(), smallDisk())
				must(t, err)
				must(t, w.check(saved))
				b.Close()
				w.settleAll(a)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				must(t, a.Blocked())
				must(t, w.take(a, message(a.NewID(), "again", "x@a.example")))
			})
		})
	}
}

// unmeasured is a disk that does not say how much is free, as under a quota.
type unmeasured struct{ *memFS }

func (unmeasured) Free() (int64, error) { return 0, errors.ErrUnsupported }

// TestFailedReservationGivesBack: a reservation that is too large for the disk takes nothing of it, whether or not the disk can
// say before how much is free.
func TestFailedReservationGivesBack(t *testing.T) {
	for name, fs := range map[string]func(*memFS) FileSystem{
		"measured": func(m *memFS) FileSystem { return m }, "unmeasured": func(m *memFS) FileSystem { return unmeasured{m} },
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemFS()
			m.size = 64 << 10
			must(t, m.Mkdir(journalDir))
			f, err := m.Create(segmentName(1))
			must(t, err)
			must(t, allocate(fs(m), f, 0, 16<<10))
			if err := allocate(fs(m), f, 16<<10, 128<<10); !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("the error is: %v", err)
			}
			if size, _ := f.Size(); size != 16<<10 {
				t.Errorf("the file has kept %d bytes", size)
			}
			if free, _ := m.Free(); free != 48<<10 {
				t.Errorf("%d bytes are free", free)
			}
		})
	}
}

// TestOthersFillTheDisk: another program takes all that the disk has left, while segments are full of mail. The room that is
// kept for the snapshot is enough to delete them.
func TestOthersFillTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemFS(), newWorld()
		m.size = 1 << 30
		a, _, _, err := start(m, smallDisk())
		must(t, err)
		defer a.Close()
		w.campaign(t, a, 300)
		m.mu.Lock()
		m.size = m.used() // and not a byte more
		m.mu.Unlock()
		w.takeAll(t, a)
		w.settleAll(a)
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		must(t, a.Blocked())
		must(t, w.take(a, message(a.NewID(), "again", "x@a.example")))
		if names, _ := m.List(journalDir); len(names) > 4 {
			t.Errorf("the segments that are done are still there: %v", names)
		}
	})
}

// TestBrokenSegmentOnAFullDisk: a segment breaks, and the disk has no room for another one that takes mail. Outcomes go into a
// smaller one, so that what waits can leave.
func TestBrokenSegmentOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook, m.size = f.hook, 1<<30
		a, _, _, err := start(m, smallDisk())
		must(t, err)
		defer a.Close()
		w.campaign(t, a, 20)
		must(t, w.flush(a))
		m.mu.Lock()
		m.size = m.used() + 8<<10
		m.mu.Unlock()
		f.set("sync", syscall.EIO)
		if err := a.Take(message(a.NewID(), "b", "x@a.example")); !errors.Is(err, syscall.EIO) {
			t.Errorf("take: %v", err)
		}
		f.set("sync", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		must(t, a.Unwritable())
		if err := a.Take(message(a.NewID(), "b", "x@a.example")); err == nil || !errors.Is(err, a.Blocked()) {
			t.Errorf("take: %v, blocked: %v", err, a.Blocked())
		}
		wait(t, a.Begin(w.offered[w.order[1]].Node(0)))
	})
}

// TestStartWithoutRoom: a daemon that was killed on a full disk starts, however little there is, gives out what waits, and
// frees itself.
func TestStartWithoutRoom(t *testing.T) {
	m, w := newMemFS(), newWorld()
	m.size = 300 << 10
	a, _, _ := mustStart(t, m, smallConfig())
	w.takeAll(t, a)
	for _, room := range []int64{format.BlockSize, 20 << 10, 21 << 10} {
		t.Run(fmt.Sprint(room), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := w.clone()
				k := m.killed()
				for _, name := range []string{"journal", "snapshot"} { // what the start removes is no room
					names, _ := k.List(name)
					for _, n := range names {
						if strings.HasSuffix(n, temporaryExt) {
							k.Remove(name + "/" + n)
						}
					}
				}
				k.size = k.used() + room
				b, saved, _, err := start(k, smallDisk())
				must(t, err)
				defer b.Close()
				must(t, w.check(saved))
				if err := b.Take(message(b.NewID(), "b", "x@a.example")); !errors.Is(err, syscall.ENOSPC) {
					t.Errorf("take: %v", err)
				}
				if room == format.BlockSize {
					err := await(b.Begin(w.offered[saved[0].Message.ID].Node(0)))
					if (err == nil) != (b.Unwritable() == nil) {
						t.Errorf("begun: %v, unwritable: %v", err, b.Unwritable())
					}
					return
				}
				for some := range slices.Chunk(saved, 30) { // delivered at the same time
					for !w.beginAll(b, some) {
						time.Sleep(time.Minute) // as long as a site waits whose deliveries cannot be recorded
					}
					for _, s := range some {
						w.settle(b, s.Message.ID, 0)
					}
				}
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				must(t, b.Blocked())
				must(t, w.take(b, message(b.NewID(), "b", "x@a.example")))
			})
		})
	}
}
