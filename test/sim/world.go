package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/test/dns"
	"github.com/millrace/millrace/test/sim/disk"
	"github.com/millrace/millrace/test/sim/wire"
)

// World is one run of a scenario. It lives in a bubble of testing/synctest: everything in it sees the bubble's clock.
type World struct {
	scenario *Scenario
	dir      string
	rng      *rand.Rand
	luck     *luck
	start    time.Time
	trace    io.Writer // nil: none
	liar     bool      // options.liar
	logs     bool      // options.log
	real     bool      // it stands on sockets
	look     time.Duration

	net       ground
	names     *dns.Server
	book      *Ledger
	sites     []*Site
	senders   []*Sender
	receivers map[string]*Receiver
	hosts     map[string]host
	inject    *Receiver
	mta       host
	machine   *machine  // nil while it is down
	illSince  time.Time // since when its disk is not well, if it is not

	work time.Duration // of the processor, in the second half of the run

	ctx    context.Context // of receivers and sources
	cancel context.CancelFunc
	run    sync.WaitGroup // receivers and sources
	ending sync.WaitGroup // daemons of machines that have crashed

	mu         sync.Mutex
	sending    int // sources that have not ended
	violations []string
	vague      map[string]time.Time // since when a recipient waits for a reason without a time; of the goroutine of live
}

// newWorld makes the world of a scenario, with the receivers running and without the daemon.
func newWorld(s *Scenario, seed uint64, dir string, o options) (*World, error) {
	w := &World{
		scenario: s, dir: dir, rng: rand.New(rand.NewPCG(seed, 1)), luck: &luck{rng: rand.New(rand.NewPCG(seed, 3))}, start: time.Now(), trace: o.trace, liar: o.liar,
		look: look, net: memory{wire.New()}, book: newLedger(), receivers: make(map[string]*Receiver), hosts: make(map[string]host),
		logs: o.log,
	}
	if o.real != nil {
		w.net, w.real, w.look = o.real, true, look/50 // a human waits for its end
	}
	w.book.deaf = o.deaf
	w.ctx, w.cancel = context.WithCancel(context.Background())
	var zone strings.Builder
	for i, l := range s.sites {
		w.join(l, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}), &zone)
	}
	for _, src := range s.sources {
		by := newSender(src.name, w.start)
		by.domain, by.campaign = src.sender, src.name+".sender.test"
		w.senders, w.book.by[src.name] = append(w.senders, by), by
	}
	w.mta = w.net.Join(nearby, mtaAddr)
	w.inject = newReceiver("inject", w.book, newSite("mta", w.start), Mood{}, w.tell)
	w.inject.took = func(_ netip.Addr, rcpts []string, body string) {
		w.tell("%-20s gets a notification or a message back for %s", "mta", strings.Join(rcpts, " "))
		w.book.give(rcpts, body)
	}
	w.receivers["mta"], w.hosts["mta"] = w.inject, w.mta
	w.run.Go(func() { w.check(w.inject.live(w.ctx, w.mta, injectPort)) }) // ends with ctx
	if s.smtpdConfig() != "" {
		w.letters()
	}
	w.net.Join(5*time.Millisecond, dnsAddr)
	var err error
	if w.names, err = dns.Offline(zone.String()); err != nil {
		return nil, err
	}
	w.net.ListenUDP(netip.AddrPortFrom(dnsAddr, 53), func(packet []byte) ([][]byte, time.Duration) {
		packets, after, err := w.names.Answer(packet, true)
		w.check(err)
		return packets, after
	})
	return w, nil
}

