package route

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"
)

// lookEvery is how often the surroundings are looked at again. A domain of this
// host's own must not bounce, or be sent out, for longer than that after an
// address has moved to another host or come from there.
const lookEvery = time.Minute

// surroundings is what the resolver reads of the machine it runs on: the name
// servers of resolv.conf, when the configuration names none, and this host's
// addresses. Only New and the goroutine of watch touch it.
type surroundings struct {
	r       *Resolver
	client  *client // nil in tests without name servers
	file    string
	servers []netip.AddrPort
	trouble string // the last error, which is logged once
}

// watch looks around each minute, until ctx is done. It reads a file and asks
// the kernel without a lock, so that no lookup waits for it.
func (s *surroundings) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.logTrouble(s.look())
		}
	}
}

// logTrouble logs an error when it comes and when it goes. What was known before
// stays in force.
func (s *surroundings) logTrouble(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	switch {
	case text == s.trouble:
	case text != "":
		s.r.log.Warn("cannot look at this host again; name servers and own addresses stay as they were", "error", err)
	default:
		s.r.log.Info("this host can be looked at again")
	}
	s.trouble = text
}

// look reads everything and takes over what has changed.
func (s *surroundings) look() error {
	return errors.Join(s.lookForServers(), s.lookAtAddresses())
}

// lookForServers takes over the name servers.
func (s *surroundings) lookForServers() error {
	if s.client == nil {
		return nil
	}
	now, err := s.r.cfg.servers(s.file)
	if err != nil || slices.Equal(now, s.servers) {
		return err
	}
	if s.servers != nil {
		s.r.log.Info("other name servers", "servers", now, "before", s.servers)
	}
	s.servers = now
	s.client.setServers(now)
	return nil
}

// lookAtAddresses takes over this host's addresses. Answers judged by the old
// ones are then looked up again when they are asked for.
func (s *surroundings) lookAtAddresses() error {
	if s.r.cfg.Local == nil {
		return nil
	}
	local, err := s.r.cfg.Local()
	if err != nil {
		return err
	}
	guard := &s.r.searcher.guard
	now, before := newGuard(s.r.cfg, local...), guard.Load()
	if now.sameAs(before) {
		return nil
	}
	guard.Store(now)
	if len(before.own) > 0 {
		s.r.log.Info("this host's addresses have changed; routes are looked up again", "addresses", local)
	}
	return nil
}
