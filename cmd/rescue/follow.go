package rescue

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/smtpd"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// Progress is how far a rescue is, or a note about it.
type Progress struct {
	Note string `json:"note,omitempty"`

	Carried int   `json:"carried,omitempty"` // recipients of the plan
	Postfix int   `json:"postfix,omitempty"` // of them, still in Postfix's queue
	Stays   int   `json:"stays,omitempty"`   // of those, that Millrace does not take
	Waiting int64 `json:"waiting,omitempty"` // messages that wait at Millrace, those of others too
	Sent    int64 `json:"sent,omitempty"`    // recipients that Millrace has sent to since the rescue began
}

// Note is a Progress that says something.
func Note(format string, args ...any) Progress { return Progress{Note: fmt.Sprintf(format, args...)} }

func (r *Rescue) tell(p Progress) {
	if r.cfg.Tell != nil {
		r.cfg.Tell(p)
	}
}

// steps are the times of a follower. A look at a long queue takes Postfix seconds, so looks are at least ten times as far apart as one
// takes. Mail that found no room is tried again, sooner at first: Postfix itself would do so after minimal_backoff_time, five minutes.
type steps struct {
	settle    time.Duration // from a reload until the queue manager has its new settings
	look      time.Duration // between two looks
	flush     time.Duration // from a flush to the next one; it doubles each time
	flushMost time.Duration // up to that
}

// defaultSteps are for a real Postfix.
var defaultSteps = steps{settle: time.Second, look: 2 * time.Second, flush: 5 * time.Second, flushMost: time.Minute}

// quietLooks is how many looks more must find nothing under way. An answer of an earlier rescue looks like one of this: the first look may
// come before Postfix has begun with the flush.
const quietLooks = 1

// ErrNotOver is returned when a rescue ends before all mail of the plan was tried.
var ErrNotOver = fmt.Errorf("the rescue has ended early: what is left goes Postfix's usual way, and another rescue takes it up")

// follow has Postfix try the messages of a plan until none of them can still come.
func (r *Rescue) follow(ctx context.Context, p *Plan) error {
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Wait)
	defer cancel()
	pause, again, quiet := r.steps.look, r.steps.flush, 0
	if !sleep(ctx, r.steps.settle) {
		return ErrNotOver
	}
	flushed := time.Now()
	if err := r.postfix.flush(ctx, p.ids, p.Messages); err != nil {
		return err
	}
	for {
		if !sleep(ctx, pause) {
			return ErrNotOver
		}
		began := time.Now()
		q, err := r.look(ctx, p)
		if err != nil {
			if ctx.Err() != nil {
				err = ErrNotOver
			}
			return err
		}
		open := r.progress(ctx, p, q)
		if q.left > q.stays || q.busy > 0 {
			quiet = 0
		} else if quiet++; quiet > quietLooks {
			return nil
		}
		if open && len(q.idle) > 0 && time.Since(flushed) >= again {
			if err := r.postfix.flush(ctx, q.idle, q.deferred); err != nil && ctx.Err() == nil {
				return err
			}
			flushed, again = time.Now(), min(2*again, r.steps.flushMost)
		}
		pause = max(r.steps.look, 10*time.Since(began))
	}
}

// sleep waits, and reports false when ctx ends.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// view is Postfix's queue as far as a plan goes.
type view struct {
	left     int      // recipients of the plan that are in the queue
	stays    int      // of them, those that the door does not take however often they are offered
	busy     int      // recipients of the plan whose messages are about to be tried
	deferred int      // messages that are deferred, those of others too
	idle     []string // messages of the plan that are deferred and can still come
	reasons  map[string]int
}

