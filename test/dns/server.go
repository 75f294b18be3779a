package dns

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	mdns "github.com/miekg/dns"
)

// query is a question, by which the server counts.
type query struct {
	name  string
	qtype uint16
}

// Server is a running name server. All methods may be called from any
// goroutine, also while it answers.
type Server struct {
	addr netip.AddrPort
	udp  *mdns.Server
	tcp  *mdns.Server
	done chan struct{} // closed by Close: ends delayed answers
	wg   sync.WaitGroup

	mu     sync.Mutex
	zone   zone
	faults map[string][]*Fault
	counts map[query]int
	tcps   int
	total  int
	closed bool
}

// New starts a server on a free port of 127.0.0.1 with the given records.
// The caller ends it with Close.
func New(zone string) (*Server, error) {
	s := &Server{
		done:   make(chan struct{}),
		faults: make(map[string][]*Fault),
		counts: make(map[query]int),
	}
	if err := s.Add(zone); err != nil {
		return nil, err
	}
	pc, ln, err := listen()
	if err != nil {
		return nil, err
	}
	s.addr = netip.MustParseAddrPort(pc.LocalAddr().String())
	s.serve(pc, ln)
	return s, nil
}

// TB is the part of testing.TB that Start needs. It is named here so that a
// program that uses New does not link package testing.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Cleanup(func())
}

// Start is New for tests: it fails the test on error and closes the server at
// the end of the test.
func Start(t TB, zone string) *Server {
	t.Helper()
	s, err := New(zone)
	if err != nil {
		t.Fatalf("start name server: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// listen opens the same free port for UDP and TCP. It tries several times,
// because the kernel chooses the port for UDP, and for TCP it may be taken.
func listen() (net.PacketConn, net.Listener, error) {
	var errs []error
	for range 10 {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, fmt.Errorf("listen udp: %w", err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln, nil
		}
		pc.Close()
		errs = append(errs, err)
	}
	return nil, nil, fmt.Errorf("listen tcp on the port of udp: %w", errors.Join(errs...))
}

// serve starts the two servers; Close ends them.
func (s *Server) serve(pc net.PacketConn, ln net.Listener) {
	var ready sync.WaitGroup
	ready.Add(2)
	h := mdns.HandlerFunc(s.handle)
	s.udp = &mdns.Server{PacketConn: pc, Handler: h, NotifyStartedFunc: ready.Done}
	s.tcp = &mdns.Server{Listener: ln, Handler: h, NotifyStartedFunc: ready.Done}
	// The errors are dropped: only the closing of the socket ends these
	// servers.
	s.wg.Go(func() { _ = s.udp.ActivateAndServe() })
	s.wg.Go(func() { _ = s.tcp.ActivateAndServe() })
	ready.Wait()
}

// Close ends the server and waits for its goroutines. It may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	s.mu.Unlock()
	if again {
		return nil
	}
	close(s.done)
	err := errors.Join(s.udp.Shutdown(), s.tcp.Shutdown())
	s.wg.Wait()
	return err
}

// Addr is where the server listens, as "127.0.0.1:port".
func (s *Server) Addr() string { return s.addr.String() }

// AddrPort is where the server listens.
func (s *Server) AddrPort() netip.AddrPort { return s.addr }

// Add puts more records into the zone; the text is as for New.
func (s *Server) Add(zone string) error {
	rrs, err := parseZone(zone)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone.add(rrs)
	return nil
}

// Remove removes all records of a name.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone.remove(name)
}

// Replace removes all records of a name and adds others in one step.
func (s *Server) Replace(name, zone string) error {
	rrs, err := parseZone(zone)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.zone.remove(name)
	s.zone.add(rrs)
	return nil
}

// Fault makes the answers to a name go wrong. The name may be a wildcard
// ("*.dead.test."): it covers the names below it that have no fault of their
// own; "*." covers all names. Several faults of a name act in turn, each as
// often as its Times says.
func (s *Server) Fault(name string, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = mdns.CanonicalName(name)
	s.faults[name] = append(s.faults[name], &f)
}

// Heal ends all faults that were given to Fault under this name.
func (s *Server) Heal(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.faults, mdns.CanonicalName(name))
}

// Count is the number of queries for a name, of one type ("MX") or, with "",
// of all types.
func (s *Server) Count(name, qtype string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	name = mdns.CanonicalName(name)
	if qtype != "" {
		return s.counts[query{name, mdns.StringToType[qtype]}]
	}
	n := 0
	for q, k := range s.counts {
		if q.name == name {
			n += k
		}
	}
	return n
}

// Total is the number of all queries, and of those over TCP.
func (s *Server) Total() (all, tcp int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.total, s.tcps
}

// handle answers one query. The library runs it in a goroutine of its own for
// each query, and waits for it in Shutdown.
func (s *Server) handle(w mdns.ResponseWriter, ask *mdns.Msg) {
	if len(ask.Question) != 1 {
		return
	}
	_, udp := w.LocalAddr().(*net.UDPAddr)
	r, delay := s.reply(ask, udp)
	if !s.wait(delay) {
		return
	}
	if r.hang {
		w.Close()
		return
	}
	if r.raw != nil {
		_, _ = w.Write(r.raw)
	}
	if r.msg != nil {
		_ = w.WriteMsg(r.msg)
	}
}

// wait waits for d. It reports false when the server ends before.
func (s *Server) wait(d time.Duration) bool {
	if d == 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.done:
		return false
	}
}

// reply determines the reaction to a query, and the delay before it.
func (s *Server) reply(ask *mdns.Msg, udp bool) (reply, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := query{mdns.CanonicalName(ask.Question[0].Name), ask.Question[0].Qtype}
	s.count(q, udp)
	f := s.fault(q)
	m := new(mdns.Msg)
	m.SetReply(ask)
	m.RecursionAvailable = true
	s.zone.answer(m, f == nil || f.Kind != Bare)
	fit(m, ask, udp)
	if f == nil {
		return reply{msg: m}, 0
	}
	return f.distort(m, udp), f.Delay
}

// count counts a query. The caller holds s.mu.
func (s *Server) count(q query, udp bool) {
	s.counts[q]++
	s.total++
	if !udp {
		s.tcps++
	}
}

// fault finds the fault that acts on a query, and counts down its Times. The
// caller holds s.mu.
func (s *Server) fault(q query) *Fault {
	for _, name := range append([]string{q.name}, wildcards(q.name)...) {
		for i, f := range s.faults[name] {
			if !f.covers(q.qtype) {
				continue
			}
			if f.Times > 0 {
				if f.Times--; f.Times == 0 {
					s.faults[name] = append(s.faults[name][:i:i], s.faults[name][i+1:]...)
				}
			}
			return f
		}
	}
	return nil
}

// fit truncates an answer to the size that the client can receive (RFC 6891
// section 6.2.3).
func fit(m, ask *mdns.Msg, udp bool) {
	size := mdns.MinMsgSize
	if opt := ask.IsEdns0(); opt != nil {
		m.SetEdns0(opt.UDPSize(), false)
		size = int(opt.UDPSize())
	}
	if !udp {
		size = mdns.MaxMsgSize
	}
	m.Truncate(size)
}
