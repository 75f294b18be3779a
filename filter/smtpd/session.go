package smtpd

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// session is one connection of a client. Only its own goroutine uses it, but for what mu guards.
type session struct {
	door *Door
	nc   net.Conn
	role Role
	peer netip.Addr // zero for a unix socket
	in   *input
	out  []byte // replies that are not written yet: those to pipelined commands go out together

	extended bool // EHLO or LHLO
	lmtp     bool
	tls      bool
	client   filter.Offer // who speaks: the peer, or the client that XCLIENT named
	forward  attributes   // of XFORWARD: where the next messages come from
	login    string       // the user who has logged in, or whom XCLIENT named
	errs     int          // of the client
	idle     int          // commands since the last message
	closing  bool         // no more commands are read
	greeted  bool
	leaving  bool // the connection is handed over, and not closed
	evicted  bool // for another one; guarded by the door's mutex
	halt     filter.Halt

	t       *transaction   // nil between messages
	room    transaction    // the memory of t
	coming  arrival        // the memory of its content
	last    *filter.Mail   // of the message before: its memory is lent to the next
	unheard *relay.Message // taken, and the client has not gone on yet

	mu     sync.Mutex
	busy   bool      // a message is under way
	since  time.Time // when the client was last listened to for a command
	served bool      // a message was answered
	over   bool      // the session has been ended from outside
	taking bool      // a message is being made recoverable, and the client has not been told yet
}

func newSession(d *Door, nc net.Conn, role Role) *session {
	s := &session{door: d, nc: nc, role: role, since: time.Now()}
	s.in = newInput(nc, &s.halt)
	if tcp, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		s.peer = tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	s.client = s.ownClient()
	return s
}

// ownClient is the peer as a client: the name is not looked up, as by Postfix for a client that XCLIENT does not name.
func (s *session) ownClient() filter.Offer {
	o := filter.Offer{Listener: s.role.String(), ClientAddr: s.peer, Direct: s.role == Submission && s.door.upstream == nil}
	if tcp, ok := s.nc.LocalAddr().(*net.TCPAddr); ok {
		o.Port = strconv.Itoa(tcp.Port)
	}
	if !s.peer.IsValid() || s.peer.IsLoopback() {
		o.ClientName = "localhost"
	}
	return o
}

// keeps reports that the client keeps mail for which there is no room, and is asked to try again.
func (s *session) keeps() bool { return s.role == Filter || s.upstream() == nil }

// serve speaks until the connection ends.
func (s *session) serve() {
	defer s.end()
	if !s.greeted {
		s.greet()
	}
	for !s.closing {
		if err := s.next(); err != nil {
			s.complain(err)
			return
		}
	}
	s.flush() // an error says that the client is gone
}

// greet is the first line. "ESMTP" is for clients that look for it; LMTP clients do not mind.
func (s *session) greet() {
	s.greeted = true
	s.say(reply{220, "", s.door.hostname + " ESMTP Millrace"})
}

// say adds a reply to those that wait to be written.
func (s *session) say(r reply) {
	if r.code == 0 {
		return
	}
	if s.rescues() {
		r = r.soft()
	}
	s.out = r.append(s.out)
	if r.blames() {
		s.errs++
	}
}

// flush writes the replies that wait.
func (s *session) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	err := s.nc.SetWriteDeadline(time.Now().Add(s.door.cfg.CommandTimeout))
	if err == nil {
		_, err = s.nc.Write(s.out)
	}
	if s.out = s.out[:0]; cap(s.out) > smallBuffer {
		s.out = nil
	}
	return err
}

var replyLongLine = reply{500, "5.5.2", "line too long"}

var errEvicted = errors.New("stopping")

// next reads a command and obeys it.
func (s *session) next() error {
	if s.in.buffered() == 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	now := time.Now()
	if !s.setBusy(s.t != nil, now) {
		return errEvicted
	}
	line, err := s.readLine(now)
	switch {
	case errors.Is(err, errLongLine):
		s.say(replyLongLine)
		return s.limit()
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.say(reply{421, "4.4.2", s.door.hostname + " timeout"})
		s.flush()
		return err
	case errors.Is(err, filter.ErrHalted):
		if _, idle := s.idleSince(); !idle && s.t == nil { // it has been told to go
			return errEvicted
		}
		if s.flush() == nil {
			s.door.handOn(s)
			s.leaving = true
		}
		return err
	case err != nil:
		return err
	}
	s.touch()
	s.say(s.obey(line))
	return s.limit()
}

// limit hangs up on a client that does nothing but errors, or nothing at all.
func (s *session) limit() error {
	switch {
	case s.errs > s.door.cfg.MaxErrors:
		s.say(reply{421, "4.7.0", s.door.hostname + " too many errors"})
	case s.idle > s.door.cfg.MaxIdle:
		s.say(reply{421, "4.7.0", s.door.hostname + " too many commands without a message"})
	default:
		return nil
	}
	s.door.intake.NoteBroken("client hung up on for errors or idle commands", "peer", s.nc.RemoteAddr(), "errors", s.errs)
	s.closing = true
	return nil
}

