package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/licence"
	"github.com/millrace/millrace/relay/stream"
	"github.com/millrace/millrace/relay/tally"
)

// keptAllowance is the name under which the state directory has what the meter keeps.
const keptAllowance = "allowance"

// allowance is the meter, with the licence that it was given last.
type allowance struct {
	*licence.Meter
	client  *licence.Client
	log     hclog.Logger
	events  *stream.Stream
	text    []byte // of the licence in force, guarded by Daemon.turn; nil: there is none
	licence *licence.Licence
}

// newAllowance makes the meter. It begins in Start, when the counter knows what was sent before.
func (d *Daemon) newAllowance(cfg *config.Config) (*allowance, error) {
	a := &allowance{log: d.log.Named("allowance"), events: d.events}
	kept, unread := d.agent.Stored(keptAllowance)
	deps := licence.Deps{
		Counter: counted{d.tally}, Store: func(data []byte) error { return d.agent.Store(keptAllowance, data) }, Hostname: cfg.Hostname,
		Warn: a.warn, Say: a.say,
	}
	var err error
	if a.Meter, err = licence.NewMeter(deps, kept, unread); err != nil {
		a.log.Error("allowance", "error", err)
	}
	a.client = licence.NewClient(a.Meter, console.ReadBuild().String())
	return a, a.reload(cfg, time.Now())
}

// warn tells that much of an allowance is used.
func (a *allowance) warn(w licence.Warning) {
	args := []any{"tenant", w.Tenant, "of", w.Span.String(), "by", w.By, "sent", w.Used, "waiting", w.Left, "limit", w.Limit}
	if !w.Resets.IsZero() {
		args = append(args, "resets", w.Resets.Format(time.RFC3339))
	}
	a.log.Warn(w.String(), args...)
	a.events.Allowance(w.Tenant, w.Percent, int64(w.Used), int64(w.Limit), w.String())
}

func (a *allowance) say(text string, err error) {
	if err == nil {
		a.log.Info(text)
		return
	}
	a.log.Warn(text, "error", err)
}

// reload gives the meter a configuration and the licence of the state directory. A licence that is refused leaves the one in force.
func (a *allowance) reload(cfg *config.Config, now time.Time) error {
	keys, err := licence.ParseKeys(cfg.Allowance.Keys)
	if err != nil {
		return err
	}
	if err := a.read(cfg, keys, now); err != nil {
		a.log.Error("a licence is refused; the one in force stays, if there is one", "error", err)
	}
	if a.text != nil {
		if _, err := licence.Open(a.text, keys); err != nil { // its key was taken out of the configuration
			a.text, a.licence = nil, nil
		}
	}
	return a.Reload(cfg.Allowance, a.licence)
}

// read reads the licence of the state directory. One whose time is over, or not come, is refused if another is in force: at a start there is
// none, and the meter says what has become of it.
func (a *allowance) read(cfg *config.Config, keys []licence.PublicKey, now time.Time) error {
	if len(keys) == 0 {
		a.text, a.licence = nil, nil
		return nil
	}
	path := filepath.Join(cfg.StateDir, licence.FileName)
	text, err := licence.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		a.text, a.licence = nil, nil
		return nil
	}
	if err != nil || bytes.Equal(text, a.text) {
		return err
	}
	l, err := licence.Open(text, keys)
	if err == nil && a.licence != nil {
		err = l.Check(now, cfg.Hostname, a.Status().Installation)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	a.text, a.licence = text, &l
	return nil
}

// allowance is the allowance as the console has it; nil without one.
func (o overview) allowance() *console.Allowance {
	s := o.d.allowance.Status()
	if s.Installation == "" {
		return nil
	}
	v := &console.Allowance{Installation: s.Installation, Limits: len(s.Usage), Error: s.StoreError}
	for _, u := range s.Usage[:min(len(s.Usage), console.MaxUsage)] {
		v.Usage = append(v.Usage, console.Usage{
			Tenant: u.Tenant, Span: u.Span.String(), By: u.By, Used: u.Used, Left: u.Left, Limit: u.Limit, Resets: unixOr0(u.Resets), Full: u.Full,
		})
	}
	if l := s.Licence; l != nil {
		v.Licence = &console.Licence{Licensee: l.Licensee, Serial: l.Serial, Expires: l.Expires.Unix(), State: s.Phase, Until: s.GraceUntil.Unix()}
	}
	if s.Server != "" {
		v.Server = &console.LicenceServer{URL: s.Server, Answer: unixOr0(s.ServerAt), Error: s.ServerError}
		if s.Slice != nil {
			v.Server.Slice, v.Server.Expires = s.Slice.Serial, s.Slice.Expires.Unix()
		}
	}
	return v
}

// usedUp are the reasons for which mail is left with the MTA now, at most one for all mail and maxHeldTenants for tenants.
func (o overview) usedUp() (all []relay.ReasonStatus) {
	refusing := o.d.allowance.Status().Refusing
	for _, why := range refusing[:min(len(refusing), 1+maxHeldTenants)] {
		why.Text = "bulk mail is left with the MTA: " + why.Text
		all = append(all, why.Status())
	}
	return all
}

// unixOr0 is a time as JSON has it.
func unixOr0(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// counted is the licence.Counter of the counters that go on over a restart.
type counted struct{ *tally.Tally }

// Used implements licence.Counter.
func (c counted) Used(tenant string) (sent, left uint64) {
	n := c.Installation()
	if tenant != "" {
		n = c.Counts(tenant)
	}
	return uint64(n.Sent), uint64(n.Left)
}
