package sink

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"
)

// session is one connection. Replies are collected in out and sent in one write before the session waits for input: one
// write for each pipelined group.
type session struct {
	l       *listener
	sink    *Sink
	raw     net.Conn // as accepted, and as registered with the listener
	conn    net.Conn // raw, or TLS over it
	secure  bool
	greeted bool // MaxConns allowed it; the listener's lock guards this
	parted  bool // it is not counted any more; likewise
	in      *input
	out     []byte
	hello   string // the client's name; "" until it said HELO or EHLO
	taken   int    // messages accepted here
	tx      transaction
	mood    *mood  // of the listener when the last command came
	ended   func() // tells Character.Transaction of the end of tx; nil when tx is not open

	timeout time.Duration // of one read
	abrupt  bool          // the session ends without waiting for the client
}

func newSession(l *listener, conn net.Conn) *session {
	s := &session{l: l, sink: l.sink, raw: conn, conn: conn, mood: l.mood.Load(), timeout: l.sink.config.Timeout}
	s.in = newInput(s)
	return s
}

// serve conducts the whole dialogue; it is the body of the goroutine that listener.serve starts.
func (s *session) serve() {
	defer s.l.release(s)
	defer s.reset()
	alive := s.greet()
	for alive {
		line, err := s.in.line()
		if errors.Is(err, errLongLine) {
			s.reply("500 5.5.2 Line too long")
			break
		}
		if err != nil {
			return
		}
		s.mood = s.l.mood.Load()
		alive = s.command(line)
	}
	s.linger()
}

// lingerTime is how long an ending session waits for the client to read the last reply and hang up.
const lingerTime = 2 * time.Second

// linger sends the last replies and waits for the client to hang up. Closing at once, with commands unread in the
// socket, would reset the connection, and the client could lose the last reply.
func (s *session) linger() {
	if s.flush() != nil || s.abrupt {
		return
	}
	s.l.part(s)
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		s.timeout = lingerTime
		s.hush()
	}
}

// Read is how input reads from the connection. The session waits only here, so here the replies are sent.
func (s *session) Read(p []byte) (int, error) {
	if err := s.flush(); err != nil {
		return 0, err
	}
	if err := s.conn.SetReadDeadline(time.Now().Add(s.timeout)); err != nil {
		return 0, err
	}
	return s.conn.Read(p)
}

