// Package daemon wires the parts: configuration to parts, parts to parts. It knows nothing of signals and flags, so that
// the demonstration and the tests run the very daemon that "serve" runs.
//
// The package decides nothing about mail. It knows only the facts that no part can know: the order in which the parts start
// and stop, and the file or socket to which the mail log goes.
//
// # Why this order
//
// The journal is opened first and closed last; mail is taken last at the start and refused first at the stop. A door that
// took mail before the journal was open would answer for nothing. If the journal were closed before the last visit was
// settled, the next start would send that mail again.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/milter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/bounce"
	"github.com/millrace/millrace/relay/brake"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/history"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/stream"
	"github.com/millrace/millrace/relay/tally"
	"github.com/millrace/millrace/snapshot"
)

const (
	// startGrace is how long sessions of the MTA are given when the daemon cannot start after all. The doors answer before
	// the recovery is over, so sessions may be open by then.
	startGrace = 10 * time.Second
	// noticeTime is for notifications that wait at the stop. Writing them down takes a commit of the journal and no
	// network.
	noticeTime = 3 * time.Second
)

// Daemon is Millrace: its doors, its heart, its pool and its memory. Start, Reopen and Stop must not overlap. Reload may come at
// any time after Start.
type Daemon struct {
	log     hclog.Logger
	faults  *faults
	machine Machine
	started time.Time

	budget   *relay.Budget
	alone    bool // LimitProcess was called
	agent    *snapshot.Agent
	mail     *mailLog
	scribe   *scribe
	events   *stream.Stream
	history  *history.History
	tally    *tally.Tally
	resolver *route.Resolver
	bounces  *bounce.Server
	gate     *relay.Gate
	hold     *filter.Hold // of replies, all doors together
	queues   *relay.QueueMap

	listeners relay.Listeners // of queues, each guarded
	rescued   rescued
	allowance *allowance
	handler   *relay.Handler
	sources   *pool.Sources
	pool      *pool.Manager
	lever     *relay.Lever
	stats     *tally.Statistics
	stops     *brake.Watch
	preflight *filter.Preflight
	reloaded  chan struct{}  // holds a token for examineMachine
	intake    *filter.Intake // of the milter door
	door      *milter.Door
	smtpd     *smtpdDoor // nil: there is none
	console   *console.Server
	sockets   *sockets // open since Start

	run    sync.WaitGroup     // every goroutine that Start started
	cancel context.CancelFunc // ends the goroutines whose part has no Stop

	turn  sync.Mutex // held by whoever changes the configuration, and while Stop begins
	ready bool       // Start is over, and Stop has not begun; guarded by turn

	mu  sync.Mutex
	cfg *config.Config // replaced as a whole by Reload, never changed: readers keep it without a lock
}

// New makes the parts of cfg, each after the parts that it is given. New locks and opens the state directory, but starts
// nothing.
func New(cfg *config.Config, log hclog.Logger) (*Daemon, error) { return NewOn(Machine{}, cfg, log) }

