package smtpd

import (
	"bytes"
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/millrace/millrace/filter"
)

// fate is what becomes of a recipient.
type fate uint8

const (
	taken   fate = iota // the message is ours for him
	passed              // the MTA gets it for him
	refused             // the client is asked to try again
)

// arrival is the content of a message while it comes. The header is collected; at its end it is decided what becomes of each recipient,
// and from then on the content flows to where it is wanted: into the mail, to the MTA, or to both.
type arrival struct {
	s       *session
	t       *transaction
	dotted  bool // it came by DATA
	decoder decoder

	scratch *[]byte // room for what the decoder makes of the buffer at hand

	inHeader bool
	line     []byte // of the header, while its end has not come
	hiding   bool   // the field under way is not kept: see hidden
	size     int64
	since    time.Time
	decided  time.Time // when the client has sent the end, at the earliest that can be
	held     time.Time // when a long wait began, behind which the end may have lain unread; zero: the client has let us wait since

	fates   []fate   // of t.rcpts, from the end of the header on
	pass    *passage // to the MTA, for those who are passed; nil: none is open
	sent    []int    // for which recipients pass was begun
	said    []reply  // of t.rcpts: what the MTA has said about him; the zero reply while it has said nothing
	refusal reply    // the message is refused as a whole; what comes is dropped
	lost    reply    // the MTA gets the message for nobody: it has refused it, or is gone
	untold  []int    // whom the MTA has refused and the sender must hear of, before the message is answered
	told    []int    // whom he has heard of
}

// newArrival begins the content of t.
func newArrival(s *session, t *transaction, dotted bool) *arrival {
	a := &s.coming
	*a = arrival{
		s: s, t: t, dotted: dotted, decoder: newDecoder(dotted, s.door.cfg.BareNewline == BareReject), inHeader: true, since: time.Now(),
		said: zeroed(a.said, len(t.rcpts)), fates: a.fates, sent: a.sent, scratch: scratches.Get().(*[]byte),
	}
	s.in.beginContent()
	return a
}

// release gives back what the arrival was lent, and forgets all else. Nothing of a message without an answer may be delivered.
func (a *arrival) release() {
	a.abandon()
	scratches.Put(a.scratch)
	*a = arrival{said: emptied(a.said), fates: emptied(a.fates), sent: emptied(a.sent)}
}

// abandon gives up what the MTA has of the message.
func (a *arrival) abandon() {
	if a.pass != nil {
		a.pass.abort()
		a.pass = nil
	}
}

// pieceSize is how much is decoded at a time of what does not go straight into the message.
const pieceSize = 8 << 10

// scratches are lent to messages for what the decoder makes of a piece: it may double when each line ends with a bare LF, and what was
// held back comes before it.
var scratches = sync.Pool{New: func() any { b := make([]byte, 0, 2*pieceSize+8); return &b }}

// readData reads the content behind DATA, to the end or an error of the connection. Then the message has its answer.
func (a *arrival) readData() error {
	s := a.s
	if err := s.flush(); err != nil {
		return err
	}
	for {
		for s.in.buffered() > 0 {
			n, end := a.decode(s.in.buf[s.in.r:s.in.w])
			s.in.r += n
			if end {
				a.conclude()
				return nil
			}
		}
		if err := a.more(); err != nil {
			return err
		}
	}
}

// readChunk is readData for one chunk of BDAT.
func (a *arrival) readChunk(size int64, last bool) error {
	s := a.s
	if a.tooSlow(time.Now()) { // a chunk that has come with its command is not waited for
		return errTooSlow
	}
	for size > 0 {
		if s.in.buffered() == 0 {
			if err := a.more(); err != nil {
				return err
			}
		}
		n, _ := a.decode(s.in.buf[s.in.r:min(s.in.w, s.in.r+int(min(size, largeBuffer)))])
		s.in.r += n
		size -= int64(n)
	}
	if last {
		begun := time.Now()
		a.use(a.decoder.finish((*a.scratch)[:0]), true)
		a.noteWait(begun)
		a.conclude()
	}
	return nil
}

