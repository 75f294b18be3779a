package smtpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// Deps are what a Door works with.
type Deps struct {
	Intake   *filter.Intake // the door's own
	Hostname string         // in the greeting, and towards the MTA
	// Inform tells the sender of a message, which is passed to the MTA for others, of recipients whom the MTA has refused. After an
	// error nobody is told. nil: no sender can be told.
	Inform func(m *relay.Message, refused []Refusal) error
	// Dial connects to the MTA at Config.Reinject; nil: as the net package does.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Refusal is what the MTA has said of a recipient.
type Refusal struct {
	Rcpt           int // index of a recipient of the Message
	Code           int
	Enhanced, Text string
}

// Door is the SMTP and LMTP door. Serve it with any number of listeners; Stop ends all of them.
type Door struct {
	cfg      Config
	intake   *filter.Intake
	hostname string
	inform   func(m *relay.Message, refused []Refusal) error // Deps.Inform
	upstream *upstream                                       // nil: there is no MTA
	users    *users                                          // nil: nobody can log in
	tls      *tls.Config
	counts   counters
	again    *again

	stop     chan struct{} // closed when Stop begins
	stopping atomic.Bool
	evicting atomic.Bool // idle sessions are closed
	handing  atomic.Bool // sessions are handed over to another process

	serving sync.WaitGroup // one for each Serve
	running sync.WaitGroup // one for each session

	mu        sync.Mutex
	listeners map[net.Listener]struct{}
	sessions  map[*session]struct{}
	evicted   int                // of sessions: those that have to go for others, and are not gone yet
	clients   map[netip.Addr]int // sessions of each address that is counted
	handed    []filter.Handed    // connections for another process
}

// New returns a door that waits to be served.
func New(cfg Config, deps Deps) (*Door, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("smtpd: %w", err)
	}
	d := &Door{
		cfg: cfg, intake: deps.Intake, hostname: deps.Hostname, inform: deps.Inform, stop: make(chan struct{}),
		listeners: make(map[net.Listener]struct{}), sessions: make(map[*session]struct{}), clients: make(map[netip.Addr]int),
	}
	d.again = newAgain(cfg, deps.Intake)
	if cfg.Reinject != "" {
		d.upstream = newUpstream(cfg, deps.Hostname, deps.Dial)
	}
	if cfg.Users != "" {
		u, err := readUsers(cfg.Users)
		if err != nil {
			return nil, fmt.Errorf("smtpd.users: %w", err)
		}
		d.users = u
	}
	if cfg.TLSCert != "" {
		pair, err := tls.LoadX509KeyPair(cfg.TLSCert, cfg.TLSKey)
		if err != nil {
			return nil, fmt.Errorf("smtpd.tls_cert: %w", err)
		}
		d.tls = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	}
	return d, nil
}

// TryMTA connects to the MTA at Config.Reinject as for a message, and says why that did not go. Without an MTA there is nothing to try.
func (d *Door) TryMTA(ctx context.Context) error {
	if d.upstream == nil {
		return nil
	}
	w, err := d.upstream.connect(ctx)
	if err == nil {
		w.quit()
	}
	return err
}

// Sessions is how many connections are open.
func (d *Door) Sessions() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.sessions)
}

// Serve accepts connections in a role until Stop, then closes the listener and returns nil. It returns an error only when somebody
// else has closed the listener.
func (d *Door) Serve(ln net.Listener, role Role) error {
	defer ln.Close()
	if !d.addListener(ln) {
		return nil
	}
	defer d.serving.Done()
	if err := d.intake.AcceptAll(ln, d.stopping.Load, func(nc net.Conn) { d.welcome(newSession(d, nc, role)) }); err != nil {
		return fmt.Errorf("smtpd: accept: %w", err)
	}
	return nil
}

// addListener reports false when the door is stopping.
func (d *Door) addListener(ln net.Listener) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopping.Load() {
		return false
	}
	d.listeners[ln] = struct{}{}
	d.serving.Add(1)
	return true
}

// Replies to a client that gets no session. The session of one that may not come is refused before anything is read.
var (
	replyForbidden = reply{554, "5.7.1", "this host may not use this service: see allow in the table [smtpd]"}
	replyBusy      = reply{421, "4.3.2", "too many connections, try again later"}
)

// refuseWait bounds the write of a refusal.
const refuseWait = 5 * time.Second

