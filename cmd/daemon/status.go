package daemon

import (
	"cmp"
	"fmt"
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
	return console.Status{
		Status: d.handler.Status(), Version: console.ReadBuild().String(), PID: os.Getpid(),
		Hostname: cfg.Hostname, Mode: cfg.Mode,
		Started: d.started.Unix(), Uptime: int64(time.Since(d.started).Seconds()),
		Doors: []console.Door{o.door()}, Pool: o.pool(),
		DNS: console.DNS(d.resolver.Status()), Journal: o.journal(), Memory: o.memory(), Reasons: o.reasons(),
	}
}

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
	if why := o.d.handler.Rationed(); why.Waits() {
		all = append(all, why.Status())
	}
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

// door sums up the milter door. A bulk message that had to be left counts as passed: the MTA delivers it.
func (o overview) door() console.Door {
	c := o.d.intake.Status()
	door := console.Door{
		Name: "milter", Sessions: int64(o.d.door.Sessions()), Seen: int64(c.Seen()), Passed: int64(c.Passed()),
		WouldTake: int64(c.Observed), Taken: int64(c.Taken),
	}
	for _, r := range o.d.intake.Filter().Status() {
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

// pool sums up the sites. A channel that a site holds has a connection that works; an idle connection has no channel.
func (o overview) pool() console.PoolStatus {
	var p console.PoolStatus
	sites := o.d.pool.Sites()
	p.InClear, p.ClearHosts = inClear(sites)
	for _, s := range sites {
		p.Sites++
		p.Busy += int64(s.Channels)
		p.Connections += int64(s.Channels + s.Idle)
		if s.Reason != "" {
			p.Closed++
		}
	}
	return p
}

// inClear lists the hosts whose TLS was given up, those with the most connections first, and says how many there are.
func inClear(sites []pool.Status) (list []console.ClearHost, all int64) {
	for _, s := range sites {
		for _, c := range s.InClear {
			list = append(list, console.ClearHost{Site: s.Site, Host: c.Host, Connections: int64(c.Connections), Reason: c.Reason, Until: c.Until})
		}
	}
	slices.SortFunc(list, func(a, b console.ClearHost) int {
		return cmp.Or(cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Host, b.Host))
	})
	return list[:min(len(list), console.MaxInClear)], int64(len(list))
}

// Queues implements console.Source.
func (o overview) Queues() []relay.QueueStatus { return o.d.queues.Queues() }

// Messages implements console.Source.
func (o overview) Messages(yield func(relay.Listing) bool) { o.d.handler.Messages(yield) }

// MessagesNamed implements console.Source.
func (o overview) MessagesNamed(id string) []relay.Listing { return o.d.handler.MessagesNamed(id) }

// ReloadFile implements console.Source.
func (o overview) ReloadFile() (console.Reloaded, error) { return o.d.reloadFile() }
