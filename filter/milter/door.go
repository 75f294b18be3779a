package milter

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/emersion/go-milter"
	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// Accepter makes a message recoverable: the queue map is one. Accept returns nil only when it is; it may block on
// the disk. After an error nothing was taken. Heard follows once, and says whether our answer is with the MTA.
type Accepter interface {
	Accept(*relay.Message) error
	Heard(m *relay.Message, heard bool)
}

// Deps are what the door works with.
type Deps struct {
	Accept   Accepter
	NewID    func() relay.ID
	Filter   *filter.Filter
	Sendable func(content [][]byte) error // says why content cannot be sent byte for byte
	Log      hclog.Logger
}

// Door is the milter door. Serve it with any number of listeners; Stop ends all of them.
type Door struct {
	cfg      Config
	deps     Deps
	log      hclog.Logger
	policy   atomic.Pointer[policy]
	budget   budget
	counts   counters
	stopping atomic.Bool // MAIL is answered by 421
	evicting atomic.Bool // idle connections are closed
	cutting  atomic.Bool // all are, but those about to be told "taken"

	sessions sync.WaitGroup
	quiet    quiet

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	conns     map[*conn]struct{}
}

// policy is what Reload replaces.
type policy struct {
	filter  *filter.Filter
	observe bool
	symbols map[lib.Stage][]string
}

// New returns a door that waits to be served. The configuration must be valid.
func New(cfg Config, deps Deps) (*Door, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("milter: %w", err)
	}
	if deps.Filter == nil || deps.Log == nil || deps.NewID == nil || deps.Accept == nil || deps.Sendable == nil {
		return nil, errors.New("milter: incomplete Deps")
	}
	d := &Door{
		cfg: cfg, deps: deps, log: deps.Log, budget: budget{max: cfg.MaxBuffered},
		listeners: make(map[net.Listener]struct{}), conns: make(map[*conn]struct{}),
	}
	d.Reload(deps.Filter, cfg.Mode)
	return d, nil
}

// Reload replaces the filter and the mode. Messages that have begun are decided by the filter they began with; macros
// that only the new one looks at are asked for on new connections.
func (d *Door) Reload(f *filter.Filter, mode string) {
	d.policy.Store(&policy{filter: f, observe: mode == Observe, symbols: symbols(f.Macros())})
}

// Filter returns the filter in use.
func (d *Door) Filter() *filter.Filter { return d.policy.Load().filter }

func (d *Door) observing() bool { return d.policy.Load().observe }

// acceptPause bounds the wait after an Accept that failed, for want of file descriptors as a rule.
const acceptPause = time.Second

// Serve accepts connections until Stop, then returns nil. Other than that it returns only when the listener is
// closed under it. It closes the listener.
func (d *Door) Serve(ln net.Listener) error {
	defer ln.Close()
	if !d.addListener(ln) {
		return nil
	}
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			d.welcome(nc)
		case d.stopping.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("milter: accept: %w", err)
		default:
			d.warn("accepting a connection", "error", err)
			pause = min(max(2*pause, 5*time.Millisecond), acceptPause)
			time.Sleep(pause)
		}
	}
}

// addListener reports false when the door is stopping.
func (d *Door) addListener(ln net.Listener) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping.Load() {
		return false
	}
	d.listeners[ln] = struct{}{}
	return true
}

// welcome gives a connection its session. Up to twice the configured number are served so that the MTA hears a clear
// "accept" for their mail; beyond that they are closed.
func (d *Door) welcome(nc net.Conn) {
	c := newConn(d, nc)
	d.mu.Lock()
	n := len(d.conns)
	if d.stopping.Load() || n >= 2*d.cfg.MaxSessions {
		d.mu.Unlock()
		nc.Close()
		return
	}
	d.conns[c] = struct{}{}
	d.sessions.Add(1)
	d.mu.Unlock()
	if n >= d.cfg.MaxSessions {
		c.session.pass = "over max_sessions"
		d.warn("over max_sessions: mail passes", "sessions", n)
	}
	go d.serve(c) // ends when the negotiation is in; from then on it is the library's goroutine, which ends with Close
}

// serve negotiates and hands the connection to a server of the library, one for each connection because what is asked
// for depends on what this MTA offers.
func (d *Door) serve(c *conn) {
	if err := c.negotiate(); err != nil {
		c.complain(err)
		c.Close()
		return
	}
	server := lib.Server{
		NewMilter: func() lib.Milter { return c.session },
		Actions:   c.session.granted.actions, Protocol: c.session.granted.protocol,
		SymList: d.policy.Load().symbols,
	}
	server.Serve(&oneShot{conn: c}) // returns as soon as the library's goroutine for c runs
}

// oneShot is a listener with a single connection.
type oneShot struct{ conn *conn }

// Accept implements net.Listener.
func (o *oneShot) Accept() (net.Conn, error) {
	c := o.conn
	if o.conn = nil; c == nil {
		return nil, io.EOF
	}
	return c, nil
}

// Close implements net.Listener.
func (o *oneShot) Close() error { return nil }

// Addr implements net.Listener.
func (o *oneShot) Addr() net.Addr { return nil }

// forget is called by each connection once, when it ends.
func (d *Door) forget(c *conn) {
	d.mu.Lock()
	delete(d.conns, c)
	d.mu.Unlock()
	d.sessions.Done()
}

// Stop accepts no more connections and lets open transactions finish; a new one is answered by 421, so that the MTA's
// client comes back later. Idle connections are closed after the configured grace, because an MTA may keep them for
// hours. When ctx ends first, all connections are closed and ctx's error is returned; what is not answered by then
// stays with the MTA. Otherwise every goroutine of the door has ended when Stop returns.
func (d *Door) Stop(ctx context.Context) error {
	d.mu.Lock()
	d.stopping.Store(true)
	for ln := range d.listeners {
		ln.Close()
	}
	d.mu.Unlock()

	ended := make(chan struct{})
	go func() { // ends with the last connection
		d.sessions.Wait()
		close(ended)
	}()
	grace := time.NewTimer(d.cfg.StopGrace)
	defer grace.Stop()
	for {
		select {
		case <-ended:
			return nil
		case <-grace.C:
			d.evicting.Store(true)
			d.each((*conn).evict)
		case <-ctx.Done():
			d.cut(ended)
			return fmt.Errorf("milter: stop: %w", ctx.Err())
		}
	}
}

// takeGrace is how long a stop waits for messages that are being made recoverable: cut off between that and our answer,
// the MTA would send them again.
const takeGrace = 5 * time.Second

// cut closes every connection, those that are about to be told "taken" when they have been.
func (d *Door) cut(ended <-chan struct{}) {
	d.cutting.Store(true)
	d.each(func(c *conn) {
		if !c.taking.Load() {
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

// warn logs what may happen thousands of times a second, at most once a second for each text.
func (d *Door) warn(text string, args ...any) {
	suppressed, ok := d.quiet.allow(text, time.Now())
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	d.log.Warn(text, args...)
}