// decode uses up n bytes of what has come; end says that the message ends behind them. The header is decoded by itself, so that most of
// the body goes straight from the connection's buffer into the message.
func (a *arrival) decode(src []byte) (n int, end bool) {
	begun := time.Now()
	defer func() { a.noteWait(begun) }()
	if a.inHeader {
		src = toEmptyLine(src)
	}
	if dst, ok := a.straight(len(src)); ok {
		before := len(dst)
		dst, n, end = a.decoder.decode(dst, src)
		a.size += int64(len(dst) - before)
		a.t.mail.SetBody(dst)
		if a.t.mail.Left() != "" {
			a.changeOver()
		}
		return n, end
	}
	out, n, end := a.decoder.decode((*a.scratch)[:0], src[:min(len(src), pieceSize)])
	a.use(out, end)
	return n, end
}

// toEmptyLine is the beginning of src up to the end of the first empty line. A header may end elsewhere: then the decoder says so.
func toEmptyLine(src []byte) []byte {
	if i := bytes.Index(src, []byte("\r\n\r\n")); i >= 0 {
		return src[:i+4]
	}
	return src
}

// straight reports whether what the next bytes decode to is wanted in the message and nowhere else, and returns the body, which has room
// for it. Near a limit each decoded byte is counted, so nothing goes straight there.
func (a *arrival) straight(bytes int) (body []byte, ok bool) {
	m, worst := a.t.mail, 2*bytes+2
	if a.inHeader || a.pass != nil || a.refusal.code != 0 || m.Left() != "" || a.size+int64(worst) > a.s.door.cfg.MaxSize || !m.BodyFits(worst) {
		return nil, false
	}
	if body, ok = m.BodyRoom(bytes, true); !ok {
		a.changeOver()
	}
	return body, ok
}

var errTooSlow = errors.New("the message comes too slowly")

// tooSlow reports that a message is under way for longer than its size has at min_rate: a byte now and then does not keep it open.
func (a *arrival) tooSlow(now time.Time) bool {
	cfg := &a.s.door.cfg
	return now.Sub(a.since) > cfg.DataTimeout+time.Duration(a.size/cfg.MinRate)*time.Second
}

const (
	// shortWait is more than a read takes when there is something to read.
	shortWait = time.Millisecond
	// longWait is as much of the client's patience as may go unnoticed.
	longWait = time.Second
)

// more reads what comes next.
func (a *arrival) more() error {
	now := time.Now()
	if a.tooSlow(now) {
		return errTooSlow
	}
	err := a.s.in.fill(now.Add(a.s.door.cfg.DataTimeout))
	if time.Since(now) > shortWait {
		a.held = time.Time{}
	}
	return err
}

// lose ends the connection in the middle of a message.
func (s *session) lose(err error) {
	if errors.Is(err, errTooSlow) || errors.Is(err, os.ErrDeadlineExceeded) {
		s.say(reply{421, "4.4.2", s.door.hostname + " timeout in the middle of a message"})
	}
	s.complain(err)
	s.reset()
	s.closing = true
}

// noteWait notes a long wait, since begun, for room or for the MTA: the client may have sent the rest meanwhile, and its patience runs.
func (a *arrival) noteWait(begun time.Time) {
	if a.held.IsZero() && time.Since(begun) > longWait {
		a.held = begun
	}
}

// use is given a decoded piece of the content; end says that it is the last.
func (a *arrival) use(p []byte, end bool) {
	if a.size += int64(len(p)); a.size > a.s.door.cfg.MaxSize {
		a.refuse(a.s.replySize())
	}
	for a.inHeader && a.refusal.code == 0 && len(p) > 0 {
		p = a.headerPiece(p)
	}
	if a.refusal.code != 0 {
		return
	}
	if len(p) > 0 {
		a.body(p, !end)
	}
	if end && a.inHeader { // the empty line has not come
		if !a.t.client.Direct {
			a.t.mail.LeaveForm("no end of the header")
		}
		a.endHeader(nil)
	}
}

