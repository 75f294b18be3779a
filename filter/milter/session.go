package milter

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	lib "github.com/emersion/go-milter"
	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// session is one connection of the MTA: what belongs to its SMTP client and lasts over many messages. It implements
// lib.Milter; the library is its only caller, from the connection's goroutine, and so is conn, which hands it what the
// library is not shown.
type session struct {
	door    *Door
	conn    *conn
	log     hclog.Logger
	granted granted
	pass    string // why no message of this connection is taken, or ""

	clientName string
	clientAddr netip.Addr
	helo       string
	sendmail   bool // the MTA is not Postfix: see the package comment
	macros     macros
	macro      func(string) string // macros.lookup, made once

	command command        // the MAIL or RCPT now being answered
	tx      *transaction   // nil between messages
	header  []byte         // lent to each transaction in turn
	unheard *relay.Message // taken, and its answer is on its way
}

// keepHeader is the largest header buffer that is kept for the next message.
const keepHeader = 64 << 10

func newSession(d *Door, c *conn) *session {
	s := &session{door: d, conn: c, log: d.log}
	s.macro = s.macros.lookup
	return s
}

// digest takes what it needs from a frame before the library sees it, if it does. It returns an error for a frame that
// an MTA in its senses does not send. A panic costs the message, not the connection.
func (s *session) digest(code byte, payload []byte) (err error) {
	defer func() {
		if v := recover(); v != nil {
			s.panicked(v, debug.Stack())
			s.command = command{bad: true}
		}
	}()
	s.macros.begin(code)
	switch lib.Code(code) {
	case lib.CodeMacro:
		return s.macros.store(payload)
	case lib.CodeConn:
		return s.connect(payload)
	case lib.CodeMail, lib.CodeRcpt:
		s.command, err = parseCommand(payload)
		return err
	case lib.CodeHeader:
		return s.field(payload)
	case lib.CodeHelo:
		if len(payload) == 0 || payload[len(payload)-1] != 0 {
			return errNoTerminator
		}
		return nil
	case lib.CodeEOB:
		// A payload would be the last piece of the body. Neither Postfix nor Sendmail sends one, and the library
		// would lose it.
		if len(payload) > 0 {
			return fmt.Errorf("end of message with %d bytes of payload", len(payload))
		}
		return nil
	case lib.CodeEOH, lib.CodeAbort, lib.CodeQuit, lib.CodeData:
		return nil
	}
	return fmt.Errorf("command %q out of place", code)
}

// connect reads the payload of a CONNECT frame: the client's name, its family, then for all but an unknown family port
// and address. Sendmail writes an IPv6 address with a prefix that the library cannot parse.
func (s *session) connect(payload []byte) error {
	name, rest, ok := bytes.Cut(payload, nul)
	if !ok || len(rest) == 0 {
		return errors.New("malformed connect frame")
	}
	s.clientName, s.clientAddr = string(name), netip.Addr{}
	family, rest := rest[0], rest[1:]
	if family != byte(lib.FamilyInet) && family != byte(lib.FamilyInet6) {
		return nil
	}
	if len(rest) < 3 || rest[len(rest)-1] != 0 {
		return errors.New("malformed connect frame")
	}
	s.clientAddr = parseAddr(string(rest[2 : len(rest)-1]))
	return nil
}

