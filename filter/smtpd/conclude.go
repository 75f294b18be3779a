package smtpd

import (
	"slices"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// conclude answers the message when all of its content has come, and ends it.
//
// The order is that of what can be undone. The message is built first: if it cannot be sent byte for byte the MTA gets it, and nothing
// has happened yet. Then the MTA takes its part: if it does not, nothing of ours is recorded, and the client keeps the whole. Our
// own part comes last, because a recorded message cannot be taken back. If it cannot be recorded, the MTA gets it too.
func (a *arrival) conclude() {
	s, t := a.s, a.t
	if a.decided = a.held; a.decided.IsZero() {
		a.decided = time.Now()
	}
	if fault := a.decoder.fault(); fault != "" && a.decoder.strict {
		a.refuse(reply{554, "5.6.0", "message refused: " + fault + " in it"})
	}
	m := t.mail
	if a.refusal.code == 0 && m.Left() == "" {
		m.Build(a.protocol())
		if m.Left() != "" {
			a.changeOver()
		}
	}
	a.endPassage()
	if a.refusal.code == 0 && m.Left() == "" && (a.lost.code == 0 || s.lmtp) {
		a.take()
	}
	a.answer()
	s.idle = 0
	s.mu.Lock()
	s.served = true
	s.mu.Unlock()
	s.reset()
}

// due is when the client must have its answer: one that has lost its patience sends the message again.
func (a *arrival) due() time.Time { return a.decided.Add(a.s.door.cfg.AnswerTimeout) }

// protocol is the keyword for our Received field.
func (a *arrival) protocol() string {
	s := a.s
	if !s.extended {
		return "SMTP"
	}
	return filter.LineProtocol(s.lmtp, a.t.mail.UTF8(), s.tls, s.login != "")
}

// endPassage has the MTA take its part. When nobody knows whether it has, the client sends the message again.
func (a *arrival) endPassage() {
	a.inform()
	if a.pass == nil {
		return
	}
	p := a.pass
	a.pass = nil
	r, err := p.end(a.due())
	switch {
	case err != nil:
		a.loseMTA(err)
	case !r.ok():
		a.s.door.counts.failed.Add(1)
		r = r.handedOn()
		a.lost = r
	default:
		a.s.door.counts.passed.Add(1)
	}
	for _, i := range a.sent {
		if a.said[i].code == 0 {
			a.said[i] = r
			if a.lost.code != 0 {
				a.said[i] = a.lost
			}
		}
	}
}

// inform tells the sender of the recipients whom the MTA has refused. It comes before the MTA gets the message for the others: if nobody
// can be told, the client keeps the whole.
func (a *arrival) inform() {
	if len(a.untold) == 0 || a.lost.code != 0 || a.refusal.code != 0 {
		return
	}
	t, log := a.t, a.s.door.intake
	rcpts, refused := make([]filter.Command, len(t.rcpts)), make([]Refusal, len(a.untold))
	for i, argument := range t.rcpts {
		rcpts[i] = filter.ParseCommand(argument)
	}
	for k, i := range a.untold {
		r := a.said[i]
		refused[k] = Refusal{i, r.code, r.enhanced, r.text}
	}
	m := t.mail.Outline(filter.ParseCommand(t.from), rcpts)
	if m == nil {
		a.abandon()
		a.lost = a.said[a.untold[0]]
		return
	}
	if err := a.s.door.inform(m, refused); err != nil {
		log.Warn("the sender cannot be told whom the MTA at smtpd.reinject has refused: the message waits with its client", "error", err, "client", t.client.Client())
		a.abandon()
		a.lost = replyLater
		return
	}
	for _, r := range refused {
		log.Warn("the MTA at smtpd.reinject refuses a recipient, and the sender is told", "to", rcpts[r.Rcpt].Path, "reply", a.said[r.Rcpt].String(), "id", t.queueID)
	}
	a.told, a.untold = append(a.told, a.untold...), nil
}

// take makes our part recoverable. It is not begun when the client may have lost its patience by the end of it: the record would
// stand, and the client would send the message again.
func (a *arrival) take() {
	s, m := a.s, a.t.mail
	if time.Now().After(a.due()) {
		m.LeaveLate()
	}
	s.setTaking(true)
	var msg *relay.Message
	if m.Left() == "" {
		msg = m.Take()
	}
	if msg == nil {
		s.setTaking(false)
		a.takeFailed()
		return
	}
	s.unheard = msg
	name := msg.Name()
	for i, f := range a.fates {
		if f == taken {
			a.said[i] = reply{250, "2.0.0", "Ok: queued as " + name}
		}
	}
}

// takeFailed looks for another way for recipients who were ours: the client keeps them, or the MTA gets them by a message of their own.
func (a *arrival) takeFailed() {
	m, up := a.t.mail, a.s.upstream()
	m.ReportLeft()
	alone := a.s.lmtp || len(a.sent) == 0 // what the client is told is about our part only
	if up == nil || m.NoRoom() && a.s.keeps() && alone {
		a.s.putOffFirst()
		a.sayOfOurs(replyNoRoom)
		return
	}
	before := append([]reply(nil), a.said...)
	a.open(taken, a.due())
	a.write(m.RawHeader())
	a.write(crlf)
	a.write(m.RawBody())
	a.endPassage()
	for i, r := range before {
		if r.code != 0 {
			a.said[i] = r
		}
	}
	if a.lost.code != 0 {
		a.sayOfOurs(a.lost)
	}
}

// sayOfOurs sets the answer for the recipients who were ours.
func (a *arrival) sayOfOurs(r reply) {
	for i, f := range a.fates {
		if f == taken && a.said[i].code == 0 {
			a.said[i] = r
		}
	}
}

// answer writes the reply, or for LMTP the reply for each recipient in the order of RCPT.
func (a *arrival) answer() {
	s := a.s
	if !s.lmtp {
		s.say(a.single())
	} else {
		for i := range a.t.rcpts {
			s.say(a.replyFor(i))
		}
	}
	err := s.flush()
	s.setTaking(false)
	if err != nil && s.unheard != nil {
		s.noteHeard(false)
	}
}

// replyFor is the answer about one recipient.
func (a *arrival) replyFor(i int) reply {
	switch {
	case a.refusal.code != 0:
		return a.refusal
	case i < len(a.fates) && a.fates[i] == refused:
		return replyNoRoom
	case i < len(a.said) && a.said[i].code != 0:
		return a.said[i]
	case a.lost.code != 0:
		return a.lost
	}
	return reply{451, "4.3.0", "not taken, try again later"} // no way leads here
}

// single is the one answer for all: a failure if there is any, a temporary one before others; else the one about our part, if there is
// one.
func (a *arrival) single() (best reply) {
	for i := range a.t.rcpts {
		if slices.Contains(a.told, i) && a.lost.code == 0 && a.refusal.code == 0 {
			continue
		}
		r := a.replyFor(i)
		if weight(r) > weight(best) || weight(r) == weight(best) && i < len(a.fates) && a.fates[i] == taken && a.fates[0] != taken {
			best = r
		}
	}
	return best
}

// weight orders replies by how much the client must hear them.
func weight(r reply) int {
	switch {
	case r.code == 0:
		return 0
	case r.ok():
		return 1
	case r.temporary():
		return 3
	}
	return 2
}
