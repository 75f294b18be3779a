package pool

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// TestShutter: a site counts once, however many things keep it closed, and not when none does.
func TestShutter(t *testing.T) {
	var total atomic.Int64
	all := make([]shutter, 10)
	for i := range all {
		all[i].total = &total
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10_000 {
				all[rand.IntN(len(all))].set(uint32(1+rand.IntN(3)), rand.IntN(2) == 0)
			}
		})
	}
	wg.Wait()
	want := int64(0)
	for i := range all {
		if all[i].by.Load() != 0 {
			want++
		}
	}
	if total.Load() != want {
		t.Errorf("%d are counted, %d are closed", total.Load(), want)
	}
}

// TestTotalsCountAtTheChange: what closes a site and opens it is counted at once, and a site that is forgotten counts no more.
func TestTotalsCountAtTheChange(t *testing.T) {
	m := waitingAtSites(t, 3)
	now := time.Now()
	want := func(what string, sites, closed int64) {
		t.Helper()
		if got := m.Totals(); got.Sites != sites || got.Closed != closed {
			t.Errorf("%s: %+v, want %d sites, %d of them closed", what, got, sites, closed)
		}
	}
	site := func(domain string) *Site { return siteFor(m, &route.Route{Domain: domain, Site: domain}) }
	want("all have failed", 3, 3)
	site("d0.example").pace.Answered()
	want("one answers", 3, 2)
	site("d0.example").pace.Failed(now, "reset")
	want("it fails again", 3, 3)
	m.Pause(map[string]relay.Reason{"d0.example": relay.WaitFor(relay.ReasonPause, "", "paused", time.Time{}), "d1.example": relay.WaitFor(relay.ReasonPause, "", "paused", time.Time{})})
	want("two are paused", 3, 3)
	site("d1.example").pace.Answered()
	want("a paused one answers", 3, 3)
	m.Pause(nil)
	want("the pause ends", 3, 2)
	idle := site("new.example")
	idle.pace.Failed(now, "refused")
	want("another one fails", 4, 3)
	if !m.forget(idle, now.Add(48*time.Hour)) {
		t.Fatal("it is not forgotten")
	}
	want("it is forgotten", 3, 2)
}
