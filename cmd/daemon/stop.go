package daemon

import (
	"context"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/brake"
	"github.com/millrace/millrace/relay/smtp"
)

// newStops makes the part that stops a campaign at a provider which refuses its sender. It is a listener, so the queue map is made after
// it, and the pool and the lever, which it asks, are made later still: nothing is settled before Start.
func (d *Daemon) newStops(cfg *config.Config) *brake.Watch {
	return brake.New(cfg.Stop, brake.Deps{
		Provider: func(site string) string { return d.pool.ProviderOf(site) },
		Order: func(ctx context.Context, act relay.Act) error {
			_, err := d.lever.Do(ctx, act)
			if err == nil {
				d.noteStop(&act)
			}
			return err
		},
		Log: d.log.Named("stop"),
	})
}

// campaigns is what keeps stopped mail from its site: the stop that is being made, and behind it the pause that has come of it.
type campaigns struct{ d *Daemon }

// Holds implements pool.Brake.
func (c campaigns) Holds(flow relay.FlowName, site string) relay.Reason {
	return c.d.stops.Holds(flow, site)
}

// Spares implements pool.Brake. The reply is to what was under way when the campaign was stopped or paused.
func (c campaigns) Spares(v *relay.Visit, site string, reply smtp.Reply) bool {
	if !smtp.Classify(reply, "").OfSender() {
		return false
	}
	return c.Holds(v.Node.Message.Flow(), site).Waits() || c.d.handler.MustWait(v.Node)
}

// maxStops is how many stopped campaigns the status names.
const maxStops = 20

// stops names the campaigns that are stopped at a provider.
func (o overview) stops() (all []relay.ReasonStatus) {
	for _, p := range o.d.lever.Pauses() {
		if p.Who != brake.Who || len(all) >= maxStops {
			continue
		}
		who := p.Selector.Campaign
		if who == "" {
			who = p.Selector.Sender
		}
		all = append(all, relay.WaitFor(relay.ReasonPause, who, "stopped at "+p.Selector.Site+": "+p.Reason, p.Until).Status())
	}
	return all
}
