package bounce

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// Deps are the parts a Server works with. They are functions and not a *relay.QueueMap, because the map is given the Server
// as a listener: each would need the other first.
type Deps struct {
	// Hostname is the reporting MTA's name.
	Hostname string
	// Accept takes a notification: relay.QueueMap.Accept. An error that is relay.ErrFull says that the notifications have used
	// their share of memory, until our MTA takes some of them.
	Accept func(*relay.Message) error
	// Emit tells the journal and the listeners of an event. The server calls it from Event too, so it must not block.
	Emit func(*relay.Event)
	// Release gives a Hold back: relay.QueueMap.Release.
	Release func(*relay.Message)
	// Pending reports whether recipients of a message wait or are being visited; holds do not count. When it is nil
	// every notification waits for Config.Delay.
	Pending func(*relay.Message) bool
	// NewID names the next message.
	NewID func() relay.ID
	// Budget is charged for the failures that are kept. nil: as much memory as there is.
	Budget *relay.Budget
	Log    hclog.Logger
}

// Server is the bounce server: it listens to the events of recipients and sees to it that senders hear of failures.
//
// A failed recipient is reported when relay.EventReported is emitted for it. If nobody must be told (null sender, NOTIFY),
// that is at once; otherwise when the notification was accepted. Until then the server holds the message. It gathers the
// failures of one message and sends one notification for all, as soon as no recipient is pending, and at the latest
// Config.Delay after the first. A held message counts in the queue map, so the map's limits bound the server too.
//
// While the notifications have used their share of memory, the others wait, each with the message that it is about. A
// notification that is not accepted for another reason is tried again, with growing delay, for five days. Then its entries go
// to the log.
type Server struct {
	cfg     atomic.Pointer[Config]
	deps    Deps
	began   time.Time
	lexicon *lexicon

	mu      sync.Mutex
	held    map[noticeKey]*notice // notices that still gather entries
	order   line                  // every notice, by first failure; one that was not accepted goes back to the front
	sending int                   // notices that a sweep has taken out of order

	crowded atomic.Bool // the queue map had no room for the last notification
}

// beat is how often Run looks for notices that are due. A timer for each notice would cost more than a look at the list.
const beat = time.Second

// batch is how many notifications are given to the queue map before the server looks again whether there is room for more.
const batch = 1000

// senders is how many notifications are given to the queue map at a time. Each waits for a commit of the journal; together
// they share one.
const senders = 8

// NewServer returns a bounce server. cfg has been validated.
func NewServer(cfg Config, deps Deps) *Server {
	if deps.Log == nil {
		deps.Log = hclog.NewNullLogger()
	}
	if deps.Budget == nil {
		deps.Budget = relay.NewBudget(0)
	}
	s := &Server{deps: deps, began: time.Now(), lexicon: newLexicon(deps.Budget), held: make(map[noticeKey]*notice)}
	s.SetConfig(cfg)
	return s
}

// SetConfig replaces the configuration, which has been validated. It holds for notifications that are not written yet.
func (s *Server) SetConfig(cfg Config) { s.cfg.Store(&cfg) }

// Event implements relay.Listener. It runs on the goroutine that settles and never blocks. The node of a settled recipient
// keeps its message until every listener has returned; Event takes its hold before that.
func (s *Server) Event(e *relay.Event) {
	if e.Kind != relay.EventSettled {
		return
	}
	switch e.Outcome {
	case relay.Bounced, relay.Expired:
		defer s.keepUntold(e)
		s.failed(e)
	case relay.Sent:
		if m := e.Message; e.Relayed && m.From() != "" && Notify(m.Rcpt(e.Rcpt).Notify).Success {
			s.noteEvent(e, passed)
		}
	}
}

// keepUntold keeps a message whose failure met a fault of our own. Without it the message would leave as if its sender had been
// told. It stays in memory and in the journal, and the next start visits the recipient again. The panic goes on to the caller,
// who logs it.
func (s *Server) keepUntold(e *relay.Event) {
	if fault := recover(); fault != nil {
		e.Message.Hold()
		s.deps.Log.Error("the sender is told of this failure after the next start only", "message", e.Message.Name(), "reply", e.Reply.String())
		panic(fault)
	}
}

// failed decides who is told of a failure. Nothing is sent to the null sender (RFC 5321 section 4.5.5). A notification that
// fails itself is a message of ours with the null sender; it goes to the log, or its news would be lost.
func (s *Server) failed(e *relay.Event) {
	m := e.Message
	switch {
	case m.From() == "" && m.Class() == relay.ClassInject:
		s.noteEvent(e, double)
	case m.From() != "" && Notify(m.Rcpt(e.Rcpt).Notify).Failure:
		s.noteEvent(e, failure)
	default:
		s.emitReported(m, e.Node, e.Rcpt, "")
	}
}