func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(s.sink.config.Timeout)); err != nil {
		return err
	}
	if s.mood.Dribble > 0 {
		return s.dribble()
	}
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// dribble is flush for a Character that dribbles.
func (s *session) dribble() error {
	out := s.out
	s.out = s.out[:0]
	for i := range out {
		s.sink.pause(s.mood.Dribble)
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.sink.config.Timeout)); err != nil {
			return err
		}
		if _, err := s.conn.Write(out[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// reset forgets the transaction.
func (s *session) reset() {
	if s.ended != nil {
		s.ended()
		s.ended = nil
	}
	s.tx.reset()
}

// reply puts text into out and returns true: the session goes on. text may be several reply lines separated by CRLF.
func (s *session) reply(text string) bool {
	if d := s.mood.Delay; d > 0 {
		_ = s.flush()
		s.sink.pause(d)
	}
	s.l.counters.replied(text)
	s.out = append(append(s.out, text...), "\r\n"...)
	return true
}

// last puts text into out and returns false: the session ends.
func (s *session) last(text string) bool {
	s.reply(text)
	return false
}

func (s *session) greet() bool {
	if f := s.mood.plan.due(Banner); f != nil {
		return s.play(f)
	}
	if !s.l.greets(s) {
		return s.last("421 4.7.0 " + s.l.name + " Too many connections")
	}
	return s.reply("220 " + s.l.name + " sink " + s.protocol())
}

func (s *session) protocol() string {
	if s.mood.LMTP {
		return "LMTP"
	}
	return "ESMTP"
}

// command answers one command line and reports whether the session goes on.
func (s *session) command(line []byte) bool {
	verb, args, _ := bytes.Cut(line, []byte(" "))
	switch {
	case is(verb, "MAIL"):
		return s.mail(args)
	case is(verb, "RCPT"):
		return s.rcpt(args)
	case is(verb, "DATA"):
		return s.data()
	case is(verb, "BDAT"):
		return s.bdat(args)
	case is(verb, "RSET"):
		s.reset()
		return s.reply("250 2.0.0 Ok")
	case is(verb, "EHLO"), is(verb, "LHLO"), is(verb, "HELO"):
		return s.ehlo(strings.ToUpper(string(verb)), string(bytes.TrimSpace(args)))
	case is(verb, "STARTTLS"):
		return s.startTLS()
	case is(verb, "NOOP"):
		return s.reply("250 2.0.0 Ok")
	case is(verb, "VRFY"):
		return s.reply("252 2.5.0 Send some mail, I will try my best")
	case is(verb, "QUIT"):
		return s.last("221 2.0.0 Bye")
	default:
		return s.reply("500 5.5.2 Command not recognized")
	}
}

func is(verb []byte, name string) bool { return bytes.EqualFold(verb, []byte(name)) }

func (s *session) ehlo(verb, name string) bool {
	if f := s.mood.plan.due(EHLO, name); f != nil {
		return s.play(f)
	}
	if (verb == "LHLO") != s.mood.LMTP {
		return s.reply("500 5.5.1 This is " + s.protocol())
	}
	if name == "" {
		return s.reply("501 5.5.4 Name of the client required")
	}
	s.hello = name
	s.reset()
	if verb == "HELO" {
		return s.reply("250 " + s.l.name)
	}
	return s.reply(s.capabilities())
}

func (s *session) capabilities() string {
	lines := append([]string{s.l.name}, s.mood.Extensions...)
	if s.mood.TLS && !s.secure {
		lines = append(lines, "STARTTLS")
	}
	for i := range lines[:len(lines)-1] {
		lines[i] = "250-" + lines[i]
	}
	lines[len(lines)-1] = "250 " + lines[len(lines)-1]
	return strings.Join(lines, "\r\n")
}

func (s *session) startTLS() bool {
	if f := s.mood.plan.due(StartTLS, s.hello); f != nil {
		return s.play(f)
	}
	if !s.mood.TLS || s.secure {
		return s.reply("502 5.5.1 STARTTLS not available")
	}
	s.reply("220 2.0.0 Ready to start TLS")
	if s.in.buffered() > 0 || s.flush() != nil {
		return false // commands sent ahead in plain text must not be obeyed under TLS (RFC 3207 section 5)
	}
	conn := tls.Server(s.conn, s.sink.tls)
	if err := conn.SetDeadline(time.Now().Add(s.sink.config.Timeout)); err != nil {
		return false
	}
	if err := conn.Handshake(); err != nil {
		return false
	}
	s.conn, s.secure, s.hello = conn, true, ""
	s.in.reset(s)
	s.reset()
	return true
}

func (s *session) mail(args []byte) bool {
	from, params, ok := parsePath(args, "FROM")
	if f := s.mood.plan.due(Mail, from); f != nil {
		return s.play(f)
	}
	switch {
	case s.hello == "":
		return s.reply("503 5.5.1 Say hello first")
	case s.tx.open:
		return s.reply("503 5.5.1 Sender already given")
	case !ok:
		return s.reply("501 5.5.4 Syntax: MAIL FROM:<address>")
	case !s.l.keeps(s):
		return s.last("421 4.7.0 " + s.l.name + " Too many connections")
	case s.mood.MessagesPerConn > 0 && s.taken >= s.mood.MessagesPerConn:
		return s.last("421 4.7.0 " + s.l.name + " Too many messages on this connection")
	case s.mood.pace != nil && !s.mood.pace.take(time.Now()):
		return s.limit("451", "4.7.28 Rate limit exceeded, slow down")
	}
	s.tx.open, s.tx.from, s.tx.params = true, from, params
	if tell := s.mood.Transaction; tell != nil {
		tell(from, true)
		s.ended = func() { tell(from, false) }
	}
	return s.reply("250 2.1.0 Ok")
}

func (s *session) rcpt(args []byte) bool {
	to, params, ok := parsePath(args, "TO")
	if f := s.mood.plan.due(Rcpt, to); f != nil {
		return s.play(f)
	}
	ch := &s.mood.Character
	switch {
	case !s.tx.open:
		return s.reply("503 5.5.1 Need MAIL command")
	case !ok || to == "":
		return s.reply("501 5.5.4 Syntax: RCPT TO:<address>")
	case len(s.tx.rcpts) >= ch.MaxRecipients:
		return s.limit("452", "4.5.3 Too many recipients")
	case ch.Refuse != nil && ch.Refuse(to):
		return s.reply("550 5.1.1 <" + to + ">: Recipient address rejected: User unknown")
	case s.mood.greylist != nil && !s.mood.greylist.passes(s.tx.from, to, time.Now()):
		return s.reply("451 4.7.1 <" + to + ">: Greylisted, try again later")
	}
	s.tx.rcpts = append(s.tx.rcpts, recipient{to, params})
	return s.reply("250 2.1.5 Ok")
}

// limit replies that a limit is reached: with code, or with 421 and the end of the session from a Character that hangs up.
func (s *session) limit(code, text string) bool {
	if s.mood.HangUp {
		return s.last("421 " + text)
	}
	return s.reply(code + " " + text)
}

func (s *session) data() bool {
	if f := s.dueForMessage(Data); f != nil {
		return s.play(f)
	}
	switch {
	case s.tx.chunks > 0:
		return s.reply("503 5.5.1 BDAT may not be mixed with DATA")
	case !s.tx.open || len(s.tx.rcpts) == 0:
		return s.reply("554 5.5.1 No valid recipients")
	}
	s.reply("354 End data with <CR><LF>.<CR><LF>")
	body, err := s.in.message(s.tx.body[:0], s.sink.config.MaxSize)
	s.tx.body = body
	if err != nil && !errors.Is(err, errTooBig) {
		return false
	}
	s.tx.tooBig = err != nil
	return s.dot()
}

// bdat reads one chunk (RFC 3030 section 2). A refused chunk must be read as well, or its text would be taken for
// commands.
func (s *session) bdat(args []byte) bool {
	var size uint32
	var end string
	if n, _ := fmt.Sscanf(string(args), "%d %s", &size, &end); n == 0 || (end != "" && !strings.EqualFold(end, "LAST")) {
		return s.last("501 5.5.4 Syntax: BDAT size [LAST]")
	}
	body, err := s.in.block(s.tx.body, int(size), s.sink.config.MaxSize)
	if err != nil && !errors.Is(err, errTooBig) {
		return false
	}
	switch {
	case !s.mood.announces("CHUNKING"):
		return s.reply("502 5.5.1 BDAT not available")
	case !s.tx.open || len(s.tx.rcpts) == 0:
		return s.reply("554 5.5.1 No valid recipients")
	}
	s.tx.body, s.tx.tooBig = body, s.tx.tooBig || err != nil
	s.tx.chunks++
	if end != "" {
		return s.dot()
	}
	return s.reply("250 2.0.0 Chunk received")
}

// dueForMessage is plan.due with the sender and all recipients as subjects.
func (s *session) dueForMessage(stage Stage) *Fault {
	if len(s.mood.plan[stage]) == 0 {
		return nil
	}
	return s.mood.plan.due(stage, s.tx.subjects()...)
}

// dot answers for the whole message, which is in s.tx.
func (s *session) dot() bool {
	defer s.reset()
	switch {
	case s.tx.tooBig:
		return s.eachRecipient("552 5.3.4 Message size exceeds fixed limit")
	case !s.think():
		return false
	case s.mood.LMTP:
		return s.dotLMTP()
	}
	if f := s.dueForMessage(Dot); f != nil {
		if f.Take {
			s.take()
		}
		return s.play(f)
	}
	s.take()
	s.reply("250 2.0.0 Ok: taken")
	return s.between()
}

// think waits for the Character's DotDelay. It reports false when the Sink closes meanwhile: then the message is not taken.
func (s *session) think() bool {
	d := s.mood.DotDelay
	return d == 0 || s.flush() == nil && s.sink.pause(d)
}

// between plays the fault that is due after an accepted message.
func (s *session) between() bool {
	if f := s.dueForMessage(Between); f != nil {
		return s.play(f)
	}
	return true
}

// eachRecipient replies as often as the protocol demands after a dot: once, or in LMTP once for each recipient.
func (s *session) eachRecipient(text string) bool {
	n := 1
	if s.mood.LMTP {
		n = len(s.tx.rcpts)
	}
	for range n {
		s.reply(text)
	}
	return true
}

// dotLMTP decides and answers for each recipient (RFC 2033 section 4.2). The accepted deliveries are in the ledger
// before the first reply.
func (s *session) dotLMTP() bool {
	faults := make([]*Fault, len(s.tx.rcpts))
	all := s.tx.rcpts
	s.tx.rcpts = nil
	for i, r := range all {
		faults[i] = s.mood.plan.due(Dot, r.addr)
		if faults[i] == nil || faults[i].Take {
			s.tx.rcpts = append(s.tx.rcpts, r)
		}
	}
	if len(s.tx.rcpts) > 0 {
		s.take()
	}
	for i, r := range all {
		if faults[i] == nil {
			s.reply("250 2.0.0 <" + r.addr + "> taken")
		} else if !s.play(faults[i]) {
			return false
		}
	}
	return s.between()
}

// take writes the message to the ledger.
func (s *session) take() {
	s.taken++
	s.l.counters.taken(len(s.tx.rcpts), len(s.tx.body))
	s.sink.ledger.add(arrival{
		listener: s.l.number,
		tls:      s.secure,
		from:     s.tx.from,
		params:   s.tx.params,
		rcpts:    s.tx.rcpts,
		message:  s.tx.body,
	})
}
