package milter

import (
	"errors"
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

// errQuit ends a connection that the MTA has ended.
var errQuit = errors.New("the MTA says goodbye")

// conn is a connection of the MTA. It reads frames, has its session handle them, and writes the answers. Only the goroutine of
// serve calls its methods, but for evict, halt, write and hungUp.
type conn struct {
	nc       net.Conn
	intake   *filter.Intake
	phase    *phase
	patience time.Duration // how long a write may take
	ended    func(*conn)   // called once, by close
	session  *session
	frames   frames
	progress progress
	past     past
	replay   int         // bytes of frames still to come that another process has answered
	muted    atomic.Bool // the present frame is one of them: the MTA has heard the answer
	leaving  bool        // the connection is handed over, and not closed
	lost     atomic.Bool // it cannot be

	wmu    sync.Mutex  // of writes
	broken atomic.Bool // a write has failed

	mu     sync.Mutex
	busy   bool // a message is under way: evict must not close the connection
	closed bool
}

func newConn(cfg *Config, in *filter.Intake, ph *phase, d *drip, nc net.Conn, before state, ended func(*conn)) *conn {
	from := &deadlined{nc: nc, quickAck: quickAck(nc), idle: cfg.IdleTimeout, read: cfg.ReadTimeout, ahead: slices.Concat(before.Past, before.Unread)}
	c := &conn{
		nc: nc, intake: in, phase: ph, patience: cfg.ReadTimeout, ended: ended, replay: len(before.Past), frames: newFrames(from),
	}
	c.progress.peer, c.progress.turn = c, make(chan struct{}, 1)
	c.session = newSession(in, ph, &c.progress, d)
	return c
}

// serve answers the MTA until the connection ends. A fault of our own ends the connection, and the MTA keeps what it has not heard of.
func (c *conn) serve() {
	defer c.close()
	defer c.survive()
	err := c.negotiate()
	for err == nil {
		err = c.converse()
	}
	c.complain(err)
}

// survive notes a panic, which ends what was under way.
func (c *conn) survive() {
	if v := recover(); v != nil {
		c.intake.NotePanic(v, debug.Stack())
	}
}

// head reads the head of the next frame. Before it waits, the connection can be handed over, if all that came can be told again.
func (c *conn) head() (code lib.Code, n int, err error) {
	told := c.replay > 0
	if told != c.muted.Load() {
		c.muted.Store(told)
	}
	b, n, err := c.frames.head(!told && c.past.portable())
	if err == nil && told {
		c.replay -= frameHead + n
	}
	c.leaving = errors.Is(err, filter.ErrHalted)
	return lib.Code(b), n, err
}

// converse reads one frame and answers it.
func (c *conn) converse() error {
	if err := c.pause(); err != nil {
		return err
	}
	code, n, err := c.head()
	if err != nil {
		return err
	}
	if code == lib.CodeMail && !c.setBusy(true) {
		return errStopped
	}
	r, err := c.handle(code, n)
	if err == nil && r != nil {
		c.answer(r)
	}
	return err
}

// pause is what there is to do between two frames. It returns an error when the connection ends here.
func (c *conn) pause() error {
	if c.session.mail != nil {
		if c.broken.Load() {
			return errStopped
		}
		return nil
	}
	if !c.setBusy(false) {
		return errStopped
	}
	c.watchHeard(heardWait)
	c.past.endMail()
	return nil
}

// maxMacroFrame bounds a macro frame, of which most may be macros that nobody asked for.
const maxMacroFrame = 64 << 10

// handle reads the payload of a frame and hands it to the session. It returns the session's answer, if any.
func (c *conn) handle(code lib.Code, n int) (*reply, error) {
	if code == lib.CodeBody {
		c.past.note(code, nil)
		return c.session.chunk(n, &c.frames)
	}
	if code == lib.CodeMacro && n > maxMacroFrame {
		c.session.bar(leftMacros)
		c.past.lost = true
		c.lost.Store(true)
		return nil, c.frames.skip(n)
	}
	payload, err := c.frames.payload(n)
	if err != nil {
		return nil, err
	}
	if c.past.note(code, payload); c.past.lost {
		c.lost.Store(true)
	}
	return c.session.handle(code, payload)
}

// answer writes the session's answer, and the changes of the message that go with it, at once.
func (c *conn) answer(r *reply) {
	b := r.frame
	if changes := c.session.changes; len(changes) > 0 {
		b = append(changes, b...)
		c.session.changes = nil
	}
	c.write(b)
	c.answerWritten()
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
	heard := !c.broken.Load()
	if heard {
		err := c.frames.probe(wait)
		heard = err == nil || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
	}
	c.session.noteHeard(heard)
}

// answerWritten is called when the answer to the end of a message is written, or never will be. A Stop that has spared this connection
// until now relies on it to be closed here.
func (c *conn) answerWritten() {
	if c.session.taking.Load() && c.session.taking.Swap(false) && c.phase.cutting.Load() {
		c.nc.Close()
	}
}

// write writes with a deadline, unless the MTA has heard it already. A failure is noted, and ends the connection when it goes on.
func (c *conn) write(b []byte) {
	if c.muted.Load() {
		return
	}
	c.wmu.Lock()
	defer c.wmu.Unlock()
	if c.broken.Load() {
		return
	}
	err := c.nc.SetWriteDeadline(time.Now().Add(c.patience))
	if err == nil {
		_, err = c.nc.Write(b)
	}
	if err != nil {
		c.broken.Store(true)
		c.intake.NoteBroken("writing to the MTA", "error", err)
	}
}

// setBusy notes whether a message is under way, and reports whether the connection goes on. A connection ends when
// evict has closed it, when a write has failed, and when it becomes idle after the door has lost its patience with idle
// ones.
func (c *conn) setBusy(busy bool) bool {
	if c.broken.Load() {
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

// close ends the connection, whose goroutine does nothing else any more. Whatever happens, the connection is closed and the door
// forgets it: a stop waits for that.
func (c *conn) close() {
	defer c.ended(c)
	defer func() {
		if !c.leaving {
			c.nc.Close()
		}
	}()
	defer c.survive()
	c.answerWritten()
	c.watchHeard(probeTime)
	c.session.endConnection()
}

// complain logs why the connection ends, unless the MTA closed it between messages or Stop did.
func (c *conn) complain(err error) {
	if errors.Is(err, io.EOF) && c.session.mail == nil || errors.Is(err, errStopped) || errors.Is(err, errQuit) || errors.Is(err, filter.ErrHalted) || errors.Is(err, net.ErrClosed) {
		return
	}
	c.intake.NoteBroken("connection of the MTA closed", "error", err, "client", c.session.client.Client())
}

// hungUp implements peer. It reads, so it must run only while the connection's goroutine waits for Accept.
func (c *conn) hungUp() bool { return c.frames.gone() }
