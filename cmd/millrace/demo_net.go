package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// demoDomain is one receiving domain of the demo.
type demoDomain struct {
	name string
	kind string // its character in a word
	addr string // host:port
}

// demoNet is the internet of the demo: a sink with one listener per domain, and one that stands for the MTA's own port
// for bounces.
type demoNet struct {
	sink    *sink.Sink
	domains []demoDomain
	mta     string // where bounces go
}

// mtaListener names the listener for bounces in the sink's ledger.
const mtaListener = "mta"

// dead is the kind of a domain at which nobody listens.
const dead = "dead"

// demoKinds are the characters of the first domains; all others are fast.
var demoKinds = []struct {
	kind string
	is   sink.Character
}{
	{"fast", sink.Character{}},
	{"slow", sink.Character{Delay: 3 * time.Millisecond}},
	{"greylisting", sink.Character{Greylist: 900 * time.Millisecond}},
	{"refusing", sink.Character{Refuse: sink.Share(0.05)}},
	{"closing", sink.Character{MessagesPerConn: 20}},
	{dead, sink.Character{}},
}

func newDemoNet(domains int) (*demoNet, error) {
	s, err := sink.New(sink.Config{})
	if err != nil {
		return nil, err
	}
	n := &demoNet{sink: s}
	for i := range domains {
		k := demoKinds[0]
		if i < len(demoKinds) {
			k = demoKinds[i]
		}
		if err := n.open(fmt.Sprintf("%s%d.test", k.kind, i), k.kind, k.is); err != nil {
			n.close()
			return nil, err
		}
	}
	addr, err := s.Listen("127.0.0.1:0", sink.Character{Name: mtaListener})
	if err != nil {
		n.close()
		return nil, err
	}
	n.mta = addr.String()
	return n, nil
}

func (n *demoNet) open(name, kind string, c sink.Character) error {
	if kind == dead {
		addr, err := closedPort()
		n.domains = append(n.domains, demoDomain{name, kind, addr})
		return err
	}
	c.Name = name
	addr, err := n.sink.Listen("127.0.0.1:0", c)
	if err != nil {
		return err
	}
	n.domains = append(n.domains, demoDomain{name, kind, addr.String()})
	return nil
}

// closedPort finds a port at which nobody listens.
func closedPort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func (n *demoNet) close() { n.sink.Close() }

// hop is an address in Postfix's next-hop syntax.
func hop(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "[" + host + "]:" + port
}

func demoSocket(dir string) string { return filepath.Join(dir, "milter.sock") }

// config is the daemon's configuration file. Retries come in seconds, so that the demo ends within a minute.
func (n *demoNet) config(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `hostname  = "demo.millrace.test"
state_dir = %q
mode      = "deliver"
milter    = { listen = [%q] }
bounce    = { inject = %q }
control   = { socket = %q }
log       = { mail = %q }
retry     = { schedule = ["1s"] }
pool      = { closed_for = ["2s", "5s"] }

[route]
`, filepath.Join(dir, "state"), "unix:"+demoSocket(dir), hop(n.mta), filepath.Join(dir, "control.sock"), filepath.Join(dir, "mail.log"))
	for _, d := range n.domains {
		fmt.Fprintf(&b, "%q = %q\n", d.name, hop(d.addr))
	}
	return b.String()
}
