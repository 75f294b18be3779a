package filter

import (
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

// Handed is an open connection of a client that a door gives away, so that the same door in another process goes on with it. The client
// notices nothing but a pause.
type Handed struct {
	Conn  net.Conn
	State []byte // what the client has said, in a form of the door's own
}

// ErrHalted is returned by a read that a Halt has ended.
var ErrHalted = errors.New("handed over")

// Halt ends the reads of a connection that is to be handed over, but only where it can be: the session allows it before it waits for
// something new of its client, and forbids it behind that. Each read calls Arm before and Cause behind it. Order may be called by any
// goroutine.
type Halt struct {
	mu      sync.Mutex
	conn    net.Conn // of the read that may be ended now; nil: none may be
	ordered bool
}

// Allow lets reads of that connection be ended, or none for nil.
func (h *Halt) Allow(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn = conn
}

// Order ends the read under way that may be ended, or the next such one.
func (h *Halt) Order() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ordered = true
	if h.conn != nil {
		h.conn.SetReadDeadline(time.Unix(1, 0)) // an error means that the connection has ended
	}
}

// Arm sets the deadline of a read, or returns ErrHalted when the read must not begin.
func (h *Halt) Arm(conn net.Conn, until time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ordered && h.conn != nil {
		return ErrHalted
	}
	return conn.SetReadDeadline(until)
}

// Cause is the error of a read, or ErrHalted when Order has ended it.
func (h *Halt) Cause(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ordered && h.conn != nil {
		return ErrHalted
	}
	return err
}