// parseAddr reads an address as MTAs write it, with or without "IPv6:". It returns the zero Addr for anything else.
func parseAddr(s string) netip.Addr {
	const prefix = "IPv6:"
	if len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		s = s[len(prefix):]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// Connect implements lib.Milter. An accept here ends the connection: the MTA asks no more about its messages.
func (s *session) Connect(string, string, uint16, net.IP, *lib.Modifier) (resp lib.Response, err error) {
	defer s.rescue(&resp)
	s.sendmail = !strings.HasPrefix(s.macros.at('C', "v"), "Postfix")
	if a := parseAddr(s.macros.at('C', "client_addr")); a.IsValid() {
		s.clientAddr = a
	}
	if n := s.macros.at('C', "client_name"); n != "" {
		s.clientName = n
	}
	if !s.granted.skips(lib.OptHeaderLeadingSpace) && !s.door.observing() {
		s.pass = "the MTA eats the blank behind a header's colon"
		s.door.warn(s.pass+": nothing is taken from it", "client", s.client())
	}
	offer := s.offer()
	if s.pass != "" || s.door.policy.Load().filter.Hopeless(&offer) {
		s.door.counts.passedConnect.Add(1)
		return replyAccept, nil
	}
	return replyContinue, nil
}

// Helo implements lib.Milter. It comes again after STARTTLS.
func (s *session) Helo(name string, _ *lib.Modifier) (resp lib.Response, err error) {
	defer s.rescue(&resp)
	s.helo = strings.TrimRight(name, "\x00")
	return replyContinue, nil
}

// offer is what is known of the client.
func (s *session) offer() filter.Offer {
	return filter.Offer{
		Listener: s.macros.lookup("daemon_name"), Port: s.macros.lookup("daemon_port"),
		ClientName: s.clientName, ClientAddr: s.clientAddr, Helo: s.helo, Macro: s.macro,
	}
}

// MailFrom implements lib.Milter: a new message begins, whether or not the last one was ended or aborted.
func (s *session) MailFrom(string, *lib.Modifier) (resp lib.Response, err error) {
	defer s.rescue(&resp)
	s.reset()
	if s.door.stopping.Load() {
		return replyStopping, nil
	}
	s.begin()
	t := s.tx
	if s.pass != "" {
		t.leave(s.pass)
	}
	t.setMail(s.command)
	if t.left != "" {
		return s.leave(&s.door.counts.left), nil
	}
	t.offer.Sender = t.envelope.From
	if v := t.filter.Early(&t.offer); v.Decision == filter.Pass {
		t.left = v.Reason
		return s.leave(&s.door.counts.passedMail), nil
	}
	return replyContinue, nil
}

// begin opens a transaction.
func (s *session) begin() {
	t := &transaction{
		filter: s.door.policy.Load().filter, offer: s.offer(), arrived: time.Now(),
		header: s.header[:0], budget: &s.door.budget,
	}
	t.offer.SASLUser = s.macros.at('M', "auth_authen")
	s.tx = t
}

// reset ends the transaction, if there is one, and takes the header's buffer back.
func (s *session) reset() {
	t := s.tx
	if t == nil {
		return
	}
	s.tx = nil
	t.refund()
	if s.header = t.header[:0]; cap(s.header) > keepHeader {
		s.header = nil
	}
}

// leave ends the transaction: the MTA keeps the message and asks no more about it.
func (s *session) leave(count *atomic.Uint64) *reply {
	if s.log.IsDebug() {
		s.log.Debug("left with the MTA", "id", s.tx.queueID, "reason", s.tx.left)
	}
	count.Add(1)
	s.reset()
	return replyAccept
}

// RcptTo implements lib.Milter.
func (s *session) RcptTo(string, *lib.Modifier) (resp lib.Response, err error) {
	defer s.rescue(&resp)
	t := s.tx
	if t == nil {
		return replyContinue, nil
	}
	t.addRcpt(s.command, s.macros.at('R', "rcpt_mailer"), s.door.cfg.MaxRcpts)
	if t.left != "" {
		return s.leave(&s.door.counts.left), nil
	}
	return replyContinue, nil
}

// client is how the log calls the client.
func (s *session) client() string {
	name, addr := s.clientName, "unknown"
	if name == "" {
		name = "unknown"
	}
	if s.clientAddr.IsValid() {
		addr = s.clientAddr.String()
	}
	return name + "[" + addr + "]"
}

// Abort implements lib.Milter. Postfix aborts after every message and after a repeated EHLO, so the client stays known.
func (s *session) Abort(*lib.Modifier) error {
	s.reset()
	return nil
}

// rescue answers after a panic: what was accepted stays taken, anything else stays with the MTA.
func (s *session) rescue(resp *lib.Response) {
	v := recover()
	if v == nil {
		return
	}
	t := s.tx
	s.panicked(v, debug.Stack())
	*resp = replyAccept
	if t != nil && t.taken {
		*resp = t.final
	}
}

// panicked gives up the message at hand.
func (s *session) panicked(v any, stack []byte) {
	s.door.counts.panics.Add(1)
	s.log.Error("panic in the milter door", "panic", v, "stack", string(stack))
	s.reset()
}
