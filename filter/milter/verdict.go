package milter

import (
	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
)

// Body implements lib.Milter: the end of the message.
func (s *session) Body(m *lib.Modifier) (resp lib.Response, err error) {
	defer s.reset()
	defer s.rescue(&resp)
	if s.mail == nil {
		return replyAccept, nil
	}
	if s.mail.Left() == "" {
		s.complete()
	}
	if !s.mail.Taken() {
		if s.returns() {
			if err := m.AddHeader(filter.ReturnField, " 1"); err != nil { // OptHeaderLeadingSpace: the blank is ours to write
				return nil, err
			}
		}
		return s.answerLeft(), nil
	}
	return s.answerTaken(m)
}

// complete has the message built and made recoverable. While the latter takes long, the MTA is told that we are alive.
// The answer is prepared before: once the message is taken, nothing can fail any more.
func (s *session) complete() {
	m := s.mail
	m.SetQueueID(s.macros.lookup("i"))
	if len(m.RawBody()) == 0 {
		m.LeaveForm(leftNoBody)
		return
	}
	m.Build(filter.Protocol(m.UTF8(), s.macros.lookup("tls_version") != "", s.macros.sentWith('M', "auth_type") != ""))
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
func (s *session) answerTaken(m *lib.Modifier) (lib.Response, error) {
	if s.final == replyDiscard && !s.drips {
		return s.final, nil
	}
	deleted := make(map[string]bool)
	for addr, ours := range s.mail.Rcpts() {
		if !ours || deleted[addr] {
			continue
		}
		deleted[addr] = true
		if err := m.DeleteRecipient(addr); err != nil {
			return nil, err
		}
	}
	s.noteAccepted()
	return replyAccept, nil
}

// noteHeard is called once for each message that is taken, when conn knows whether the MTA goes on.
func (s *session) noteHeard(heard bool) {
	msg := s.unheard
	s.unheard = nil
	s.intake.NoteHeard(msg, heard && !s.progress.gone())
}
