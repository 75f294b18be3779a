package milter

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
)

// errStopped ends a connection that Stop has closed, or on which a write has failed.
var errStopped = errors.New("stopping")

// conn is the connection as the library sees it: only the frames it has to answer, each of them well-formed.
//
// Only the library's goroutine calls Read. Read ends with io.EOF whatever the reason: the library would write any other
// error to a log of its own.
type conn struct {
	nc       net.Conn
	intake   *filter.Intake
	phase    *phase
	patience time.Duration // how long a write may take
	ended    func(*conn)   // called once, by Close
	session  *session
	frames   frames
	rest     []byte // what the library has not read yet of the present frame
	progress progress
	past     past
	replay   int         // bytes of frames still to come that another process has answered
	muted    atomic.Bool // the present frame is one of them: the MTA has heard the answer
	leaving  bool        // the connection is handed over, and not closed
	lost     atomic.Bool // it cannot be

	wmu    sync.Mutex
	out    []byte // deletions that wait for the verdict behind them
	broken bool   // a write has failed

	mu     sync.Mutex
	busy   bool // a message is under way: evict must not close the connection
	closed bool

	once sync.Once
}

func newConn(cfg *Config, in *filter.Intake, ph *phase, d *drip, nc net.Conn, before state, ended func(*conn)) *conn {
	from := &deadlined{nc: nc, quickAck: quickAck(nc), idle: cfg.IdleTimeout, read: cfg.ReadTimeout, ahead: slices.Concat(before.Past, before.Unread)}
	c := &conn{
		nc: nc, intake: in, phase: ph, patience: cfg.ReadTimeout, ended: ended, replay: len(before.Past),
		frames: frames{in: bufio.NewReader(from), from: from},
	}
	c.progress.peer, c.progress.turn = c, make(chan struct{}, 1)
	c.session = newSession(in, ph, &c.progress, d)
	return c
}

// negotiate reads the first frame, which must be the MTA's offer, and leaves it for the library.
func (c *conn) negotiate() error {
	told := c.replay > 0
	code, n, err := c.head()
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
	c.past.offer = c.session.granted.asOffer()
	if told && !bytes.Equal(c.frames.buf, c.past.offer) {
		return errOtherTerms
	}
	c.rest = c.frames.buf
	return nil
}

// head reads the head of the next frame. Before it waits, the connection can be handed over, if all that came can be told again.
func (c *conn) head() (code byte, n int, err error) {
	c.muted.Store(c.replay > 0)
	code, n, err = c.frames.head(c.replay == 0 && c.past.portable())
	if err == nil && c.replay > 0 {
		c.replay -= frameHead + n
	}
	c.leaving = errors.Is(err, filter.ErrHalted)
	return code, n, err
}

