package bounce

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// TestFaultOfOurOwn: a notification that meets a fault is tried again. After three faults its recipients count as reported, and the
// log has what the sender should have read. Other notifications go out meanwhile.
func TestFaultOfOurOwn(t *testing.T) {
	for _, tt := range []struct {
		name   string
		faults int
		told   bool
	}{{"one fault", 1, true}, {"always", 100, false}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHeart(t)
				left := tt.faults
				newID := h.server.deps.NewID
				h.server.deps.NewID = func() relay.ID {
					if left--; left >= 0 {
						panic("wanted panic")
					}
					return newID()
				}
				stop := h.run()
				m := newsletter()
				h.settle(m, 0, relay.Bounced)
				time.Sleep(time.Hour)
				stop()
				accepted := 0
				if tt.told {
					accepted = 1
				}
				if len(h.reported) != 1 || len(h.accepted) != accepted || h.released[m.ID] != 1 || h.server.Held() != 0 {
					t.Errorf("reported %q, %d accepted, %d released, %d held", h.reported, len(h.accepted), h.released[m.ID], h.server.Held())
				}
				log := h.log.String()
				if strings.Count(log, " [running") != 1 || strings.Contains(log, "the sender is not told of this failure") == tt.told {
					t.Errorf("log %s", log)
				}
			})
		})
	}
}

// TestFaultKeepsTheMessage: a failure that the server could not even note does not leave as if its sender had been told.
func TestFaultKeepsTheMessage(t *testing.T) {
	h := newHeart(t)
	m := newsletter()
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the fault is not told to the caller")
			}
		}()
		h.settle(m, 1000, relay.Bounced) // there is no such recipient
	}()
	if !m.Open() || !strings.Contains(h.log.String(), "after the next start only") {
		t.Errorf("held %t, log %s", m.Open(), h.log)
	}
}
