package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/sink"
)

// Stuck is a Postfix with a backlog, and a Millrace beside it that can rescue it. Each receiver is a listener of the sink with an address
// of its own, which Postfix and Millrace know by a route.
type Stuck struct {
	Sink     *sink.Sink
	Postfix  *mta.Postfix
	Millrace *Millrace
	Door     string // host:port of the door for filters
	Sites    []StuckSite
	Records  []load.Record // of all mail of the backlog that is for the sites

	closers []func() error
}

// StuckSite is one receiver.
type StuckSite struct {
	Domain string
	Kind   string // "healthy", "slow" or "dead": what becomes of it when Thaw is called. Until then none takes mail
	addr   string
}

// StuckSize is the size above which Millrace takes no message of a Stuck.
const StuckSize = 100_000

// NewStuck starts the sink, a Postfix and a Millrace. dead and slow of the sites are that.
func NewStuck(dir, bin string, sites, slow, dead int) (_ *Stuck, err error) {
	s := &Stuck{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if s.Sink, err = sink.New(sink.Config{}); err != nil {
		return nil, err
	}
	s.closers = append(s.closers, s.Sink.Close)
	for i := range sites {
		if err := s.addSite(i, slow, dead); err != nil {
			return nil, err
		}
	}
	if err := s.startPostfix(filepath.Join(dir, "postfix")); err != nil {
		return nil, err
	}
	return s, s.startMillrace(filepath.Join(dir, "millrace"), bin)
}

// addSite makes a receiver that is busy, or not there. The dead come first, then the slow.
func (s *Stuck) addSite(i, slow, dead int) error {
	site := StuckSite{Domain: fmt.Sprintf("d%d.test", i), Kind: "healthy"}
	switch {
	case i < dead:
		site.Kind = "dead"
	case i < dead+slow:
		site.Kind = "slow"
	}
	busy := sink.Character{Name: site.Domain, Faults: []sink.Fault{{Stage: sink.Banner, Do: sink.Reply421, Text: "421 4.7.0 too much mail from you, try again later"}}}
	addr, err := s.Sink.Listen(fmt.Sprintf("127.0.1.%d:0", i+1), busy)
	if err != nil {
		return err
	}
	site.addr = addr.String()
	s.Sites = append(s.Sites, site)
	if site.Kind == "dead" {
		return s.Sink.Shut(site.Domain)
	}
	return nil
}

// hop is the receiver as a next hop.
func (s StuckSite) hop() string { return daemon.NextHop(s.addr) }

// nobody is an address at which nobody listens: a free port may be given to another server.
const nobody = "127.0.1.254:1"

func (s *Stuck) startPostfix(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	commands, err := stuckCommands(dir)
	if err != nil {
		return err
	}
	routes := []string{fmt.Sprintf("{ %s = lmtp:inet:%s }", LocalDomain, nobody)}
	for _, site := range s.Sites {
		routes = append(routes, fmt.Sprintf("{ %s = smtp:%s }", site.Domain, site.hop()))
	}
	p, err := mta.StartPostfix(dir, mta.PostfixConfig{
		Local: map[string]string{LocalDomain: nobody}, Listeners: map[string][]string{"inject": nil},
		Main: map[string]string{"command_directory": commands, "transport_maps": "inline:{\n  " + strings.Join(routes, ",\n  ") + " }", "smtpd_client_connection_count_limit": "0"},
	})
	if err != nil {
		return err
	}
	s.Postfix = p
	s.closers = append(s.closers, p.Stop)
	return nil
}

// stuckCommands is a directory with Postfix's commands, in which "postfix" does its work in the file system as this process sees it. So
// a rescue can run where it may not write the queue directory, and have Postfix reload all the same.
func stuckCommands(dir string) (string, error) {
	bin := filepath.Join(dir, "commands")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", err
	}
	real, err := exec.LookPath("postfix")
	if err != nil {
		real = "/usr/sbin/postfix"
	}
	all, err := filepath.Glob(filepath.Join(filepath.Dir(real), "post*"))
	if err != nil {
		return "", err
	}
	for _, command := range all {
		if command == real {
			continue
		}
		if err := os.Symlink(command, filepath.Join(bin, filepath.Base(command))); err != nil {
			return "", err
		}
	}
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter --mount=/proc/%d/ns/mnt %s \"$@\"\n", os.Getpid(), real)
	return bin, os.WriteFile(filepath.Join(bin, "postfix"), []byte(script), 0o755)
}

