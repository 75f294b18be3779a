package sink

import (
	"errors"
	"net"
	"sync"
	"time"
)

// acceptPause is how long a listener waits after a failed accept, for instance when descriptors have run out.
const acceptPause = 50 * time.Millisecond

// listener is one address with one Character.
type listener struct {
	sink      *Sink
	character Character
	name      string
	number    uint16 // the ledger's short form of name
	net       net.Listener
	plan      plan
	greylist  *greylist // nil when the Character does not greylist
	pace      *bucket   // nil when the Character has no rate
	counters  counters

	mu     sync.Mutex
	closed bool
	conns  map[net.Conn]struct{}
}

func newListener(s *Sink, ch Character) (*listener, error) {
	ch = ch.withDefaults(s.config.MaxSize)
	p, err := newPlan(ch.Faults)
	if err != nil {
		return nil, err
	}
	l := &listener{sink: s, character: ch, name: ch.Name, plan: p, conns: make(map[net.Conn]struct{})}
	if ch.Greylist > 0 {
		l.greylist = newGreylist(ch.Greylist)
	}
	if ch.PerSecond > 0 {
		l.pace = newBucket(ch.PerSecond)
	}
	return l, nil
}

// serve accepts until the listener is closed; it is the body of the goroutine Sink.Listen starts.
func (l *listener) serve() {
	for {
		conn, err := l.net.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			l.sink.pause(acceptPause)
			continue
		}
		if open, ok := l.admit(conn); ok {
			s := newSession(l, conn, open)
			l.sink.wg.Go(s.serve) // ends with its connection, which Close cuts
		}
	}
}

// admit registers conn and returns how many connections are open, conn included. When the listener is closed already,
// admit closes conn and reports false.
func (l *listener) admit(conn net.Conn) (open int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return 0, false
	}
	l.conns[conn] = struct{}{}
	l.counters.opened(len(l.conns))
	return len(l.conns), true
}

// release closes conn and forgets it.
func (l *listener) release(conn net.Conn) {
	l.mu.Lock()
	delete(l.conns, conn)
	l.counters.open.Store(int64(len(l.conns)))
	l.mu.Unlock()
	_ = conn.Close()
}

func (l *listener) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	for conn := range l.conns {
		_ = conn.Close()
	}
	return l.net.Close()
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
