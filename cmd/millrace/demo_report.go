package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/millrace/millrace/cmd/daemon"
)

// tally holds what the stand-in MTA, the daemon and the sink know against each other.
type tally struct {
	net        *demoNet
	mta        *demoMTA
	daemon     *daemon.Daemon
	begin, end time.Time

	total  reckoning
	rows   []reckoning // by domain
	notice int         // bounces that reached the MTA
}

// reckoning is the sum the demo stands for. Its keys are fixed: scripts read them.
type reckoning struct {
	Taken      int `json:"taken"`
	Sent       int `json:"sent"`
	Bounced    int `json:"bounced"`
	Waiting    int `json:"waiting"`
	Lost       int `json:"lost"`
	Duplicates int `json:"duplicates"`
	Altered    int `json:"altered"`
}

// line is the live progress line.
func (t *tally) line() string {
	s := t.daemon.Status()
	rate := float64(s.Sent) / time.Since(t.begin).Seconds()
	return fmt.Sprintf("taken %d  sent %d  bounced %d  waiting %d  %.0f/s", t.mta.taken.Load(), s.Sent, s.Bounced, s.Active+s.Busy+s.Waiting, rate)
}

// settled is how many messages have come to an end.
func (t *tally) settled() int {
	s := t.daemon.Status()
	return int(s.Sent + s.Bounced)
}

// done reports whether only the dead domain's mail is left.
func (t *tally) done() bool {
	alive := make(map[string]bool)
	for _, d := range t.net.domains {
		alive[d.name] = d.kind != dead
	}
	for _, q := range t.daemon.Queues() {
		if q.Class != "" || alive[q.Domain] {
			return false
		}
	}
	return !t.daemon.Reporting()
}

// read takes the final numbers: what was taken from the MTA, what arrived from the sink's ledger, what is left from the
// daemon's queues.
func (t *tally) read() {
	t.rows = make([]reckoning, len(t.net.domains))
	place := make(map[string]*reckoning, len(t.rows))
	for i, d := range t.net.domains {
		place[d.name] = &t.rows[i]
	}
	for i, moved := range t.mta.moved {
		if moved {
			t.rows[i%len(t.rows)].Taken++
		}
	}
	for l := range t.daemon.Messages {
		for _, r := range l.Recipients {
			if p := place[r.Domain]; p != nil {
				p.Waiting++
			}
		}
	}
	bounced := t.arrivals()
	for i, d := range t.net.domains {
		r := &t.rows[i]
		r.Bounced = bounced[d.name]
		r.Lost = r.Taken - r.Sent - r.Bounced - r.Waiting
		t.total.add(r)
	}
}

// arrivals reads the sink's ledger: each message once, with the bytes that were sent. It returns the bounces by domain.
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

// returned is the domain that refused the message whose notification came to the sender rcpt.
func (t *tally) returned(rcpt string) string {
	var i int
	if _, err := fmt.Sscanf(rcpt, "news+%d@", &i); err != nil || i < 0 {
		return ""
	}
	return t.net.domains[i%len(t.net.domains)].name
}

func (r *reckoning) add(o *reckoning) {
	r.Taken += o.Taken
	r.Sent += o.Sent
	r.Bounced += o.Bounced
	r.Waiting += o.Waiting
	r.Lost += o.Lost
	r.Duplicates += o.Duplicates
	r.Altered += o.Altered
}

func (r *reckoning) addsUp(messages int) bool {
	return r.Taken == messages && r.Taken == r.Sent+r.Bounced+r.Waiting && r.Lost == 0 && r.Duplicates == 0 && r.Altered == 0
}

// report prints the result. The error says that it does not add up.
func (d *demo) report(t *tally) error {
	seconds := t.end.Sub(t.begin).Seconds()
	rate := float64(t.total.Sent) / seconds
	var err error
	if d.json {
		err = json.NewEncoder(d.out).Encode(struct {
			reckoning
			Seconds float64 `json:"seconds"`
			Rate    float64 `json:"messages_per_second"`
		}{t.total, seconds, rate})
	} else {
		err = d.table(t, seconds, rate)
	}
	if err == nil && !t.total.addsUp(d.messages) {
		err = errDoesNotAddUp
	}
	return err
}

func (d *demo) table(t *tally, seconds, rate float64) error {
	w := tabwriter.NewWriter(d.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "domain\tcharacter\ttaken\tsent\tbounced\twaiting\tlost\tduplicates\taltered\t")
	for i, dom := range t.net.domains {
		row(w, dom.name, dom.kind, &t.rows[i])
	}
	row(w, "all", "", &t.total)
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(d.out, "\n%.1f s, %.0f messages/s delivered. %d bounces went back through the MTA. What waits is for the dead domain, with its reason and next time.\n",
		seconds, rate, t.notice)
	return err
}

func row(w *tabwriter.Writer, name, kind string, r *reckoning) {
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, kind, r.Taken, r.Sent, r.Bounced, r.Waiting, r.Lost, r.Duplicates, r.Altered)
}