// headerPiece uses up one line of the header, or the beginning of one, and returns the rest.
func (a *arrival) headerPiece(p []byte) []byte {
	i := bytes.IndexByte(p, '\n')
	if i < 0 {
		a.line = append(a.line, p...)
		if len(a.line) > a.s.door.cfg.MaxHeaderBytes {
			a.t.mail.HeaderLine(a.line) // is left for its size
			a.overflowHeader(a.line)
			a.line = nil
		}
		return nil
	}
	line := p[:i+1]
	if len(a.line) > 0 {
		line = append(a.line, line...)
		a.line = line[:0]
	}
	a.headerLine(line)
	return p[i+1:]
}

// headerLine is given a line of the header with its CRLF.
func (a *arrival) headerLine(line []byte) {
	text := line[:len(line)-2]
	if len(text) == 0 {
		a.endHeader(line)
		return
	}
	if a.hidden(text) {
		return
	}
	a.t.mail.HeaderLine(text)
	if a.t.mail.Left() != "" {
		a.overflowHeader(line)
	}
}

// hidden reports whether a line belongs to a field that goes no further.
func (a *arrival) hidden(text []byte) bool {
	if text[0] == ' ' || text[0] == '\t' {
		return a.hiding
	}
	name, _, found := bytes.Cut(text, []byte(":"))
	a.hiding = found && a.s.role == Filter && len(name) == len(filter.ReturnField) && bytes.EqualFold(name, []byte(filter.ReturnField))
	return a.hiding
}

// overflowHeader goes on with a message that is left within its header: the MTA gets it as it is, beginning with what was collected
// and the line at hand.
func (a *arrival) overflowHeader(line []byte) {
	a.inHeader = false
	a.leave()
	a.write(a.t.mail.RawHeader())
	a.write(line)
}

// endHeader decides what becomes of each recipient. What the MTA gets has the empty line if the message had one.
func (a *arrival) endHeader(empty []byte) {
	a.inHeader = false
	m := a.t.mail
	m.EndHeader(nil)
	ours := a.whoIsOurs()
	m.AskGate(a.s, func() string { return "" })
	a.decide(ours)
	a.write(m.RawHeader())
	a.write(empty)
}

var crlf = []byte("\r\n")

// whoIsOurs is which recipients may be taken, in the order of RCPT.
func (a *arrival) whoIsOurs() []bool {
	ours := make([]bool, 0, len(a.t.rcpts))
	for _, is := range a.t.mail.Rcpts() {
		ours = append(ours, is)
	}
	return ours
}

// decide sets the fates. before is who could have been taken before the gate was asked.
func (a *arrival) decide(before []bool) {
	m := a.t.mail
	if m.Left() != "" {
		a.leave()
		return
	}
	a.fates = zeroed(a.fates, len(a.t.rcpts))
	some := false
	for i, ours := range a.whoIsOurs() {
		switch {
		case ours:
		case before[i] && a.s.lmtp && a.s.keeps(): // without room
			a.fates[i] = refused
			a.s.putOff(domainOf(a.t.rcpts[i]))
		case a.s.upstream() == nil:
			a.s.putOffFirst()
			a.refuse(replyNoRoom)
			return
		default:
			a.fates[i], some = passed, true
		}
	}
	if some {
		a.open(passed, time.Now().Add(a.s.door.cfg.AnswerTimeout))
	}
}

// leave decides about a message that is not taken at all: it goes to the MTA, or the client is asked to try again.
func (a *arrival) leave() {
	m := a.t.mail
	m.ReportLeft()
	switch up := a.s.upstream(); {
	case m.Refused(), m.NoRoom() && a.s.keeps():
		a.s.putOffFirst()
		a.refuse(replyNoRoom)
	case up == nil && m.OverAllowance():
		a.refuse(replyAllowance)
	case up == nil:
		a.refuse(reply{554, "5.6.0", NotTaken + m.Left()})
	default:
		a.passAll()
	}
}

// replyNoRoom is for a client that keeps its message and tries again. Postfix takes it for a failure of this message alone.
var replyNoRoom = reply{451, "4.3.2", "bulk queue full, try again later"}

// replyAllowance is for a client behind which there is no MTA that could take the message instead.
var replyAllowance = reply{451, "4.3.2", "the allowance is used up, try again later"}

