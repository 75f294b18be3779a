package daemon

import (
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// newGate makes the gate. The parts that it asks are made after it: none of these functions runs before Start.
func (d *Daemon) newGate(cfg *config.Config) *relay.Gate {
	log := &gateLog{log: d.log.Named("gate")}
	return relay.NewGate(cfg.Gate, relay.GateDeps{
		Site:     func(domain string) string { return d.pool.SiteOf(domain) },
		Draining: d.draining, Changed: log.note,
	})
}

// draining says that nothing is taken because an admin drains the daemon.
func (d *Daemon) draining() relay.Reason {
	act, drains := d.lever.Draining()
	if !drains {
		return relay.Reason{}
	}
	return relay.WaitFor(relay.ReasonDrain, act.Who, "drained by "+act.Who+": millrace undrain takes mail again", time.Time{})
}

// gateLog writes a line for each step of a gate: of all mail and of tenants always, of sites so many a minute. A list has a million
// domains, and an outage closes all of them.
type gateLog struct {
	log hclog.Logger

	mu      sync.Mutex
	minute  time.Time
	said    int
	skipped int
}

// maxSiteLines is how many lines about sites there may be in a minute.
const maxSiteLines = 20

func (l *gateLog) note(c relay.GateChange) {
	if c.Of == "site" && !l.mayTell(time.Now()) {
		return
	}
	args := []any{"of", c.Of, "was", c.From, "reason", c.Why.Text}
	if c.Name != "" {
		args = append(args, "name", c.Name)
	}
	if c.To == relay.GateOpen {
		args = append(args, "for", c.For.Round(time.Millisecond))
	}
	if c.Left > 0 {
		args = append(args, "left", c.Left)
	}
	l.log.Info("the gate is "+c.To.String(), args...)
}

// mayTell reports whether a line about a site may be written now. The first line of a minute says how many were left out before.
func (l *gateLog) mayTell(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.minute) >= time.Minute {
		if l.skipped > 0 {
			l.log.Info("more steps of the gates of sites than are told; millrace status lists the sites that are shut", "steps", l.skipped)
		}
		l.minute, l.said, l.skipped = now, 0, 0
	}
	if l.said++; l.said > maxSiteLines {
		l.skipped++
		return false
	}
	return true
}

// gate is the gate with the replies that wait at it.
func (o overview) gate() console.Gate {
	held, since := o.d.hold.Held()
	return console.Gate{GateStatus: o.d.gate.Status(), Held: held, HeldSince: since}
}
