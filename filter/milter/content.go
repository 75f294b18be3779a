package milter

import (
	"bytes"
	"errors"

	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
)

// Why a bulk message stays with an MTA that speaks milter.
const (
	leftSome    = "some recipients stay and the MTA lets us delete none"
	leftHidden  = "the MTA adds a header field that it does not show"
	leftNoBody  = "no body, and the MTA does not show whether an empty line ends the header" // the receiver must get no other bytes
	leftRemoved = "the MTA removes a header field on delivery"
)

// field takes the payload of a HEADER frame: name and value as C strings, nothing else.
func (s *session) field(payload []byte) (*reply, error) {
	name, rest := cutString(payload)
	if len(rest) == 0 || bytes.IndexByte(rest, 0) != len(rest)-1 {
		return nil, errors.New("header frame that is not two strings")
	}
	if s.mail != nil {
		s.mail.Field(name, rest[:len(rest)-1])
	}
	return s.goOn(lib.CodeHeader), nil
}

// endHeader handles the end of the header, where most messages are decided.
func (s *session) endHeader() *reply {
	m := s.mail
	if m == nil {
		return replyAccept
	}
	s.noteQueueID()
	m.EndHeader(s.obstacle)
	m.AskGate(s, s.obstacle)
	switch {
	case s.returns(): // the field that says so is added at the end of the message
		m.DropContent()
	case m.Left() != "":
		return s.answerLeft()
	}
	return replyContinue
}

// noteQueueID notes what the MTA calls the message.
func (s *session) noteQueueID() {
	s.queueID = same(s.queueID, s.macros.value("i"))
	s.mail.SetQueueID(s.queueID)
}

// returns reports that the message is left, and that the MTA shall keep it and offer it to our SMTP listener. Sendmail knows no way to
// route a message by a field that a milter has added, and delivers it.
func (s *session) returns() bool {
	return s.mail.Returns() && !s.sendmail && s.granted.does(lib.OptAddHeader)
}

// obstacle says why this MTA must keep a bulk message all the same, or returns "".
func (s *session) obstacle() string {
	if s.mail.Partial() && !s.granted.does(lib.OptRemoveRcpt) {
		return leftSome
	}
	if s.sendmail {
		return hidden(s.mail.RawHeader())
	}
	return ""
}

// hidden says why the header that Sendmail shows is not the one it would send, or returns "": see the package comment.
func hidden(header []byte) string {
	var date, from, id bool
	for name := range filter.Fields(header) {
		switch {
		case filter.FieldIs(name, "date"):
			date = true
		case filter.FieldIs(name, "from"):
			from = true
		case filter.FieldIs(name, "message-id"):
			id = true
		case filter.FieldIs(name, "bcc"), filter.FieldIs(name, "resent-bcc"), filter.FieldIs(name, "return-path"):
			return leftRemoved
		}
	}
	if !date || !from || !id {
		return leftHidden
	}
	return ""
}

// fullChunk is the size that an MTA gives to every chunk of a body but the last.
const fullChunk = 65535

// chunk reads n bytes of the body, straight into the message.
func (s *session) chunk(n int, from *frames) (*reply, error) {
	s.macros.startCommand(byte(lib.CodeBody))
	err := s.readChunk(n, from)
	if err != nil {
		return nil, err
	}
	return s.goOn(lib.CodeBody), nil
}

func (s *session) readChunk(n int, from *frames) error {
	if s.mail == nil {
		return from.skip(n)
	}
	body, ok := s.mail.BodyRoom(n, n >= fullChunk)
	if !ok {
		return from.skip(n)
	}
	body, err := from.appendTo(body, n)
	s.mail.SetBody(body)
	return err
}