// heardWait is how long the client's next command is waited for before a client that says nothing counts as one that has heard of its
// last message. A client that was cut off from the reply has hung up long before. It is less than 2 seconds, after which Postfix closes a
// connection that it has kept for another message, without QUIT.
const heardWait = time.Second

// readLine reads a command. By the way it finds out whether the client has heard that its last message is taken.
func (s *session) readLine(now time.Time) ([]byte, error) {
	until := now.Add(s.door.cfg.CommandTimeout)
	if s.unheard != nil && s.in.buffered() == 0 {
		err := s.in.fill(now.Add(heardWait))
		late := errors.Is(err, os.ErrDeadlineExceeded)
		s.noteHeard(err == nil || late || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) && s.role == Submission)
		if err != nil && !late {
			return nil, err
		}
	}
	s.noteHeard(true)
	if s.portable() {
		s.halt.Allow(s.nc)
		defer s.halt.Allow(nil)
	}
	return s.in.line(until)
}

// noteHeard tells the heart whether the client has heard that its message is taken.
func (s *session) noteHeard(heard bool) {
	if m := s.unheard; m != nil {
		s.unheard = nil
		s.door.intake.NoteHeard(m, heard)
	}
}

// setBusy notes whether a message is under way, and reports whether the session goes on.
func (s *session) setBusy(busy bool, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy, s.since = busy, now
	handing := s.door.handing.Load()
	if !busy && (s.door.evicting.Load() || handing && s.tls || !handing && s.served && s.door.stopping.Load()) {
		s.over = true
	}
	return !s.over
}

// touch notes that a command has come: one that takes long, as STARTTLS, is no waiting.
func (s *session) touch() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.since = time.Now()
}

// evict closes the connection unless a message is under way; then the session ends behind it.
func (s *session) evict() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.busy {
		s.over = true
		s.nc.Close()
	}
}

// evictServed is evict for a session that has brought a message.
func (s *session) evictServed() {
	s.mu.Lock()
	served := s.served
	s.mu.Unlock()
	if served {
		s.evict()
	}
}

// cut closes the connection, unless its client is about to hear that its message is taken.
func (s *session) cut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	if !s.taking {
		s.nc.Close()
	}
}

// sever closes the connection, whatever is under way.
func (s *session) sever() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nc.Close()
}

// setTaking notes that a message is being made recoverable.
func (s *session) setTaking(taking bool) {
	s.mu.Lock()
	s.taking = taking
	s.mu.Unlock()
}

// end gives back what the session holds.
func (s *session) end() {
	s.noteHeard(false)
	s.reset()
}

// complain logs why the connection ends, unless the client closed it between messages or Stop did.
func (s *session) complain(err error) {
	quiet := errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, os.ErrDeadlineExceeded)
	if quiet && s.t == nil || errors.Is(err, errEvicted) || errors.Is(err, filter.ErrHalted) || errors.Is(err, net.ErrClosed) {
		return
	}
	s.door.intake.NoteBroken("connection of a client closed", "error", err, "client", s.client.Client())
}

// obey does what a command says.
func (s *session) obey(line []byte) reply {
	text, bare := bytes.CutSuffix(line, []byte("\r\n"))
	if bare = !bare; bare {
		text = bytes.TrimSuffix(line, []byte("\n"))
	}
	if bare && s.door.cfg.BareNewline == BareReject {
		s.closing = true
		return reply{521, "5.5.2", "bare LF received: a command ends with CR LF"}
	}
	if bytes.ContainsAny(text, "\r\x00") {
		return reply{500, "5.5.2", "a command has no CR and no NUL within"}
	}
	verb, argument, _ := strings.Cut(string(text), " ")
	verb = strings.ToUpper(verb)
	do, known := commands[verb]
	if !known {
		return s.unknown(verb)
	}
	return do(s, strings.Trim(argument, " "))
}

// unknown answers a command that is none. A browser that was made to send mail sends the lines of HTTP first.
func (s *session) unknown(verb string) reply {
	if verb == "GET" || verb == "POST" || verb == "CONNECT" || verb == "PUT" || strings.HasPrefix(verb, "HOST:") {
		s.closing = true
		return reply{221, "2.7.0", "this is no web server"}
	}
	return reply{500, "5.5.2", "command not known"}
}

// startTLS goes on in TLS. What the client has sent in clear behind the command is forgotten: it may be somebody else's.
func (s *session) startTLS() error {
	if s.in.buffered() > 0 {
		s.say(reply{501, "5.5.1", "commands behind STARTTLS"})
		return nil
	}
	s.say(reply{220, "2.0.0", "ready to start TLS"})
	if err := s.flush(); err != nil {
		return err
	}
	secure := tls.Server(s.nc, s.door.tls)
	if err := secure.SetDeadline(time.Now().Add(s.door.cfg.CommandTimeout)); err != nil {
		return err
	}
	if err := secure.Handshake(); err != nil {
		return err
	}
	s.mu.Lock()
	s.nc, s.tls = secure, true
	s.mu.Unlock()
	s.in = newInput(secure, &s.halt)
	s.restart()
	return nil
}

// restart forgets all that the client has said, as behind STARTTLS and XCLIENT.
func (s *session) restart() {
	s.reset()
	s.extended, s.lmtp, s.login = false, false, ""
	s.client.Helo, s.forward = "", attributes{}
}
