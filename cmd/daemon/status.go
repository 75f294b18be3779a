package daemon

import (
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// The daemon is the console's Source.
var _ console.Source = (*Daemon)(nil)

// Status implements console.Source.
func (d *Daemon) Status() console.Status {
	cfg := d.Config()
	return console.Status{
		Status: d.handler.Status(), Version: console.ReadBuild().String(), PID: pid(),
		Hostname: cfg.Hostname, Mode: cfg.Mode,
		Started: d.started.Unix(), Uptime: int64(time.Since(d.started).Seconds()),
		Doors: []console.Door{d.doorStatus()}, Pool: d.poolStatus(),
		DNS: console.DNS(d.resolver.Status()), Journal: d.journalStatus(), Reasons: d.reasons(),
	}
}

// reasons is what holds up more than one queue.
func (d *Daemon) reasons() []relay.ReasonStatus {
	var all []relay.ReasonStatus
	add := func(kind relay.ReasonKind, text string) {
		all = append(all, relay.WaitFor(kind, "", text, time.Time{}).Status())
	}
	if err := d.agent.Blocked(); err != nil {
		add(relay.ReasonJournal, "nothing is taken: "+err.Error())
	}
	if err := d.agent.Unwritable(); err != nil {
		add(relay.ReasonJournal, "nothing is sent that cannot be recorded: "+err.Error())
	}
	if !d.resolver.Healthy() {
		add(relay.ReasonDNS, "the name servers do not answer")
	}
	return all
}

func (d *Daemon) journalStatus() console.Journal {
	s := d.agent.Status()
	j := console.Journal{
		Ack: s.Ack, Segments: s.Segments, Messages: s.Messages, Deferred: s.Deferred, Takes: s.Takes, Recipients: s.Recipients,
		Done: s.Done, Commits: s.Commits, Syncs: s.Syncs, Bytes: s.Bytes, PerMessage: s.PerMessage, Snapshots: s.Snapshots,
		Blocked: s.Blocked, Unwritable: s.Unwritable, Recovered: s.Recovered,
	}
	if s.Recovered {
		r := console.Recovery(s.Recovery)
		j.Recovery = &r
	}
	return j
}

func (d *Daemon) doorStatus() console.Door {
	c := d.door.Counts()
	passed := int64(c.PassedConnect + c.PassedMail + c.PassedHeader + c.Left)
	door := console.Door{
		Name: "milter", Sessions: int64(c.Sessions), Passed: passed,
		WouldTake: int64(c.Observed), Taken: int64(c.Taken),
	}
	door.Seen = door.Passed + door.WouldTake + door.Taken
	for _, r := range d.door.Filter().Counts() {
		door.Rules = append(door.Rules, console.RuleCount{Name: r.Rule, Seen: int64(r.Seen), WouldTake: int64(r.WouldTake)})
	}
	return door
}

func (d *Daemon) poolStatus() console.PoolStatus {
	var p console.PoolStatus
	for _, s := range d.pool.Sites() {
		p.Sites++
		p.Busy += int64(s.Channels)
		p.Connections += int64(s.Channels + s.Idle)
		if s.Reason != "" {
			p.Closed++
		}
	}
	return p
}

// Queues implements console.Source.
func (d *Daemon) Queues() []relay.QueueStatus { return d.queues.Queues() }

// Messages implements console.Source.
func (d *Daemon) Messages(yield func(relay.Listing) bool) { d.handler.Messages(yield) }

// Message implements console.Source.
func (d *Daemon) Message(id string) (relay.Listing, bool) { return d.handler.Message(id) }

// Reporting reports whether senders are still to be told of failures.
func (d *Daemon) Reporting() bool { return d.bounces.Held() > 0 }
