package daemon

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/pool"
)

// keptSources is the name under which the state directory has what the sources have spent today.
const keptSources = "sources"

// checkSources wants every [[source]] to be one of this machine's addresses. Mail of a source that cannot send would wait for
// nothing, so the daemon does not start with one. The error is no config.Errors: the address may be set up a moment later,
// and the service manager starts the daemon again.
func (m Machine) checkSources(cfg *config.Config) error {
	if err := pool.ValidateSources(cfg.Source); err != nil || len(cfg.Source) == 0 {
		return err
	}
	own, err := m.Addrs()
	if err != nil {
		return fmt.Errorf("addresses of this host: %w", err)
	}
	var errs []error
	for _, e := range cfg.SourceErrors(own) {
		e.File = cfg.File
		errs = append(errs, errors.New(e.Error()))
	}
	return errors.Join(errs...)
}

// ownNames are the names by which receivers know this host. Mail for a host that has one is not sent there: it would come back.
func ownNames(cfg *config.Config) []string {
	names := []string{cfg.Hostname, cfg.Wire().Hostname}
	for _, s := range cfg.Source {
		if s.Helo != "" && !strings.HasPrefix(s.Helo, "[") {
			names = append(names, s.Helo)
		}
	}
	return names
}

// newSources makes the sources, with what they have spent today. What they spend from now on is in the state directory before
// it is spent, so that a daily plan holds over a kill.
func (d *Daemon) newSources(cfg *config.Config) (*pool.Sources, error) {
	if err := d.machine.checkSources(cfg); err != nil {
		return nil, err
	}
	s, err := pool.CompileSources(cfg.Source, d.machine.wire(cfg))
	if err != nil {
		return nil, err
	}
	kept, unread := d.agent.Stored(keptSources)
	if err := s.Recall(kept, unread, time.Now()); err != nil {
		d.log.Error("warm-up", "error", err)
	}
	s.KeepWith(func(state []byte) error { return d.agent.Store(keptSources, state) })
	return s, nil
}
