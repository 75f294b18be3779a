package daemon

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/snapshot"
)

// Machine is all that the daemon asks of the machine it runs on, but for the time and the standard error. A nil field stands for
// the real machine. The simulation in test/sim gives every field: a whole daemon then runs without a socket and without a file.
// The names in the configuration (addresses, paths) go through as they stand there, so that a machine may have its own.
type Machine struct {
	// ListenDoor opens one listen address of a door.
	ListenDoor func(access *filter.Access, spec string) (net.Listener, error)
	// ListenControl opens the control socket.
	ListenControl func(cfg console.Config) (net.Listener, error)
	// Dial connects to a receiver, or to the MTA at bounce.inject. The source address stands in the dialer.
	Dial func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error)
	// DialDNS opens a socket to a name server, "udp" or "tcp". It must not wait for a UDP socket.
	DialDNS func(ctx context.Context, network, addr string) (net.Conn, error)
	// OpenState opens the state directory.
	OpenState func(dir string, cfg snapshot.Config, log hclog.Logger) (*snapshot.Agent, error)
	// Append opens a file of the mail log; what is written goes to its end.
	Append func(path string) (io.WriteCloser, error)
	// Addrs lists the addresses of the machine, loopback left out.
	Addrs func() ([]netip.Addr, error)
	// Memory is how much of it the process may have.
	Memory func() (config.Memory, error)
	// Chance gives a number below n, for what the daemon leaves to chance: how far waits are spread, and which of equally good
	// hosts comes first.
	Chance func(n int) int
	// OpenFiles is how many descriptors the process may have.
	OpenFiles func() (uint64, error)

	// Given are the sockets that the process was started with; nil: none.
	Given *Given
	// Upgrade has the process hand over to the program on disk, by an order of who. It returns before that begins, or with the reason
	// why it cannot. nil: the process cannot be replaced.
	Upgrade func(who string) error
}

// withDefaults fills in the real machine. Dial, DialDNS and Chance stay nil: the packages behind them know the real one.
func (m Machine) withDefaults() Machine {
	if m.ListenDoor == nil {
		m.ListenDoor = (*filter.Access).Bind
	}
	if m.ListenControl == nil {
		m.ListenControl = console.Listen
	}
	if m.OpenState == nil {
		m.OpenState = snapshot.Open
	}
	if m.Append == nil {
		m.Append = appendTo
	}
	if m.Addrs == nil {
		m.Addrs = route.LocalAddrs
	}
	if m.Memory == nil {
		m.Memory = func() (config.Memory, error) { return config.ReadMemory(os.DirFS("/")) }
	}
	if m.OpenFiles == nil {
		m.OpenFiles = openFiles
	}
	return m
}

// wire is the settings of every outbound connection on this machine.
func (m Machine) wire(cfg *config.Config) smtp.Config {
	wire := cfg.Wire()
	wire.Dial = m.Dial
	return wire
}
