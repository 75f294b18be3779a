package snapshot

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// TestHungDisk: while an fsync hangs, at most maxHeld of the MTA's sessions are held, and none for ever; new takes are refused
// at once; nothing that was refused comes back, and when the disk answers again mail is taken.
func TestHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w := newMemFS(), newWorld()
		a, _, _, err := start(m, smallDisk())
		must(t, err)
		var hung atomic.Bool
		hung.Store(true)
		free := make(chan struct{})
		m.hook = func(_ int, op, _ string) error {
			if op == "sync" && hung.Load() {
				m.mu.Unlock()
				<-free
				m.mu.Lock()
			}
			return nil
		}
		const doors = 300
		var refused atomic.Int32
		for range doors {
			msg := message(a.NewID(), "b", "x@a.example", "y@b.example")
			w.offered[msg.ID] = msg
			go func() { // ends with its take
				if err := a.Take(msg); errors.Is(err, ErrBusy) {
					refused.Add(1)
				} else {
					t.Errorf("take: %v", err)
				}
			}()
			time.Sleep(20 * time.Millisecond)
		}
		synctest.Wait()
		if held := doors - refused.Load(); held > maxHeld || held == 0 {
			t.Errorf("%d sessions are held", held)
		}
		begin := time.Now()
		if err := a.Take(message(a.NewID(), "b", "x@a.example")); !errors.Is(err, ErrBusy) || time.Since(begin) > 0 {
			t.Errorf("a new take: %v after %s", err, time.Since(begin))
		}
		if !errors.Is(a.Blocked(), ErrBusy) || a.Status().Blocked == "" {
			t.Errorf("the agent says %v", a.Blocked())
		}
		time.Sleep(maxWaiting)
		synctest.Wait()
		if n := refused.Load(); n != doors {
			t.Errorf("%d sessions are held for ever", doors-n)
		}
		hung.Store(false)
		close(free)
		time.Sleep(time.Second)
		synctest.Wait()
		must(t, a.Blocked())
		w.campaign(t, a, 20)
		must(t, w.flush(a))
		if n := a.Status().Messages; n != 20 {
			t.Errorf("%d messages in the journal", n)
		}
		for _, k := range []*memFS{m.killed(), m} {
			if k == m {
				must(t, a.Close())
			}
			named := 0
			b, err := open(k, smallDisk(), hclog.NewNullLogger())
			must(t, err)
			_, err = b.Recover(func(s relay.Saved) error {
				if !w.taken[s.Message.ID] {
					named++
				}
				return nil
			})
			must(t, err)
			if named > 0 {
				t.Errorf("%d messages that were refused come back", named)
			}
			must(t, b.Close())
		}
	})
}
