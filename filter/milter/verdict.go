package milter

import (
	"fmt"

	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
)

// endMessage handles the end of a message. A payload would be the last piece of the body. Neither Postfix nor Sendmail sends one.
func (s *session) endMessage(payload []byte) (*reply, error) {
	if len(payload) > 0 {
		return nil, fmt.Errorf("end of message with %d bytes of payload", len(payload))
	}
	if s.mail == nil {
		return replyAccept, nil
	}
	if s.mail.Left() == "" {
		s.complete()
	}
	if s.mail.Taken() {
		r := s.answerTaken()
		s.reset()
		return r, nil
	}
	if s.returns() {
		s.changes = appendChange(s.changes, lib.ActAddHeader, filter.ReturnField, " 1") // OptHeaderLeadingSpace: the blank is ours to write
	}
	return s.answerLeft(), nil
}

// complete has the message built and made recoverable. While the latter takes long, the MTA is told that we are alive.
// The answer is prepared before: once the message is taken, nothing can fail any more.
func (s *session) complete() {
	m := s.mail
	s.noteQueueID()
	if len(m.RawBody()) == 0 {
		m.LeaveForm(leftNoBody)
		return
	}
	m.Build(filter.Protocol(m.UTF8(), len(s.macros.value("tls_version")) > 0, len(s.macros.sentWith('M', "auth_type")) > 0))
	if m.Left() != "" {
		return
	}
	if s.drip.on && !s.sendmail {
		s.drip.holdBack()
	}
	s.final, s.drips = replyDiscard, s.mayDrip()
	if m.Partial() {
		s.final = replyAccept
	}
	s.taking.Store(true) // until conn has written the answer
	s.progress.start()
	defer s.progress.stop()
	s.unheard = m.Take()
}

// answerTaken tells the MTA that we have the message. Each recipient that is ours is deleted in the spelling it came in,
// because the MTA compares byte for byte.
func (s *session) answerTaken() *reply {
	if s.final == replyDiscard && !s.drips {
		return s.final
	}
	deleted := make(map[string]bool)
	for addr, ours := range s.mail.Rcpts() {
		if ours && !deleted[addr] {
			deleted[addr] = true
			s.changes = appendChange(s.changes, lib.ActDelRcpt, "<"+addr+">")
		}
	}
	s.noteAccepted()
	return replyAccept
}

// noteHeard is called once for each message that is taken, when conn knows whether the MTA goes on.
func (s *session) noteHeard(heard bool) {
	msg := s.unheard
	s.unheard = nil
	s.intake.NoteHeard(msg, heard && !s.progress.gone())
}