// look looks at Postfix's queue. A message that has come later than the plan has another id, and is not looked at.
func (r *Rescue) look(ctx context.Context, p *Plan) (*view, error) {
	v := &view{reasons: make(map[string]int)}
	err := r.postfix.queue(ctx, func(m *Message) {
		if m.Queue == deferred {
			v.deferred++
		}
		more := false
		for _, rcpt := range m.Rcpts {
			arrived, ours := p.rcpts[carried{m.ID, strings.ToLower(rcpt.Address)}]
			if !ours || arrived != m.Arrived { // a short queue id may come again
				continue
			}
			v.left++
			if m.Queue != deferred && m.Queue != onHold {
				v.busy++
			}
			v.reasons[staysFor(rcpt.Reason)]++
			if declined(rcpt.Reason) || m.Queue == onHold {
				v.stays++
			} else {
				more = true
			}
		}
		if more && m.Queue == deferred {
			v.idle = append(v.idle, m.ID)
		}
	})
	return v, err
}

// declined reports whether a reason is the door's answer to mail that it does not take.
func declined(reason string) bool { return strings.Contains(reason, " "+smtpd.NotTaken) }

// staysFor is why a recipient is left, in as many words as are the same for many.
func staysFor(reason string) string {
	if _, text, ok := strings.Cut(reason, " "+smtpd.NotTaken); ok {
		text, _, _ = strings.Cut(text, " (in reply to")
		return text
	}
	text, _ := gist(reason)
	return text
}

// progress tells how it goes, and reports whether the daemon has room for more.
func (r *Rescue) progress(ctx context.Context, p *Plan, v *view) (open bool) {
	now := Progress{Carried: p.Carried, Postfix: v.left, Stays: v.stays}
	st, err := r.daemon.Status(ctx)
	if err == nil { // a daemon that is started again is waited for
		now.Waiting = st.Messages
		open = st.Gate.State <= relay.GateHold && st.Journal.Recovering == nil && st.Journal.Blocked == ""
		now.Sent = sentSince(r.since.Rescue, st.Rescue)
	}
	r.tell(now)
	return open
}

// sentSince is how many more recipients were sent to.
func sentSince(before, now *console.Rescue) (n int64) {
	if now != nil {
		n = now.Sent
	}
	if before != nil {
		n -= before.Sent
	}
	return max(0, n)
}

// Report is what became of the recipients of a plan.
type Report struct {
	Carried   int     `json:"carried"`   // all of them
	Sent      int     `json:"sent"`      // delivered by Millrace
	Waiting   int     `json:"waiting"`   // with Millrace
	Returned  int     `json:"returned"`  // refused by the receiver for good: their senders are told
	Left      int     `json:"left"`      // in Postfix's queue as before
	Elsewhere int     `json:"elsewhere"` // neither: deleted, returned or delivered by Postfix; or not known, if the daemon was started again meanwhile
	Reasons   []Tally `json:"reasons"`   // why those are left who are
}

// account counts what became of the recipients of a plan.
func (r *Rescue) account(ctx context.Context, p *Plan) (*Report, error) {
	v, err := r.look(ctx, p)
	if err != nil {
		return nil, err
	}
	rep := &Report{Carried: p.Carried, Left: v.left, Reasons: tallies(v.reasons, len(v.reasons))}
	for l, err := range r.daemon.Messages(ctx, console.Filter{}) {
		if err != nil {
			return rep, err
		}
		if l.Rule != filter.RescueRule {
			continue
		}
		for _, rcpt := range l.Recipients {
			if _, ours := p.rcpts[carried{l.QueueID, strings.ToLower(rcpt.Address)}]; ours {
				rep.Waiting++
			}
		}
	}
	gone := max(0, p.Carried-rep.Left-rep.Waiting)
	st, err := r.daemon.Status(ctx)
	if err != nil {
		return rep, err
	}
	if st.Started == r.since.Started && st.PID == r.since.PID && st.Rescue != nil {
		was := console.Rescue{}
		if r.since.Rescue != nil {
			was = *r.since.Rescue
		}
		rep.Returned = min(gone, int(st.Rescue.Returned-was.Returned))
		rep.Sent = min(gone-rep.Returned, int(st.Rescue.Sent-was.Sent))
	}
	rep.Elsewhere = gone - rep.Sent - rep.Returned
	return rep, nil
}