// NewOn is New on another machine than this one.
func NewOn(m Machine, cfg *config.Config, log hclog.Logger) (_ *Daemon, err error) {
	m = m.withDefaults()
	d := &Daemon{log: log, machine: m, cfg: cfg, budget: relay.NewBudget(0), faults: &faults{log: log}, reloaded: make(chan struct{}, 1)}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.letGo())
		}
	}()
	queue, files, err := d.foundation()
	if err != nil {
		return nil, err
	}
	if err := d.newEvents(); err != nil {
		return nil, err
	}
	d.bounces = d.newBounces(cfg, log.Named("bounce"))
	d.stops, d.preflight = d.newStops(cfg), d.newPreflight(cfg, d.noteFault)
	d.listeners = relay.Listeners{
		guarded{d.mail, "mail log", d.faults},
		guarded{d.events, "event stream", d.faults},
		d.newHistory(),
		guarded{d.bounces, "bounce server", d.faults},
		guarded{&d.rescued, "rescue", d.faults},
		guarded{d.stops, "stop", d.faults},
	}
	if d.allowance, err = d.newAllowance(cfg); err != nil {
		return nil, err
	}
	d.gate, d.hold = d.newGate(cfg), &filter.Hold{}
	d.queues = relay.NewQueueMap(queue, relay.Deps{
		Journal: d.agent, Listener: d.listeners, Near: d.near, Want: d.want, Healthy: d.resolver.Healthy, Domain: domainKey, Gate: d.gate, Budget: d.budget, Flow: d.flow, Chance: m.Chance,
		NoMTA: cfg.Bounce.IsDirect(),
	})
	d.queues.SetTenants(cfg.TenantLimits())
	d.handler = relay.NewHandler(d.queues, cfg.Retry, cfg.Handback)
	if d.sources, err = d.newSources(cfg); err != nil {
		return nil, err
	}
	if d.pool, err = d.newPool(cfg, files, log.Named("pool")); err != nil {
		return nil, err
	}
	d.keepLessons()
	d.newStatistics()
	d.lever = d.newLever()
	if err := d.newDoors(cfg, files); err != nil {
		return nil, err
	}
	d.console = console.New(overview{d}, d.lever, log.Named("console"))
	d.console.ServeEvents(d.events)
	return d, nil
}

// foundation makes what stands on the machine alone: mail log, journal and resolver. It says what the machine allows: the bounds of the
// queue map, and how the open files are shared out.
func (d *Daemon) foundation() (queue relay.QueueConfig, files shares, err error) {
	m, cfg := d.machine, d.cfg
	if d.mail, err = openMailLog(cfg, m.Append); err != nil {
		return queue, files, err
	}
	if d.agent, err = m.OpenState(cfg.StateDir, cfg.Snapshot, d.log.Named("snapshot")); err != nil {
		return queue, files, err
	}
	d.newScribe()
	d.newTally()
	if queue, err = m.resolveMemory(cfg, d.log); err != nil {
		return queue, files, err
	}
	limit, err := m.OpenFiles()
	if err != nil {
		return queue, files, err
	}
	files = shareOut(limit, cfg)
	files.tell(limit, cfg, d.log)
	own, err := m.Addrs()
	if err != nil {
		return queue, files, fmt.Errorf("addresses of this host: %w", err)
	}
	logWarnings(cfg, own, d.log)
	d.resolver, err = m.newResolver(cfg, d.log.Named("dns"))
	return queue, files, err
}

// Start opens the doors, restores the waiting mail, and begins to take and deliver. Until everything is restored the milter door
// answers and leaves all mail with the MTA, so that the MTA's other mail does not suffer from a long recovery. Who comes to the SMTP
// door waits for recoveryPatience at most. After an error nothing is left running.
func (d *Daemon) Start() error {
	d.started = time.Now()
	s, err := d.machine.openSockets(d.cfg, d.log)
	if err != nil {
		return errors.Join(err, d.letGo())
	}
	d.sockets = s
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.runLogs(ctx)
	d.run.Go(func() { d.bounces.Run(ctx) })                                // ends with ctx
	d.resolver.Run(ctx)                                                    // joined by resolver.Stop
	d.run.Go(func() { d.logServing("console", d.console.Run(s.control)) }) // ends with console.Stop
	for _, ln := range s.milter {
		d.run.Go(func() { d.logServing("milter", d.door.Serve(ln)) }) // ends with door.Stop
	}
	d.resume("milter")
	openSMTPD := sync.OnceFunc(func() { d.serveSMTPD(s) })
	late := time.AfterFunc(recoveryPatience, openSMTPD)
	defer late.Stop()
	if d.smtpd != nil {
		d.run.Go(func() { d.watchReinject(ctx, injectAgain) }) // ends with ctx, or when smtpd.reinject answers
		d.run.Go(d.smtpd.door.OfferAgain)                      // ends with the door's Stop
	}
	if err := d.restore(); err != nil {
		openSMTPD()
		soon, done := context.WithTimeout(context.Background(), startGrace)
		defer done()
		return errors.Join(err, d.Stop(soon))
	}
	// The flush comes before anything is sent: the log then names each message that may be delivered a second time, even if
	// the next crash comes at once.
	if err := d.agent.NameDoubts(d.mail.Flush); err != nil {
		d.log.Error("mail log cannot be written: the recipients who may get a message twice are not on record", "error", err)
	}
	d.runHeart(ctx)
	d.queues.Open()
	openSMTPD()
	d.setReady(true)
	d.giveBack()
	d.log.Info("ready", "mode", d.cfg.Mode, "milter", d.cfg.Milter.Listen, "smtpd", slices.Collect(d.cfg.SMTPD.Specs()), "hostname", d.cfg.Hostname, "memory", d.budget.Limit())
	return nil
}

