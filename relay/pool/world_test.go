package pool

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// world is a heart, a pool and an internet: the sink.
type world struct {
	t       testing.TB
	sink    *sink.Sink
	queues  *relay.QueueMap
	handler *relay.Handler
	pool    *Manager
	stop    func()
	mute    net.Listener
	quiet   bool         // events are not kept
	asked   atomic.Int64 // queues pulled
	crowd   atomic.Int64 // queues in line besides those that are there

	mu     sync.Mutex
	routes map[string]*route.Route
	events []string
	delays []relay.Delays
	conns  []relay.Connection
	lastID relay.ID
}

func quick() Config {
	cfg := DefaultConfig()
	cfg.TLS = "none"
	cfg.ClosedFor = []time.Duration{50 * time.Millisecond}
	return cfg
}

func newWorld(t testing.TB, cfg Config, retry time.Duration) *world {
	t.Helper()
	return newWorldWith(t, cfg, retry, relay.DefaultQueueConfig().Channels, nil)
}

// newWorldWith is newWorld with so many channels, and a router of the test's own in front of the world's.
func newWorldWith(t testing.TB, cfg Config, retry time.Duration, channels int, router func(*world) Router) *world {
	t.Helper()
	return newWorldOn(t, relay.NoJournal{}, cfg, retry, channels, router)
}

// newWorldOn is newWorldWith on a journal of the test's own.
func newWorldOn(t testing.TB, j relay.Journal, cfg Config, retry time.Duration, channels int, router func(*world) Router) *world {
	t.Helper()
	s, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, sink: s, routes: make(map[string]*route.Route)}
	var r Router = w
	if router != nil {
		r = router(w)
	}
	queue := relay.DefaultQueueConfig()
	queue.Channels = channels
	w.queues = relay.NewQueueMap(queue, relay.Deps{Journal: j, Listener: w})
	w.queues.Open()
	w.handler = relay.NewHandler(w.queues, relay.RetryConfig{Schedule: []time.Duration{retry}, Lifetime: time.Hour}, relay.HandbackConfig{})
	short := time.Second // a machine at work on other things too is slower than a receiver may be
	w.pool = New(cfg, Deps{
		Handler: counted{w.handler, &w.asked, &w.crowd}, Router: r, Hostname: "millrace.test", Inject: "inject", Channels: channels,
		Line: func() *relay.Line { return relay.NewLine(relay.RoundRobin, 0) },
		SMTP: smtp.Config{Hostname: "millrace.test", Timeouts: smtp.Timeouts{
			Connect: time.Second, Banner: short, EHLO: short, Mail: short, Rcpt: short, Data: short, Block: short, Dot: short,
		}},
		Log: hclog.NewNullLogger(), Connected: w.connected,
	})
	w.start()
	return w
}

func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { w.handler.Run(ctx) })
	wg.Go(func() { w.pool.Run(ctx) })
	w.stop = sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		late, done := context.WithTimeout(context.Background(), 5*time.Second)
		defer done()
		w.pool.Stop(late)
	})
	w.t.Cleanup(func() {
		w.stop()
		w.sink.Close()
	})
}

// counted is a handler that counts the queues pulled from it, and may say that more stand in line than do.
type counted struct {
	*relay.Handler
	asked, crowd *atomic.Int64
}

// Lined implements Handler.
func (c counted) Lined() int { return c.Handler.Lined() + int(c.crowd.Load()) }

// Next implements Handler.
func (c counted) Next(ctx context.Context) *relay.Queue {
	q := c.Handler.Next(ctx)
	if q != nil {
		c.asked.Add(1)
	}
	return q
}

// retime changes the timeouts of connections made from now on.
func (w *world) retime(change func(*smtp.Timeouts)) {
	cfg := *w.pool.smtp.Load()
	change(&cfg.Timeouts)
	w.pool.SetSMTP(cfg)
}

// listen opens a host with the given character and makes it the site of the domain, behind those it has already.
func (w *world) listen(domain string, c sink.Character) {
	w.t.Helper()
	if c.Name == "" {
		c.Name = domain
	}
	addr, err := w.sink.Listen(fmt.Sprintf("127.0.%d.2:0", len(w.routes)%250), c)
	if err != nil {
		w.t.Fatal(err)
	}
	ap := netip.MustParseAddrPort(addr.String())
	w.route(domain, &route.Route{Domain: domain, Site: domain, Port: ap.Port(), Static: true,
		Hosts: []route.Host{{Name: "mx." + domain, Addrs: []netip.Addr{ap.Addr()}}}})
}