// join adds a receiver and its domains.
func (w *World) join(l siteLine, addr netip.Addr, zone *strings.Builder) {
	site := newSite(l.name, w.start)
	site.of = l.of
	for i := 1; i < l.domains; i++ {
		site.domains = append(site.domains, fmt.Sprintf("d%d.%s", i, l.name))
	}
	for _, d := range site.domains {
		fmt.Fprintf(zone, "%s. MX 10 mx.%s.\n", d, l.name)
	}
	fmt.Fprintf(zone, "mx.%s. A %s\n", l.name, addr)
	r := newReceiver("mx."+l.name, w.book, site, l.mood, w.tell)
	r.took = func(client netip.Addr, rcpts []string, body string) {
		site.served(client, len(rcpts))
		for _, rcpt := range rcpts {
			w.tell("%-20s takes %s", l.name, rcpt)
			w.book.receive(rcpt, body)
		}
	}
	host := w.net.Join(l.latency, addr)
	site.phases = w.scenario.phases(l)
	if w.scenario.seed == 0 && !w.real { // on sockets the time does not pass by itself, and nobody judges a random day by it
		for i := range site.phases {
			p := &site.phases[i]
			w.run.Go(func() { p.capacity = w.measure(p.mood, l.latency) }) // ends after minutes
		}
	}
	w.sites, w.receivers[l.name], w.hosts[l.name] = append(w.sites, site), r, host
	w.run.Go(func() { w.check(r.live(w.ctx, host, addr.String()+":25")) }) // ends with ctx
}

// campaigns starts the sources.
func (w *World) campaigns() error {
	for _, s := range w.scenario.sources {
		c := &campaign{Source: s, book: w.book, by: w.book.by[s.name], tell: w.tell, dial: func(ctx context.Context) (net.Conn, error) {
			soon, done := context.WithTimeout(ctx, 5*time.Second)
			defer done()
			return w.mta.Dial(soon, netip.Addr{}, "tcp", doorPort)
		}}
		c.dialLetters = func(ctx context.Context) (net.Conn, error) {
			soon, done := context.WithTimeout(ctx, 5*time.Second)
			defer done()
			return w.mta.Dial(soon, netip.Addr{}, "tcp", letterPorts[c.door])
		}
		for _, name := range s.to {
			all := w.scenario.named(name)
			if len(all) == 0 {
				return fmt.Errorf("source %s: there is no site %s", s.name, name)
			}
			for _, n := range all {
				i := slices.IndexFunc(w.sites, func(site *Site) bool { return site.name == n })
				c.sites = append(c.sites, w.sites[i])
			}
		}
		w.sending++
		w.run.Go(func() {
			c.run(w.ctx)
			w.mu.Lock()
			defer w.mu.Unlock()
			w.sending--
		})
	}
	return nil
}

// luck is what the daemon leaves to chance. Its goroutines ask in an order that no seed decides.
type luck struct {
	mu  sync.Mutex
	rng *rand.Rand
}

// draw is daemon.Machine.Chance.
func (l *luck) draw(n int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.IntN(n)
}

// tell writes a line of the trace.
func (w *World) tell(format string, args ...any) {
	if w.trace == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(w.trace, "%-16s %s\n", time.Since(w.start).Round(time.Millisecond), fmt.Sprintf(format, args...))
}

// check notes an error as a violation.
func (w *World) check(err error) {
	if err != nil {
		w.violate("%v", err)
	}
}

// violate notes that something does not hold.
func (w *World) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.tell("VIOLATION %s", text)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(w.violations, text) {
		w.violations = append(w.violations, text)
	}
}

const (
	look       = 10 * time.Second // how often the run is looked at: whether it is over, and whether memory is in bounds
	auditEvery = 6                // looks: how often each recipient who waits is looked at
)

