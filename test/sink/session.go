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
	l      *listener
	sink   *Sink
	raw    net.Conn // as accepted, and as registered with the listener
	conn   net.Conn // raw, or TLS over it
	secure bool
	open   int // open connections of the listener when this one was accepted
	in     *input
	out    []byte
	hello  string // the client's name; "" until it said HELO or EHLO
	taken  int    // messages accepted here
	tx     transaction

	timeout time.Duration // of one read
	abrupt  bool          // the session ends without waiting for the client
}

func newSession(l *listener, conn net.Conn, open int) *session {
	s := &session{l: l, sink: l.sink, raw: conn, conn: conn, open: open, timeout: l.sink.config.Timeout}
	s.in = newInput(s)
	return s
}

// serve conducts the whole dialogue; it is the body of the goroutine that listener.serve starts.
func (s *session) serve() {
	defer s.l.release(s.raw)
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
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

// reply puts text into out and returns true: the session goes on. text may be several reply lines separated by CRLF.
func (s *session) reply(text string) bool {
	if d := s.l.character.Delay; d > 0 {
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
	if f := s.l.plan.due(Banner); f != nil {
		return s.play(f)
	}
	if s.open > s.l.character.MaxConns {
		return s.last("421 4.7.0 " + s.l.name + " Too many connections")
	}
	return s.reply("220 " + s.l.name + " sink " + s.protocol())
}

func (s *session) protocol() string {
	if s.l.character.LMTP {
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
		s.tx.reset()
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
	if f := s.l.plan.due(EHLO, name); f != nil {
		return s.play(f)
	}
	if (verb == "LHLO") != s.l.character.LMTP {
		return s.reply("500 5.5.1 This is " + s.protocol())
	}
	if name == "" {
		return s.reply("501 5.5.4 Name of the client required")
	}
	s.hello = name
	s.tx.reset()
	if verb == "HELO" {
		return s.reply("250 " + s.l.name)
	}
	return s.reply(s.capabilities())
}

func (s *session) capabilities() string {
	lines := append([]string{s.l.name}, s.l.character.Extensions...)
	if s.l.character.TLS && !s.secure {
		lines = append(lines, "STARTTLS")
	}
	for i := range lines[:len(lines)-1] {
		lines[i] = "250-" + lines[i]
	}
	lines[len(lines)-1] = "250 " + lines[len(lines)-1]
	return strings.Join(lines, "\r\n")
}

func (s *session) startTLS() bool {
	if f := s.l.plan.due(StartTLS, s.hello); f != nil {
		return s.play(f)
	}
	if !s.l.character.TLS || s.secure {
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
	s.tx.reset()
	return true
}

func (s *session) mail(args []byte) bool {
	from, params, ok := parsePath(args, "FROM")
	if f := s.l.plan.due(Mail, from); f != nil {
		return s.play(f)
	}
	switch {
	case s.hello == "":
		return s.reply("503 5.5.1 Say hello first")
	case s.tx.open:
		return s.reply("503 5.5.1 Sender already given")
	case !ok:
		return s.reply("501 5.5.4 Syntax: MAIL FROM:<address>")
	case s.l.character.MessagesPerConn > 0 && s.taken >= s.l.character.MessagesPerConn:
		return s.last("421 4.7.0 " + s.l.name + " Too many messages on this connection")
	case s.l.pace != nil && !s.l.pace.take(time.Now()):
		return s.reply("451 4.7.28 Rate limit exceeded, slow down")
	}
	s.tx.open, s.tx.from, s.tx.params = true, from, params
	return s.reply("250 2.1.0 Ok")
}

func (s *session) rcpt(args []byte) bool {
	to, params, ok := parsePath(args, "TO")
	if f := s.l.plan.due(Rcpt, to); f != nil {
		return s.play(f)
	}
	ch := &s.l.character
	switch {
	case !s.tx.open:
		return s.reply("503 5.5.1 Need MAIL command")
	case !ok || to == "":
		return s.reply("501 5.5.4 Syntax: RCPT TO:<address>")
	case len(s.tx.rcpts) >= ch.MaxRecipients:
		return s.reply("452 4.5.3 Too many recipients")
	case ch.Refuse != nil && ch.Refuse(to):
		return s.reply("550 5.1.1 <" + to + ">: Recipient address rejected: User unknown")
	case s.l.greylist != nil && !s.l.greylist.passes(s.tx.from, to, time.Now()):
		return s.reply("451 4.7.1 <" + to + ">: Greylisted, try again later")
	}
	s.tx.rcpts = append(s.tx.rcpts, recipient{to, params})
	return s.reply("250 2.1.5 Ok")
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
	case !s.l.character.announces("CHUNKING"):
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
	if len(s.l.plan[stage]) == 0 {
		return nil
	}
	return s.l.plan.due(stage, s.tx.subjects()...)
}

// dot answers for the whole message, which is in s.tx.
func (s *session) dot() bool {
	defer s.tx.reset()
	switch {
	case s.tx.tooBig:
		return s.eachRecipient("552 5.3.4 Message size exceeds fixed limit")
	case s.l.character.LMTP:
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
	if s.l.character.LMTP {
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
		faults[i] = s.l.plan.due(Dot, r.addr)
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
