package filter

import (
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
)

// Why a message stays with the MTA, where neither a rule nor the door says it.
const (
	leftBody        = "over size_limit"
	leftHeader      = "over max_header_bytes"
	leftRcpts       = "over max_rcpts"
	leftMemory      = "over max_buffered"
	leftFull        = "over queue.max_bytes"
	leftField       = "malformed header field"
	leftOrder       = "commands out of order"
	leftParameter   = "unknown parameter "
	leftNobody      = "no recipient may be taken"
	leftObserve     = "observe mode"
	leftShare       = "outside bulk.share"
	leftUnsendable  = "not sendable byte for byte"
	leftNotAccepted = "not accepted"
	leftGate        = "no room: "
	leftLate        = "too late to record it"
)

// Mail is one message on its way from MAIL to the door's answer. The door calls, in this order: SetSender, AddRcpt for
// each recipient, the methods that collect the header, EndHeader, the methods that collect the body, Build, Take,
// Dismiss. After each of them it asks Left: a reason there means that the MTA keeps the message. The door then answers
// so, and calls ReportLeft and Dismiss, at once or later as its protocol allows. Only one goroutine may use a Mail.
type Mail struct {
	intake   *Intake
	filter   *Filter // the one in use when the message began
	tenants  *Tenants
	offer    Offer
	arrived  time.Time
	envelope relay.Envelope // without the recipients
	rcpts    recipients
	odd      string // the fault of a recipient that stays with the MTA for its address
	queueID  string
	content  content
	charged  int64 // bytes that the door keeps of it

	verdict  Verdict        // by the header; Take from then on
	left     string         // why the MTA keeps the message, "" while it may still be taken
	leftAs   *atomic.Uint64 // the counter for left
	cause    Cause          // why, when leftAs counts messages that had to stay
	detour   detour         // of the first recipient that stays for one
	hop      Hop            // and where the MTA would send it
	flowName relay.FlowName // with which mail it takes turns
	flowing  bool           // flowName was looked for
	grant    *relay.Grant   // what the gate has granted; nil: it was not asked
	whole    bool           // all recipients could be taken when the gate was asked
	refused  bool           // the MTA must refuse the message
	examined bool           // it was examined as the first of its campaign, without its size
	lasting  bool           // there is no room, and there may be none for long
	certain  bool           // known at MAIL to be bulk: no header can change that
	message  *relay.Message // what Build has built
	taken    bool           // Accept has returned nil

	client client    // how the log calls who gave it to the MTA
	domain [1]string // room for what the gate is asked
	of     [1]int
}

// client is the name of a client in the log. Most messages of a connection come from the same, and share it.
type client struct {
	name string
	addr netip.Addr
	text string
}

// of is the name of the client of an offer.
func (c *client) of(o *Offer) string {
	if c.text == "" || c.name != o.ClientName || c.addr != o.ClientAddr {
		*c = client{o.ClientName, o.ClientAddr, o.Client()}
	}
	return c.text
}

// Leave leaves the message with the MTA for this reason. The first reason counts. What was collected stays until
// DropContent or Dismiss, for a door that sends it on.
func (m *Mail) Leave(reason string) { m.leaveFor(CauseOther, reason) }

// LeaveForm leaves the message with the MTA because only the MTA can send it byte for byte. This is counted and logged apart.
func (m *Mail) LeaveForm(reason string) { m.leaveFor(CauseForm, reason) }

func (m *Mail) leaveFor(c Cause, reason string) {
	if m.left == "" {
		m.cause = c
	}
	m.leaveAs(reason, &m.intake.counts.left)
}

func (m *Mail) leaveAs(reason string, counter *atomic.Uint64) {
	if m.left == "" {
		m.left, m.leftAs = reason, counter
	}
}

// LeaveLate leaves the message because its client may not wait until it is recorded.
func (m *Mail) LeaveLate() { m.leaveFor(CauseBuffered, leftLate) }

// NoRoom reports that the message is left for want of room, which will be found again: a door whose client keeps its mail has it
// tried again. While the daemon is drained, or the allowance is used up, there will be none.
func (m *Mail) NoRoom() bool {
	switch m.cause {
	case CauseGate, CauseFull, CauseBuffered, CauseClosed:
		return m.left != "" && !m.lasting
	}
	return false
}

// Left says why the MTA keeps the message. It returns "" while the message may still be taken, and when it is.
func (m *Mail) Left() string { return m.left }

// ReportLeft counts and logs that the message is left with the MTA. The door calls it once, with its answer.
func (m *Mail) ReportLeft() {
	if log := m.intake.log; log.IsDebug() {
		log.Debug("left with the MTA", "id", m.queueID, "reason", m.left)
	}
	m.leftAs.Add(1)
	if m.leftAs == &m.intake.counts.left {
		m.intake.noteLeft(m)
	}
}

