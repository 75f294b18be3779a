package smtp

import (
	"context"
	"errors"
	"net"
	"strconv"
)

// errTLS is wrapped by the error of a handshake that failed, or of a session
// that was lost right after it.
var errTLS = errors.New("TLS failed")

// Dial makes a connection to one address and opens the session: banner, EHLO or
// HELO, and TLS as cfg says. When TLS was only an opportunity and fails, it
// connects to the same address again and stays in clear, which
// [Conn.TLSBroken] then reports, and [Conn.TLSFault] explains. ctx bounds all of it; it has no meaning for the
// connection later. The error is an [*Error]. It is never permanent: a reply that
// comes before there is a message says nothing about a message.
func Dial(ctx context.Context, to Addr, cfg *Config) (*Conn, error) {
	c, err := dialOnce(ctx, to, cfg, cfg.TLS)
	if err == nil {
		return c, nil
	}
	var fault *Error
	if !errors.Is(err, errTLS) || !errors.As(err, &fault) || ctx.Err() != nil {
		return nil, err
	}
	c, err = dialOnce(ctx, to, cfg, TLSNone)
	if err != nil {
		return nil, err
	}
	c.tlsFault = fault
	return c, nil
}

func dialOnce(ctx context.Context, to Addr, cfg *Config, mode TLSMode) (*Conn, error) {
	nc, err := connect(ctx, to, cfg)
	if err != nil {
		return nil, &Error{Command: AtConnect, Enhanced: "4.4.1", Err: err}
	}
	return open(ctx, newConn(nc, to, cfg), session{cfg: cfg, mode: mode})
}

// connect opens the TCP connection. It has a time of its own within that of ctx:
// an address that swallows packets must not use up the time of the next address.
func connect(ctx context.Context, to Addr, cfg *Config) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeouts.withDefaults().Connect)
	defer cancel()
	var d net.Dialer
	if local := cfg.localFor(to.AddrPort.Addr()); local != nil {
		d.LocalAddr, d.Control = local, bindLate
	}
	return cfg.Connect(ctx, &d, to.AddrPort.String())
}

// Connect opens the TCP connection by Dial, or by d without it.
func (c *Config) Connect(ctx context.Context, d *net.Dialer, addr string) (net.Conn, error) {
	if c.Dial != nil {
		return c.Dial(ctx, d, "tcp", addr)
	}
	return d.DialContext(ctx, "tcp", addr)
}

// NewConn opens the session over a connection that exists already. It owns nc
// from then on and closes it when it fails. Since it cannot connect again, it
// fails where [Dial] would go on in clear.
func NewConn(ctx context.Context, nc net.Conn, to Addr, cfg *Config) (*Conn, error) {
	return open(ctx, newConn(nc, to, cfg), session{cfg: cfg, mode: cfg.TLS})
}

func newConn(nc net.Conn, to Addr, cfg *Config) *Conn {
	c := &Conn{to: to, timeouts: cfg.Timeouts.withDefaults(), noAhead: cfg.NoLookAhead, batchRoom: 1, sock: nc, nc: nc}
	c.tcp, _ = nc.(*net.TCPConn)
	c.rd.reset(nc)
	return c
}

// open runs the opening dialogue under ctx. The end of ctx closes the connection,
// from a goroutine of the context package; a blocked read or write then fails.
func open(ctx context.Context, c *Conn, s session) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { c.Close() })
	err := s.startDialogue(c)
	if !stop() && err == nil {
		err = lost("", context.Cause(ctx))
	}
	if err == nil {
		return c, nil
	}
	c.Close()
	if cause := context.Cause(ctx); cause != nil {
		return nil, &Error{Command: err.Command, Enhanced: err.Enhanced, Err: cause}
	}
	return nil, err
}

func portString(p uint16) string { return strconv.Itoa(int(p)) }
