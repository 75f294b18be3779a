package daemon

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"os"
	"slices"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/pool"
)

// overview is the daemon as a console.Source. It has a type of its own because it reads parts and decides nothing: every
// number in it belongs to the part that counts it. Its methods run on the console's goroutines, several at a time.
type overview struct{ d *Daemon }

var _ console.Source = overview{}

// Status implements console.Source.
func (o overview) Status() console.Status {
	d, cfg := o.d, o.d.Config()
	given := d.machine.Given
	if given == nil {
		given = &Given{}
	}
	return console.Status{
		Status: d.handler.Status(), Version: console.ReadBuild().String(), PID: os.Getpid(),
		Hostname: cfg.Hostname, Mode: cfg.Mode, Handovers: given.Handovers, HandoverFailure: given.Failure,
		Started: d.started.Unix(), Uptime: int64(time.Since(d.started).Seconds()),
		Totals: o.totals(), Doors: o.doors(), Gate: o.gate(), Pool: o.pool(),
		DNS: console.DNS(d.resolver.Status()), Journal: o.journal(), Memory: o.memory(), Reasons: o.reasons(), Sources: o.sources(),
		Drain: o.drain(), Pauses: len(o.d.lever.Pauses()), Rescue: o.d.rescued.status(), History: o.history(), Allowance: o.allowance(),
		Events: o.d.eventStream(),
	}
}

// drain is the drain in force, or nil.
func (o overview) drain() *console.Drain {
	act, drains := o.d.lever.Draining()
	if !drains {
		return nil
	}
	v := &console.Drain{Waiting: o.d.lever.DrainReport().Waiting, Who: act.Who, Reason: act.Reason}
	if !act.Until.IsZero() {
		v.Until = act.Until.Unix()
	}
	return v
}

// maxHeldTenants is how many tenants at a limit the status names.
const maxHeldTenants = 20

// reasons names the obstacles that hold up more than one queue. An obstacle of one queue stands in the list of queues.
func (o overview) reasons() []relay.ReasonStatus {
	var all []relay.ReasonStatus
	note := func(kind relay.ReasonKind, text string) {
		all = append(all, relay.WaitFor(kind, "", text, time.Time{}).Status())
	}
	if err := o.d.agent.Blocked(); err != nil {
		note(relay.ReasonJournal, "nothing is taken: "+err.Error())
	}
	if err := o.d.agent.Unwritable(); err != nil {
		note(relay.ReasonJournal, "nothing is sent that cannot be recorded: "+err.Error())
	}
	if o.d.bounces.Crowded() {
		note(relay.ReasonMemory, fmt.Sprintf("%d notifications wait, each with its message: those that the MTA has not taken have used their share of queue.max_bytes", o.d.bounces.Held()))
	}
	if !o.d.budget.Room(relay.AccountMail) {
		note(relay.ReasonMemory, "nothing is taken: queue.max_bytes is reached")
	}
	all = append(all, o.usedUp()...)
	if why := o.d.handler.Rationed(); why.Waits() {
		all = append(all, why.Status())
	}
	for _, why := range o.d.queues.HeldTenants(maxHeldTenants) {
		all = append(all, why.Status())
	}
	all = append(all, o.stops()...)
	if !o.d.resolver.Healthy() {
		note(relay.ReasonDNS, "the name servers do not answer")
	}
	return all
}

// journal leaves the recovery out until it is complete: half of the numbers would look like a loss. It leaves it out, too,
// when the state directory was new: clean=false there would look like a crash.
func (o overview) journal() console.Journal {
	s := o.d.agent.Status()
	j := console.Journal{
		Ack: s.Ack, Segments: s.Segments, Messages: s.Messages, Deferred: s.Deferred, Takes: s.Takes, Recipients: s.Recipients,
		Done: s.Done, Commits: s.Commits, Syncs: s.Syncs, Bytes: s.Bytes, PerMessage: s.PerMessage, Snapshots: s.Snapshots,
		Blocked: s.Blocked, Unwritable: s.Unwritable, Recovered: s.Recovered,
	}
	if s.Recovering != nil {
		p := console.Progress(*s.Recovering)
		j.Recovering = &p
	}
	if s.Recovery.Took > 0 { // else the recovery is not over, or the state directory was new
		r := console.Recovery(s.Recovery)
		j.Recovery = &r
	}
	return j
}

// doors sums up each door. A bulk message that had to be left counts as passed: the MTA delivers it.
func (o overview) doors() []console.Door {
	first := doorStatus("milter", o.d.intake)
	first.Sessions, first.Dripped = int64(o.d.door.Sessions()), int64(o.d.door.Dripped())
	if o.d.smtpd == nil {
		return []console.Door{first}
	}
	letters := doorStatus("smtpd", o.d.smtpd.intake)
	s := o.d.smtpd.door.Status()
	letters.Sessions = int64(o.d.smtpd.door.Sessions())
	letters.Reinjected, letters.Refused, letters.MTARefused = int64(s.Passed), int64(s.Refused), int64(s.Failed)
	return []console.Door{first, letters}
}

// doorStatus is what the intake of a door has counted.
func doorStatus(name string, in *filter.Intake) console.Door {
	c := in.Status()
	door := console.Door{Name: name, Seen: int64(c.Seen()), Passed: int64(c.Passed()), WouldTake: int64(c.Observed), Taken: int64(c.Taken)}
	for _, r := range in.Filter().Status() {
		door.Rules = append(door.Rules, console.RuleCount{
			Name: r.Rule, Seen: int64(r.Passed + r.Chosen), Passed: int64(r.Passed), WouldTake: int64(r.WouldTake), Taken: int64(r.Taken),
		})
	}
	for cause, n := range c.LeftBy {
		if n > 0 {
			door.Left = append(door.Left, console.LeftCount{Cause: filter.Cause(cause).String(), Count: int64(n)})
		}
	}
	return door
}