// ReadOnly has a command run where Postfix's queue directory cannot be written, not even by root.
func (s *Stuck) ReadOnly(cmd *exec.Cmd) *exec.Cmd {
	queue := filepath.Join(s.Postfix.Dir, "queue")
	script := `mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && ! touch "$0/proof" 2>/dev/null && exec "$@"`
	jailed := exec.Command("unshare", append([]string{"--mount", "--propagation", "private", "sh", "-c", script, queue}, cmd.Args...)...)
	jailed.Env = cmd.Env
	return jailed
}

func (s *Stuck) startMillrace(dir, bin string) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if s.Door, err = process.FreeAddr(); err != nil {
		return err
	}
	inject := s.Postfix.Listener("inject")
	var hops, routes []string
	for _, site := range s.Sites {
		hops = append(hops, fmt.Sprintf("%q", site.hop()))
		routes = append(routes, fmt.Sprintf("%q = %q", site.Domain, site.hop()))
	}
	s.Millrace, err = NewMillrace(bin, dir, inject, fmt.Sprintf(`
bulk.next_hops = [%s]
bulk.size_limit = %d
retry.schedule = ["10s"]
[smtpd]
filter = ["inet:%s"]
reinject = %q
[route]
%s
`, strings.Join(hops, ", "), StuckSize, s.Door, daemon.NextHop(inject), strings.Join(routes, "\n")))
	if err != nil {
		return err
	}
	if err := s.Millrace.Start(); err != nil {
		return err
	}
	s.closers = append(s.closers, func() error {
		if s.Millrace.Over() {
			return nil
		}
		return s.Millrace.Stop(patience)
	})
	return nil
}

// Fill hands in mail for all sites until Postfix has deferred it, and a few messages that no rescue may carry: for a domain of this host,
// and above StuckSize.
func (s *Stuck) Fill(ctx context.Context, messages, local, large int) error {
	var domains []string
	for _, site := range s.Sites {
		domains = append(domains, site.Domain)
	}
	for _, c := range []load.Config{
		{Messages: messages, Domains: domains, MinSize: 2000, Prefix: "m", VERP: true, Plain: 0.3},
		{Messages: local, Domains: []string{LocalDomain}, MinSize: 2000, Prefix: "local"},
		{Messages: large, Domains: domains[:1], MinSize: 2 * StuckSize, Prefix: "large"},
	} {
		if c.Messages == 0 {
			continue
		}
		c.Addr = s.Postfix.Addr
		report, err := load.Run(ctx, c)
		if err != nil {
			return err
		}
		if c.Prefix != "local" {
			s.Records = append(s.Records, report.Records...)
		}
	}
	return s.await(ctx, messages+local+large)
}

// await waits until so many messages are deferred.
func (s *Stuck) await(ctx context.Context, n int) error {
	for {
		list, err := s.Postfix.Queue()
		if err != nil {
			return err
		}
		waiting := 0
		for _, q := range list {
			if q.Queue == "deferred" {
				waiting++
			}
		}
		if waiting >= n {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d messages are deferred: %w", waiting, n, ctx.Err())
		case <-time.After(time.Duration(200+len(list)/4) * time.Millisecond):
		}
	}
}

// Thaw makes the receivers take mail again, but for the dead ones.
func (s *Stuck) Thaw() error {
	for _, site := range s.Sites {
		c := sink.Character{Name: site.Domain}
		switch site.Kind {
		case "dead":
			continue
		case "slow":
			c.DotDelay = 100 * time.Millisecond
		}
		if err := s.Sink.Change(site.Domain, c); err != nil {
			return err
		}
	}
	return nil
}

// Command is "millrace rescue" for this Postfix.
func (s *Stuck) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(s.Millrace.Bin, append([]string{"rescue", "--mta-dir", s.Postfix.ConfigDir()}, args...)...)
	cmd.Env = append(os.Environ(), "MILLRACE_CONFIG="+s.Millrace.Config(), "MILLRACE_SOCKET="+s.Millrace.Socket())
	return cmd
}

// Settings are main.cf and master.cf as they are now.
func (s *Stuck) Settings() (string, error) {
	var all string
	for _, name := range []string{"main.cf", "master.cf"} {
		text, err := os.ReadFile(filepath.Join(s.Postfix.ConfigDir(), name))
		if err != nil {
			return "", err
		}
		all += string(text)
	}
	return all, nil
}

// Close ends all parts.
func (s *Stuck) Close() error {
	var err error
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	s.closers = nil
	return err
}
