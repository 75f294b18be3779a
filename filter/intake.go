package filter

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// Modes of a door.
const (
	// Deliver takes bulk mail.
	Deliver = "deliver"
	// Observe counts and logs what would be taken, and takes nothing.
	Observe = "observe"
)

// Accepter makes a message recoverable: the queue map is one. Accept returns nil only when the message is recoverable;
// it may block on the disk. After an error nothing was taken. For each message accepted Heard follows once and says
// whether the MTA has heard that the message is taken.
type Accepter interface {
	Accept(*relay.Message) error
	Heard(m *relay.Message, heard bool)
}

// Deps are what an Intake works with.
type Deps struct {
	Accept    Accepter
	NewID     func() relay.ID
	Filter    *Filter
	Tenants   *Tenants              // nil: nobody's mail is told apart
	Sendable  func(smtp.Form) error // says why content of that form cannot be sent byte for byte
	Log       hclog.Logger
	Gate      *relay.Gate   // says whether there is room; nil: there is as long as Accept says so
	Hold      *Hold         // lets replies wait for room; nil: one of the door's own
	Preflight *Preflight    // examines the first message of each campaign; nil: nobody does
	Budget    *relay.Budget // the memory that all parts share; nil: as much as there is
	Events    Witness       // is told of mail that must wait or is left for want of room; nil: nobody is
}

// Limits bound what a door holds of messages that are not taken yet. A message above a limit stays with the MTA.
type Limits struct {
	Rcpts       int   // recipients of one message
	HeaderBytes int   // header of one message
	Buffered    int64 // bytes of all messages under way
}

// Intake is the part of a door that is the same for all doors: limits, memory, counters, the filter in use, and the way
// of a message from MAIL to the queue map. A door has one Intake and begins a Mail for each message. All sessions of the
// door share the Intake; its methods may be called from any goroutine.
type Intake struct {
	limits   Limits
	deps     Deps
	log      hclog.Logger
	policy   atomic.Pointer[policy]
	hold     *Hold
	sessions atomic.Int64 // of the MTA that are open
	buffered atomic.Int64 // bytes of Limits.Buffered in use
	bodies   bodies
	counts   counters
	quiet    quiet
	faults   sync.Map // of NotePanic: the texts logged with a stack
}

// policy is what Reload replaces.
type policy struct {
	filter  *Filter
	tenants *Tenants
	observe bool
}

// NewIntake returns the intake of one door.
func NewIntake(limits Limits, mode string, deps Deps) (*Intake, error) {
	switch {
	case deps.Filter == nil || deps.Log == nil || deps.NewID == nil || deps.Accept == nil || deps.Sendable == nil:
		return nil, errors.New("intake: incomplete Deps")
	case limits.Rcpts < 1 || limits.HeaderBytes < 1 || limits.Buffered < 1:
		return nil, fmt.Errorf("intake: a limit is less than 1: %+v", limits)
	case mode != Deliver && mode != Observe:
		return nil, fmt.Errorf("mode: %q is neither %q nor %q", mode, Observe, Deliver)
	}
	if deps.Budget == nil {
		deps.Budget = relay.NewBudget(0)
	}
	if deps.Hold == nil {
		deps.Hold = &Hold{}
	}
	in := &Intake{limits: limits, deps: deps, log: deps.Log, hold: deps.Hold}
	in.Reload(deps.Filter, deps.Tenants, mode)
	return in, nil
}

// Reload replaces the filter, the tenants and the mode. A message under way is decided by the filter and the tenants it began
// with.
func (in *Intake) Reload(f *Filter, tenants *Tenants, mode string) {
	in.policy.Store(&policy{filter: f, tenants: tenants, observe: mode == Observe})
}

// Filter returns the filter in use.
func (in *Intake) Filter() *Filter { return in.policy.Load().filter }

// Observing reports whether the door takes nothing and only counts what it would take.
func (in *Intake) Observing() bool { return in.policy.Load().observe }

// Hopeless reports that no message of this client can be taken, whoever sends it. The door need not look at them, and
// the client's connection is counted as passed.
func (in *Intake) Hopeless(client *Offer) bool {
	if client.Barred == "" && !in.Filter().Hopeless(client) {
		return false
	}
	in.counts.passedConnect.Add(1)
	return true
}

// Begin opens a message of this client. It goes on in the memory of last, the message before on the same connection, which must have been
// dismissed; nil: there is none.
func (in *Intake) Begin(client Offer, last *Mail) *Mail {
	m := last
	if m == nil {
		m = new(Mail)
	}
	now := in.policy.Load()
	m.intake, m.filter, m.tenants = in, now.filter, now.tenants
	m.offer, m.arrived = client, time.Now()
	if client.Barred != "" {
		m.Leave(client.Barred)
	}
	return m
}

// accept asks the heart to make msg recoverable, and counts how that went.
func (in *Intake) accept(msg *relay.Message) (Cause, error) {
	err := in.deps.Accept.Accept(msg)
	switch {
	case err == nil:
		in.counts.taken.Add(1)
		return 0, nil
	case errors.Is(err, relay.ErrFull):
		in.counts.full.Add(1)
		return CauseFull, err
	case errors.Is(err, relay.ErrClosed):
		in.counts.full.Add(1)
		return CauseClosed, err
	}
	return CauseJournal, err
}

// NoteHeard tells the heart whether the MTA has heard that msg is taken. The message stays taken in any case, but an MTA
// that has not heard of it has its client send the message again.
func (in *Intake) NoteHeard(msg *relay.Message, heard bool) {
	in.deps.Accept.Heard(msg, heard)
	if heard && !in.log.IsDebug() { // as it goes for each message
		return
	}
	if heard {
		in.log.Debug("the MTA has heard that a message is taken", "id", msg.Name())
		return
	}
	in.log.Warn("the MTA hung up and may not have heard that a message is taken; it may be delivered twice", "id", msg.Name())
}

// NotePanic counts and logs a panic in a door's session, with its stack the first time it is seen.
func (in *Intake) NotePanic(v any, stack []byte) {
	in.counts.panics.Add(1)
	args := []any{"panic", v}
	if _, seen := in.faults.LoadOrStore(fmt.Sprint(v), true); !seen {
		args = append(args, "stack", string(stack))
	}
	in.log.Error("panic in a door's session", args...)
}

// NoteBroken counts and logs a connection that was closed for what the MTA sent, or did not send.
func (in *Intake) NoteBroken(text string, args ...any) {
	in.counts.badConnections.Add(1)
	in.Warn(text, args...)
}

// Warn logs what may happen thousands of times a second. Each text, which must be a constant, passes once a second.
func (in *Intake) Warn(text string, args ...any) { in.say(hclog.Warn, time.Second, text, args...) }

// say logs a text once in an interval at most, with the number of times that it was suppressed.
func (in *Intake) say(level hclog.Level, interval time.Duration, text string, args ...any) {
	suppressed, ok := in.quiet.allow(text, time.Now(), interval)
	if !ok {
		return
	}
	if suppressed > 0 {
		args = append(args, "suppressed", suppressed)
	}
	in.log.Log(level, text, args...)
}