// pool sums up the sites.
func (o overview) pool() console.PoolStatus {
	t := o.d.pool.Totals()
	p := console.PoolStatus{Sites: t.Sites, Connections: t.Open, Busy: t.Channels, Closed: t.Closed}
	p.InClear, p.ClearHosts = inClear(t.InClear)
	return p
}

// inClear lists the hosts whose TLS was given up, those with the most connections first, and says how many there are.
func inClear(hosts []pool.Clear) (list []console.ClearHost, all int64) {
	for _, c := range hosts {
		list = append(list, clearHost(c))
	}
	slices.SortFunc(list, func(a, b console.ClearHost) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Host, b.Host))
	})
	return list[:min(len(list), console.MaxInClear)], int64(len(list))
}

func clearHost(c pool.Clear) console.ClearHost {
	return console.ClearHost{Site: c.Site, Host: c.Host, Connections: int64(c.Connections), Reason: c.Reason, Until: c.Until}
}

// sources lists the [[source]] tables. The default source stands for none.
func (o overview) sources() (list []console.SourceStatus) {
	for _, v := range o.d.sources.View(time.Now()) {
		if v.Name != "" {
			list = append(list, source(v))
		}
	}
	return list
}

// source is a source with those plans that leave the least room.
func source(v pool.SourceView) console.SourceStatus {
	s := console.SourceStatus{Name: v.Name, Address: v.Address, Address6: v.Address6, Weight: v.Weight, Reserved: v.Reserved, Plans: len(v.Warming)}
	slices.SortStableFunc(v.Warming, func(a, b pool.WarmingView) int { return cmp.Compare(a.Plan-a.Spent, b.Plan-b.Spent) })
	for _, w := range v.Warming[:min(len(v.Warming), console.MaxWarming)] {
		s.Warming = append(s.Warming, console.Warming(w))
	}
	return s
}

// Sharing implements console.Source.
func (o overview) Sharing(most int) []relay.Sharing { return o.d.queues.Sharing(most) }

// Sites implements console.Source.
func (o overview) Sites(name string, most int, yield func(console.Site) bool) {
	o.d.pool.List(name, most, func(s pool.Status) bool {
		v := site(&s)
		if name != "" {
			v.Flows, v.MoreFlows = flows(s.Flows), s.MoreFlows
		}
		return yield(v)
	})
}

// site is a site without its flows.
func site(s *pool.Status) console.Site {
	v := console.Site{
		Site: s.Site, Source: s.Source, Provider: s.Provider, Rule: s.Rule, Hosts: s.Hosts,
		Window: s.Window, WindowBy: s.WindowBy, Ceiling: s.Ceiling, Channels: s.Channels, Slow: s.Slow, Rate: s.Rate, RateBy: s.RateBy,
		Goodput: s.Goodput, LatencyMS: s.Latency.Seconds() * 1000, Open: s.Open, Idle: s.Idle,
		Waiting: s.Waiting, Nodes: s.Nodes, AtLeast: s.AtLeast, Reason: s.Reason, ClosedUntil: s.ClosedUntil,
		LearnedSince: s.LearnedSince, LastThrottle: s.LastThrottle, LastThrottleAt: s.LastThrottleAt,
		MessagesPerConnection: s.MessagesPerConnection, RecipientsPerMessage: s.RecipientsPerMessage,
		DomainsPerTransaction: s.DomainsPerTransaction, TLS: s.TLS,
	}
	if !s.Oldest.IsZero() {
		v.Oldest = s.Oldest.Unix()
	}
	if s.Held.Waits() {
		held := s.Held.Status()
		v.Held = &held
	}
	if s.Warming != nil {
		w := console.Warming(*s.Warming)
		v.Warming = &w
	}
	for _, x := range s.Suspended {
		v.Suspended = append(v.Suspended, console.Suspension{Sender: x.Sender, Reason: x.Reason, Until: x.Until.Unix()})
	}
	for _, c := range s.InClear {
		v.InClear = append(v.InClear, clearHost(c))
	}
	return v
}

func flows(all []pool.Flow) (list []console.Flow) {
	for _, f := range all {
		list = append(list, console.Flow{Tenant: f.Tenant, Name: f.Name, Sender: f.Sender, Urgent: f.Urgent, Queues: f.Queues, Nodes: f.Nodes})
	}
	return list
}

// Queues implements console.Source.
func (o overview) Queues(most int) iter.Seq[relay.QueueStatus] {
	if most == 0 {
		return o.d.queues.EachQueue
	}
	return slices.Values(o.d.queues.Queues(most))
}

// Messages implements console.Source.
func (o overview) Messages(after relay.ID) iter.Seq[relay.Listing] {
	return o.d.handler.MessagesAfter(after)
}

// MessagesNamed implements console.Source.
func (o overview) MessagesNamed(id string) []relay.Listing { return o.d.handler.MessagesNamed(id) }

// Upgrade implements console.Source.
func (o overview) Upgrade(who string) error {
	d := o.d
	if d.machine.Upgrade == nil {
		return errors.New("this daemon cannot be replaced by another process")
	}
	d.turn.Lock()
	ready := d.ready
	d.turn.Unlock()
	if !ready {
		return fmt.Errorf("%w: %w", console.ErrNotNow, errNotReady)
	}
	return d.machine.Upgrade(who)
}

// ReloadFile implements console.Source.
func (o overview) ReloadFile() (console.Reloaded, error) { return o.d.reloadFile() }