// live runs the scenario to its end.
func (w *World) live() {
	d := disk.New(diskTime)
	d.Lie(w.liar)
	w.check(w.boot(d))
	w.check(w.campaigns())
	actions := slices.Clone(w.scenario.actions)
	slices.SortStableFunc(actions, func(a, b action) int { return int(a.at - b.at) })
	end := w.start.Add(w.scenario.length)
	half := w.start.Add(w.scenario.length / 2)
	for n := 0; time.Now().Before(end); n++ {
		next := min(w.look, time.Until(end))
		if len(actions) > 0 {
			next = min(next, time.Until(w.start.Add(actions[0].at)))
		}
		time.Sleep(next)
		for len(actions) > 0 && time.Since(w.start) >= actions[0].at {
			w.tell("%s", strings.Join(actions[0].words, " "))
			w.check(w.act(actions[0].words))
			actions = actions[1:]
		}
		w.weigh()
		w.sample()
		if w.work == 0 && !time.Now().Before(half) {
			w.work = cpuTime()
		}
		if n%auditEvery == 0 {
			w.audit()
		}
		if len(actions) == 0 && !w.scenario.whole && w.idle() {
			break
		}
	}
}

// cpuTime is the work of this process so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// idle reports whether nothing is left to happen.
func (w *World) idle() bool {
	w.mu.Lock()
	sending := w.sending
	w.mu.Unlock()
	return sending == 0 && (w.machine == nil || w.machine.daemon.Overview().Status().Messages == 0 && !w.machine.daemon.Reporting())
}

// stopTime is what a stop of the daemon may take.
const stopTime = time.Minute

// finish stops everything and judges.
func (w *World) finish() map[string]map[string]float64 {
	var waiting map[string]bool
	simulated := time.Since(w.start)
	if w.work > 0 {
		w.work = cpuTime() - w.work
	}
	if w.machine != nil {
		waiting = w.putDown()
	}
	w.cancel()
	w.run.Wait()
	w.ending.Wait()
	for _, v := range w.book.judge(waiting, w.start.Add(simulated)) {
		w.violate("%s", v)
	}
	return w.figures(simulated)
}

// putDown stops the daemon and returns who still waits. Who waits must be who the next start finds.
func (w *World) putDown() map[string]bool {
	ctx, done := context.WithTimeout(context.Background(), stopTime)
	defer done()
	began := time.Now()
	w.check(w.machine.daemon.Stop(ctx))
	hurried := time.Since(began) >= stopTime/2 // a delivery may have been cut off then
	waiting := make(map[string]bool)
	for l := range w.machine.daemon.Overview().Messages(0) {
		for _, r := range l.Recipients {
			waiting[r.Address] = true
		}
	}
	found, doubts, err := w.machine.recoverable()
	w.check(err)
	if !maps.Equal(waiting, found) {
		w.violate("%d recipients wait at the stop, and the next start finds %d", len(waiting), len(found))
	}
	if doubts > 0 && !hurried {
		w.violate("after a clean stop %d messages may be delivered twice", doubts)
	}
	return waiting
}

// summed are the figures that sites share with the rows that sum them up.
var summed = []string{"offered", "taken", "left", "told4xx", "dropped", "late_taken", "received", "twice", "returned", "handedback", "waiting", "attempts", "refused", "limited", "deferred"}

// figures are the numbers of each site and of each source, the sums of copies under their common name, and the sums of all sites
// under "all". "all cpu" is how busy this process was in the second half of the run, the simulation's own work included, as a part
// of one processor: it means something if the run is the only one.
func (w *World) figures(simulated time.Duration) map[string]map[string]float64 {
	all := map[string]float64{"seconds": simulated.Seconds(), "cpu": w.work.Seconds() / (simulated.Seconds() / 2)}
	table := map[string]map[string]float64{"all": all}
	for _, s := range w.sites {
		f := s.figures(simulated)
		if s.of == "" {
			table[s.name] = f
		} else if table[s.of] == nil {
			table[s.of] = make(map[string]float64)
		}
		for _, sum := range summed {
			all[sum] += f[sum]
			if s.of != "" {
				table[s.of][sum] += f[sum]
			}
		}
		if len(w.scenario.addresses) > 0 {
			maps.Copy(table, s.byAddress())
		}
	}
	var replies []span
	for _, s := range w.senders {
		table[s.name] = s.figures(w.start, simulated)
		replies = append(replies, s.replies...)
	}
	replyFigures(all, replies)
	all["most"] = float64(w.book.stock.most)
	return table
}
