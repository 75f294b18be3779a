package smtpd

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// transaction is one message, from MAIL to our answer.
type transaction struct {
	mail    *filter.Mail
	client  filter.Offer
	queueID string // what the client calls the message
	login   string
	from    string   // the argument of MAIL without "FROM:", as it came
	rcpts   []string // those of RCPT without "TO:"
	arrival *arrival // of the content, once DATA or BDAT has come
}

// reset ends the message under way, if there is one.
func (s *session) reset() {
	t := s.t
	s.t, s.forward = nil, attributes{} // XFORWARD counts for one message
	if t == nil {
		return
	}
	if t.arrival != nil {
		t.arrival.release()
	}
	t.mail.Dismiss()
	s.last = t.mail
	s.room = transaction{rcpts: emptied(t.rcpts)}
	s.in.endContent()
}

// keepRcpts is the most recipients of which memory is kept for the next message.
const keepRcpts = 32

// emptied is a list that keeps nothing but its memory.
func emptied[T any](list []T) []T {
	if clear(list); cap(list) > keepRcpts {
		return nil
	}
	return list[:0]
}

// zeroed is a list of n zero values in the memory of another.
func zeroed[T any](list []T, n int) []T {
	list = slices.Grow(list[:0], n)[:n]
	clear(list)
	return list
}

// path cuts the keyword from an argument of MAIL or RCPT: "FROM:<a@b> SIZE=1". Clients put a blank behind the colon.
func path(argument, keyword string) (rest string, ok bool) {
	if len(argument) < len(keyword) || !strings.EqualFold(argument[:len(keyword)], keyword) {
		return "", false
	}
	return strings.TrimLeft(argument[len(keyword):], " "), true
}

// The parameters that we announce.
var (
	mailParams = map[string]bool{"SIZE": true, "BODY": true, "RET": true, "ENVID": true, "SMTPUTF8": true, "AUTH": true}
	rcptParams = map[string]bool{"NOTIFY": true, "ORCPT": true}
)

// foreign returns the first parameter that nobody has announced, or "".
func foreign(c filter.Command, known map[string]bool) string {
	for _, p := range c.Params {
		if key, _, _ := strings.Cut(p, "="); !known[strings.ToUpper(key)] {
			return p
		}
	}
	return ""
}

var replySyntax = reply{501, "5.5.4", "syntax: MAIL FROM:<address>, RCPT TO:<address>"}

// from is MAIL.
func (s *session) from(argument string) reply {
	rest, ok := path(argument, "FROM:")
	cmd := filter.ParseCommand(rest)
	switch {
	case s.client.Helo == "":
		return reply{503, "5.5.1", "say EHLO first"}
	case s.t != nil:
		return reply{503, "5.5.1", "a message is under way already"}
	case !ok || cmd.Bad || rest == "":
		return replySyntax
	case !s.door.cfg.Permits(s.nc.RemoteAddr()) && s.login == "":
		return reply{530, "5.7.0", "log in first"}
	}
	if p := foreign(cmd, mailParams); p != "" {
		return reply{555, "5.5.4", "unsupported parameter " + strconv.Quote(p)}
	}
	if r := s.tooLarge(cmd); r.code != 0 {
		return r
	}
	if s.client.Direct {
		if _, fault := cmd.Canonical(needsUTF8(rest)); fault != "" {
			return reply{553, "5.1.7", "sender: " + fault}
		}
	}
	s.begin(cmd, rest)
	if m := s.t.mail; m.NoRoom() && s.keeps() { // bulk for certain, and nothing at all is taken now: nobody need send its body
		m.ReportLeft()
		s.putOff("")
		s.reset()
		return replyNoRoom
	}
	return reply{250, "2.1.0", "Ok"}
}

// tooLarge looks at the size that the client announces (RFC 1870 section 6.1).
func (s *session) tooLarge(cmd filter.Command) reply {
	for _, p := range cmd.Params {
		key, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(key, "SIZE") {
			continue
		}
		n, err := strconv.ParseInt(value, 10, 64)
		switch {
		case err != nil || n < 0:
			return reply{501, "5.5.4", "SIZE is no number"}
		case n > s.door.cfg.MaxSize:
			return s.replySize()
		}
	}
	return reply{}
}

func (s *session) replySize() reply {
	return reply{552, "5.3.4", "message larger than " + strconv.FormatInt(s.door.cfg.MaxSize, 10) + " bytes"}
}

// begin opens a message of the client that XFORWARD or XCLIENT named, or of the peer.
func (s *session) begin(cmd filter.Command, argument string) {
	t := &s.room
	*t = transaction{client: s.client, login: s.login, from: argument, rcpts: t.rcpts}
	s.forward.describe(&t.client)
	t.queueID = s.forward.Ident
	if t.login == "" {
		t.login = s.forward.Login
	}
	t.client.SASLUser = t.login
	t.client.Rescue = s.rescues()
	t.mail, s.last = s.door.intake.Begin(t.client, s.last), nil
	t.mail.SetQueueID(t.queueID)
	t.mail.SetSender(cmd)
	s.t = t
}