// Read implements net.Conn. It runs on the library's goroutine, which survives no panic: a fault of our own ends the connection,
// and the MTA keeps what it has not heard of.
func (c *conn) Read(p []byte) (n int, err error) {
	defer c.survive(&err)
	if len(c.rest) == 0 {
		if err := c.advance(); err != nil {
			c.complain(err)
			return 0, io.EOF
		}
	}
	n = copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// survive turns a panic into io.EOF, upon which the library closes the connection.
func (c *conn) survive(err *error) {
	if v := recover(); v != nil {
		c.intake.NotePanic(v, debug.Stack())
		*err = io.EOF
	}
}

// advance reads up to and including the next frame that the library must see.
func (c *conn) advance() error {
	c.answerWritten()
	for {
		if !c.setBusy(c.session.mail != nil) {
			return errStopped
		}
		c.watchHeard(heardWait)
		if c.session.mail == nil {
			c.past.endMail()
		}
		code, n, err := c.head()
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

// heardWait is how long the MTA's next frame is waited for before an MTA that says nothing counts as one that has heard.
// Postfix and Sendmail say nothing until their client's next message, which may be an hour away. An MTA that was cut off
// from its answer hangs up at once.
const heardWait = 2 * time.Second

// watchHeard finds out whether the MTA has heard that a message is taken. To have written the answer says nothing: a
// system takes it also when the process that shall read it is gone. The MTA has heard when it goes on: by its next frame,
// be it only QUIT, or by holding the connection open for the time given. It has not when it hangs up. A connection that
// we have closed ourselves hides no answer: the MTA reads what was written before the end.
func (c *conn) watchHeard(wait time.Duration) {
	if c.session.unheard == nil {
		return
	}
	heard := c.writable()
	if heard {
		err := c.frames.probe(wait)
		heard = err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
	}
	c.session.noteHeard(heard)
}

// answerWritten is called when the library has written an answer, or never will. A Stop that has spared this connection
// until now relies on it to be closed here.
func (c *conn) answerWritten() {
	if c.session.taking.Swap(false) && c.phase.cutting.Load() {
		c.nc.Close()
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

// maxMacroFrame bounds a macro frame, of which most may be macros that nobody asked for.
const maxMacroFrame = 64 << 10

// digest reads the payload of a frame and hands it to the session.
func (c *conn) digest(code byte, n int) error {
	if lib.Code(code) == lib.CodeBody {
		// All the library may have to do about a chunk is answer it, and for that an empty one will do.
		c.session.macros.startCommand(code)
		c.frames.putHead(code, 0)
		c.past.note(c.frames.buf)
		return c.session.chunk(n, &c.frames)
	}
	if lib.Code(code) == lib.CodeMacro && n > maxMacroFrame {
		c.session.bar(leftMacros)
		c.past.lost = true
		c.lost.Store(true)
		return c.frames.skip(n)
	}
	payload, err := c.frames.load(code, n)
	if err != nil {
		return err
	}
	if c.past.note(c.frames.buf); c.past.lost {
		c.lost.Store(true)
	}
	return c.session.digest(code, payload)
}

// maxPending is how many bytes of deletions may wait for their verdict.
const maxPending = 32 << 10

// Write implements net.Conn. A deletion of a recipient waits for the frame behind it, so that a verdict and its
// deletions are one write. A failure is noted and ends the next Read.
func (c *conn) Write(p []byte) (n int, err error) {
	defer c.survive(&err)
	if c.muted.Load() {
		return len(p), nil
	}
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
	c.writeOut(b)
	return len(p), nil
}

// writeOut writes with a deadline. The caller holds wmu.
func (c *conn) writeOut(b []byte) {
	if c.broken {
		return
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(c.patience))
	if err == nil {
		_, err = c.nc.Write(b)
	}
	if err != nil {
		c.broken = true
		c.intake.NoteBroken("writing to the MTA", "error", err)
	}
}

// writable reports whether no write has failed.
func (c *conn) writable() bool {
	c.wmu.Lock()
	defer c.wmu.Unlock()
	return !c.broken
}

// setBusy notes whether a message is under way, and reports whether the connection goes on. A connection ends when
// evict has closed it, when a write has failed, and when it becomes idle after the door has lost its patience with idle
// ones.
func (c *conn) setBusy(busy bool) bool {
	if !c.writable() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || !busy && (c.phase.evicting.Load() || c.lost.Load() && c.phase.handing.Load()) {
		return false
	}
	c.busy = busy
	return true
}

// evict closes the connection unless a message is under way; then setBusy ends the connection after the message.
func (c *conn) evict() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.busy {
		c.closed = true
		c.nc.Close()
	}
}

// Close implements net.Conn. The library calls it as the last act of its goroutine. Whatever happens, the connection is closed
// and the door forgets it: a stop waits for that.
func (c *conn) Close() (err error) {
	c.once.Do(func() {
		defer c.ended(c)
		defer func() {
			if !c.leaving {
				c.nc.Close()
			}
		}()
		defer c.survive(&err)
		c.answerWritten()
		c.watchHeard(probeTime)
		c.session.endConnection()
	})
	return nil
}

// complain logs why the connection ends, unless the MTA closed it between messages or Stop did.
func (c *conn) complain(err error) {
	if errors.Is(err, io.EOF) && c.session.mail == nil || errors.Is(err, errStopped) || errors.Is(err, filter.ErrHalted) || errors.Is(err, net.ErrClosed) {
		return
	}
	c.intake.NoteBroken("connection of the MTA closed", "error", err, "client", c.session.client.Client())
}

// hungUp implements peer. It reads, so it must run only while the connection's goroutine waits for Accept.
func (c *conn) hungUp() bool { return c.frames.gone() }

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