// runLogs starts what writes down what happens.
func (d *Daemon) runLogs(ctx context.Context) {
	d.run.Go(func() { d.mail.Run(ctx) })    // ends with ctx
	d.run.Go(func() { d.events.Run(ctx) })  // ends with ctx
	d.run.Go(func() { d.history.Run(ctx) }) // ends with ctx
}

// runHeart starts what moves mail, and what watches and counts it. The waiting mail is restored.
func (d *Daemon) runHeart(ctx context.Context) {
	d.tendCollector(ctx)
	d.runStatistics(ctx)
	d.run.Go(func() { d.nameEvery(ctx) })                // ends with ctx
	d.run.Go(func() { d.watchInject(ctx, injectAgain) }) // ends with ctx, or when bounce.inject answers
	d.run.Go(func() { d.pool.Run(ctx) })                 // ends with ctx
	d.run.Go(func() { d.handler.Run(ctx) })              // ends with ctx
	d.run.Go(func() { d.lever.Run(ctx) })                // ends with ctx
	d.run.Go(func() { d.stops.Run(ctx) })                // ends with ctx
	d.run.Go(func() { d.examineMachine(ctx) })           // ends with ctx
	d.allowance.Begin()
	d.run.Go(func() { d.allowance.Run(ctx) })        // ends with ctx
	d.run.Go(func() { d.allowance.client.Run(ctx) }) // ends with ctx
}

// recoveryPatience is how long those who come to the SMTP door wait for the recovery. Before it is over the door can only answer 451, and
// an MTA would put the message off for minutes. It is less than the timeouts of contrib/postfix/DOORS.md, behind which Postfix takes
// the door for hung.
const recoveryPatience = 4 * time.Second

// serveSMTPD serves the SMTP door.
func (d *Daemon) serveSMTPD(s *sockets) {
	d.resume("smtpd")
	for _, ln := range s.smtpd {
		d.run.Go(func() { d.logServing("smtpd", d.smtpd.door.Serve(ln, ln.role)) }) // ends with the door's Stop
	}
}

// nameEvery has the journal forget each second whom the mail log has named as one who may get a message twice. Otherwise the
// next start would name him again, and for another reason. An error needs no line: the mail log counts what it could not write.
func (d *Daemon) nameEvery(ctx context.Context) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			_ = d.agent.NameDoubts(d.mail.Flush)
		}
	}
}

