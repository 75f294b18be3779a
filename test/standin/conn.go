package standin

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// Conn is a connection to a filter on behalf of one SMTP client. It is for one goroutine.
type Conn struct {
	opts  Options
	nc    net.Conn
	in    *bufio.Reader
	out   *bufio.Writer
	steps uint32 // the protocol steps that the filter asked for
	lists lists
	buf   []byte

	passed bool // the filter accepted at CONNECT or HELO, and is not asked any more
	headed time.Time
}

// Dial connects to a filter, negotiates, and announces the client.
func Dial(network, addr string, o Options) (*Conn, error) {
	nc, err := net.DialTimeout(network, addr, o.withDefaults().Timeout)
	if err != nil {
		return nil, err
	}
	c, err := New(nc, o)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return c, nil
}

// New is Dial over an existing connection.
func New(nc net.Conn, o Options) (*Conn, error) {
	c := &Conn{opts: o.withDefaults(), nc: nc, in: bufio.NewReader(nc), out: bufio.NewWriterSize(nc, bufferSize(nc))}
	c.lists = defaultLists(o.Flavor)
	if err := c.negotiate(); err != nil {
		return nil, fmt.Errorf("negotiation: %w", err)
	}
	if err := c.connect(); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	if c.passed {
		return c, nil
	}
	return c, c.Hello()
}

// bufferSize is the size of an MTA's write buffer. Postfix makes it as large as a TCP segment, which on the loopback
// interface is 64 KB; for other connections it is 4 KB.
func bufferSize(nc net.Conn) int {
	if _, ok := nc.(*net.TCPConn); ok {
		return 64 << 10
	}
	return 4 << 10
}

// Steps are the protocol steps the filter asked for.
func (c *Conn) Steps() uint32 { return c.steps }

// Headed is when the filter replied to the header of the last message, behind which the body goes.
func (c *Conn) Headed() time.Time { return c.headed }

// Passed reports whether the filter accepted the whole connection, so that it is not asked any more.
func (c *Conn) Passed() bool { return c.passed }

func (c *Conn) negotiate() error {
	var b []byte
	for _, v := range []uint32{c.opts.Version, c.opts.Actions, c.opts.Protocol} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	c.out.Write(AppendFrame(nil, Negotiate, b...))
	code, payload, err := c.read()
	if err != nil {
		return err
	}
	if code != Negotiate || len(payload) < 12 {
		return fmt.Errorf("answer %q of %d bytes", code, len(payload))
	}
	actions := binary.BigEndian.Uint32(payload[4:])
	c.steps = binary.BigEndian.Uint32(payload[8:])
	if extra := actions &^ c.opts.Actions; extra != 0 {
		return fmt.Errorf("the filter asks for actions %#x that were not offered", extra)
	}
	if extra := c.steps &^ c.opts.Protocol; extra != 0 {
		return fmt.Errorf("the filter asks for steps %#x that were not offered", extra)
	}
	if len(payload) == 12 {
		return nil
	}
	if actions&ActSetSymList == 0 {
		return errors.New("list of macros without the action that announces it")
	}
	return c.lists.request(payload[12:], c.opts.Flavor)
}

func (c *Conn) connect() error {
	if c.steps&NoConnect != 0 {
		return nil
	}
	addr, family := c.opts.ClientAddr, byte('4')
	if prefixed(addr) != addr {
		family = '6'
		if c.opts.Flavor == Sendmail {
			addr = prefixed(addr)
		}
	}
	payload := append(CString(c.opts.ClientName), family, 0xC3, 0x50)
	return c.greet(Connect, append(payload, CString(addr)...), NoConnReply)
}

// Hello sends HELO or EHLO. A client repeats it after STARTTLS; Postfix then sends an ABORT after it: see Reset.
func (c *Conn) Hello() error {
	if c.steps&NoHelo != 0 {
		return nil
	}
	return c.greet(Helo, CString(c.opts.Helo), NoHeloReply)
}

// greet sends a command of the connection.
func (c *Conn) greet(code byte, payload []byte, noReply uint32) error {
	c.buf = c.appendMacros(c.buf[:0], code, nil, nil)
	c.buf = AppendFrame(c.buf, code, payload...)
	if _, err := c.out.Write(c.buf); err != nil || c.steps&noReply != 0 {
		return err
	}
	var v Verdict
	if err := c.reply(&v, code); err != nil {
		return err
	}
	c.passed = v.Action == Accept
	return nil
}

// Reset sends the ABORT that follows a RSET or a repeated EHLO.
func (c *Conn) Reset() error {
	_, err := c.out.Write(AppendFrame(nil, Abort))
	return err
}

// Flush sends the contents of the buffer. An MTA does so only when it waits for an answer.
func (c *Conn) Flush() error { return c.out.Flush() }

// NetConn is the connection itself, for bytes that no MTA sends. Call Flush before.
func (c *Conn) NetConn() net.Conn { return c.nc }

// Close quits as an MTA does.
func (c *Conn) Close() error {
	c.out.Write(AppendFrame(nil, Quit))
	c.nc.SetWriteDeadline(time.Now().Add(c.opts.Timeout))
	return errors.Join(c.out.Flush(), c.nc.Close())
}

// read flushes the buffer and reads one frame.
func (c *Conn) read() (code byte, payload []byte, err error) {
	if err := c.nc.SetDeadline(time.Now().Add(c.opts.Timeout)); err != nil {
		return 0, nil, err
	}
	if err := c.out.Flush(); err != nil {
		return 0, nil, err
	}
	return ReadFrame(c.in)
}

// reply reads replies up to the one that answers the command, and records all of them in v.
func (c *Conn) reply(v *Verdict, code byte) error {
	for {
		got, payload, err := c.read()
		if err != nil {
			return fmt.Errorf("reply to %q: %w", code, err)
		}
		switch got {
		case Continue, Accept, Discard, Reject, Tempfail, ReplyCode, Skip:
			v.Action, v.Stage = got, code
			if got == ReplyCode {
				v.Text, err = replyText(payload)
			}
			return err
		case Progress:
			if c.opts.Flavor == Sendmail && code != EndOfBody {
				return fmt.Errorf("progress in answer to %q", code)
			}
			v.Progress++
		case DelRcpt:
			v.Deleted = append(v.Deleted, string(payload[:max(len(payload)-1, 0)]))
		default:
			v.Changed = append(v.Changed, got)
		}
		if got != Progress && code != EndOfBody {
			return fmt.Errorf("change %q in answer to %q: only the end of the message allows it", got, code)
		}
	}
}

// replyText checks a reply text of the filter as Postfix does.
func replyText(payload []byte) (string, error) {
	n := len(payload) - 1
	if n < 4 || payload[n] != 0 || payload[0] != '4' && payload[0] != '5' || payload[3] != ' ' {
		return "", fmt.Errorf("malformed reply %q", payload)
	}
	return string(payload[:n]), nil
}