// noteEvent puts e into the notice of its message, and holds the message if the notice is new.
func (s *Server) noteEvent(e *relay.Event, k kind) {
	x := newEntry(e, s.lexicon.keep(e))
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.held[noticeKey{e.Message.ID, k}]; n != nil {
		before := n.weigh()
		n.add(x)
		s.deps.Budget.Charge(relay.AccountMail, n.weigh()-before)
		return
	}
	e.Message.Hold()
	n := &notice{message: e.Message, kind: k, first: s.now(), entry: x}
	if n.gathers() {
		s.held[n.key()] = n
	}
	s.order.add(n)
	s.deps.Budget.Charge(relay.AccountMail, n.weigh())
}

// now is the time since the server began, by the monotonic clock.
func (s *Server) now() time.Duration { return time.Since(s.began) }

// Held is how many notices wait to be written or accepted.
func (s *Server) Held() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.order.n + s.sending
}

// Run sends the notices that are due, until ctx is done. It returns when the goroutines it started have ended; Flush sends
// the notices that are left.
func (s *Server) Run(ctx context.Context) {
	tick := time.NewTicker(beat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.sweep(ctx, false)
		}
	}
}

// Flush sends every notice now, due or not. A stop calls it after Run has returned and when no more visits are settled, but
// before the queue map is closed. The recipients of a notice that could not be sent are not reported: the next start visits
// them again.
func (s *Server) Flush(ctx context.Context) error {
	s.sweep(ctx, true)
	if n := s.Held(); n > 0 {
		return fmt.Errorf("%d notifications were not accepted; their recipients are visited again after the next start", n)
	}
	return nil
}

// Crowded reports whether notifications wait because the others have used their share of memory.
func (s *Server) Crowded() bool {
	return s.Held() > 0 && (s.crowded.Load() || !s.deps.Budget.Room(relay.AccountNotices))
}

// sweep sends the notices that are due, or all, as long as there is room for them. Only one sweep runs at a time: Run and
// Flush never overlap.
func (s *Server) sweep(ctx context.Context, all bool) {
	for s.deps.Budget.Room(relay.AccountNotices) {
		due := s.removeDue(s.now(), all)
		if !s.deliverAll(ctx, due) || len(due) < batch {
			return
		}
	}
}

// deliverAll delivers the notices, and reports whether all are over with. The first notice that is not accepted ends it: the
// next would fare no better, and it would cost the queue map work for nothing.
func (s *Server) deliverAll(ctx context.Context, due []*notice) bool {
	var next atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	done := make([]bool, len(due))
	for range min(senders, len(due)) {
		wg.Go(func() { // ends when every notice has been tried, or with the first failure
			for !stop.Load() && ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(due) {
					return
				}
				if done[i] = s.survive(due[i]); !done[i] {
					stop.Store(true)
				}
			}
		})
	}
	wg.Wait()
	s.putBack(due, done)
	return !slices.Contains(done, false)
}

// removeDue removes the first notices that are due, a batch of them at most. Nobody adds entries to them from then on: a later
// failure of the same message opens a new notice.
func (s *Server) removeDue(now time.Duration, all bool) []*notice {
	s.mu.Lock()
	order := s.order
	s.order = line{}
	s.sending += order.n
	s.mu.Unlock()
	// Pending is not our code and takes locks of the queue map, so it must not run under our lock. Entries may come
	// meanwhile: they find their notice in held until it is taken out below.
	var due []*notice
	var kept line
	for order.n > 0 && len(due) < batch {
		n := order.pop()
		if all || n.ripe(now, s.cfg.Load().Delay, s.deps.Pending) {
			due = append(due, n)
		} else {
			kept.add(n)
		}
	}
	kept.join(order)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.close(due)
	s.sending -= kept.n
	kept.join(s.order)
	s.order = kept
	return due
}

// close has the notices gather no more. s.mu is held.
func (s *Server) close(due []*notice) {
	for _, n := range due {
		if s.held[n.key()] == n {
			delete(s.held, n.key())
		}
	}
	if len(s.held) == 0 {
		s.held = make(map[noticeKey]*notice) // a map that was large stays large
	}
}

