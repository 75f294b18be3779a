package daemon

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/filter/preflight"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/relay/tally"
)

// keptStatistics is the name under which the state directory has the rings of the statistics.
const keptStatistics = "statistics"

// newTally makes the counters, and has the journal keep them.
func (d *Daemon) newTally() {
	d.tally = tally.New(d.cfg.Statistics)
	d.agent.CountWith(d.tally)
}

// newStatistics makes the agent that samples, and keeps its rings over a restart. Rings that cannot be read are begun anew.
func (d *Daemon) newStatistics() {
	d.stats = tally.NewStatistics(d.tally, tally.Queues{
		Length:  func() int64 { return d.handler.Status().Queues },
		Waiting: func(site string) int64 { return int64(d.pool.Waiting(site)) },
	})
	if err := d.stats.Recall(d.agent.Kept(keptStatistics)); err != nil {
		d.log.Warn("the statistics by minute and hour begin anew", "error", err)
	}
	d.agent.Keep(keptStatistics, d.stats.Keep)
}

// runStatistics samples until ctx is done. It comes when the waiting mail is restored.
func (d *Daemon) runStatistics(ctx context.Context) {
	d.logMailGoesOn()
	d.run.Go(func() { d.stats.Run(ctx) }) // ends with ctx
}

// maxResumed is how many campaigns the line about mail that goes on names.
const maxResumed = 5

// logMailGoesOn says where each mail stream was when the daemon ended, so that an admin sees which goes on and from where.
func (d *Daemon) logMailGoesOn() {
	all := d.tally.Installation()
	if all.Messages == 0 {
		return
	}
	var streams []string
	more := 0
	for _, c := range d.tally.Campaigns(tally.Filter{}, d.Config().Statistics.Campaigns, time.Now()) {
		switch {
		case c.Left == 0:
		case len(streams) == maxResumed:
			more++
		default:
			streams = append(streams, fmt.Sprintf("%s: %d left, last taken %s (message %s), last sent %s",
				campaignName(&c), c.Left, clockOf(c.LastTaken), c.LastMessage, clockOf(c.LastSent)))
		}
	}
	if more > 0 {
		streams = append(streams, fmt.Sprintf("%d more", more))
	}
	d.log.Info("mail goes on", "left", all.Left, "last_taken", clockOf(all.LastTaken), "last_sent", clockOf(all.LastSent),
		"sent_in_all", all.Sent, "campaigns", strings.Join(streams, "; "))
}

// campaignName is how the log calls a campaign.
func campaignName(c *tally.Campaign) string {
	name := cmp.Or(c.Flow.Name, c.Flow.Sender, "mail without a name")
	if c.Rest {
		name = "other campaigns"
	}
	if c.Flow.Tenant != "" {
		name = c.Flow.Tenant + "/" + name
	}
	return fmt.Sprintf("%q", name)
}

// clockOf is a time for the log; 0 is never.
func clockOf(unix int64) string {
	if unix == 0 {
		return "never"
	}
	return time.Unix(unix, 0).Format(time.DateTime)
}

// noteFault keeps what the check of a campaign has found, for "millrace campaign show".
func (d *Daemon) noteFault(f relay.FlowName, fault preflight.Fault) {
	d.tally.Note(f, fault.Code+": "+fault.Text+"; "+fault.Repair)
}

// noteStop keeps that a campaign was stopped at a provider, and why.
func (d *Daemon) noteStop(act *relay.Act) {
	s := &act.Selector
	d.tally.Note(relay.FlowName{Tenant: s.Tenant, Name: s.Campaign, Sender: s.Sender}, fmt.Sprintf("stopped at %s: %s", s.Site, act.Reason))
}

// Campaigns implements console.Source.
func (o overview) Campaigns(tenant, name string, most int) []console.Campaign {
	all := o.d.tally.Campaigns(tally.Filter{Tenant: tenant, Name: name}, most, time.Now())
	list := make([]console.Campaign, len(all))
	for i := range all {
		c := &all[i]
		list[i] = console.Campaign{
			Tenant: c.Flow.Tenant, Name: c.Flow.Name, Sender: c.Flow.Sender, Rest: c.Rest, Tallied: tallied(&c.Counts),
			LastMessage: lastMessage(c), Rate: c.Rate, ETA: int64(c.ETA.Seconds()), Faults: c.Faults,
		}
	}
	return list
}

// lastMessage is the id of the last message taken, or "".
func lastMessage(c *tally.Campaign) string {
	if c.Counts.LastMessage == 0 {
		return ""
	}
	return c.Counts.LastMessage.String()
}

// tallied is what was counted, with the names of the classes.
func tallied(c *tally.Counts) console.Tallied {
	t := console.Tallied{
		Messages: c.Messages, Recipients: c.Recipients, Sent: c.Sent, Deferred: c.Deferred, Bounced: c.Bounced, Expired: c.Expired,
		HandedBack: c.HandedBack, Suppressed: c.Suppressed, Deleted: c.Deleted, Left: c.Left,
		First: c.First, LastTaken: c.LastTaken, LastSent: c.LastSent,
	}
	for _, class := range smtp.Classes() {
		if n := c.By(class); n > 0 {
			if t.BouncedBy == nil {
				t.BouncedBy = make(map[string]int64)
			}
			t.BouncedBy[class.String()] = n
		}
	}
	return t
}

// totals are the counters of the installation.
func (o overview) totals() console.Tallied {
	c := o.d.tally.Installation()
	return tallied(&c)
}

// Statistics implements console.Source.
func (o overview) Statistics(of console.StatisticsOf) ([]console.Statistic, error) {
	span := tally.Minutes
	if of.Hours {
		span = tally.Hours
	}
	points, ok := o.d.stats.Points(tally.Of{Site: of.Site, Campaign: of.Campaign, Tenant: of.Tenant}, span, of.Last, time.Now())
	if !ok {
		return nil, o.notSampled(of)
	}
	list := make([]console.Statistic, len(points))
	for i, p := range points {
		list[i] = console.Statistic{
			Time: p.Time, Span: span.Seconds(), Messages: p.Messages, Recipients: p.Recipients, Sent: p.Sent, Deferred: p.Deferred,
			Bounced: p.Bounced, Expired: p.Expired, HandedBack: p.HandedBack, Deleted: p.Deleted, Peak: p.Peak, Left: p.Left,
			MostLeft: p.MostLeft, Queues: p.Queues,
		}
	}
	return list, nil
}

// notSampled says of which sites, campaigns or tenants there are statistics.
func (o overview) notSampled(of console.StatisticsOf) error {
	sites, campaigns, tenants := o.d.stats.Names()
	what, name, names := "tenant", of.Tenant, tenants
	switch {
	case of.Site != "":
		what, name, names = "site", of.Site, sites
	case of.Campaign != "":
		what, name, names = "campaign", of.Campaign, campaigns
	}
	if len(names) == 0 {
		return fmt.Errorf("no statistics are kept of %s %q, nor of any other yet", what, name)
	}
	return fmt.Errorf("no statistics are kept of %s %q: it is not known, or not one of the busiest; they are kept of %s", what, name, strings.Join(names, ", "))
}
