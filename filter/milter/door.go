package milter

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/millrace/millrace/filter"
)

// Door is the milter door. Serve it with any number of listeners; Stop ends all of them.
type Door struct {
	cfg    Config
	intake *filter.Intake
	phase  phase
	drip   *drip

	serving  sync.WaitGroup // one for each Serve
	sessions sync.WaitGroup // one for each connection

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
	handed    []filter.Handed // connections for another process
}

// New returns a door that waits to be served. What it takes goes through in, which is its own. When in is given a
// filter with new macros, only new connections ask for them.
func New(cfg Config, in *filter.Intake) (*Door, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("milter: %w", err)
	}
	return &Door{
		cfg: cfg, intake: in, phase: phase{stop: make(chan struct{})}, drip: newDrip(cfg.Drip),
		listeners: make(map[net.Listener]struct{}), conns: make(map[*conn]struct{}),
	}, nil
}

// Sessions is how many connections are open.
func (d *Door) Sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.conns)
}

// Dripped is how many messages were taken by deleting all their recipients, so that Postfix does not slow down.
func (d *Door) Dripped() uint64 { return d.drip.count.Load() }

// Serve accepts connections until Stop, then closes the listener and returns nil. It returns an error only when
// somebody else has closed the listener.
func (d *Door) Serve(ln net.Listener) error {
	defer ln.Close()
	if !d.addListener(ln) {
		return nil
	}
	defer d.serving.Done()
	if err := d.intake.AcceptAll(ln, d.phase.stopping.Load, func(nc net.Conn) { d.welcome(nc, state{}) }); err != nil {
		return fmt.Errorf("milter: accept: %w", err)
	}
	return nil
}

// addListener reports false when the door is stopping.
func (d *Door) addListener(ln net.Listener) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.phase.stopping.Load() {
		return false
	}
	d.listeners[ln] = struct{}{}
	d.serving.Add(1)
	return true
}

// welcome gives a connection its session, unless its peer may not offer mail. Up to twice the configured number are
// served so that the MTA hears a clear "accept" for their mail; beyond that they are closed.
func (d *Door) welcome(nc net.Conn, before state) {
	if !d.cfg.Permits(nc.RemoteAddr()) {
		d.intake.NoteBroken("connection from a host that milter.allow does not list", "peer", nc.RemoteAddr())
		nc.Close()
		return
	}
	defer func() { // a fault of our own costs the connection, and not the door
		if v := recover(); v != nil {
			d.intake.NotePanic(v, debug.Stack())
			nc.Close()
		}
	}()
	c := newConn(&d.cfg, d.intake, &d.phase, d.drip, nc, before, d.forget)
	d.mu.Lock()
	n := len(d.conns)
	if d.phase.handing.Load() {
		d.handed = append(d.handed, filter.Handed{Conn: nc})
		d.mu.Unlock()
		return
	}
	if d.phase.stopping.Load() || n >= 2*d.cfg.MaxSessions {
		d.mu.Unlock()
		nc.Close()
		return
	}
	d.conns[c] = struct{}{}
	d.sessions.Add(1)
	d.mu.Unlock()
	d.intake.OpenSession()
	if n >= d.cfg.MaxSessions {
		c.session.client.Barred = "over max_sessions"
		d.intake.Warn("over max_sessions: mail passes", "sessions", n)
	}
	go c.serve() // ends with the connection
}

// forget is called by each connection once, when it ends.
func (d *Door) forget(c *conn) {
	var h filter.Handed
	if c.leaving {
		var err error
		if h, err = c.handed(); err != nil {
			c.complain(err)
			c.nc.Close()
			c.leaving = false
		}
	}
	d.mu.Lock()
	delete(d.conns, c)
	if c.leaving {
		d.handed = append(d.handed, h)
	}
	d.mu.Unlock()
	d.intake.CloseSession()
	d.sessions.Done()
}

// Stop accepts no more connections and lets messages under way finish. A new message is left with the MTA, bulk or not.
// Idle connections are closed after the configured grace, because an MTA may keep them for hours. When ctx ends first, Stop closes all connections and returns ctx's error; a message not answered by then
// stays with the MTA. Otherwise every goroutine of the door has ended when Stop returns.
func (d *Door) Stop(ctx context.Context) error {
	d.shut()
	ended := d.ended()
	grace := time.NewTimer(d.cfg.StopGrace)
	defer grace.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-grace.C:
			d.phase.evicting.Store(true)
			d.each((*conn).evict)
		case <-ctx.Done():
			d.cut(ended)
			return fmt.Errorf("milter: stop: %w", ctx.Err())
		}
	}
}

// shut closes the listeners, and ends the waits for room.
func (d *Door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.phase.stopping.Swap(true) {
		close(d.phase.stop)
	}
	for ln := range d.listeners {
		ln.Close()
	}
}

// ended is closed when no connection is left.
func (d *Door) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() { // ends with the last connection
		d.sessions.Wait()
		close(ended)
	}()
	return ended
}

// takeGrace is how long a stop waits for messages that are being made recoverable. An MTA cut off between that and our
// answer would send the message again.
const takeGrace = 5 * time.Second

// cut closes every connection. A connection whose MTA is about to hear "taken" closes itself after that, see
// answerWritten.
func (d *Door) cut(ended <-chan struct{}) {
	d.phase.cutting.Store(true)
	d.each(func(c *conn) {
		if !c.session.taking.Load() {
			c.nc.Close()
		}
	})
	late := time.NewTimer(takeGrace)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
		d.each(func(c *conn) { c.nc.Close() })
	}
}

// each calls f for every connection, outside the lock.
func (d *Door) each(f func(*conn)) {
	d.mu.Lock()
	conns := make([]*conn, 0, len(d.conns))
	for c := range d.conns {
		conns = append(conns, c)
	}
	d.mu.Unlock()
	for _, c := range conns {
		f(c)
	}
}
