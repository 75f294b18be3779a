package sink

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// Stage is a point of the dialogue where a Fault may act.
type Stage int

// The stages, in the order a connection passes them.
const (
	Banner   Stage = iota + 1 // in place of the 220 greeting
	EHLO                      // in place of the reply to EHLO, HELO or LHLO
	StartTLS                  // in place of the reply to STARTTLS
	Mail                      // in place of the reply to MAIL
	Rcpt                      // in place of the reply to RCPT
	Data                      // in place of the 354
	Dot                       // in place of the reply to the whole message
	Between                   // unasked, right after a message was accepted
	stages
)

// Action is what a Fault does.
type Action int

// The actions. Replies take their text from Fault.Text when that is set.
const (
	Reply421    Action = iota + 1 // 421 4.3.2, then close
	Reply451                      // 451 4.3.0
	Reply550                      // 550 5.7.1
	Garbage                       // bytes that are no reply
	Endless                       // a reply of ever more continuation lines
	EndlessLine                   // a reply line that never ends
	Disconnect                    // close without a word
	Silence                       // never answer; the connection stays open until the client or the Sink ends it
	actions
)

// Fault is one misbehaviour of a listener: at Stage it does Do.
type Fault struct {
	Stage Stage
	Do    Action
	// Text replaces the reply line (without CRLF) of the Reply actions and the bytes of Garbage. A Text of several
	// reply lines is separated by CRLF.
	Text string
	// Match limits the fault to transactions in which the sender or a recipient contains this string, without regard to
	// case. At Rcpt only this recipient counts, at EHLO and StartTLS the client's name; at Banner nothing matches.
	Match string
	// After is how often the stage passes without the fault before the fault begins.
	After int
	// Times is how often the fault acts. Zero: always.
	Times int
	// Take, at Dot, writes the message to the ledger first: the message is accepted, and the sender does not learn it.
	Take bool
}

func (f Fault) validate() error {
	switch {
	case f.Stage <= 0 || f.Stage >= stages:
		return fmt.Errorf("sink: fault: no such stage %d", f.Stage)
	case f.Do <= 0 || f.Do >= actions:
		return fmt.Errorf("sink: fault: no such action %d", f.Do)
	case f.Take && f.Stage != Dot:
		return fmt.Errorf("sink: fault: Take belongs to the stage Dot, not to %d", f.Stage)
	case f.After < 0 || f.Times < 0:
		return fmt.Errorf("sink: fault: After and Times must not be negative")
	}
	return nil
}

// text returns the bytes a Reply or Garbage action sends, without the final CRLF.
func (f *Fault) text() string {
	if f.Text != "" {
		return f.Text
	}
	switch f.Do {
	case Reply421:
		return "421 4.3.2 Service not available, closing transmission channel"
	case Reply451:
		return "451 4.3.0 Requested action aborted: local error in processing"
	case Reply550:
		return "550 5.7.1 Delivery not authorized, message refused"
	default:
		return "\x00\xff\xfe this is no reply \x80"
	}
}

// plan holds a listener's faults by stage.
type plan [stages][]*dueFault

type dueFault struct {
	Fault
	seen atomic.Int64
}

func newPlan(faults []Fault) (plan, error) {
	var p plan
	for _, f := range faults {
		if err := f.validate(); err != nil {
			return p, err
		}
		f.Match = strings.ToLower(f.Match)
		p[f.Stage] = append(p[f.Stage], &dueFault{Fault: f})
	}
	return p, nil
}

// due counts the stage and returns the fault that acts now, or nil. Fault.Match is searched in subjects.
func (p *plan) due(stage Stage, subjects ...string) *Fault {
	for _, f := range p[stage] {
		if !f.concerns(subjects) {
			continue
		}
		n := f.seen.Add(1) - int64(f.After)
		if n > 0 && (f.Times == 0 || n <= int64(f.Times)) {
			return &f.Fault
		}
	}
	return nil
}

func (f *dueFault) concerns(subjects []string) bool {
	if f.Match == "" {
		return true
	}
	for _, s := range subjects {
		if strings.Contains(strings.ToLower(s), f.Match) {
			return true
		}
	}
	return false
}