// silent is a host that accepts connections and says nothing.
func (w *world) silent(domain string) *route.Route {
	w.t.Helper()
	if w.mute == nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		w.mute = ln
		w.t.Cleanup(func() { ln.Close() })
	}
	ap := netip.MustParseAddrPort(w.mute.Addr().String())
	return &route.Route{Domain: domain, Site: domain, Port: ap.Port(), Static: true,
		Hosts: []route.Host{{Name: "mx." + domain, Addrs: []netip.Addr{ap.Addr()}}}}
}

func (w *world) route(domain string, r *route.Route) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[domain] = r
}

// Lookup implements Router.
func (w *world) Lookup(domain string) *route.Route {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.routes[domain]
}

// Await implements Router: whoever asks for an unknown domain waits until the test makes it known.
func (w *world) Await(domain string, known func(*route.Route)) {
	go func() {
		for w.Lookup(domain) == nil {
			time.Sleep(time.Millisecond)
		}
		known(w.Lookup(domain))
	}()
}

// Healthy implements Router.
func (w *world) Healthy() bool { return true }

// Event implements relay.Listener.
func (w *world) Event(e *relay.Event) {
	if e.Kind != relay.EventSettled || w.quiet {
		return
	}
	line := fmt.Sprintf("%s %s", e.Outcome, e.Message.Rcpt(e.Rcpt).Addr)
	if e.MaybeTwice {
		line += " maybe twice"
	}
	w.mu.Lock()
	w.events = append(w.events, line)
	w.delays = append(w.delays, e.Delays)
	w.mu.Unlock()
}

// connected is told of connections.
func (w *world) connected(c relay.Connection) {
	w.mu.Lock()
	w.conns = append(w.conns, c)
	w.mu.Unlock()
}

func (w *world) send(rcpts ...string) {
	w.t.Helper()
	if err := w.queues.Accept(w.message(rcpts...)); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) message(rcpts ...string) *relay.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastID++
	m := &relay.Message{ID: w.lastID, Slip: &relay.Slip{Arrived: time.Now(), Taken: time.Now()}}
	m.Content = relay.NewContent(relay.Letter{Header: fmt.Appendf(nil, "X-Ledger: %d\r\n", w.lastID), Body: []byte("hello\r\n")})
	m.Slip.From = "list@n.example"
	for _, r := range rcpts {
		m.Slip.Rcpts = append(m.Slip.Rcpts, relay.Rcpt{Addr: r})
	}
	return m
}

// alias makes further domains of the site that from leads to.
func (w *world) alias(from string, names ...string) {
	for _, n := range names {
		r := *w.Lookup(from)
		r.Domain = n
		w.route(n, &r)
	}
}

// eventually waits for ok.
func (w *world) eventually(what string, ok func() bool) {
	w.t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			w.t.Fatalf("not in time: %s\nstatus %+v\nsites %.2000s\nqueues %.2000s", what, w.handler.Status(), fmt.Sprintf("%+v", w.pool.Sites()), fmt.Sprintf("%+v", w.queues.Queues(0)))
		}
	}
}

// drained waits until nothing is left in the queue map. It gives up when nothing has left for a minute: on a busy machine a site that has
// asked for less is fed slowly.
func (w *world) drained() {
	w.t.Helper()
	last, end := int64(-1), time.Time{}
	for n := w.handler.Status().Messages; n > 0; n = w.handler.Status().Messages {
		if n != last {
			last, end = n, time.Now().Add(time.Minute)
		}
		time.Sleep(time.Millisecond)
		if time.Now().After(end) {
			w.t.Fatalf("not drained: %+v\nsites %+v\nqueues %+v\nevents %q", w.handler.Status(), w.pool.Sites(), w.queues.Queues(0), w.happened())
		}
	}
}

func (w *world) happened() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

func (w *world) count(event string) (n int) {
	for _, e := range w.happened() {
		if e == event {
			n++
		}
	}
	return n
}

// siteFor is the site of a route, as the manager finds it for a queue of no rule and no source.
func siteFor(m *Manager, r *route.Route) *Site {
	return m.site(path{siteID{key: siteKey(r), source: m.sources.each()[0]}, m.siteOf(relay.Key{Domain: r.Domain}, r).terms}, r)
}
