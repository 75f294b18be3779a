package milter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/emersion/go-milter"
)

// errStopped ends a connection that Stop has closed, or that cannot be written to.
var errStopped = errors.New("stopping")

// conn is the connection as the library sees it: only the frames it has to answer, each of them well-formed.
//
// Read is called by the library's goroutine alone, and ends with io.EOF whatever the reason: the library would log
// anything else in a log of its own.
type conn struct {
	nc       net.Conn
	door     *Door
	session  *session
	frames   frames
	rest     []byte // of the frame the library is reading
	progress progress
	taking   atomic.Bool // a message is being made recoverable, and the MTA has not been told yet

	wmu    sync.Mutex
	out    []byte // frames that wait for the verdict behind them
	broken bool   // a write has failed

	mu     sync.Mutex
	busy   bool // in a transaction: not to be closed by Stop
	closed bool

	once sync.Once
}

func newConn(d *Door, nc net.Conn) *conn {
	from := &deadlined{nc: nc, idle: d.cfg.IdleTimeout, read: d.cfg.ReadTimeout}
	c := &conn{nc: nc, door: d, frames: frames{in: bufio.NewReader(from), from: from}}
	c.session = newSession(d, c)
	c.progress.conn = c
	return c
}

// negotiate reads the first frame, which must be the MTA's offer, and leaves it for the library.
func (c *conn) negotiate() error {
	code, n, err := c.frames.head()
	if err != nil {
		return err
	}
	if lib.Code(code) != lib.CodeOptNeg {
		return fmt.Errorf("command %q before the negotiation", code)
	}
	payload, err := c.frames.load(code, n)
	if err != nil {
		return err
	}
	if c.session.granted, err = parseOffer(payload); err != nil {
		return err
	}
	c.rest = c.frames.buf
	return nil
}

// Read implements net.Conn.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		if err := c.advance(); err != nil {
			c.complain(err)
			return 0, io.EOF
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// advance reads up to and including the next frame that the library must see.
func (c *conn) advance() error {
	c.session.heard(c.writable())
	for {
		if !c.setBusy(c.session.tx != nil) {
			return errStopped
		}
		code, n, err := c.frames.head()
		if err != nil {
			return err
		}
		if lib.Code(code) == lib.CodeMail && !c.setBusy(true) {
			return errStopped
		}
		if err := c.digest(code, n); err != nil {
			return err
		}
		if c.answered(code) {
			c.rest = c.frames.buf
			return nil
		}
	}
}

// answered reports whether the MTA waits for an answer to this command, which the library then has to give.
func (c *conn) answered(code byte) bool {
	switch lib.Code(code) {
	case lib.CodeMacro:
		return false
	case lib.CodeHeader:
		return !c.session.granted.skips(lib.OptNoHeaderReply)
	case lib.CodeBody:
		return !c.session.granted.skips(lib.OptNoBodyReply)
	}
	return true
}

// digest reads the payload of a frame and gives the session what the library would lose.
func (c *conn) digest(code byte, n int) error {
	if lib.Code(code) == lib.CodeBody {
		// The library needs to answer at most: a chunk of nothing will do for that.
		c.session.macros.begin(code)
		c.frames.put(code, 0)
		return c.session.chunk(n, &c.frames)
	}
	payload, err := c.frames.load(code, n)
	if err != nil {
		return err
	}
	return c.session.digest(code, payload)
}

// maxPending is how many bytes of deletions may wait for their verdict.
const maxPending = 32 << 10

// Write implements net.Conn. A deletion of a recipient waits for what follows it, so that a verdict with all that
// belongs to it is one write. A failure is noted and shows at the next Read.
func (c *conn) Write(p []byte) (int, error) {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if len(p) >= frameHead && p[4] == byte(lib.ActDelRcpt) && len(c.out) < maxPending {
		c.out = append(c.out, p...)
		return len(p), nil
	}
	b := p
	if len(c.out) > 0 {
		b = append(c.out, p...)
		c.out = c.out[:0]
	}
	c.send(b)
	return len(p), nil
}

// send writes with a deadline. The caller holds wmu.
func (c *conn) send(b []byte) {
	if c.broken {
		return
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(c.door.cfg.ReadTimeout))
	if err == nil {
		_, err = c.nc.Write(b)
	}
	if err != nil {
		c.broken = true
		c.door.counts.badConnections.Add(1)
		c.door.warn("writing to the MTA", "error", err)
	}
}

// writable reports whether no write has failed.
func (c *conn) writable() bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return !c.broken
}

// setBusy notes whether a transaction is open and reports whether the connection goes on: not when it was closed, and
// not when it is idle and the door has no more time for idle ones.
func (c *conn) setBusy(busy bool) bool {
	if !c.writable() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !busy && c.door.evicting.Load() {
		return false
	}
	c.busy = busy
	return true
}

// evict closes the connection unless a transaction is open; that one is closed by setBusy when it has ended.
func (c *conn) evict() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.busy {
		c.closed = true
		c.nc.Close()
	}
}

// Close implements net.Conn. The library calls it as the last act of its goroutine.
func (c *conn) Close() error {
	c.once.Do(func() {
		c.session.heard(false) // of what, if anything, is not yet heard of
		c.session.reset()
		c.nc.Close()
		c.door.forget(c)
	})
	return nil
}

// complain logs why the connection ends, unless that is as it should be.
func (c *conn) complain(err error) {
	if errors.Is(err, io.EOF) && c.session.tx == nil || errors.Is(err, errStopped) || errors.Is(err, net.ErrClosed) {
		return
	}
	c.door.counts.badConnections.Add(1)
	c.door.warn("connection of the MTA closed", "error", err, "client", c.session.client())
}

// LocalAddr implements net.Conn.
func (c *conn) LocalAddr() net.Addr { return c.nc.LocalAddr() }

// RemoteAddr implements net.Conn.
func (c *conn) RemoteAddr() net.Addr { return c.nc.RemoteAddr() }

// SetDeadline implements net.Conn. Deadlines are ours: the library sets none.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }
