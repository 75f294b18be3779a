package daemon

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/preflight"
)

// newPreflight makes what examines the first message of each campaign, the same for all doors.
func (d *Daemon) newPreflight(cfg *config.Config, note filter.NoteFault) *filter.Preflight {
	return filter.NewPreflight(cfg.Preflight, d.log.Named("preflight"), note)
}

const (
	// examineEvery is how often DNS is asked for the names of the addresses that mail is sent from.
	examineEvery = 24 * time.Hour
	// examineSoon is when it is asked again for want of an answer.
	examineSoon = time.Hour
)

// examineMachine asks DNS each day, and behind each reload, whether the addresses that mail is sent from have the names they should have,
// and has the faults counted with each campaign. No mail waits for it. It ends with ctx.
func (d *Daemon) examineMachine(ctx context.Context) {
	for ctx.Err() == nil {
		again := examineEvery
		if cfg := d.Config(); cfg.Preflight.Enabled {
			sources, err := d.lookUp(ctx, sendingAddrs(cfg, d.machine.Addrs))
			if err == nil {
				d.preflight.SetMachine(preflight.ExamineMachine(sources, cfg.Pool.TLS == "none"))
			} else {
				again = examineSoon // what was known stays
			}
		}
		select {
		case <-ctx.Done():
		case <-d.reloaded:
		case <-time.After(again):
		}
	}
}

// noteReload has examineMachine look again. It never waits.
func (d *Daemon) noteReload() {
	select {
	case d.reloaded <- struct{}{}:
	default:
	}
}

// lookUp completes the sources by what DNS says. An error says that it does not answer.
func (d *Daemon) lookUp(ctx context.Context, sources []preflight.Source) ([]preflight.Source, error) {
	for i := range sources {
		s := &sources[i]
		rev, err := d.resolver.Reverse(ctx, s.Addr)
		if err != nil {
			return nil, err
		}
		s.Names, s.Back = rev.Names, rev.Back
	}
	return sources, nil
}

// sendingAddrs are the addresses that receivers see, with the name that each greets with: those of the configuration, else the only one
// that this machine has of a family. Of several nobody knows which the system chooses, and behind a private one stands another.
func sendingAddrs(cfg *config.Config, own func() ([]netip.Addr, error)) (list []preflight.Source) {
	add := func(addr netip.Addr, helo string) {
		if addr.IsGlobalUnicast() && !addr.IsPrivate() {
			list = append(list, preflight.Source{Addr: addr, Helo: helo})
		}
	}
	name := cfg.Wire().Hostname
	for _, s := range cfg.Source {
		add(s.Address, cmp.Or(s.Helo, name))
		add(s.Address6, cmp.Or(s.Helo, name))
	}
	if len(cfg.Source) > 0 {
		return list
	}
	all, _ := own() // without them there is nothing to ask
	for _, family := range []struct {
		bound netip.Addr
		is    func(netip.Addr) bool
	}{{cfg.SMTP.Local4, netip.Addr.Is4}, {cfg.SMTP.Local6, netip.Addr.Is6}} {
		if family.bound.IsValid() {
			add(family.bound, name)
		} else {
			add(only(all, family.is), name)
		}
	}
	return list
}

// only is the one public address of a family, if there is just one.
func only(all []netip.Addr, is func(netip.Addr) bool) (addr netip.Addr) {
	for _, a := range all {
		switch {
		case !is(a) || !a.IsGlobalUnicast() || a.IsPrivate():
		case addr.IsValid():
			return netip.Addr{}
		default:
			addr = a
		}
	}
	return addr
}
