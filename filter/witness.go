package filter

import (
	"time"

	"github.com/millrace/millrace/relay"
)

// Witness is told of mail that finds no room: the event stream. It is called on the goroutine of the session and must not block.
type Witness interface {
	// Held is told of a reply that has waited so long, when it leaves. room says that it has not waited in vain.
	Held(who Applicant, waited time.Duration, room bool)
	// Overflow is told of a message that stays with the MTA, or of those of its recipients that do.
	Overflow(who Applicant)
}

// Applicant is a message that asks for room. Its texts may be kept.
type Applicant struct {
	QueueID string         // of the MTA, or ""
	Sender  string         // reverse-path
	Rcpts   []string       // for whom there is no room
	Flow    relay.FlowName // the zero FlowName if it was not looked for
	Rule    string
	Client  string
	Size    int64  // SIZE parameter of MAIL; 0 when not given
	Reason  string // what there is no room in
}

// applicant is m as a Witness hears of it. Only recipients that wanted accepts are named.
func (m *Mail) applicant(reason string, wanted func(i int) bool) Applicant {
	a := Applicant{
		QueueID: m.queueID, Sender: m.offer.Sender, Rule: m.verdict.Rule, Client: m.client.of(&m.offer), Size: m.offer.Size, Reason: reason,
	}
	if m.flowing {
		a.Flow = m.flowName
	}
	for i := range m.rcpts {
		if wanted(i) {
			a.Rcpts = append(a.Rcpts, m.rcpts[i].Addr)
		}
	}
	return a
}

// everybody accepts all recipients.
func everybody(int) bool { return true }

// witnessLeft tells of a message that is left for want of room.
func (m *Mail) witnessLeft() {
	if w := m.intake.deps.Events; w != nil && (m.cause == CauseGate || m.cause == CauseFull) {
		w.Overflow(m.applicant(m.left, everybody))
	}
}

// witnessSome tells of the recipients that stay with the MTA, of a message that is taken for others. of is as from domains.
func (m *Mail) witnessSome(why relay.Reason, of []int) {
	if w := m.intake.deps.Events; w != nil {
		w.Overflow(m.applicant(leftGate+why.Text, func(i int) bool { return of[i] >= 0 && m.grant.Refuses(of[i]) }))
	}
}

// witnessHeld tells of a reply that has waited.
func (m *Mail) witnessHeld(why string, waited time.Duration, room bool) {
	if w := m.intake.deps.Events; w != nil {
		w.Held(m.applicant(why, everybody), waited, room)
	}
}
