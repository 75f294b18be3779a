package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// errUnanswered is returned when the connection was lost while the message was sent or after it: the server may have
// it.
var errUnanswered = errors.New("no answer to the message")

// refusal is a negative reply.
type refusal struct {
	code int
	text string
}

// Error implements error.
func (r *refusal) Error() string { return r.text }

// client is one SMTP connection. It shares no code with the relay's own client on purpose: a mistake in shared code
// would not be noticed.
type client struct {
	net.Conn
	config *Config
	r      *bufio.Reader
	out    []byte
}

// dial connects and says hello.
func dial(ctx context.Context, c *Config) (*client, error) {
	d := net.Dialer{Timeout: c.Timeout}
	conn, err := d.DialContext(ctx, "tcp", c.Addr)
	for _, addr := range c.Others {
		if err != nil {
			conn, err = d.DialContext(ctx, "tcp", addr)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	cl := &client{Conn: conn, config: c, r: bufio.NewReader(conn)}
	if err = cl.want(220); err == nil {
		err = cl.command(250, "EHLO %s\r\n", c.Hello)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("load: greeting: %w", err)
	}
	return cl, nil
}

// Write sends with the deadline of one write.
func (c *client) Write(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.config.Timeout)); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// want reads one reply. A reply with another code is an error of type refusal.
func (c *client) want(code int) error {
	if err := c.SetReadDeadline(time.Now().Add(c.config.Timeout)); err != nil {
		return err
	}
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("read reply: %w", err)
		}
		got, last, err := parseReply(line)
		if err != nil {
			return err
		}
		if last && got != code {
			return &refusal{got, string(line[:len(line)-1])}
		}
		if last {
			return nil
		}
	}
}

// parseReply returns the code of a reply line, and whether it is the last line of the reply (RFC 5321 section 4.2).
func parseReply(line []byte) (code int, last bool, err error) {
	for i := range 3 {
		if i >= len(line) || line[i] < '0' || line[i] > '9' {
			return 0, false, fmt.Errorf("not a reply: %q", line)
		}
		code = code*10 + int(line[i]-'0')
	}
	return code, len(line) < 4 || line[3] != '-', nil
}

// command sends a line and reads the reply as want does.
func (c *client) command(code int, format string, args ...any) error {
	c.out = fmt.Appendf(c.out[:0], format, args...)
	if _, err := c.Write(c.out); err != nil {
		return fmt.Errorf("write command: %w", err)
	}
	return c.want(code)
}

func (c *client) reset() error { return c.command(250, "RSET\r\n") }

func (c *client) quit() {
	_ = c.command(221, "QUIT\r\n")
	_ = c.Close()
}

// transaction sends one message and returns the accepted recipients. wire is the message with stuffed dots.
func (c *client) transaction(from string, to []string, wire []byte) (accepted []string, err error) {
	if c.config.Pipelining {
		accepted, err = c.envelopeAtOnce(from, to)
	} else {
		accepted, err = c.envelopeInSteps(from, to)
	}
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(wire); err != nil {
		return nil, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	err = c.want(250)
	var refused *refusal
	if err != nil && !errors.As(err, &refused) {
		return nil, fmt.Errorf("%w: %w", errUnanswered, err)
	}
	return accepted, err
}

func (c *client) envelopeInSteps(from string, to []string) (accepted []string, err error) {
	if err := c.command(250, "MAIL FROM:<%s>\r\n", from); err != nil {
		return nil, err
	}
	var refused *refusal
	for _, rcpt := range to {
		err = c.command(250, "RCPT TO:<%s>\r\n", rcpt)
		if err == nil {
			accepted = append(accepted, rcpt)
		} else if !errors.As(err, &refused) || refused.code == 421 {
			return nil, err
		}
	}
	if len(accepted) == 0 {
		return nil, refused
	}
	return accepted, c.command(354, "DATA\r\n")
}

// envelopeAtOnce sends the envelope and DATA in one write. When no recipient was accepted and the server answers 354
// all the same, it gets an empty message (RFC 2920 section 3.1).
func (c *client) envelopeAtOnce(from string, to []string) (accepted []string, err error) {
	c.out = fmt.Appendf(c.out[:0], "MAIL FROM:<%s>\r\n", from)
	for _, rcpt := range to {
		c.out = fmt.Appendf(c.out, "RCPT TO:<%s>\r\n", rcpt)
	}
	if _, err := c.Write(append(c.out, "DATA\r\n"...)); err != nil {
		return nil, fmt.Errorf("write envelope: %w", err)
	}
	var refused *refusal
	mailErr := c.want(250)
	if mailErr != nil && (!errors.As(mailErr, &refused) || refused.code == 421) {
		return nil, mailErr
	}
	for _, rcpt := range to {
		err := c.want(250)
		if err == nil {
			accepted = append(accepted, rcpt)
		} else if !errors.As(err, &refused) || refused.code == 421 {
			return nil, err
		}
	}
	dataErr := c.want(354)
	switch {
	case dataErr != nil && mailErr == nil && len(accepted) > 0:
		return nil, dataErr
	case dataErr != nil && !errors.As(dataErr, new(*refusal)):
		return nil, dataErr
	case mailErr == nil && len(accepted) > 0:
		return accepted, nil
	case dataErr == nil:
		_ = c.command(250, ".\r\n")
	}
	if mailErr != nil {
		return nil, mailErr
	}
	return nil, refused
}