// welcome lets a session begin.
func (d *Door) welcome(s *session) {
	if !d.Permits(s.nc.RemoteAddr(), s.role) {
		d.intake.NoteBroken("connection from a host that smtpd.allow does not list", "peer", s.nc.RemoteAddr())
		d.refuse(s.nc, replyForbidden)
		return
	}
	if d.handing.Load() { // it came at the last moment
		d.handOn(s)
		return
	}
	if !d.admit(s) {
		d.intake.Warn("too many connections: one is refused", "peer", s.nc.RemoteAddr())
		d.refuse(s.nc, replyBusy)
		return
	}
	d.intake.OpenSession()
	go func() { // ends with the connection, which Stop closes in the end
		defer d.forget(s)
		defer func() {
			if v := recover(); v != nil {
				d.intake.NotePanic(v, debug.Stack())
			}
		}()
		growStack(0)
		s.serve()
	}()
}

// growStack makes the stack of a new goroutine as large as a message needs it. A connection of Postfix to a proxy carries one
// message, and the runtime would copy its stack at each doubling on the way down. The result of growStack means nothing.
//
//go:noinline
func growStack(n int) byte {
	var room [stackBytes]byte
	return room[n]
}

// stackBytes is what is asked for. The stack of a session that stays idle shrinks when the collector runs.
const stackBytes = 12 << 10

// Permits reports whether a peer may speak to a listener of this role at all. On a submission listener with users anybody may, and must
// log in.
func (d *Door) Permits(peer net.Addr, role Role) bool {
	return d.cfg.Permits(peer) || role == Submission && d.users != nil
}

// refuse answers and hangs up. The goroutine ends with the write's deadline.
func (d *Door) refuse(nc net.Conn, r reply) {
	go func() {
		defer nc.Close()
		if nc.SetWriteDeadline(time.Now().Add(refuseWait)) == nil {
			nc.Write(r.append(nil)) // an error says that nobody listens
		}
	}()
}

// admit counts a session, unless there are enough of them and none of those can be evicted for it.
func (d *Door) admit(s *session) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	counted := s.peer.IsValid() && !s.peer.IsLoopback()
	if counted && d.clients[s.peer] >= d.cfg.MaxPerClient || d.evicting.Load() {
		return false
	}
	if len(d.sessions)-d.evicted >= d.cfg.MaxSessions && !d.makeRoom() {
		return false
	}
	d.sessions[s] = struct{}{}
	if counted {
		d.clients[s.peer]++
	}
	d.running.Add(1)
	return true
}

// forget is called once for each session that was admitted.
func (d *Door) forget(s *session) {
	if !s.leaving {
		s.nc.Close()
	}
	d.mu.Lock()
	delete(d.sessions, s)
	if s.evicted {
		d.evicted--
	}
	if d.clients[s.peer]--; d.clients[s.peer] <= 0 {
		delete(d.clients, s.peer)
	}
	d.mu.Unlock()
	d.intake.CloseSession()
	d.running.Done()
}

// Stop accepts no more connections and lets messages under way finish. A session that has brought a message is closed as soon as it is
// between two; one that has not may bring its first within StopGrace. When ctx ends first, Stop closes all connections and returns
// ctx's error; a message not answered by then stays with its client. Otherwise every goroutine of the door has ended when Stop
// returns.
func (d *Door) Stop(ctx context.Context) error {
	d.shut()
	if d.upstream != nil {
		defer d.upstream.close()
	}
	ended := d.ended()
	grace := time.NewTimer(d.cfg.StopGrace)
	defer grace.Stop()
	d.each((*session).evictServed)
	for {
		select {
		case <-ended:
			return nil
		case <-grace.C:
			d.evicting.Store(true)
			d.each((*session).evict)
		case <-ctx.Done():
			d.cutAll(ended)
			return fmt.Errorf("smtpd: stop: %w", ctx.Err())
		}
	}
}

// shut closes the listeners, and ends the waits for room.
func (d *Door) shut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stopping.Swap(true) {
		close(d.stop)
	}
	for ln := range d.listeners {
		ln.Close()
	}
}

// ended is closed when no session is left.
func (d *Door) ended() <-chan struct{} {
	ended := make(chan struct{})
	go func() { // ends with the last session
		d.running.Wait()
		close(ended)
	}()
	return ended
}

// cutAll ends all sessions, whatever is under way.
func (d *Door) cutAll(ended <-chan struct{}) {
	d.each((*session).cut)
	select {
	case <-ended:
	case <-time.After(takeGrace):
		d.each((*session).sever)
	}
}

// takeGrace is how long a stop waits for messages that are being made recoverable. A client cut off between that and our answer would
// send the message again.
const takeGrace = 5 * time.Second

// each calls f for every session, outside the lock.
func (d *Door) each(f func(*session)) {
	d.mu.Lock()
	all := make([]*session, 0, len(d.sessions))
	for s := range d.sessions {
		all = append(all, s)
	}
	d.mu.Unlock()
	for _, s := range all {
		f(s)
	}
}
