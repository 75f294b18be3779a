package filter

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestHaltRace: however an order meets the reads, it is not lost.
func TestHaltRace(t *testing.T) {
	for i := range 200 {
		ours, theirs := net.Pipe()
		var h Halt
		got := make(chan error, 1)
		go func() {
			h.Allow(theirs)
			err := h.Arm(theirs, time.Now().Add(time.Hour))
			if err == nil {
				_, err = theirs.Read(make([]byte, 1))
			}
			got <- h.Cause(err)
		}()
		if i%2 == 0 {
			time.Sleep(10 * time.Microsecond)
		}
		h.Order()
		if err := <-got; err != ErrHalted {
			t.Fatal(err)
		}
		ours.Close()
	}
}

// TestHaltWaits: a read that must not be ended is not, and its deadline is its own.
func TestHaltWaits(t *testing.T) {
	ours, theirs := net.Pipe()
	defer ours.Close()
	var h Halt
	h.Order()
	if err := h.Arm(theirs, time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := theirs.Read(make([]byte, 1))
	if err := h.Cause(err); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
	h.Allow(theirs)
	if err := h.Arm(theirs, time.Now().Add(time.Hour)); err != ErrHalted {
		t.Error(err)
	}
}
