package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/snapshot"
	"github.com/millrace/millrace/test/sim/disk"
)

// Addresses of the simulated internet. Receivers have those of RFC 2544, which the resolver does not refuse.
var (
	daemonAddr = netip.MustParseAddr("192.0.2.10")
	mtaAddr    = netip.MustParseAddr("192.0.2.20")
	dnsAddr    = netip.MustParseAddr("192.0.2.53")
)

const (
	doorPort   = "192.0.2.10:8895"
	injectPort = "192.0.2.20:10026"
	diskTime   = 2 * time.Millisecond // of a sync
	nearby     = 25 * time.Microsecond
)

// machine is one life of the machine that the daemon runs on, from its start to a stop or a crash. After a crash nothing that the
// daemon of this life does reaches anybody, so that it can be ended while the next life runs.
type machine struct {
	host   host
	disk   *disk.Disk
	daemon *daemon.Daemon
	book   *Ledger
	luck   *luck
	dead   atomic.Bool
}

// boot starts a daemon on a disk.
func (w *World) boot(d *disk.Disk) error {
	cfg, err := w.configuration(nil, w.scenario.toml)
	if err != nil {
		return err
	}
	m := &machine{host: w.net.Join(nearby, append([]netip.Addr{daemonAddr}, w.scenario.addresses...)...), disk: d, book: w.book, luck: w.luck}
	if m.daemon, err = daemon.NewOn(m.parts(), cfg, w.newLog(m)); err != nil {
		return fmt.Errorf("new daemon: %w", err)
	}
	if err := m.daemon.Start(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	w.machine = m
	return nil
}

// newLog is the technical log of a life of the machine. An error in it is a violation, as long as the machine lives: the world does
// nothing that should make the daemon complain so loudly, but for an ill disk.
func (w *World) newLog(m *machine) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Name: "millrace", Level: hclog.Info, Output: complaints{w, m}, TimeFn: time.Now})
}

// complaints reads the technical log.
type complaints struct {
	world   *World
	machine *machine
}

// Write implements io.Writer.
func (c complaints) Write(b []byte) (int, error) {
	if c.world.logs {
		_, _ = os.Stderr.Write(b)
	}
	if !c.machine.dead.Load() && !c.machine.disk.Ill() && bytes.Contains(b, []byte("[ERROR]")) {
		_, text, _ := bytes.Cut(b, []byte("[ERROR]"))
		c.world.violate("the daemon's log says:%s", bytes.TrimRight(text, "\n"))
	}
	return len(b), nil
}

// parts is the machine as the daemon is given it.
func (m *machine) parts() daemon.Machine {
	return daemon.Machine{
		ListenDoor: func(_ *filter.Access, spec string) (net.Listener, error) {
			network, address, err := filter.ParseListen(spec)
			if err != nil {
				return nil, err
			}
			return m.host.Listen(network, address)
		},
		ListenControl: func(cfg console.Config) (net.Listener, error) { return m.host.Listen("unix", cfg.Socket) },
		Dial: func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
			var from netip.Addr
			if a, ok := d.LocalAddr.(*net.TCPAddr); ok {
				from = a.AddrPort().Addr()
			}
			return m.host.Dial(ctx, from, network, addr)
		},
		DialDNS: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return m.host.Dial(ctx, netip.Addr{}, network, addr)
		},
		OpenState: func(_ string, cfg snapshot.Config, log hclog.Logger) (*snapshot.Agent, error) {
			return snapshot.OpenOn(m.disk, cfg, log)
		},
		Append:    func(string) (io.WriteCloser, error) { return m, nil },
		Addrs:     func() ([]netip.Addr, error) { return m.host.Addrs(), nil },
		Memory:    func() (config.Memory, error) { return config.Memory{Bytes: 4 << 30}, nil },
		Chance:    m.luck.draw,
		OpenFiles: func() (uint64, error) { return 1 << 16, nil },
	}
}

// Write implements io.Writer for the mail log. A line is kept, as on a real machine, when the daemon has written it: a power cut
// loses no line here.
func (m *machine) Write(b []byte) (int, error) {
	if m.dead.Load() {
		return 0, syscall.EIO
	}
	m.book.readLog(b)
	return len(b), nil
}

// Close implements io.Closer.
func (m *machine) Close() error { return nil }

// crash ends the life of the machine at once, and returns what the next one finds on the disk.
func (m *machine) crash(power bool, rng *rand.Rand) *disk.Disk {
	next := m.disk.Crash(power, rng)
	m.dead.Store(true)
	m.host.Crash()
	return next
}

// recoverable is whom the next start would find on the disk, and how many messages it would name as doubtful.
func (m *machine) recoverable() (found map[string]bool, doubts int, err error) {
	found = make(map[string]bool)
	agent, err := snapshot.OpenOn(m.disk, snapshot.DefaultConfig(), nil)
	if err != nil {
		return nil, 0, err
	}
	_, err = agent.Recover(func(s relay.Saved) error {
		doubtful := s.Unheard
		for _, n := range s.Nodes {
			doubtful = doubtful || n.Begun
			for _, r := range n.Rcpts {
				found[s.Message.Rcpt(r).Addr] = true
			}
		}
		if doubtful {
			doubts++
		}
		return nil
	})
	return found, doubts, errors.Join(err, agent.Close())
}

// configuration loads the daemon's configuration with more lines and with tables at its end. It goes by way of a file, as every operator's does.
func (w *World) configuration(more, tables []string) (*config.Config, error) {
	segments := "journal.segment_bytes = 4194304" // a scenario of hours fills some of them
	if slices.ContainsFunc(w.scenario.config, func(line string) bool { return strings.HasPrefix(line, "journal.segment_bytes") }) {
		segments = ""
	}
	text := fmt.Sprintf(`hostname = "mail.sim.test"
state_dir = "/state"
mode = "deliver"
milter.listen = ["inet:%s"]
milter.allow = ["192.0.2.0/24"]
bounce.inject = "[192.0.2.20]:10026"
control.socket = "/control.sock"
log.mail = "/mail.log"
history.keep = "off"
dns.servers = ["%s"]
%s
%s
%s
%s
`, doorPort, dnsAddr, segments+"\n"+w.scenario.smtpdConfig(), strings.Join(w.scenario.config, "\n"), strings.Join(more, "\n"), strings.Join(tables, "\n"))
	path := filepath.Join(w.dir, "millrace.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, err
	}
	return config.Load(path)
}