// putBack returns the notices that were not done to the front: the oldest failure is still the first to be told.
func (s *Server) putBack(due []*notice, done []bool) {
	var back line
	for i, n := range due {
		if !done[i] {
			back.add(n)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	back.join(s.order)
	s.order = back
	s.sending -= len(due)
}

// maxFaults is how many attempts at a notification may meet a fault of our own.
const maxFaults = 3

// survive is deliver, and survives a fault of our own: the notice is tried again later. After a few faults nobody can be told, as
// for one that cannot be written.
func (s *Server) survive(n *notice) (done bool) {
	defer func() {
		fault := recover()
		if fault == nil {
			return
		}
		args := []any{"in", "bounce server", "message", n.message.Name(), "panic", fault}
		if n.faults++; n.faults == 1 {
			args = append(args, "stack", string(debug.Stack()))
		}
		s.deps.Log.Error("internal error: please report it", args...)
		if done = n.faults >= maxFaults; !done {
			n.failed(s.now())
			return
		}
		s.logEntries(n, "the sender is not told of this failure")
		s.retire(n, "")
	}()
	return s.deliver(n)
}

// deliver does the job of n and reports whether n is over with. A notice that cannot be written is over too: the same
// report would fail again, and its recipients must not stay unreported for ever.
func (s *Server) deliver(n *notice) bool {
	if n.kind == double {
		s.logEntries(n, "a notification could not be delivered; nobody else can be told")
		s.retire(n, "")
		return true
	}
	msg, err := s.compose(n.message, n.failures())
	if err != nil {
		s.deps.Log.Error("notification cannot be written", "message", n.message.Name(), "error", err)
		s.logEntries(n, "the sender is not told of this failure")
		s.retire(n, "")
		return true
	}
	err = s.deps.Accept(msg)
	full := errors.Is(err, relay.ErrFull)
	s.crowded.Store(full)
	switch {
	case full:
		return false // not for its own sake: it is the first when there is room
	case err != nil:
		return s.refused(n, err)
	}
	s.retire(n, msg.Name())
	return true
}

// refused notes a failed attempt, and gives up after five days: later news would help no sender, and the notice holds
// memory.
func (s *Server) refused(n *notice, err error) bool {
	now := s.now()
	wait := n.failed(now)
	if now-n.first < giveUp {
		s.deps.Log.Warn("notification was not accepted; it is tried again",
			"message", n.message.Name(), "attempts", n.tries, "next", wait, "error", err)
		return false
	}
	s.deps.Log.Error("notification was not accepted for five days", "message", n.message.Name(), "error", err)
	s.logEntries(n, "the sender is not told of this failure")
	s.retire(n, "")
	return true
}

// logEntries puts each recipient's fate into the log when no mail will say it, so that a postmaster can still tell the
// sender.
func (s *Server) logEntries(n *notice, what string) {
	for _, f := range n.failures() {
		s.deps.Log.Error(what, "message", n.message.Name(), "from", n.message.From(),
			"to", n.message.Rcpt(f.Rcpt).Addr, "action", f.Action.String(), "reply", f.Reply.String())
	}
}

// retire reports the recipients of n and lets its message go, in this order: the journal must know the end of each
// recipient before the message leaves it.
func (s *Server) retire(n *notice, report string) {
	if n.kind != passed { // a recipient that was sent to is settled already
		for x := range n.entries {
			s.emitReported(n.message, n.message.Node(int(x.node)), int(x.rcpt), report)
		}
	}
	for x := range n.entries {
		s.lexicon.drop(x.words)
	}
	s.deps.Budget.Refund(relay.AccountMail, n.weigh())
	s.deps.Release(n.message)
}

// emitReported emits the event that ends a failed recipient.
func (s *Server) emitReported(m *relay.Message, n *relay.Node, rcpt int, name string) {
	s.deps.Emit(&relay.Event{
		Kind: relay.EventReported, Time: time.Now(), Message: m, Node: n, Rcpt: rcpt, Report: name,
	})
}

// Inform tells the sender of a message that was never in the queue map of recipients who have failed. It returns when the notification
// is accepted; nil also when nobody must be told.
func (s *Server) Inform(m *relay.Message, failures []Failure) error {
	var told []Failure
	for _, f := range failures {
		if m.From() != "" && Notify(m.Rcpt(f.Rcpt).Notify).Failure {
			told = append(told, f)
		}
	}
	if len(told) == 0 {
		return nil
	}
	msg, err := s.compose(m, told)
	if err != nil {
		return err
	}
	return s.deps.Accept(msg)
}

// compose makes the message that carries a notification. Each attempt has a new ID: an ID is never used twice, not even after a refusal.
func (s *Server) compose(m *relay.Message, failures []Failure) (*relay.Message, error) {
	id, now, cfg := s.deps.NewID(), time.Now(), s.cfg.Load()
	header, body, err := Compose(Report{
		Name: id.String(), Hostname: s.deps.Hostname, From: cfg.From, Postmaster: cfg.Postmaster,
		Date: now, Message: m, MaxHeader: cfg.MaxHeader, Failures: failures,
	})
	if err != nil {
		return nil, err
	}
	return &relay.Message{
		ID: id,
		Slip: &relay.Slip{
			// The MTA needs SMTPUTF8 for the address and the To field; 8BITMIME carries the rest.
			Envelope: relay.Envelope{UTF8: !hasASCII(m.From()), Rcpts: []relay.Rcpt{{Addr: m.From()}}},
			Class:    relay.ClassInject, Arrived: now, Taken: now,
		},
		Content: relay.NewContent(relay.Letter{Trace: trace(s.deps.Hostname, id, now), Header: header, Body: body}),
	}, nil
}

// trace is the Received field of a message that begins here (RFC 5321 section 4.4).
func trace(host string, id relay.ID, now time.Time) []byte {
	return fmt.Appendf(nil, "Received: by %s (Millrace) id %s;\r\n\t%s\r\n", host, id, now.Format(rfc5322Date))
}
