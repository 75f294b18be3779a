package demo

import (
	"fmt"
	"strconv"
	"time"

	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/relay/console"
)

// tally holds the books of the stand-in MTA, the daemon and the sink against each other. Only a message in the sink's
// ledger counts as arrived: the daemon's own numbers must be proved, so they prove nothing.
type tally struct {
	net        *internet
	mta        *mta
	daemon     *daemon.Daemon
	queue      console.Source // the daemon's overview
	begin, end time.Time

	total  reckoning
	rows   []reckoning // by domain
	held   []held      // by domain: the first of its messages that waits
	notice int         // bounces that reached the MTA
}

// reckoning is the sum of one domain, or of all. Its keys are fixed, because scripts read them.
type reckoning struct {
	Taken      int `json:"taken"`
	Sent       int `json:"sent"`
	Bounced    int `json:"bounced"`
	Waiting    int `json:"waiting"`
	Lost       int `json:"lost"`
	Duplicates int `json:"duplicates"`
	Altered    int `json:"altered"`
}

// held is why the mail of a domain waits, in the daemon's words, and when it is tried again.
type held struct {
	reason string
	next   int64 // Unix seconds; 0: as soon as there is a channel
}

// progress is the live line. It has the daemon's own numbers: the sink's ledger is too large to be counted ten times a
// second.
func (t *tally) progress() string {
	s := t.queue.Status()
	rate := float64(s.Sent) / time.Since(t.begin).Seconds()
	return fmt.Sprintf("taken %d  sent %d  bounced %d  waiting %d  %.0f/s", t.mta.taken.Load(), s.Sent, s.Bounced, s.Active+s.Busy+s.Held+s.Deferred, rate)
}

// ended is how many messages were sent or bounced, by the daemon's own numbers; it only moves the bar.
func (t *tally) ended() int {
	s := t.queue.Status()
	return int(s.Sent + s.Bounced)
}

// onlyDeadLeft reports whether nothing but the dead domain's mail is left. A bounce that still waits for the MTA counts as
// left: its queue has a class.
func (t *tally) onlyDeadLeft() bool {
	alive := make(map[string]bool)
	for _, d := range t.net.domains {
		alive[d.name] = d.kind != dead
	}
	for q := range t.queue.Queues(0) {
		if q.Class != "" || alive[q.Domain] {
			return false
		}
	}
	return !t.daemon.Reporting()
}

// reckon takes the final numbers, each from the party that can know it: messages taken from the MTA's notes, messages
// arrived from the sink's ledger, messages left from the daemon's queues.
func (t *tally) reckon() {
	t.rows, t.held = make([]reckoning, len(t.net.domains)), make([]held, len(t.net.domains))
	place := make(map[string]int, len(t.rows))
	for i, d := range t.net.domains {
		place[d.name] = i
	}
	for i, moved := range t.mta.moved {
		if moved {
			t.rows[i%len(t.rows)].Taken++
		}
	}
	for l := range t.queue.Messages(0) {
		for _, r := range l.Recipients {
			i, ok := place[r.Domain]
			if !ok {
				continue
			}
			if t.rows[i].Waiting++; t.held[i].reason == "" {
				t.held[i] = held{r.DelayReason, r.NextAttempt}
			}
		}
	}
	bounced := t.arrivals()
	for i, d := range t.net.domains {
		r := &t.rows[i]
		r.Bounced = bounced[d.name]
		r.Lost = r.Taken - r.Sent - r.Bounced - r.Waiting
		t.total.include(r)
	}
}

// arrivals reads the sink's ledger and returns the bounces by domain. A message counts as sent the first time it arrives
// and as a duplicate each further time. It counts as altered when its bytes or its recipient differ from the MTA's offer.
func (t *tally) arrivals() map[string]int {
	seen := make([]int, len(t.mta.moved))
	bounced := make(map[string]int)
	for d := range t.net.sink.All() {
		if d.Listener == mtaListener {
			t.notice++
			bounced[t.returned(d.Rcpt)]++
			continue
		}
		i, err := strconv.Atoi(d.ID)
		if err != nil || i < 0 || i >= len(seen) {
			t.total.Altered++
			continue
		}
		r := &t.rows[i%len(t.rows)]
		switch seen[i]++; {
		case seen[i] > 1:
			r.Duplicates++
		case d.Sum != t.mta.sums[i] || d.Rcpt != t.mta.rcpt(i) || !t.mta.moved[i]:
			r.Altered++
			r.Sent++
		default:
			r.Sent++
		}
	}
	return bounced
}

// returned is the domain of the message whose notification came to rcpt: the sender's address has the message's number.
func (t *tally) returned(rcpt string) string {
	var i int
	if _, err := fmt.Sscanf(rcpt, "news+%d@", &i); err != nil || i < 0 {
		return ""
	}
	return t.net.domains[i%len(t.net.domains)].name
}

func (r *reckoning) include(o *reckoning) {
	r.Taken += o.Taken
	r.Sent += o.Sent
	r.Bounced += o.Bounced
	r.Waiting += o.Waiting
	r.Lost += o.Lost
	r.Duplicates += o.Duplicates
	r.Altered += o.Altered
}

// addsUp reports whether every message of the campaign was taken and has exactly one end: sent, bounced, or still waiting.
// A message that was left with the MTA counts as a failure too, because the demonstration offers bulk mail only.
func (r *reckoning) addsUp(messages int) bool {
	return r.Taken == messages && r.Taken == r.Sent+r.Bounced+r.Waiting && r.Lost == 0 && r.Duplicates == 0 && r.Altered == 0
}