// restore puts the messages that the recovery agent finds back into the queues. It runs on the goroutine of Start; the
// doors answer meanwhile.
func (d *Daemon) restore() error {
	d.widenRoom()
	_, err := d.agent.Recover(func(s relay.Saved) error {
		d.queues.Restore(s, d.handler)
		d.tally.Restored(&s)
		if s.Unheard && s.Message.RcptCount() > 100 {
			// The mail log names every recipient of such a message, and its buffer may be too small for so many. The error
			// is dropped here: Start flushes again and sees it.
			d.mail.Flush()
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recover %s: %w", d.cfg.StateDir, err)
	}
	return nil
}

// logServing reports a socket that stopped being served before its part was stopped. The daemon goes on: the mail that it
// holds must still be delivered.
func (d *Daemon) logServing(part string, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		d.log.Error("stopped serving", "part", part, "error", err)
	}
}

// Stop drains: the doors finish the messages that they are receiving, the visits finish the messages that they are sending,
// then all waiting mail is made durable. When ctx is done first, open connections are cut; their messages stay queued.
func (d *Daemon) Stop(ctx context.Context) error {
	d.log.Info("stopping")
	d.setReady(false)
	return d.stopRest(ctx, d.stopDoorsAndPool(ctx))
}

// stopRest stops what is behind the doors and the pool. It returns err, which is theirs, with its own.
func (d *Daemon) stopRest(ctx context.Context, err error) error {
	d.resolver.Stop()
	err = errors.Join(err, d.console.Stop(ctx)) // late: "status" answers while the daemon drains
	d.cancel()
	d.run.Wait()
	err = errors.Join(err, d.writeNotices())
	d.queues.Close()
	d.events.Conclude()
	err = errors.Join(err, d.letGo())
	d.log.Info("stopped", "waiting", d.handler.Status().Messages)
	return err
}

// stopDoorsAndPool stops all of them at the same time. If the doors came first, a client that is silent in the middle of a message
// could use up the time, and every delivery would be cut at its end.
func (d *Daemon) stopDoorsAndPool(ctx context.Context) error {
	soon := ctx
	if end, bounded := ctx.Deadline(); bounded {
		// The client gets half of the time; the steps after the doors need the rest.
		var cancel context.CancelFunc
		soon, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(end)/2))
		defer cancel()
	}
	var wg sync.WaitGroup
	var first, second error
	wg.Go(func() { first = d.door.Stop(soon) }) // ends with its deadline
	if d.smtpd != nil {
		wg.Go(func() { second = d.smtpd.door.Stop(soon) }) // likewise
	}
	d.pool.Stop(ctx)
	wg.Wait()
	return errors.Join(first, second)
}

// writeNotices gives the waiting notifications to the queue map. It has time of its own, even if the stop has none left: a
// sender who is not told of a failure believes that the message arrived.
func (d *Daemon) writeNotices() error {
	ctx, cancel := context.WithTimeout(context.Background(), noticeTime)
	defer cancel()
	return d.bounces.Flush(ctx)
}

// letGo closes the state directory and the mail log, as far as New came.
func (d *Daemon) letGo() error {
	var err error
	if d.sources != nil {
		err = d.sources.Conclude(time.Now())
	}
	if d.agent != nil && d.mail != nil {
		err = errors.Join(err, d.agent.NameDoubts(d.mail.Flush)) // the next start need not
	}
	d.closeHistory() // before the state directory is free for another daemon
	if d.agent != nil {
		err = errors.Join(err, d.agent.Close())
	}
	if d.scribe != nil {
		d.scribe.end()
	}
	if d.events != nil {
		err = errors.Join(err, d.events.Close()) // behind the last commit, which may still flush it
	}
	if d.mail != nil {
		err = errors.Join(err, d.mail.Close())
	}
	return err
}

// logWarnings writes the warnings of "check" to the log: not every operator runs "check".
func logWarnings(cfg *config.Config, own []netip.Addr, log hclog.Logger) {
	for _, w := range cfg.Warnings(own) {
		log.Warn(w.Text, "key", w.Key)
	}
}

// Reopen opens the mail log file and the event files anew, after they were rotated.
func (d *Daemon) Reopen() error { return errors.Join(d.mail.Reopen(), d.events.Reopen()) }

// Config is the configuration in force.
func (d *Daemon) Config() *config.Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// Lever is what an admin moves waiting mail with.
func (d *Daemon) Lever() *relay.Lever { return d.lever }

// Sites lists the sites in use, with the pace of each.
func (d *Daemon) Sites() []pool.Status { return d.pool.Sites() }

// Overview is the daemon as the console shows it. The demonstration reads it without a socket.
func (d *Daemon) Overview() console.Source { return overview{d} }

// Reporting reports whether a sender has yet to be told of a failure.
func (d *Daemon) Reporting() bool { return d.bounces.Held() > 0 }
