package milter

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync/atomic"

	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// session is one connection of the MTA: it holds what belongs to the SMTP client and lasts over many messages. Only the connection's
// goroutine calls its methods.
type session struct {
	intake   *filter.Intake
	phase    *phase
	progress *progress
	drip     *drip
	granted  granted
	enrolled bool // drip counts the connection

	client   filter.Offer // what is known of the client since CONNECT and HELO
	sendmail bool         // the MTA is not Postfix: see the package comment
	macros   macros
	macro    func(string) string // macros.lookup, made once
	held     int                 // bytes of macros that the budget was charged for

	local   bool       // the message did not come by SMTP
	hop     filter.Hop // of the last recipient
	queueID string     // of the last message for which the MTA named one

	mail    *filter.Mail   // nil between messages
	last    *filter.Mail   // its memory is lent to the next
	opening wait           // for Postfix to open its queue file for mail
	final   *reply         // the only answer once mail is taken, unless it drips
	changes []byte         // frames that change mail for the MTA, to be written with the next answer
	drips   bool           // mail is accepted without recipients in place of being discarded
	wakes   bool           // the last answer wakes Postfix's queue manager, and Postfix has not gone on yet
	unheard *relay.Message // taken, and the MTA has not gone on yet: see conn.watchHeard
	taking  atomic.Bool    // a message is being made recoverable, and the MTA has not been told yet; Stop reads it
}

func newSession(in *filter.Intake, ph *phase, p *progress, d *drip) *session {
	s := &session{intake: in, phase: ph, progress: p, drip: d}
	s.macro = s.macros.lookup
	return s
}

// handle handles a frame, but for a piece of the body. It returns the answer, nil where the MTA waits for none, and an error for a
// frame that no correct MTA sends.
func (s *session) handle(code lib.Code, payload []byte) (r *reply, err error) {
	defer s.rescue(code, &r)
	s.macros.startCommand(byte(code))
	s.endOpening(code)
	switch code {
	case lib.CodeMacro:
		return nil, s.storeMacros(payload)
	case lib.CodeConn:
		return s.connect(payload)
	case lib.CodeHelo:
		return s.helo(payload)
	case lib.CodeMail:
		return s.mailFrom(payload)
	case lib.CodeRcpt:
		return s.rcptTo(payload)
	case lib.CodeData:
		return replyContinue, nil
	case lib.CodeHeader:
		return s.field(payload)
	case lib.CodeEOH:
		return s.endHeader(), nil
	case lib.CodeEOB:
		return s.endMessage(payload)
	case lib.CodeAbort: // Postfix aborts after every message and after a repeated EHLO, so the client stays known
		s.reset()
		return nil, nil
	case lib.CodeQuit:
		return nil, errQuit
	}
	return nil, fmt.Errorf("command %q out of place", byte(code))
}

// goOn answers a command whose message goes on, and ends the message if it is left. Where the MTA waits for no answer here, the end of
// the header says so.
func (s *session) goOn(code lib.Code) *reply {
	left := s.mail != nil && s.mail.Left() != ""
	if left {
		s.mail.DropContent() // the MTA has it, and may go on sending us the rest
	}
	switch {
	case !s.granted.waits(code):
		return nil
	case left && !s.returns():
		return s.answerLeft()
	}
	return replyContinue
}

// leftMacros is why nothing is taken of a connection whose macros are not all known.
const leftMacros = "macros that are too long"

// storeMacros keeps the macros that were asked for, and charges the budget for them. A macro that is not kept may be the
// one by which a rule would pass a message, so nothing is taken from the connection any more.
func (s *session) storeMacros(payload []byte) error {
	err := s.macros.store(payload)
	if held := s.macros.memory(); held > s.held {
		if !s.intake.ChargeSession(held - s.held) {
			s.macros.stages, held, err = [len(stageOrder)]stage{}, s.held, errMacrosFull
		}
		s.held = held
	}
	if errors.Is(err, errMacrosFull) {
		s.bar(leftMacros)
		return nil
	}
	return err
}

// bar leaves the message under way with the MTA, and all that follow on this connection.
func (s *session) bar(reason string) {
	s.client.Barred = reason
	s.intake.Warn("nothing is taken from a connection: "+reason, "client", s.client.Client())
	if s.mail != nil {
		s.mail.Leave(reason)
		s.mail.DropContent()
	}
}

// endConnection gives back what the session holds, when its connection has ended.
func (s *session) endConnection() {
	s.reset()
	s.landed()
	s.leaveDrip()
	s.intake.RefundSession(s.held)
	s.held = 0
}

// connect handles CONNECT. An accept here ends the connection: the MTA asks no more about its messages.
func (s *session) connect(payload []byte) (*reply, error) {
	if err := s.readClient(payload); err != nil {
		return nil, err
	}
	s.sendmail = !bytes.HasPrefix(s.macros.sentWith('C', "v"), []byte("Postfix"))
	if a := filter.ParseAddr(string(s.macros.sentWith('C', "client_addr"))); a.IsValid() {
		s.client.ClientAddr = a
	}
	if n := s.macros.sentWith('C', "client_name"); len(n) > 0 {
		s.client.ClientName = string(n)
	}
	if !s.granted.skips(lib.OptHeaderLeadingSpace) && !s.intake.Observing() {
		const reason = "the MTA eats the blank behind a header's colon"
		s.client.Barred = reason
		s.intake.Warn(reason+": nothing is taken from it", "client", s.client.Client())
	}
	offer := s.offer()
	if s.intake.Hopeless(&offer) {
		return replyAccept, nil
	}
	return replyContinue, nil
}