// DropContent forgets the header and the body of a message that is left, for a door that still has to read the rest of
// it but does not need it.
func (m *Mail) DropContent() {
	m.intake.bodies.takeBack(m.content.lent)
	m.content = content{header: m.content.header[:0], trace: m.content.trace[:0]}
	m.refund()
}

const (
	// keepBuffer is the largest header buffer that is kept for the next message, and keepRcpts the most recipients.
	keepBuffer = 16 << 10
	keepRcpts  = 32
)

// Dismiss ends the Mail, whatever became of it, and gives its memory back to the budget. The door may lend the Mail to Begin for its next
// message, and calls nothing else of it. What a rare large message has grown is not kept.
func (m *Mail) Dismiss() {
	m.DropContent()
	m.grant.Release()
	kept := Mail{client: m.client, content: content{trace: m.content.trace}}
	if cap(m.content.header) <= keepBuffer {
		kept.content.header = m.content.header
	}
	if clear(m.rcpts); cap(m.rcpts) <= keepRcpts {
		kept.rcpts = m.rcpts[:0]
	}
	*m = kept
}

// refund gives back what the message was charged.
func (m *Mail) refund() {
	m.intake.free(m.charged)
	m.charged = 0
}

// charge asks for n bytes to keep of the message, and leaves the message when there is no room for them.
func (m *Mail) charge(n int) bool {
	if m.left != "" {
		return false
	}
	if !m.intake.keep(int64(n)) {
		m.leaveFor(CauseBuffered, leftMemory)
		return false
	}
	m.charged += int64(n)
	return true
}

// reserve asks for n bytes for the body, which become the message's when it is taken, and leaves the message when there is no
// room for them.
func (m *Mail) reserve(n int) bool {
	if !m.charge(n) {
		return false
	}
	if m.intake.deps.Budget.Room(relay.AccountDoors) {
		return true
	}
	m.intake.counts.full.Add(1)
	m.leaveFor(CauseFull, leftFull)
	return false
}

// SetSender is told the argument of MAIL, and asks the filter for the first time.
func (m *Mail) SetSender(c Command) {
	if !strings.ContainsFunc(c.Path, isControl) {
		m.offer.Sender = c.Path // for the log, should the message be left here
	}
	for _, p := range c.Params {
		if !setMailParam(&m.envelope, &m.offer, p) {
			m.leaveFor(CauseParameter, leftParameter+strconv.Quote(p))
			return
		}
	}
	addr, fault := c.Canonical(m.envelope.UTF8)
	if fault != "" {
		m.leaveFor(CauseAddress, "sender: "+fault)
	}
	if m.left != "" {
		return
	}
	m.envelope.From, m.offer.Sender = addr, addr
	switch v := m.filter.Early(&m.offer); v.Decision {
	case Pass:
		m.leaveAs(v.Reason, &m.intake.counts.passedMail)
	case Take:
		m.certain = true
		m.leaveShut()
	}
}

// rcptOverhead is what a recipient costs beside its address.
const rcptOverhead = 64

// AddRcpt is told the argument of RCPT, and where the MTA would send the mail for this recipient.
func (m *Mail) AddRcpt(c Command, hop Hop) {
	r := recipient{path: c.Path}
	size := len(c.Path) + rcptOverhead
	for _, p := range c.Params {
		size += len(p)
		if !setRcptParam(&r.Rcpt, p, m.envelope.UTF8) {
			m.leaveFor(CauseParameter, leftParameter+strconv.Quote(p))
			return
		}
	}
	addr, fault := c.forRcpt(m.envelope.UTF8)
	if fault != "" && !theirs[fault] {
		m.leaveFor(CauseAddress, "recipient: "+fault)
		return
	}
	if len(m.rcpts) >= m.intake.limits.Rcpts {
		m.leaveFor(CauseRcpts, leftRcpts)
		return
	}
	if fault == "" {
		r.Addr, r.ours = addr, m.filter.Takes(hop.Mailer, relay.Domain(addr))
		r.ours = m.goesStraight(c.Path, hop, r.ours) && r.ours
	} else {
		m.odd = fault
	}
	if m.charge(size) {
		m.rcpts = append(m.rcpts, r)
	}
}

// LastTaken reports whether the recipient that was added last may be taken.
func (m *Mail) LastTaken() bool { return len(m.rcpts) > 0 && m.rcpts[len(m.rcpts)-1].ours }

// DropRcpt forgets the recipient that was added last: the door has refused him.
func (m *Mail) DropRcpt() { m.rcpts = m.rcpts[:len(m.rcpts)-1] }

// leaveNobody leaves a message without a recipient that may be taken.
func (m *Mail) leaveNobody() {
	if m.odd != "" {
		m.leaveFor(CauseAddress, "recipient: "+m.odd)
		return
	}
	if m.detour != straight {
		m.leaveFor(CauseRoute, leftNobody)
		return
	}
	m.leaveFor(CauseLocal, leftNobody)
}

