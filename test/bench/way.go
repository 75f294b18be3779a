package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"github.com/millrace/millrace/relay/console"
)

// way is one of the ways that are compared in one run. Its runs are its rounds, in their order.
type way struct {
	name  string
	round func(i int) (effort, error)
	runs  []effort
}

// effort is what one way did in one round, and what it cost. What is not known is 0.
type effort struct {
	rate  float64 // messages a second
	cpu   float64 // microseconds of processor time a message, of the processes that are compared
	bytes float64 // written to the journal, a message
	syncs float64 // of the journal, a message
	ack   string  // the promise under which the mail was taken

	resident float64 // bytes of the daemon's memory at the end
}

// String is the effort for the progress of the run, and for the notes of figures.
func (e effort) String() string {
	text := fmt.Sprintf("%.0f/s", e.rate)
	if e.cpu > 0 {
		text += fmt.Sprintf(", %.0f us a message", e.cpu)
	}
	if e.ack != "" {
		text += fmt.Sprintf(", %.0f bytes and %.2f syncs a message, %.0f MB resident, ack = %q", e.bytes, e.syncs, e.resident/1e6, e.ack)
	}
	return text
}

// takeTurns runs every way once in each round, in random order: what the machine does beside them falls on each of them alike.
func takeTurns(rounds int, ways ...*way) error {
	for i := range rounds {
		for _, k := range rand.Perm(len(ways)) {
			w := ways[k]
			e, err := w.round(i)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", w.name, i+1, err)
			}
			w.runs = append(w.runs, e)
			fmt.Fprintf(os.Stderr, "round %d: %s: %s\n", i+1, w.name, e)
		}
	}
	return nil
}

// to is the ratio of w to another way, round by round.
func (w *way) to(other *way, of func(effort) float64) []float64 {
	list := make([]float64, len(w.runs))
	for i, e := range w.runs {
		list[i] = of(e) / of(other.runs[i])
	}
	return list
}

// each is the value of every round.
func (w *way) each(of func(effort) float64) []float64 {
	list := make([]float64, len(w.runs))
	for i, e := range w.runs {
		list[i] = of(e)
	}
	return list
}

// faster is the ratio of the rates of w and another way, which has its goal at goal and above.
func (w *way) faster(row int, name string, other *way, goal float64) figure {
	return over(w.to(other, rateOf), func(v float64) figure { return atLeast(row, name, v, goal, notes(w, other)) })
}

// cheaper is the ratio of their processor time a message, which has its goal at goal and below.
func (w *way) cheaper(row int, name string, other *way, goal float64) figure {
	return over(w.to(other, cpuOf), func(v float64) figure { return atMost(row, name, v, goal, "all processes that are compared") })
}

func rateOf(e effort) float64 { return e.rate }
func cpuOf(e effort) float64  { return e.cpu }

// middle is the medians of all that the rounds say.
func (w *way) middle() effort {
	if len(w.runs) == 0 {
		return effort{}
	}
	m := w.runs[0]
	m.rate, m.cpu = median(w.each(rateOf)), median(w.each(cpuOf))
	m.bytes = median(w.each(func(e effort) float64 { return e.bytes }))
	m.syncs = median(w.each(func(e effort) float64 { return e.syncs }))
	m.resident = median(w.each(func(e effort) float64 { return e.resident }))
	return m
}

// notes is what stood behind a ratio of these ways.
func notes(ways ...*way) string {
	list := make([]string, len(ways))
	for i, w := range ways {
		list[i] = w.name + ": " + w.middle().String()
	}
	return strings.Join(list, "; ")
}

// meter measures the processor time of processes and the journal of a daemon over a part of a run.
type meter struct {
	used    []func() (time.Duration, error)
	daemon  teller    // nil: there is none
	profile *profiled // nil: none is made

	before  time.Duration
	journal console.Journal
}

// teller is a daemon that tells its status.
type teller interface {
	Status() (console.Status, error)
}

// begin notes what was used before.
func (m *meter) begin() (err error) {
	if m.daemon != nil {
		st, err := m.daemon.Status()
		if err != nil {
			return err
		}
		m.journal = st.Journal
	}
	m.before, err = sumOf(m.used...)
	return errors.Join(err, m.profile.begin())
}

// end is the effort for so many messages in so long a time.
func (m *meter) end(messages int, took time.Duration) (e effort, err error) {
	used, err := sumOf(m.used...)
	n := float64(messages)
	e = effort{rate: n / took.Seconds(), cpu: float64((used - m.before).Nanoseconds()) / 1000 / n}
	if err = errors.Join(err, m.profile.end(messages)); err != nil || m.daemon == nil {
		return e, err
	}
	st, err := m.daemon.Status()
	if err != nil {
		return e, err
	}
	held, err := resident(st.PID)
	j := st.Journal
	if j.Syncs < m.journal.Syncs {
		return e, errors.New("the daemon was started again while it was measured")
	}
	e.resident = float64(held)
	e.bytes, e.syncs, e.ack = float64(j.Bytes-m.journal.Bytes)/n, float64(j.Syncs-m.journal.Syncs)/n, j.Ack
	return e, err
}
