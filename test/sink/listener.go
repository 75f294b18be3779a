package sink

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// acceptPause is how long a listener waits after a failed accept, for instance when descriptors have run out.
const acceptPause = 50 * time.Millisecond

// listener is one address with one Character at a time.
type listener struct {
	sink     *Sink
	name     string
	number   uint16 // the ledger's short form of name
	counters counters
	mood     atomic.Pointer[mood]

	mu      sync.Mutex
	addr    string       // as it listens
	net     net.Listener // nil while shut
	conns   map[net.Conn]struct{}
	open    int // of conns, those on which something may still be said
	greeted int // of these, those that MaxConns allowed
}

// mood is a Character with what its limits remember.
type mood struct {
	Character
	plan     plan
	greylist *greylist // nil when the Character does not greylist
	pace     *bucket   // nil when the Character has no rate
}

func newMood(ch Character, maxSize int) (*mood, error) {
	ch = ch.withDefaults(maxSize)
	p, err := newPlan(ch.Faults)
	if err != nil {
		return nil, err
	}
	m := &mood{Character: ch, plan: p}
	if ch.Greylist > 0 {
		m.greylist = newGreylist(ch.Greylist)
	}
	if ch.PerSecond > 0 {
		m.pace = newBucket(ch.PerSecond)
	}
	return m, nil
}

func newListener(s *Sink, ch Character) (*listener, error) {
	m, err := newMood(ch, s.config.MaxSize)
	if err != nil {
		return nil, err
	}
	l := &listener{sink: s, name: ch.Name, conns: make(map[net.Conn]struct{})}
	l.mood.Store(m)
	return l, nil
}

// start receives at ln. The caller holds the Sink's lock, and the Sink is not closed.
func (l *listener) start(ln net.Listener) {
	l.mu.Lock()
	l.net, l.addr = ln, ln.Addr().String()
	l.mu.Unlock()
	l.forgetPeak()
	l.sink.wg.Go(func() { l.serve(ln) }) // ends when shut closes ln
}

// forgetPeak begins MaxOpen anew.
func (l *listener) forgetPeak() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counters.maxOpen.Store(int64(l.open))
}

// serve accepts until ln is closed.
func (l *listener) serve(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.sink.pause(acceptPause)
			continue
		}
		if l.admit(conn) {
			s := newSession(l, conn)
			l.sink.wg.Go(s.serve) // ends with its connection, which shut cuts
		}
	}
}

// admit registers conn. When the listener is shut already, admit closes conn and reports false.
func (l *listener) admit(conn net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.net == nil {
		_ = conn.Close()
		return false
	}
	l.conns[conn] = struct{}{}
	l.open++
	l.counters.opened(l.open)
	return true
}

// greets reports whether the session is one of those that MaxConns allows.
func (l *listener) greets(s *session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.greeted >= s.mood.MaxConns {
		l.counters.turnedAway.Add(1)
		return false
	}
	l.greeted++
	s.greeted = true
	return true
}

// keeps reports whether the session may go on: a Change may allow fewer connections than are open.
func (l *listener) keeps(s *session) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.greeted <= s.mood.MaxConns {
		return true
	}
	l.greeted--
	s.greeted = false
	return false
}

// part counts the session's connection no more. A client may see the end of the dialogue before release runs, and its next
// connection must not be one too many for that.
func (l *listener) part(s *session) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.parted {
		return
	}
	s.parted = true
	l.open--
	if s.greeted {
		l.greeted--
	}
	l.counters.open.Store(int64(l.open))
}

// release closes the session's connection and forgets it.
func (l *listener) release(s *session) {
	l.part(s)
	l.mu.Lock()
	delete(l.conns, s.raw)
	l.mu.Unlock()
	_ = s.raw.Close()
}

// shut stops listening and resets every connection.
func (l *listener) shut() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.net == nil {
		return nil
	}
	for conn := range l.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
	err := l.net.Close()
	l.net = nil
	return err
}

// pause waits for d or until the Sink closes; it reports whether the Sink is still open.
func (s *Sink) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}
