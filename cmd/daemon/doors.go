package daemon

import (
	"context"
	"net"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/milter"
	"github.com/millrace/millrace/filter/smtpd"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/bounce"
	"github.com/millrace/millrace/relay/smtp"
)

// smtpdDoor is the SMTP door with the intake that is its own: each door counts for itself.
type smtpdDoor struct {
	door   *smtpd.Door
	intake *filter.Intake
}

// newDoors makes the milter door, and the SMTP door if it has a listener.
func (d *Daemon) newDoors(cfg *config.Config, files shares) (err error) {
	if d.intake, err = d.newIntake(cfg, cfg.Milter.Limits(), d.log.Named("milter")); err != nil {
		return err
	}
	first := cfg.Milter
	first.MaxSessions = files.sessions
	if d.door, err = milter.New(first, d.intake); err != nil {
		return err
	}
	if !cfg.SMTPD.On() {
		return nil
	}
	door := &smtpdDoor{}
	if door.intake, err = d.newIntake(cfg, cfg.SMTPD.Limits(), d.log.Named("smtpd")); err != nil {
		return err
	}
	table := cfg.SMTPD
	table.MaxSessions = files.smtpd
	door.door, err = smtpd.New(table, smtpd.Deps{Intake: door.intake, Hostname: cfg.Hostname, Inform: d.inform, Dial: d.machine.dialMTA})
	if err != nil {
		return err
	}
	d.smtpd = door
	return nil
}

// newIntake makes the part of a door that all doors share. Messages it takes go to the queue map under an id of the agent. Each intake
// has a filter of its own, because the filter counts.
func (d *Daemon) newIntake(cfg *config.Config, limits filter.Limits, log hclog.Logger) (*filter.Intake, error) {
	f, err := filter.Compile(cfg.Bulk, cfg.Hostname, d.agent.Secret())
	if err != nil {
		return nil, err
	}
	tenants, err := filter.CompileTenants(cfg.Tenant)
	if err != nil {
		return nil, err
	}
	return filter.NewIntake(limits, cfg.Mode, filter.Deps{
		Accept: d.queues, NewID: d.agent.NewID, Filter: f, Tenants: tenants, Sendable: smtp.Form.Sendable, Log: log,
		Gate: d.gate, Hold: d.hold, Budget: d.budget, Preflight: d.preflight, Events: witness{d.events},
	})
}

// reloadDoors gives each door the rules and tenants of cfg. They were compiled once already, so that nothing can fail.
func (d *Daemon) reloadDoors(cfg *config.Config, f *filter.Filter, tenants *filter.Tenants) {
	d.intake.Reload(f, tenants, cfg.Mode)
	if d.smtpd == nil {
		return
	}
	own, err := filter.Compile(cfg.Bulk, cfg.Hostname, d.agent.Secret())
	if err != nil {
		d.log.Error("the rules of the SMTP door stay as they were", "error", err)
		return
	}
	d.smtpd.intake.Reload(own, tenants, cfg.Mode)
}

// dialMTA connects to the MTA at smtpd.reinject.
func (m Machine) dialMTA(ctx context.Context, network, addr string) (net.Conn, error) {
	if m.Dial == nil {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	return m.Dial(ctx, &net.Dialer{}, network, addr)
}

// inform tells the sender of recipients whom the MTA behind the SMTP door has refused.
func (d *Daemon) inform(m *relay.Message, refused []smtpd.Refusal) error {
	failures := make([]bounce.Failure, len(refused))
	for i, r := range refused {
		failures[i] = bounce.Failure{
			Rcpt: r.Rcpt, Action: bounce.Failed, Relay: d.Config().SMTPD.Reinject, Time: time.Now(),
			Reply: smtp.Reply{Code: r.Code, Enhanced: r.Enhanced, Lines: []string{r.Text}},
		}
	}
	return d.bounces.Inform(m, failures)
}
