package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/scenario"
)

// idleResult is what a daemon costs that waits for something.
type idleResult struct {
	Domains int         `json:"domains"` // each has one message
	Seconds float64     `json:"seconds"`
	States  []idleState `json:"states"`
}

// idleState is one thing to wait for.
type idleState struct {
	Name    string  `json:"name"`
	Waiting int64   `json:"waiting"` // messages
	Sites   int64   `json:"sites"`
	CPU     float64 `json:"cpu_percent"` // of one processor
}

// idleBench starts a daemon on mail for many domains, once for each thing that such mail can wait for, and measures its
// processor time when it has done what can be done.
type idleBench struct {
	domains  int
	bin, dir string
	lasts    time.Duration // the measurement
	patience time.Duration // for what comes before it
	pause    time.Duration // between two looks whether there is still something to try; 0: five seconds
}

// waitState is one thing to wait for, and how a daemon comes to it.
type waitState struct {
	name, config string
	due          time.Time
}

func (b *idleBench) run() (*idleResult, error) {
	r := &idleResult{Domains: b.domains, Seconds: b.lasts.Seconds()}
	states, err := b.states()
	if err != nil {
		return nil, err
	}
	for _, state := range states {
		s, err := b.measure(state.name, state.config, state.due)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", state.name, err)
		}
		fmt.Fprintf(os.Stderr, "%+v\n", s)
		r.States = append(r.States, s)
	}
	return r, nil
}

func (b *idleBench) states() ([]waitState, error) {
	shut, err := process.FreeAddr() // nobody listens there
	if err != nil {
		return nil, err
	}
	now, tomorrow := time.Time{}, time.Now().Add(24*time.Hour)
	return []waitState{
		{"deferred", fmt.Sprintf("[route]\n\"*\" = %q\n", daemon.NextHop(shut)), tomorrow},
		{"at one closed site", fmt.Sprintf("[route]\n\"*\" = %q\n", daemon.NextHop(shut)), now},
		{"at a closed site each", fmt.Sprintf("[dns]\nservers = [%q]\n", shut), now},
	}, nil
}

// measure measures one state. Until it has come, everything that can be tried is tried once.
func (b *idleBench) measure(name, config string, due time.Time) (s idleState, err error) {
	config = "queue.max_messages = 10000000\nlog.level = \"warn\"\nretry.schedule = [\"12h\"]\npool.closed_for = [\"6h\"]\n" + config
	d, err := scenario.NewMillrace(b.bin, filepath.Join(b.dir, name), "127.0.0.1:1", config)
	if err != nil {
		return s, err
	}
	if err := d.Replace(d.MailLogFile(), "off"); err != nil {
		return s, err
	}
	if err := waiting(d.StateDir(), b.domains, b.domains, 1000, due); err != nil {
		return s, err
	}
	if err := d.Start(); err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, d.Stop(2*time.Minute)) }()
	if err := b.recovered(d); err != nil {
		return s, err
	}
	before, err := b.settled(d)
	if err != nil {
		return s, err
	}
	time.Sleep(b.lasts)
	after, err := d.CPU()
	if err != nil {
		return s, err
	}
	st, err := d.Status()
	return idleState{name, st.Messages, st.Pool.Sites, 100 * (after - before).Seconds() / b.lasts.Seconds()}, err
}

// recovered waits until the daemon has all its mail back. Lookups of a million names go on beside that.
func (b *idleBench) recovered(d *scenario.Millrace) error {
	for end := time.Now().Add(b.patience); time.Now().Before(end); time.Sleep(time.Second) {
		if journal, err := d.Journal(); err == nil && journal.Recovered {
			return nil
		}
		if err := d.Ended(); err != nil {
			return err
		}
	}
	return errors.New("it is still recovering")
}

// settled waits until the daemon has nothing left to try, or until patience is over, and returns the processor time that it has
// used so far.
func (b *idleBench) settled(d *scenario.Millrace) (time.Duration, error) {
	const quiet = 100 * time.Millisecond
	pause := cmp.Or(b.pause, 5*time.Second)
	last := time.Duration(0)
	for end := time.Now().Add(b.patience); time.Now().Before(end); time.Sleep(pause) {
		used, err := d.CPU()
		if err != nil || used-last < quiet {
			return used, err
		}
		last = used
	}
	return last, nil
}
