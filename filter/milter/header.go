package milter

import (
	"bytes"
	"errors"
	"net/textproto"

	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
)

// Header implements lib.Milter. The field was digested by conn; this only answers an MTA that wants an answer.
func (s *session) Header(_, _ string, m *lib.Modifier) (lib.Response, error) {
	clear(m.Headers) // the library would collect them over all messages of the connection
	return s.contentReply(), nil
}

// BodyChunk implements lib.Milter; as Header.
func (s *session) BodyChunk([]byte, *lib.Modifier) (lib.Response, error) {
	return s.contentReply(), nil
}

// contentReply ends a message whose content turned out not to be for us, for an MTA that wants an answer to each part.
func (s *session) contentReply() *reply {
	if s.tx != nil && s.tx.left != "" {
		return s.leave(&s.door.counts.left)
	}
	return replyContinue
}

// field takes the payload of a HEADER frame: name and value as C strings, nothing else.
func (s *session) field(payload []byte) error {
	name, rest, ok := bytes.Cut(payload, nul)
	if !ok || len(rest) == 0 || bytes.IndexByte(rest, 0) != len(rest)-1 {
		return errors.New("header frame that is not two strings")
	}
	if t := s.tx; t != nil {
		if t.verdict.Decision != filter.Unknown {
			t.leave(leftOrder)
		}
		t.addField(name, rest[:len(rest)-1], s.door.cfg.MaxHeaderBytes)
	}
	return nil
}

// Headers implements lib.Milter: the end of the header, where most messages are decided. The library's own collection
// of them is not used: it folds the names.
func (s *session) Headers(textproto.MIMEHeader, *lib.Modifier) (resp lib.Response, err error) {
	defer s.rescue(&resp)
	t := s.tx
	if t == nil {
		return replyAccept, nil
	}
	t.queueID = s.macros.lookup("i")
	if t.left != "" {
		return s.leave(&s.door.counts.left), nil
	}
	if t.verdict = t.filter.Decide(&t.offer, t.header); t.verdict.Decision != filter.Take {
		t.left = t.verdict.Reason
		return s.leave(&s.door.counts.passedHeader), nil
	}
	if t.left = s.obstacle(); t.left != "" {
		return s.leave(&s.door.counts.left), nil
	}
	if s.door.observing() {
		s.observe()
		return s.leave(&s.door.counts.observed), nil
	}
	return replyContinue, nil
}

// obstacle says why a bulk message must stay with the MTA all the same, or returns "".
func (s *session) obstacle() string {
	take := s.tx.countTaken()
	if take == 0 {
		return leftNobody
	}
	if take < len(s.tx.rcpts) && !s.granted.does(lib.OptRemoveRcpt) {
		return leftSome
	}
	if s.sendmail {
		return hidden(s.tx.header)
	}
	return ""
}

// observe tells what deliver mode would have done.
func (s *session) observe() {
	t := s.tx
	t.filter.Observed(t.verdict)
	t.left = "observe mode"
	s.log.Info("would take", "id", t.queueID, "from", t.envelope.From, "rule", t.verdict.Rule,
		"nrcpt", t.countTaken(), "of", len(t.rcpts), "client", s.client())
}
