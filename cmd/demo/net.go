package demo

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// domain is one receiving domain.
type domain struct {
	name string
	kind string // one word for its character
	addr string // host:port
}

// internet holds all receivers: a sink with one listener per domain, and one listener that stands for the port at which the
// MTA takes bounces.
type internet struct {
	sink    *sink.Sink
	domains []domain
	mta     string // address of the listener for bounces: at the MTA, or without one at the MX of the return path
}

// mtaListener names the listener for bounces in the sink's ledger, so that the tally tells a bounce from a message.
const mtaListener = "mta"

// dead is the kind of a domain at which nobody listens. Its mail must wait with a reason and must not be lost.
const dead = "dead"

// kinds are the characters of the first domains; all others are fast. Each shows one promise: a slow or dead receiver costs
// only its own mail, a greylisted message is tried again, a refused one is reported to its sender.
var kinds = []struct {
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

// newInternet opens the listeners on free ports of loopback: several demonstrations may run at the same time.
func newInternet(domains int) (*internet, error) {
	s, err := sink.New(sink.Config{})
	if err != nil {
		return nil, err
	}
	n := &internet{sink: s}
	for i := range domains {
		k := kinds[0]
		if i < len(kinds) {
			k = kinds[i]
		}
		if err := n.listen(fmt.Sprintf("%s%d.test", k.kind, i), k.kind, k.is); err != nil {
			n.shutDown()
			return nil, err
		}
	}
	addr, err := s.Listen("127.0.0.1:0", sink.Character{Name: mtaListener})
	if err != nil {
		n.shutDown()
		return nil, err
	}
	n.mta = addr.String()
	return n, nil
}

// listen opens the listener of one more domain. A dead domain gets a port without a listener.
func (n *internet) listen(name, kind string, c sink.Character) error {
	if kind == dead {
		addr, err := closedPort()
		n.domains = append(n.domains, domain{name, kind, addr})
		return err
	}
	c.Name = name
	addr, err := n.sink.Listen("127.0.0.1:0", c)
	if err != nil {
		return err
	}
	n.domains = append(n.domains, domain{name, kind, addr.String()})
	return nil
}

// closedPort finds a port at which nobody listens. Another program could take the port during the demonstration; the dead
// domain would then behave like that program, which is unlikely and does no harm.
func closedPort() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer ln.Close()
	return ln.Addr().String(), nil
}

func (n *internet) shutDown() { n.sink.Close() }

// hop is an address in Postfix's next-hop syntax. The brackets keep the resolver away: the demonstration must work without
// DNS.
func hop(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "[" + host + "]:" + port
}

// socketPath is the milter socket. A unix socket needs no free port, which somebody else could take before the daemon does.
func socketPath(dir string) string { return filepath.Join(dir, "milter.sock") }

// config is the text of the daemon's configuration file. Retries come after seconds and not minutes, so that a
// greylisted message arrives while somebody watches.
func (n *internet) config(dir string, noMTA bool) string {
	door, inject := fmt.Sprintf("milter    = { listen = [%q] }", "unix:"+socketPath(dir)), hop(n.mta)
	if noMTA {
		door, inject = fmt.Sprintf("milter    = { listen = [] }\nsmtpd     = { submission = [%q] }", "unix:"+submissionPath(dir)), "direct"
	}
	var b strings.Builder
	fmt.Fprintf(&b, `hostname  = "demo.millrace.test"
state_dir = %q
mode      = "deliver"
%s
bounce    = { inject = %q }
control   = { socket = %q }
log       = { mail = %q }
retry     = { schedule = ["1s"] }
pool      = { closed_for = ["2s", "5s"] }

[route]
`, filepath.Join(dir, "state"), door, inject, filepath.Join(dir, "control.sock"), filepath.Join(dir, "mail.log"))
	for _, d := range n.domains {
		fmt.Fprintf(&b, "%q = %q\n", d.name, hop(d.addr))
	}
	if noMTA {
		fmt.Fprintf(&b, "%q = %q\n", senderDomain, hop(n.mta))
	}
	return b.String()
}