// rcpt is RCPT.
func (s *session) rcpt(argument string) reply {
	rest, ok := path(argument, "TO:")
	cmd := filter.ParseCommand(rest)
	switch {
	case s.t == nil || s.t.arrival != nil:
		return reply{503, "5.5.1", "MAIL comes first"}
	case !ok || cmd.Bad || cmd.Path == "":
		return replySyntax
	case len(s.t.rcpts) >= s.door.cfg.MaxRcpts:
		return reply{452, "4.5.3", "too many recipients"}
	}
	if p := foreign(cmd, rcptParams); p != "" {
		return reply{555, "5.5.4", "unsupported parameter " + strconv.Quote(p)}
	}
	return s.t.addRcpt(s, cmd, rest)
}

// addRcpt notes a recipient. Who has come this far is routed to us by the MTA, or offers the mail to us and to nobody else: there is no
// other way that taking it could bypass. Without an MTA a recipient that we may not take has nowhere to go, and nobody else judges his
// address.
func (t *transaction) addRcpt(s *session, cmd filter.Command, argument string) reply {
	if t.client.Direct {
		if _, fault := cmd.Canonical(t.mail.UTF8()); fault != "" {
			return reply{553, "5.1.3", "recipient: " + fault}
		}
	}
	t.mail.AddRcpt(cmd, filter.Hop{Routed: true})
	if t.client.Direct && t.mail.Left() == "" && !t.mail.LastTaken() {
		t.mail.DropRcpt()
		return reply{550, "5.1.2", "this host delivers nothing itself, and there is no MTA behind it"}
	}
	if t.client.Rescue && t.mail.Left() == "" && !t.mail.LastTaken() {
		t.mail.DropRcpt()
		return reply{550, "5.1.2", NotTaken + "this recipient stays with the MTA"}
	}
	if s.keeps() && !t.mail.RcptHasRoom() {
		t.mail.DropRcpt()
		s.putOff(relay.Domain(cmd.Path))
		return replyNoRoom
	}
	t.rcpts = append(t.rcpts, argument)
	return reply{250, "2.1.5", "Ok"}
}

// data is DATA.
func (s *session) data(argument string) reply {
	switch {
	case s.t == nil || s.t.arrival != nil:
		return reply{503, "5.5.1", "MAIL comes first"}
	case argument != "":
		return reply{501, "5.5.4", "DATA takes no argument"}
	case len(s.t.rcpts) == 0:
		return s.replyNobody()
	}
	s.t.arrival = newArrival(s, s.t, true)
	s.say(reply{354, "", "end with <CR><LF>.<CR><LF>"})
	if err := s.t.arrival.readData(); err != nil {
		s.lose(err)
	}
	return reply{}
}

// bdat is BDAT (RFC 3030). The chunk is read whatever the answer is.
func (s *session) bdat(argument string) reply {
	size, last, ok := chunk(argument)
	if !ok {
		s.closing = true // nobody knows where the next command begins
		return reply{501, "5.5.4", "syntax: BDAT size [LAST]"}
	}
	r := reply{}
	switch {
	case s.t == nil:
		r = reply{503, "5.5.1", "MAIL comes first"}
	case len(s.t.rcpts) == 0:
		r = s.replyNobody()
	case s.t.arrival == nil:
		s.t.arrival = newArrival(s, s.t, false)
	case s.t.arrival.dotted:
		r = reply{503, "5.5.1", "BDAT behind DATA"}
	}
	if r.code != 0 {
		if err := s.in.skip(size, time.Now().Add(s.door.cfg.DataTimeout)); err != nil {
			s.lose(err)
			return reply{}
		}
		s.reset()
		return r
	}
	if err := s.t.arrival.readChunk(size, last); err != nil {
		s.lose(err)
		return reply{}
	}
	if last {
		return reply{}
	}
	return reply{250, "2.0.0", strconv.FormatInt(size, 10) + " bytes"}
}

// replyNobody is for content that comes for no recipient (RFC 5321 section 3.3, RFC 2033 section 4.2).
func (s *session) replyNobody() reply {
	r := reply{554, "5.5.1", "no valid recipients"}
	if s.lmtp {
		r.code = 503
	}
	return r
}

// maxChunk bounds what a client can make us count. A message is smaller.
const maxChunk = 1 << 40

// chunk takes the argument of BDAT apart.
func chunk(argument string) (size int64, last, ok bool) {
	number, rest, more := strings.Cut(argument, " ")
	n, err := strconv.ParseUint(number, 10, 63)
	if err != nil || n > maxChunk || more && !strings.EqualFold(strings.TrimSpace(rest), "LAST") {
		return 0, false, false
	}
	return int64(n), more, true
}
