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
		Draining: d.draining, Allowance: d.allowance, Changed: log.note,
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

// gateLog writes a line for each step of a gate, so many a minute: those of all mail, of sites and of tenants by themselves. A list has a
// million domains, and an outage closes all of them; and under a steady load the gate opens and closes with each message that leaves.
type gateLog struct {
	log hclog.Logger

	mu sync.Mutex
	of map[string]*gateLines
}

// gateLines are the lines of one kind in a minute.
type gateLines struct {
	minute        time.Time
	said, skipped int
}

// maxGateLines is how many lines of one kind there may be in a minute.
const maxGateLines = 20

func (l *gateLog) note(c relay.GateChange) {
	if !l.mayTell(c.Of, time.Now()) {
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

// mayTell reports whether a line may be written now. The first line of a minute says how many were left out before.
func (l *gateLog) mayTell(of string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.of == nil {
		l.of = make(map[string]*gateLines)
	}
	if l.of[of] == nil {
		l.of[of] = &gateLines{}
	}
	lines := l.of[of]
	if now.Sub(lines.minute) >= time.Minute {
		if lines.skipped > 0 {
			l.log.Info("the gate took more steps than are told; millrace status shows how it is now", "of", of, "steps", lines.skipped)
		}
		*lines = gateLines{minute: now}
	}
	if lines.said++; lines.said > maxGateLines {
		lines.skipped++
		return false
	}
	return true
}

// gate is the gate with the replies that wait at it.
func (o overview) gate() console.Gate {
	held, since := o.d.hold.Held()
	return console.Gate{GateStatus: o.d.gate.Status(), Held: held, HeldSince: since}
}
