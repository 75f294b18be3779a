package snapshot

import (
	"errors"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// TestUnwritable: nothing is begun when it cannot be recorded: no room even for outcomes, or a file system that has become
// read-only. It ends by itself. With ack = "memory" it never comes to that.
func TestUnwritable(t *testing.T) {
	for _, tt := range []struct {
		name       string
		errno      syscall.Errno
		ops        []string
		ack        Ack
		unwritable bool
	}{
		{"disk full, with room for outcomes", syscall.ENOSPC, []string{"create", "allocate"}, AckJournal, false},
		{"disk full to the last byte", syscall.ENOSPC, []string{"create", "allocate", "write"}, AckJournal, true},
		{"read-only", syscall.EROFS, []string{"create", "allocate", "write", "rename", "truncate", "remove"}, AckJournal, true},
		{"read-only, written", syscall.EROFS, []string{"create", "allocate", "write"}, AckWritten, true},
		{"read-only, memory", syscall.EROFS, []string{"create", "allocate", "write"}, AckMemory, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, w, f := newMemFS(), newWorld(), &failing{}
				m.hook = f.hook
				cfg := smallConfig()
				cfg.Ack = tt.ack
				a, _, _, err := start(m, cfg)
				must(t, err)
				defer a.Close()
				w.campaign(t, a, 20)
				must(t, w.flush(a))
				for _, op := range tt.ops {
					f.set(op, tt.errno)
				}
				for range 60 { // until takes are refused
					a.Take(message(a.NewID(), string(make([]byte, 500)), "x@a.example"))
				}
				n := w.offered[w.order[1]].Node(0)
				got := await(a.Begin(n))
				if unwritable := errors.Is(a.Unwritable(), tt.errno); unwritable != tt.unwritable || (got != nil) != tt.unwritable {
					t.Fatalf("begun: %v, unwritable: %v", got, a.Unwritable())
				}
				for _, op := range tt.ops {
					f.set(op, nil)
				}
				time.Sleep(2 * pulseInterval)
				synctest.Wait()
				must(t, a.Unwritable())
				wait(t, a.Begin(n))
			})
		})
	}
}

// TestReserveFillsUp: outcomes go into the reserve of a full disk, and when that is full as well nothing more is begun.
// When there is room for them, but not for mail, deliveries go on.
func TestReserveFillsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		defer a.Close()
		w.campaign(t, a, 8)
		f.set("create", syscall.ENOSPC)
		f.set("allocate", syscall.ENOSPC)
		for a.Blocked() == nil {
			w.take(a, message(a.NewID(), string(make([]byte, 500)), "x@a.example"))
		}
		n := w.offered[w.order[1]].Node(0)
		begun := 0
		for a.Unwritable() == nil {
			if await(a.Begin(n)) == nil {
				begun++
			}
		}
		if begun < 10 {
			t.Errorf("the reserve took %d marks", begun)
		}
		if err := await(a.Begin(n)); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("begun with a full reserve: %v", err)
		}
		f.set("allocate", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		if a.Unwritable() != nil || a.Blocked() == nil {
			t.Errorf("unwritable: %v, takes blocked: %v", a.Unwritable(), a.Blocked())
		}
		wait(t, a.Begin(n))
		b, saved, _, err := start(m.killed(), smallConfig())
		must(t, err)
		must(t, w.check(saved))
		b.Close()
	})
}

// TestGoneIsNotUnwritable: when the state directory was deleted, to send what is in memory is all that is left to do, and
// nothing of it can come back to be sent twice.
func TestGoneIsNotUnwritable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemFS()
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		msg := message(a.NewID(), "b", "x@a.example")
		must(t, a.Take(msg))
		m.mu.Lock()
		clear(m.names)
		m.mu.Unlock()
		time.Sleep(5 * time.Second)
		synctest.Wait()
		must(t, a.Unwritable())
		wait(t, a.Begin(msg.Node(0)))
		a.Close()
	})
}

// TestUnwritableAndGone: a journal that could record nothing and whose directory is then deleted lets go of what is in memory.
func TestUnwritableAndGone(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.ENOSPC, syscall.EIO} {
		synctest.Test(t, func(t *testing.T) {
			m, w, f := newMemFS(), newWorld(), &failing{}
			m.hook = f.hook
			a, _, _, err := start(m, smallConfig())
			must(t, err)
			w.campaign(t, a, 4)
			for _, op := range []string{"create", "allocate", "write"} {
				f.set(op, errno)
			}
			await(a.Begin(w.offered[w.order[0]].Node(0)))
			if a.Unwritable() == nil {
				t.Fatal("not unwritable")
			}
			m.mu.Lock()
			clear(m.names)
			m.mu.Unlock()
			time.Sleep(3 * pulseInterval)
			synctest.Wait()
			must(t, a.Unwritable())
			a.Close()
		})
	}
}

// TestNeverSentIsNotBegun: what could not be put on record was not sent, and a later start does not say so.
func TestNeverSentIsNotBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, w, f := newMemFS(), newWorld(), &failing{}
		m.hook = f.hook
		a, _, _, err := start(m, smallConfig())
		must(t, err)
		w.campaign(t, a, 4)
		must(t, a.Flush())
		f.set("write", syscall.EROFS)
		f.set("create", syscall.EROFS)
		first := w.offered[w.order[0]].Node(0)
		await(a.Begin(first)) // becomes unwritable
		a.Event(&relay.Event{Kind: relay.EventPutBack, Message: first.Message, Node: first, Rcpt: -1})
		for _, id := range w.order[1:] {
			if await(a.Begin(w.offered[id].Node(0))) == nil {
				t.Error("on record")
			}
		}
		f.set("write", nil)
		f.set("create", nil)
		time.Sleep(2 * pulseInterval)
		synctest.Wait()
		must(t, a.Close())
		b, saved, _, err := start(m.killed(), smallConfig())
		must(t, err)
		if n := len(begun(saved)); n > 0 {
			t.Errorf("%d messages that were never sent are named", n)
		}
		b.Close()
	})
}
