package route

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// lookEvery is how often the surroundings are looked at again. A domain of this
// host's own must not bounce, or be sent out, for longer than that after an
// address has moved to another host or come from there.
const lookEvery = time.Minute

// surroundings is what the resolver reads of the machine it runs on: the name
// servers of resolv.conf, when the configuration names none, and this host's
// addresses.
type surroundings struct {
	r      *Resolver
	client *client // nil in tests without name servers
	file   string

	mu      sync.Mutex // held while looking: New, Reload and the goroutine of watch look
	servers []netip.AddrPort
	local   []netip.Addr // this host's addresses
	public  []netip.Addr // and those of Config.Names in DNS

	trouble string // the last error, which is logged once; of the goroutine of watch
}

// watch looks around each minute, until ctx is done. It reads a file and asks
// the kernel without a lock, so that no lookup waits for it.
func (s *surroundings) watch(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		s.logTrouble(s.survive(ctx))
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// names are the names to look up, in DNS's spelling.
func (s *surroundings) names() (names []string) {
	for _, n := range s.r.searcher.rules.Load().Names {
		if name, err := Domain(n); err == nil && checkName(name) == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// lookUpNames finds the addresses that this host has in the eyes of others. It
// asks without a lock, and beside the lookups of domains: these are a few
// questions a minute. When one has no answer, what was known stays.
func (s *surroundings) lookUpNames(ctx context.Context) {
	var qs []question
	for _, name := range s.names() {
		qs = append(qs, question{name, dns.TypeA}, question{name, dns.TypeAAAA})
	}
	var public []netip.Addr
	if len(qs) > 0 {
		wait := s.r.searcher.rules.Load().Timeout
		for _, a := range s.r.ex.exchange(ctx, qs, patience{total: 2 * wait, try: wait, tries: 2}) {
			if a.kind.soft() {
				return
			}
			public = append(public, a.addrs...)
		}
	}
	// Some zones give a host the address of its loopback. That would make nothing known.
	public = slices.DeleteFunc(public, func(a netip.Addr) bool { return neverRemote(a.Unmap()) })
	s.mu.Lock()
	s.public = public
	s.mu.Unlock()
}

// survive looks up the names and is look then, and survives a fault of our own,
// which some file or answer may bring about.
func (s *surroundings) survive(ctx context.Context) (err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("internal error, please report it: %v", fault)
			if !s.r.faulty.Swap(true) {
				s.r.log.Error("internal error: please report it", "in", "dns", "panic", fault, "stack", string(debug.Stack()))
			}
		}
	}()
	s.lookUpNames(ctx)
	return s.look()
}

// logTrouble logs an error when it comes and when it goes. What was known before
// stays in force. The goroutine of watch calls it.
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
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.lookForServers(), s.lookAtAddresses(false))
}

// relook is look after the configuration has changed: every answer is judged anew.
func (s *surroundings) relook() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.lookForServers(), s.lookAtAddresses(true))
}

// lookForServers takes over the name servers.
func (s *surroundings) lookForServers() error {
	if s.client == nil {
		return nil
	}
	now, err := s.r.searcher.rules.Load().servers(s.file)
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
func (s *surroundings) lookAtAddresses(anew bool) (err error) {
	cfg, local := s.r.searcher.rules.Load().Config, s.local
	if cfg.Local != nil {
		if local, err = cfg.Local(); err != nil {
			local = s.local
		}
	}
	guard := &s.r.searcher.guard
	now, before := newGuard(cfg, slices.Concat(local, s.public)...), guard.Load()
	if !anew && (err != nil || now.sameAs(before)) {
		return err
	}
	s.local = local
	guard.Store(now)
	if len(before.own) > 0 && !anew {
		s.r.log.Info("this host's addresses have changed; routes are looked up again", "addresses", local, "in_dns", s.public)
	}
	return err
}
