package milter

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	lib "github.com/emersion/go-milter"

	"github.com/millrace/millrace/filter"
)

// A connection of the MTA lasts as long as its SMTP client's, which may be hours. An MTA whose milter hangs up logs an error and asks
// no milter about that client's next message. So a process that gives way to another one hands the connection over, with the raw
// frames that made its state. The other process reads these frames as if they came from the MTA, and its answers to them go nowhere:
// the MTA has heard them already. The MTA's offer among them is what was granted: the other process keeps to these terms.
//
// A connection can be handed over between two frames, unless header or body of a message have begun. Such a message is ended first.

// maxPast bounds the frames that are kept of a connection: those of an ordinary client are a few hundred bytes.
const maxPast = 8 << 10

// past is what another process must be told of a connection. Only the connection's goroutine uses it.
type past struct {
	offer         []byte
	connect, helo episode
	mail          episode // MAIL and RCPT of the message under way
	content       bool    // more of the message has come, or more than is kept: it must end first
	lost          bool    // CONNECT or HELO are not kept, so the connection cannot be handed over
}

// episode is the frames of one stage: macros and the command behind them.
type episode struct {
	raw   []byte
	whole bool // the command has come: the next frame of the stage begins it anew
}

func (e *episode) add(code lib.Code, payload []byte) {
	if e.whole {
		e.raw = e.raw[:0]
	}
	e.raw, e.whole = appendFrame(e.raw, byte(code), payload), code != lib.CodeMacro
}

// note keeps a frame.
func (p *past) note(code lib.Code, payload []byte) {
	if p.lost {
		return
	}
	stage := code
	if code == lib.CodeMacro && len(payload) > 0 {
		stage = lib.Code(payload[0])
	}
	switch stage {
	case lib.CodeConn:
		p.connect.add(code, payload)
	case lib.CodeHelo:
		p.helo.add(code, payload)
	case lib.CodeMail:
		p.mail.add(code, payload)
	case lib.CodeRcpt:
		p.mail.raw = appendFrame(p.mail.raw, byte(code), payload)
	case lib.CodeAbort:
		p.endMail()
		return
	default:
		p.content = true
		return
	}
	if p.size() > maxPast {
		p.mail.raw, p.content = nil, true
	}
	if p.size() > maxPast {
		*p = past{content: true, lost: true}
	}
}

// endMail forgets the message, which has been answered or aborted. Macros of the next one may have come.
func (p *past) endMail() {
	if p.mail.whole {
		p.mail = episode{raw: p.mail.raw[:0]}
	}
	p.content = false
}

func (p *past) size() int {
	return len(p.offer) + len(p.connect.raw) + len(p.helo.raw) + len(p.mail.raw)
}

// portable reports whether the connection can be handed over now.
func (p *past) portable() bool { return !p.content && !p.lost }

// state is a connection on its way to another process.
type state struct {
	Past   []byte `json:"past,omitempty"`   // frames that were answered
	Unread []byte `json:"unread,omitempty"` // bytes behind them that were read, and belong to a frame that has not come whole
}

// handed is the connection for another process. It is called after the read loop has met filter.ErrHalted.
func (c *conn) handed() (filter.Handed, error) {
	unread, _ := c.frames.in.Peek(c.frames.in.Buffered()) // cannot fail: they are there
	p := &c.past
	text, err := json.Marshal(state{Past: slices.Concat(p.offer, p.connect.raw, p.helo.raw, p.mail.raw), Unread: unread})
	return filter.Handed{Conn: c.nc, State: text}, errors.Join(err, c.nc.SetDeadline(time.Time{}))
}

// halt ends the connection's read loop as soon as the connection can be handed over.
func (c *conn) halt() {
	if c.lost.Load() {
		c.evict()
		return
	}
	c.frames.from.halt.Order()
}

// HandOver accepts no more connections, lets messages under way finish, and returns all connections for another process. Those that
// cannot be handed over are closed, as by Stop; so are those whose message has not ended when ctx does, and then the error is that of
// ctx. The listeners are closed: who wants to go on with them must have a duplicate.
func (d *Door) HandOver(ctx context.Context) ([]filter.Handed, error) {
	d.phase.handing.Store(true)
	d.shut()
	d.serving.Wait() // else one more connection could come
	d.each((*conn).halt)
	ended := d.ended()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		d.cut(ended)
		err = fmt.Errorf("milter: hand over: %w", ctx.Err())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.handed
	d.handed = nil
	return all, err
}

// Resume goes on with a connection that another process has handed over. The connection is the door's from then on, also after an error.
func (d *Door) Resume(h filter.Handed) error {
	var s state
	if h.State != nil {
		if err := json.Unmarshal(h.State, &s); err != nil {
			h.Conn.Close()
			return fmt.Errorf("milter: a connection that was handed over: %w", err)
		}
	}
	if !wholeFrames(s.Past) {
		h.Conn.Close()
		return errors.New("milter: a connection that was handed over: its frames are not whole")
	}
	d.welcome(h.Conn, s)
	return nil
}

// wholeFrames reports whether b ends with the end of a frame.
func wholeFrames(b []byte) bool {
	for len(b) > 0 {
		if len(b) < frameHead {
			return false
		}
		n := binary.BigEndian.Uint32(b)
		if n == 0 || n > maxFrame || int(n) > len(b)-4 {
			return false
		}
		b = b[4+n:]
	}
	return true
}

var errOtherTerms = errors.New("the MTA was told terms that this version does not know")

// asOffer is the frame of an MTA that offers just what was granted.
func (g granted) asOffer() []byte {
	b := binary.BigEndian.AppendUint32(nil, 6)
	b = binary.BigEndian.AppendUint32(b, uint32(g.actions))
	return appendFrame(nil, byte(lib.CodeOptNeg), binary.BigEndian.AppendUint32(b, uint32(g.protocol)))
}
