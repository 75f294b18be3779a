package daemon

import (
	"maps"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/bounce"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/relay/route"
)

// injectName is the name under which the resolver knows our own MTA. Nobody can own a domain below ".invalid"
// (RFC 2606 section 2), so no recipient's domain can be taken for it.
const injectName = "inject.millrace.invalid"

// newResolver gives the resolver the routes of the file, the MTA as one route more, and the way to learn this host's
// addresses: a domain whose MX is this host would be delivered in a circle.
func (m Machine) newResolver(cfg *config.Config, log hclog.Logger) (*route.Resolver, error) {
	table, err := routes(cfg)
	if err != nil {
		return nil, err
	}
	return route.New(m.resolverConfig(cfg), table, log)
}

// routes is the table of the file, with the MTA as one route more if there is one.
func routes(cfg *config.Config) (route.Table, error) {
	all := make(map[string]string)
	if !cfg.Bounce.IsDirect() {
		all[injectName] = cfg.Bounce.Inject
	}
	maps.Copy(all, cfg.Route)
	return route.ParseTable(all)
}

func (m Machine) resolverConfig(cfg *config.Config) route.Config {
	dns := cfg.DNS
	dns.Hostname = cfg.Hostname
	dns.Names = ownNames(cfg)
	dns.Local, dns.Dial, dns.Chance = m.Addrs, m.DialDNS, m.Chance
	return dns
}

// newBounces makes the bounce server. The server and the queue map need each other: the map tells the server of failures,
// the server puts notifications into the map. So the server is given functions that look at d.queues when they run. None of
// them runs before Start, when d.queues is set.
func (d *Daemon) newBounces(cfg *config.Config, log hclog.Logger) *bounce.Server {
	return bounce.NewServer(cfg.Bounce, bounce.Deps{
		Hostname: cfg.Hostname, NewID: d.agent.NewID, Log: log,
		Accept: d.acceptOwn,
		Emit:   func(e *relay.Event) { d.queues.Tell(e) },
		Budget: d.budget, Release: func(m *relay.Message) { d.queues.Release(m) },
		Pending: func(m *relay.Message) bool { return d.queues.Pending(m) },
	})
}

// acceptOwn puts a message of our own into the queue map. No MTA waits for an answer, so the message counts as heard at
// once: after a crash it is not named as one that the MTA may offer again.
func (d *Daemon) acceptOwn(m *relay.Message) error {
	err := d.queues.Accept(m)
	if err == nil {
		d.queues.Heard(m, true)
	}
	return err
}

// domainKey is the queue's name for a domain. A name that is no domain gets a queue too: the resolver then refuses it with
// a reason that the sender reads.
func domainKey(domain string) string {
	if key, err := route.Domain(domain); err == nil {
		return key
	}
	return strings.ToLower(domain)
}

// flow is the flow of a message that is restored. The queue map is made before the intake, and restores after it.
func (d *Daemon) flow(m *relay.Message) relay.FlowName { return d.intake.Flow(m) }

// newPool makes the pool. It carries for the handler and asks the resolver for routes. Each site orders its queues like the
// handler, by queue.order: an operator's choice must not end at the site.
func (d *Daemon) newPool(cfg *config.Config, files shares, log hclog.Logger) (*pool.Manager, error) {
	policy, err := newPolicy(cfg)
	if err != nil {
		return nil, err
	}
	return pool.New(cfg.Pool, pool.Deps{
		Handler: d.handler, Router: d.resolver, Hostname: cfg.Hostname, Inject: injectName, NoMTA: cfg.Bounce.IsDirect(), Channels: files.channels, Slow: files.slow, Budget: d.budget,
		Line: d.queues.NewLine,
		SMTP: d.machine.wire(cfg), Policy: policy, Sources: d.sources, Brake: campaigns{d},
		Log: log, Connected: d.mail.Connected,
	}), nil
}

// near says whether mail would be sent at once. The queue map is made before the pool, and asks after it.
func (d *Daemon) near(k relay.Key) bool { return d.pool.Near(k) }

// keptPace is the name under which the state directory has what receivers have taught of their limits.
const keptPace = "pace"

// keepLessons keeps over a restart what receivers have taught of their limits. Lessons that cannot be read are none: receivers teach
// them again.
func (d *Daemon) keepLessons() {
	if err := d.pool.Recall(d.agent.Kept(keptPace)); err != nil {
		d.log.Warn("what receivers have taught of their limits is not known any more", "error", err)
	}
	d.agent.Keep(keptPace, d.pool.Learned)
}

// newPolicy makes the tables about receivers and tenants ready.
func newPolicy(cfg *config.Config) (pool.Policy, error) {
	rules, err := pool.CompileRules(cfg.Site, cfg.Pool)
	if err != nil {
		return pool.Policy{}, err
	}
	replies, err := pool.CompileReplies(cfg.Reply)
	sources := make(map[string][]string)
	for _, t := range cfg.TenantLimits() {
		sources[t.Name] = t.Sources
	}
	return pool.Policy{Rules: rules, Replies: replies, Sources: sources}, err
}