// Rcpts yields the recipients as received and in order, and whether each would be taken.
func (m *Mail) Rcpts() iter.Seq2[string, bool] {
	return func(yield func(addr string, ours bool) bool) {
		for i := range m.rcpts {
			if !yield(m.rcpts[i].path, m.rcpts[i].ours) {
				return
			}
		}
	}
}

// Partial reports that some recipients stay with the MTA, or may: those that it has added without a word to the door. The door
// must not end the message for the MTA, but only the recipients that are taken.
func (m *Mail) Partial() bool { return m.filter.keepAdded || m.rcpts.ours() < len(m.rcpts) }

// Plain reports that there are at most so many recipients, and that each of them goes out byte for byte as it came, in characters
// that no program reads in two ways. The MTA then knows them by exactly these bytes.
func (m *Mail) Plain(rcpts int) bool {
	if m.envelope.UTF8 || len(m.rcpts) > rcpts {
		return false
	}
	return !slices.ContainsFunc(m.rcpts, func(r recipient) bool { return !r.plain() })
}

// SetQueueID notes what the MTA calls the message, which it may not know before the first recipient. An id that would
// break a log line is ignored.
func (m *Mail) SetQueueID(id string) {
	if id != "" && !strings.ContainsFunc(id, notInID) {
		m.queueID = id
	}
}

// notInID reports what would break a log line.
func notInID(c rune) bool { return c <= ' ' || c >= 0x7f || c == ':' }

// EndHeader asks the filter for the last time: most messages are decided here. The door's own obstacle, which may be
// nil, is asked only about a message that is bulk, and says why the MTA must keep it, or "".
func (m *Mail) EndHeader(obstacle func() string) {
	if m.left != "" {
		return
	}
	m.verdict = m.filter.Decide(&m.offer, m.content.header)
	if m.verdict.Decision != Take {
		m.leaveAs(m.verdict.Reason, &m.intake.counts.passedHeader)
		return
	}
	m.reportDetour()
	if m.rcpts.ours() == 0 {
		m.leaveNobody()
		return
	}
	if m.filter.whole(&m.offer) == nil && !m.applyShare() {
		m.leaveOutside()
		return
	}
	if obstacle != nil {
		if reason := obstacle(); reason != "" {
			m.Leave(reason)
			return
		}
	}
	if m.examine(); m.left != "" {
		return
	}
	if m.intake.Observing() {
		m.observe()
		return
	}
	m.content.endHeader()
}

// observe tells what deliver mode would have done.
func (m *Mail) observe() {
	rule := m.verdict.rule
	rule.observed.Add(1)
	m.leaveAs(leftObserve, &m.intake.counts.observed)
	m.logObserved("would take")
}

// logObserved logs a message that is bulk, in observe mode.
func (m *Mail) logObserved(text string) {
	flow := m.flow()
	m.intake.log.Info(text, "id", m.queueID, "from", m.envelope.From, "rule", m.verdict.Rule,
		"nrcpt", m.rcpts.ours(), "of", len(m.rcpts), "client", m.client.of(&m.offer), "tenant", flow.Tenant, "flow", flow.Name)
}

// Take asks the heart to make the message recoverable, and returns it when it is taken: from then on the door must
// answer that it is, and tell NoteHeard whether the MTA heard so. Take may wait for the disk. It returns nil when the
// message is left.
func (m *Mail) Take() *relay.Message {
	if m.left == "" && m.message == nil {
		m.Leave(leftOrder)
	}
	if m.left != "" {
		return nil
	}
	if cause, err := m.intake.accept(m.message); err != nil {
		m.leaveFor(cause, fmt.Sprintf("%s: %v", leftNotAccepted, err))
		return nil
	}
	m.taken, m.grant = true, nil
	m.intake.buffered.Add(-m.charged) // the heart has taken over what was reserved
	m.charged = 0
	rule := m.verdict.rule
	rule.taken.Add(1)
	return m.message
}

// Taken reports whether the message is taken. A door asks it after a panic, when it does not know how far Take has got.
func (m *Mail) Taken() bool { return m.taken }

// Build makes the Message when all of it has come, and checks that it can be sent byte for byte. Its content is lent to it until Accept
// has divided it. protocol is the keyword for the Received field, see Protocol.
func (m *Mail) Build(protocol string) {
	if m.verdict.Decision != Take && m.left == "" {
		m.Leave(leftOrder)
	}
	if m.left != "" {
		return
	}
	if m.examineSize(); m.left != "" {
		return
	}
	m.message = m.newMessage(protocol)
	if err := m.intake.deps.Sendable(m.message.Content.Form()); err != nil {
		m.leaveFor(CauseForm, fmt.Sprintf("%s: %v", leftUnsendable, err))
	}
}
