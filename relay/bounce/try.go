package bounce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/millrace/millrace/relay/smtp"
)

// Try opens a session at Inject as a delivery does, with connect, greeting and EHLO, and ends it without a message. The
// error names Inject and says what happened there. mta is the name that the MTA gives itself. ctx bounds all of it.
//
// Direct names nobody to try. A name without brackets stands for the hosts to which its MX records lead. Try does not follow them and returns neither:
// the name servers decide about such a next hop, each time anew.
func (c Config) Try(ctx context.Context, wire smtp.Config) (mta string, err error) {
	host, _, err := net.SplitHostPort(c.Inject)
	if err != nil || !strings.HasPrefix(c.Inject, "[") {
		return "", nil // Validate has judged the form
	}
	wire.TLS = smtp.TLSNone // a handshake would say nothing more: a delivery goes on in clear without it
	conn, err := c.connect(ctx, host, &wire)
	if err != nil {
		return "", fmt.Errorf("%s: %w", c.Inject, err)
	}
	conn.Quit()
	return conn.Greeting(), nil
}

func (c Config) connect(ctx context.Context, host string, wire *smtp.Config) (*smtp.Conn, error) {
	nc, err := wire.Connect(ctx, new(net.Dialer), c.Inject)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", fieldWords(err))
	}
	peer := smtp.Addr{Host: host}
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		peer.AddrPort = tcp.AddrPort()
	}
	return smtp.NewConn(ctx, nc, peer, wire)
}

// fieldWords leaves Go's own words out of an error of the network: the address stands in front already.
func fieldWords(err error) error {
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case errors.As(err, &errno):
		return errno
	case errors.As(err, &timeout) && timeout.Timeout():
		return errors.New("no answer")
	}
	return err
}
