// Package daemon wires the parts: configuration to parts, parts to parts. It knows nothing of signals and flags, so that
// the demo and the tests run the very daemon that "serve" runs.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/milter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/bounce"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/snapshot"
)

// injectName is the name under which the resolver knows our own MTA. ".invalid" is nobody's domain (RFC 2606).
const injectName = "inject.millrace.invalid"

// startGrace is how long sessions of the MTA are given when the daemon cannot start after all.
const startGrace = 10 * time.Second

// Daemon is Millrace: its doors, its heart, its pool and its memory.
type Daemon struct {
	log     hclog.Logger
	started time.Time

	agent    *snapshot.Agent
	mail     *mailLog
	resolver *route.Resolver
	bounces  *bounce.Server
	queues   *relay.QueueMap
	handler  *relay.Handler
	pool     *pool.Manager
	door     *milter.Door
	console  *console.Server

	run    sync.WaitGroup     // everything Start started
	cancel context.CancelFunc // ends it

	mu  sync.Mutex
	cfg *Config
}

// New makes the parts of cfg, in the order in which a message meets them from the end: what settles it first. It locks
// and opens the state directory, but starts nothing.
func New(cfg *Config, log hclog.Logger) (*Daemon, error) {
	d := &Daemon{log: log, cfg: cfg}
	for _, step := range []func(*Config) error{
		d.makeLog, d.makeAgent, d.makeResolver, d.makeHeart, d.makePool, d.makeDoor,
	} {
		if err := step(cfg); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	d.console = console.New(d, log.Named("console"))
	return d, nil
}

func (d *Daemon) makeLog(cfg *Config) (err error) {
	d.mail, err = openMailLog(cfg)
	return err
}

func (d *Daemon) makeAgent(cfg *Config) (err error) {
	d.agent, err = snapshot.Open(cfg.StateDir, cfg.Snapshot, d.log.Named("snapshot"))
	return err
}

func (d *Daemon) makeResolver(cfg *Config) error {
	routes := map[string]string{injectName: cfg.Bounce.Inject}
	for domain, hop := range cfg.Route {
		routes[domain] = hop
	}
	table, err := route.ParseTable(routes)
	if err != nil {
		return err
	}
	dns := cfg.DNS
	dns.Hostname = cfg.Hostname
	own, err := route.LocalAddrs()
	if err != nil {
		return fmt.Errorf("addresses of this host: %w", err)
	}
	dns.Own = append(slices.Clone(dns.Own), own...)
	d.resolver, err = route.New(dns, table, d.log.Named("dns"))
	return err
}

func (d *Daemon) makeHeart(cfg *Config) (err error) {
	d.bounces = bounce.NewServer(cfg.Bounce, bounce.Deps{
		Hostname: cfg.Hostname, NewID: d.agent.NewID, Log: d.log.Named("bounce"),
		Accept:  d.acceptOwn,
		Emit:    func(e *relay.Event) { d.queues.Tell(e) },
		Release: func(m *relay.Message) { d.queues.Release(m) },
		Pending: func(m *relay.Message) bool { return d.queues.Pending(m) },
	})
	d.queues = relay.NewQueueMap(cfg.Queue, relay.Deps{
		Journal: d.agent, Listener: relay.Listeners{d.mail, d.bounces}, Want: d.resolver.Want, Domain: domainKey,
	})
	d.handler = relay.NewHandler(d.queues, cfg.Retry, cfg.Handback)
	return nil
}

// acceptOwn takes a message of our own, of which nobody else need hear.
func (d *Daemon) acceptOwn(m *relay.Message) error {
	err := d.queues.Accept(m)
	if err == nil {
		d.queues.Heard(m, true)
	}
	return err
}

// domainKey is the queue's name for a domain. One that is no domain keeps its spelling: the resolver will say so.
func domainKey(domain string) string {
	if key, err := route.Domain(domain); err == nil {
		return key
	}
	return strings.ToLower(domain)
}

func (d *Daemon) makePool(cfg *Config) error {
	order, err := relay.ParseOrder(cfg.Queue.Order)
	if err != nil {
		return err
	}
	mode := smtp.TLSOpportunistic
	if cfg.Pool.TLS == "none" {
		mode = smtp.TLSNone
	}
	d.pool = pool.New(cfg.Pool, pool.Deps{
		Handler: d.handler, Router: d.resolver, Inject: injectName, Channels: cfg.Queue.Channels,
		Line: func() *relay.Line { return relay.NewLine(order, cfg.Queue.MaxAge) },
		SMTP: smtp.Config{Hostname: cfg.Hostname, TLS: mode},
		Log:  d.log.Named("pool"),
	})
	return nil
}

func (d *Daemon) makeDoor(cfg *Config) error {
	f, err := filter.Compile(cfg.Bulk, cfg.Hostname)
	if err != nil {
		return err
	}
	door := cfg.Milter
	door.Mode = cfg.Mode
	d.door, err = milter.New(door, milter.Deps{
		Accept: d.queues, NewID: d.agent.NewID, Filter: f, Sendable: smtp.Sendable, Log: d.log.Named("milter"),
	})
	return err
}

// Start opens the doors, brings back what waits, and begins to take and deliver. Until everything is back the doors
// answer, so that the MTA's other mail does not suffer, but leave all mail where it is. On an error nothing is left running.
func (d *Daemon) Start() error {
	d.started = time.Now()
	l, err := d.listen()
	if err != nil {
		return errors.Join(err, d.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	d.cancel = cancel
	d.run.Go(func() { d.mail.Run(ctx) }) // each of these ends with ctx
	d.run.Go(func() { d.bounces.Run(ctx) })
	d.resolver.Run(ctx)
	d.serve(l)
	if err := d.restore(); err != nil {
		soon, done := context.WithTimeout(context.Background(), startGrace)
		defer done()
		return errors.Join(err, d.Stop(soon))
	}
	// Before anything is sent: the log names what may now be delivered a second time.
	if err := d.mail.Flush(); err != nil {
		d.log.Error("mail log cannot be written: who may get a message twice is not on record", "err", err)
	} else {
		d.agent.Told()
	}
	d.run.Go(func() { d.pool.Run(ctx) })
	d.run.Go(func() { d.handler.Run(ctx) })
	d.queues.Open()
	d.log.Info("ready", "mode", d.cfg.Mode, "listen", d.cfg.Milter.Listen, "hostname", d.cfg.Hostname)
	return nil
}

// listeners are the open sockets of a daemon that is about to start.
type listeners struct {
	control net.Listener
	doors   []net.Listener
}

func (l *listeners) close() {
	for _, ln := range append(l.doors, l.control) {
		if ln != nil {
			ln.Close()
		}
	}
}

func (d *Daemon) listen() (*listeners, error) {
	l := &listeners{}
	for _, spec := range d.cfg.Milter.Listen {
		ln, err := milter.Listen(spec)
		if err != nil {
			l.close()
			return nil, fmt.Errorf("milter.listen: %w", err)
		}
		l.doors = append(l.doors, ln)
	}
	ln, err := console.Listen(d.cfg.Control)
	if err != nil {
		l.close()
		return nil, err
	}
	l.control = ln
	return l, nil
}

// restore puts what the recovery agent finds back into the queues.
func (d *Daemon) restore() error {
	_, err := d.agent.Recover(func(s relay.Saved) error {
		d.queues.Restore(s, d.handler)
		if s.Unheard && len(s.Message.Rcpts) > 100 {
			d.mail.Flush() // all of them are named, for which its buffer may be too small; Start will tell of an error
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recover %s: %w", d.cfg.StateDir, err)
	}
	return nil
}

func (d *Daemon) serve(l *listeners) {
	d.run.Go(func() { d.report("console", d.console.Run(l.control)) }) // ends with console.Stop
	for _, ln := range l.doors {
		d.run.Go(func() { d.report("milter", d.door.Serve(ln)) }) // ends with door.Stop
	}
}

func (d *Daemon) report(what string, err error) {
	if err != nil && !errors.Is(err, net.ErrClosed) {
		d.log.Error("stopped serving", "part", what, "err", err)
	}
}

// Stop drains: doors finish what they are receiving, visits what they are sending, then everything that waits is made
// durable. When ctx is done first, open connections are cut; what they carried stays queued.
func (d *Daemon) Stop(ctx context.Context) error {
	d.log.Info("stopping")
	err := d.stopBoth(ctx)
	d.resolver.Stop()
	err = errors.Join(err, d.console.Stop(ctx))
	d.cancel()
	d.run.Wait()
	err = errors.Join(err, d.flush())
	d.queues.Close()
	err = errors.Join(err, d.close())
	d.log.Info("stopped", "waiting", d.handler.Status().Messages)
	return err
}

// stopBoth stops the doors and the pool at the same time: a client that is silent in the middle of a message must not keep
// deliveries going that would then be cut.
func (d *Daemon) stopBoth(ctx context.Context) (err error) {
	soon := ctx
	if end, bounded := ctx.Deadline(); bounded {
		// Half of the time is for the client; what comes after the doors needs some too.
		var cancel context.CancelFunc
		soon, cancel = context.WithDeadline(ctx, time.Now().Add(time.Until(end)/2))
		defer cancel()
	}
	var wg sync.WaitGroup
	wg.Go(func() { err = d.door.Stop(soon) }) // ends with its deadline
	d.pool.Stop(ctx)
	wg.Wait()
	return err
}

// flushTime is for notifications that wait: to write them down takes a commit of the journal, no network.
const flushTime = 3 * time.Second

// flush gives the notifications that wait to the queue map. It has time of its own, however little the stop has left.
func (d *Daemon) flush() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	return d.bounces.Flush(ctx)
}

// close lets go of the state directory and the logs.
func (d *Daemon) close() error {
	var err error
	if d.agent != nil {
		err = d.agent.Close()
	}
	if d.mail != nil {
		err = errors.Join(err, d.mail.Close())
	}
	return err
}

// Reload takes over what may change while the daemon runs: mode, bulk rules, retry and hand-back. It names the keys
// that need a restart and keeps the old ones. On an error nothing has changed.
func (d *Daemon) Reload(cfg *Config) error {
	f, err := filter.Compile(cfg.Bulk, cfg.Hostname)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range d.cfg.needRestart(cfg) {
		d.log.Warn("this key changes with a restart only", "key", key)
	}
	d.door.Reload(f, cfg.Mode)
	d.handler.SetPolicy(cfg.Retry, cfg.Handback)
	d.log.SetLevel(cfg.Log.LogLevel())
	changed := *d.cfg
	changed.Mode, changed.Bulk, changed.Retry, changed.Handback, changed.Log.Level = cfg.Mode, cfg.Bulk, cfg.Retry, cfg.Handback, cfg.Log.Level
	d.cfg = &changed
	d.log.Info("reloaded", "mode", cfg.Mode)
	return nil
}

// Reopen opens the mail log file anew, after it was rotated.
func (d *Daemon) Reopen() error { return d.mail.Reopen() }

// Config is the configuration in force.
func (d *Daemon) Config() *Config {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg
}

// pid is for the log and the status.
func pid() int { return os.Getpid() }
