package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/millrace/millrace/test/dns"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/sink"
)

// internet is a name server, and receivers on addresses of the loopback network. Port 25 belongs to this machine's own mail
// server, so the receivers share another one, which the daemon's [dns] table names.
type internet struct {
	names *dns.Server
	far   *sink.Sink
	port  string
	sites int // addresses given away
}

func newInternet() (*internet, error) {
	free, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(free)
	if err != nil {
		return nil, err
	}
	far, err := sink.New(sink.Config{})
	if err != nil {
		return nil, err
	}
	names, err := dns.New("")
	if err != nil {
		return nil, errors.Join(err, far.Close())
	}
	return &internet{names: names, far: far, port: port}, nil
}

func (n *internet) close() error { return errors.Join(n.far.Close(), n.names.Close()) }

// config has a daemon send its mail to this internet and nowhere else.
func (n *internet) config() string {
	return fmt.Sprintf("dns.servers = [%q]\ndns.port = %s\ndns.allow = [\"127.0.0.0/8\"]\ndns.ipv4_only = true\n", n.names.Addr(), n.port)
}

// lead gives a new address to the domain name and to all domains below it. Nobody listens there yet.
func (n *internet) lead(name string) (addr string, err error) {
	n.sites++
	ip := fmt.Sprintf("127.10.%d.%d", n.sites/250, n.sites%250+1)
	err = n.names.Add(fmt.Sprintf("%s. MX 10 mx.%[1]s.\n*.%[1]s. MX 10 mx.%[1]s.\nmx.%[1]s. A %s\n", name, ip))
	return net.JoinHostPort(ip, n.port), err
}

// receive is lead to a new receiver, which is known by name too.
func (n *internet) receive(name string, ch sink.Character) (addr string, err error) {
	if addr, err = n.lead(name); err != nil {
		return "", err
	}
	ch.Name = name
	_, err = n.far.Listen(addr, ch)
	return addr, err
}