// refuse answers the message as a whole, once its end has come.
func (a *arrival) refuse(r reply) {
	if a.refusal.code != 0 {
		return
	}
	a.refusal = r
	a.abandon()
	a.t.mail.DropContent()
}

// passAll has the MTA get the message for all its recipients.
func (a *arrival) passAll() {
	a.fates = zeroed(a.fates, len(a.t.rcpts))
	for i := range a.fates {
		a.fates[i] = passed
	}
	a.open(passed, time.Now().Add(a.s.door.cfg.AnswerTimeout))
}

// open begins a passage to the MTA for the recipients of that fate. The MTA has until then to ask for the content.
func (a *arrival) open(whose fate, until time.Time) {
	a.abandon()
	a.sent, a.lost, a.untold = a.sent[:0], reply{}, nil
	e := passEnvelope{mail: a.t.from, client: a.t.client, queueID: a.t.queueID, login: a.t.login, forward: a.s.forward}
	for i, f := range a.fates {
		if f == whose {
			a.sent = append(a.sent, i)
			e.rcpts = append(e.rcpts, a.t.rcpts[i])
		}
	}
	ctx, cancel := context.WithDeadline(context.Background(), until)
	defer cancel()
	p, err := a.s.upstream().begin(ctx, e)
	if err != nil {
		a.loseMTA(err)
		return
	}
	ok := false
	if a.lost, ok = a.refusedBy(p.replies()); a.lost.code != 0 || !ok {
		p.abort()
		return
	}
	if err := p.data(until); err != nil {
		p.abort()
		a.loseMTA(err)
		return
	}
	a.pass = p
}

// refusedBy looks at what the MTA says about recipients whom we have told the client "Ok" of, and returns what the client must hear
// instead of it, or the zero reply. LMTP has an answer for each. SMTP has one for all: a message is refused for all when the MTA
// refuses one, because nothing is delivered then, and the client knows it. A temporary refusal comes first: the others get the message
// when it has passed. A client that is an MTA's filter would bounce the message for all: there the others get it, and the sender is told
// of those who are refused, as by an MTA without a filter. ok: the MTA takes the message for somebody.
func (a *arrival) refusedBy(replies []reply) (worst reply, ok bool) {
	clear(a.said)
	var untold []int
	for k, r := range replies {
		if r = r.handedOn(); r.ok() {
			ok = true
			continue
		}
		a.said[a.sent[k]] = r
		untold = append(untold, a.sent[k])
		if worst.code == 0 || r.temporary() && !worst.temporary() {
			worst = r
		}
	}
	if a.s.lmtp && ok {
		return reply{}, true
	}
	if a.s.role == Filter && !a.s.lmtp && a.s.door.inform != nil && !worst.temporary() && len(untold) < len(a.t.rcpts) {
		a.untold = untold
		return reply{}, ok
	}
	return worst, ok
}

var replyLater = reply{451, "4.3.0", "the mail server behind this filter does not answer, try again later"}

// loseMTA notes that the MTA takes nothing now.
func (a *arrival) loseMTA(err error) {
	a.s.door.intake.Warn("the MTA at smtpd.reinject does not take mail: it waits with its client", "error", err, "client", a.t.client.Client())
	a.lost = replyLater
	a.pass = nil
}

// write sends a piece of content to the MTA, if somebody is passed.
func (a *arrival) write(p []byte) {
	if a.pass == nil {
		return
	}
	if _, err := a.pass.Write(p); err != nil {
		a.pass.abort()
		a.loseMTA(err)
	}
}

// body is given a piece of the body. more says that others will follow.
func (a *arrival) body(p []byte, more bool) {
	m := a.t.mail
	if m.Left() == "" {
		if dst, ok := m.BodyRoom(len(p), more); ok {
			m.SetBody(append(dst, p...))
		} else {
			a.changeOver()
		}
	}
	a.write(p)
}

// changeOver passes a message on that cannot be taken after all, with what has come of it.
func (a *arrival) changeOver() {
	a.leave()
	a.write(a.t.mail.RawHeader())
	a.write(crlf)
	a.write(a.t.mail.RawBody())
}
