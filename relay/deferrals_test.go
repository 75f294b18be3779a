package relay

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// deferral is a node that the test has deferred.
func deferral(id ID, due time.Time) *Node {
	return &Node{Message: &Message{ID: id}, due: instantOf(due), heapIndex: -1}
}

// TestDeferrals: each node is handed on at its Due, in order, and no other; what was cancelled is not.
func TestDeferrals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, rnd := NewDeferrals(), rand.New(rand.NewPCG(1, 2))
		var mu sync.Mutex // of waits
		waits, last := make(map[*Node]bool), time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		go d.Run(ctx, func(n *Node) {
			mu.Lock()
			defer mu.Unlock()
			if !waits[n] || !n.Due().Equal(time.Now()) || n.Due().Before(last) || n.peers != nil || n.heapIndex >= 0 {
				t.Errorf("due %s after %s, handed on at %s; waits: %t", n.Due(), last, time.Now(), waits[n])
			}
			last = n.Due()
			delete(waits, n)
		})
		for i := range ID(3000) {
			time.Sleep(time.Duration(rnd.Int64N(int64(40 * time.Millisecond))))
			synctest.Wait()
			n := deferral(i, time.Now().Add(time.Duration(1+rnd.Int64N(int64(20*time.Second)))))
			mu.Lock()
			waits[n] = true
			d.Defer(n)
			for n := range waits { // some one
				if rnd.IntN(3) == 0 && n.Due().After(time.Now()) {
					if !d.has(n) || !d.cancel(n) || d.has(n) || d.cancel(n) {
						t.Error("a node that waits cannot be cancelled once")
					}
					delete(waits, n)
				}
				break
			}
			if d.Len() != len(waits) {
				t.Errorf("%d wait, want %d", d.Len(), len(waits))
			}
			mu.Unlock()
		}
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if len(waits) != 0 || d.Len() != 0 || d.later.order.Len() != 0 {
			t.Errorf("%d of %d are left", len(waits), d.Len())
		}
		cancel()
		synctest.Wait()
	})
}

// TestManyDeferrals: of more nodes than the heap takes at a time, none is early and none is late by more than a second; those
// with the same Due go in the order in which they came.
func TestManyDeferrals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const many = 5 * mostAtOnce
		d, begin := NewDeferrals(), time.Now()
		var same []ID
		came := 0
		ctx, cancel := context.WithCancel(t.Context())
		for i := range ID(many) {
			d.Defer(deferral(i, begin.Add(time.Hour+time.Duration(many-i)*time.Millisecond)))
			d.Defer(deferral(many+i, begin.Add(2*time.Hour)))
		}
		go d.Run(ctx, func(n *Node) {
			if came++; time.Now().Before(n.Due()) || time.Since(n.Due()) > time.Second {
				t.Errorf("handed on %s after its Due", time.Since(n.Due()))
			}
			if n.Message.ID >= many {
				same = append(same, n.Message.ID-many)
			}
			if d.soon.Len() > mostAtOnce {
				t.Errorf("%d in the heap", d.soon.Len())
			}
		})
		time.Sleep(2*time.Hour + time.Second)
		synctest.Wait()
		for i, id := range same {
			if ID(i) != id {
				t.Fatalf("%d came as the %d-th", id, i)
			}
		}
		if came != 2*many || len(same) != many {
			t.Errorf("%d of %d came", came, 2*many)
		}
		cancel()
		synctest.Wait()
	})
}
