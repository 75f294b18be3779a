package milter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// Body implements lib.Milter: the end of the message.
func (s *session) Body(m *lib.Modifier) (resp lib.Response, err error) {
	defer s.reset()
	defer s.rescue(&resp)
	t := s.tx
	if t == nil {
		return replyAccept, nil
	}
	if t.verdict.Decision != filter.Take && t.left == "" {
		t.leave(leftOrder)
	}
	if t.left == "" {
		s.take()
	}
	if !t.taken {
		return s.leave(&s.door.counts.left), nil
	}
	s.door.counts.taken.Add(1)
	return s.answer(m)
}

// take builds the message and asks Accept. It notes in the transaction whether the message is ours.
func (s *session) take() {
	t := s.tx
	msg := s.message()
	if err := s.door.deps.Sendable(msg.Content()); err != nil {
		t.leave(fmt.Sprintf("%s: %v", leftUnsendable, err))
		return
	}
	t.final = replyDiscard
	if t.countTaken() < len(t.rcpts) {
		t.final = replyAccept
	}
	if err := s.accept(msg); err != nil {
		s.notAccepted(msg, err)
		return
	}
	t.taken = true
	s.unheard = msg
}

// accept asks for the message to be made recoverable. While that takes long, the MTA is told that we are alive.
func (s *session) accept(msg *relay.Message) error {
	s.conn.taking.Store(true) // until heard
	p := &s.conn.progress
	p.start()
	defer p.stop()
	return s.door.deps.Accept.Accept(msg)
}

// notAccepted leaves a message that is not recoverable. A full queue map is everyday, and so is one that is closed while
// the daemon recovers; anything else is not.
func (s *session) notAccepted(msg *relay.Message, err error) {
	s.tx.leave(leftNotAccepted)
	if errors.Is(err, relay.ErrFull) || errors.Is(err, relay.ErrClosed) {
		s.door.counts.full.Add(1)
		return
	}
	s.door.warn("message left with the MTA", "id", msg.Name(), "error", err)
}

// answer tells the MTA that we have the message. Each recipient that is ours is deleted in the spelling it came in,
// because the MTA compares byte for byte.
func (s *session) answer(m *lib.Modifier) (lib.Response, error) {
	t := s.tx
	if t.final == replyAccept {
		deleted := make(map[string]bool, len(t.rcpts))
		for _, r := range t.rcpts {
			if !r.take || deleted[r.Addr] {
				continue
			}
			deleted[r.Addr] = true
			if err := m.DeleteRecipient(r.Addr); err != nil {
				return nil, err
			}
		}
	}
	return t.final, nil
}

// heard is called when the library has written an answer. What was taken stays taken, but an MTA that did not hear of
// it has its client send the message again.
func (s *session) heard(written bool) {
	if m := s.unheard; m != nil {
		s.unheard = nil
		written = written && !s.conn.progress.gone()
		s.door.deps.Accept.Heard(m, written)
		if !written {
			s.log.Warn("the MTA hung up before it heard that a message is taken; it may be delivered twice", "id", m.Name())
		}
	}
	if s.conn.taking.Swap(false) && s.door.cutting.Load() {
		s.conn.nc.Close()
	}
}

// message builds what is handed to the heart. All of it is the message's own from here on.
func (s *session) message() *relay.Message {
	t := s.tx
	if id := s.macros.lookup("i"); id != "" && !strings.ContainsFunc(id, notInID) {
		t.queueID = id
	}
	msg := &relay.Message{
		ID: s.door.deps.NewID(), QueueID: t.queueID, Envelope: t.envelope,
		Rule: t.verdict.Rule, Client: s.client(), Arrived: t.arrived,
	}
	msg.Rcpts = t.takenRcpts()
	msg.Distinct()
	trace := t.filter.Received(s.trace(msg))
	// One allocation for both: they live and die together.
	head := append(append(make([]byte, 0, len(trace)+len(t.header)), trace...), t.header...)
	msg.Trace, msg.Header = head[:len(trace):len(trace)], head[len(trace):]
	msg.Body = t.ownBody()
	msg.EightBit = hasEightBit(msg.Header) || hasEightBit(msg.Body)
	return msg
}

func (t *transaction) takenRcpts() []relay.Rcpt {
	rcpts := make([]relay.Rcpt, 0, t.countTaken())
	for i := range t.rcpts {
		if t.rcpts[i].take {
			rcpts = append(rcpts, t.rcpts[i].Rcpt)
		}
	}
	return rcpts
}

// trace is what our Received field says. It names a recipient only when the message has no other.
func (s *session) trace(msg *relay.Message) filter.Trace {
	t := s.tx
	tr := filter.Trace{
		Helo: s.helo, ClientName: s.clientName, ClientAddr: s.clientAddr, ID: msg.Name(), Date: t.arrived,
		With: filter.With(t.envelope.UTF8, s.macros.lookup("tls_version") != "", s.macros.at('M', "auth_type") != ""),
	}
	if len(t.rcpts) == 1 {
		tr.For = t.rcpts[0].Addr
	}
	return tr
}

// notInID reports what would break a log line.
func notInID(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }

// ownBody is the body without much room behind it: it may stay in memory for days.
func (t *transaction) ownBody() []byte {
	if waste := cap(t.body) - len(t.body); waste > len(t.body)/4 {
		return bytes.Clone(t.body)
	}
	return t.body
}
