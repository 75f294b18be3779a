package filter

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// memory is a Witness that remembers.
type memory struct {
	mu   sync.Mutex
	told []string
}

func (w *memory) Held(a Applicant, waited time.Duration, room bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf("held %s, %s, %s, room %t", a.Rcpts, a.Reason, waited, room))
}

func (w *memory) Overflow(a Applicant) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = append(w.told, fmt.Sprintf("overflow %s of %s in %q by %s: %s", a.Rcpts, a.Sender, a.Flow.Name, a.Rule, a.Reason))
}

// TestWitness: a reply that waits, and mail that finds no room, is told of once, with the reason; other mail that is left is not.
func TestWitness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w memory
		x := newGated(t, nil)
		x.in.deps.Events = &w
		x.fill()
		w.told = nil
		x.offer(&keeper{patience: time.Second}, newsletter(end...))
		x.offer(&keeper{}, strings.Replace(newsletter(end...), "List-Id", "X-Id", 1)) // no bulk
		go x.offer(&keeper{patience: time.Minute}, newsletter(end...))
		time.Sleep(time.Second)
		x.settle(3)
		synctest.Wait()
		for i, want := range []string{
			"held [", "overflow [", "held [",
		} {
			if i >= len(w.told) || !strings.HasPrefix(w.told[i], want) || !strings.Contains(w.told[i], "94 % of queue.max_messages is used") && i < 2 {
				t.Fatalf("%d: %q, want %s", i, w.told, want)
			}
		}
		if len(w.told) != 3 || !strings.Contains(w.told[0], "1s, room false") || !strings.Contains(w.told[2], "1s, room true") || !strings.Contains(w.told[1], "news@example.com") {
			t.Errorf("%q", w.told)
		}
	})
}

// TestWitnessAtMAIL: mail that is left before its header is known has no campaign and no recipients yet.
func TestWitnessAtMAIL(t *testing.T) {
	var w memory
	x := newGated(t, nil, Rule{Sender: "*@example.com"})
	x.in.deps.Events = &w
	x.drain = relay.WaitFor(relay.ReasonSite, "", "drained by root", time.Time{})
	x.offer(&keeper{}, newsletter(end...))
	if len(w.told) != 1 || !strings.Contains(w.told[0], "overflow [] of news@example.com") || !strings.Contains(w.told[0], "drained by root") {
		t.Errorf("%q", w.told)
	}
}
