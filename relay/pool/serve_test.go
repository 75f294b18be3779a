package pool

import (
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// TestDefaultSourceIsNotAsked: without [[source]] tables no message waits for the mutex that all sites share.
func TestDefaultSourceIsNotAsked(t *testing.T) {
	s := newWaiting(t)
	s.m.sources.mu.Lock()
	defer s.m.sources.mu.Unlock()
	done := make(chan bool, 1)
	go func() { // ends at once, or with the test's lock
		v := &relay.Visit{Node: &relay.Node{Message: &relay.Message{Slip: &relay.Slip{Envelope: relay.Envelope{Rcpts: make([]relay.Rcpt, 1)}}}}, Began: time.Now()}
		ok := s.spend(v, v.Began)
		s.unspend(v)
		done <- ok
	}()
	select {
	case ok := <-done:
		if !ok {
			t.Error("there is no room in a plan that does not exist")
		}
	case <-time.After(10 * time.Second):
		t.Error("a message waits for the mutex of the sources")
	}
}