// readClient reads the payload of a CONNECT frame: the client's name, its family, and unless that is unknown its port and address.
// Sendmail writes an IPv6 address with a prefix.
func (s *session) readClient(payload []byte) error {
	name, rest, ok := bytes.Cut(payload, nul)
	if !ok || len(rest) == 0 {
		return errors.New("malformed connect frame")
	}
	s.client.ClientName, s.client.ClientAddr = string(name), netip.Addr{}
	family, rest := rest[0], rest[1:]
	if family != byte(lib.FamilyInet) && family != byte(lib.FamilyInet6) {
		return nil
	}
	if len(rest) < 3 || rest[len(rest)-1] != 0 {
		return errors.New("malformed connect frame")
	}
	s.client.ClientAddr = filter.ParseAddr(string(rest[2 : len(rest)-1]))
	return nil
}

// helo handles HELO. It comes again after STARTTLS.
func (s *session) helo(payload []byte) (*reply, error) {
	if len(payload) == 0 || payload[len(payload)-1] != 0 {
		return nil, errNoTerminator
	}
	s.client.Helo = string(bytes.TrimRight(payload, "\x00"))
	return s.goOn(lib.CodeHelo), nil
}

// leftStopping is why no message is begun while the door stops. The MTA keeps it and asks no more about it. An answer of
// 421 would bring bulk mail back later, but at MAIL nobody knows what is bulk: it would hit a password reset too, and many
// programs lose a message that is refused for the moment.
const leftStopping = "stopping"

// offer is what is known of the client now.
func (s *session) offer() filter.Offer {
	s.client.Listener, s.client.Port = same(s.client.Listener, s.macros.value("daemon_name")), same(s.client.Port, s.macros.value("daemon_port"))
	o := s.client
	if o.Barred == "" && s.phase.stopping.Load() && !s.phase.handing.Load() {
		o.Barred = leftStopping
	}
	o.Macro = s.macro
	return o
}

// mailFrom handles MAIL: a new message begins, whether or not the last one was ended or aborted.
func (s *session) mailFrom(payload []byte) (*reply, error) {
	command, err := parseCommand(payload)
	if err != nil {
		return nil, err
	}
	s.reset()
	s.client.SASLUser = same(s.client.SASLUser, s.macros.sentWith('M', "auth_authen"))
	offer := s.offer()
	s.local = false
	s.mail, s.last = s.intake.Begin(offer, s.last), nil
	s.mail.SetSender(command)
	return s.goOn(lib.CodeMail), nil
}

// reset ends the message, if there is one.
func (s *session) reset() {
	if m := s.mail; m != nil {
		s.mail = nil
		m.Dismiss()
		s.last = m
	}
	s.opening, s.drips = wait{}, false
}

// answerLeft ends the message: the MTA keeps it and asks no more about it, or refuses it for now.
func (s *session) answerLeft() *reply {
	s.mail.ReportLeft()
	refused := s.mail.Refused()
	s.reset()
	if refused {
		return replyTempfail
	}
	return replyAccept
}

// rcptTo handles RCPT.
func (s *session) rcptTo(payload []byte) (*reply, error) {
	command, err := parseCommand(payload)
	if err != nil {
		return nil, err
	}
	if s.mail == nil || s.mail.Left() != "" {
		return s.goOn(lib.CodeRcpt), nil
	}
	s.hop = filter.Hop{
		Mailer: same(s.hop.Mailer, s.macros.sentWith('R', "rcpt_mailer")),
		Host:   same(s.hop.Host, s.macros.sentWith('R', "rcpt_host")),
		Addr:   same(command.Path, s.macros.sentWith('R', "rcpt_addr")),
	}
	s.local = s.local || s.hop.Mailer == "" && !s.sendmail // only Postfix's smtpd says it, not its cleanup on behalf of pickup
	s.mail.AddRcpt(command, s.hop)
	r := s.goOn(lib.CodeRcpt)
	s.beginOpening(r)
	return r, nil
}

// rescue answers after a panic, which costs the message and not the connection: a message that was accepted stays taken, any other
// stays with the MTA.
func (s *session) rescue(code lib.Code, r **reply) {
	v := recover()
	if v == nil {
		return
	}
	taken := s.mail != nil && s.mail.Taken()
	s.panicked(v, debug.Stack())
	switch {
	case !s.granted.waits(code):
		*r = nil
	case taken: // if it drips, a discard says the same
		*r = s.final
	default:
		*r = replyAccept
	}
}

// panicked gives up the message at hand.
func (s *session) panicked(v any, stack []byte) {
	s.intake.NotePanic(v, stack)
	s.reset()
	s.changes = nil
}
