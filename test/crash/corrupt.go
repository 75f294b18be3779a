package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/snapshot"
	"github.com/millrace/millrace/test/process"
)

const (
	corruptSettled = 60  // messages that were delivered before the damage
	corruptWaiting = 120 // messages that waited at the time of the damage
)

// corruptMode damages n copies of a state directory, each in another way, and starts the daemon on each copy. The
// daemon must either refuse to start, with one clear line, or say that mail is missing or damaged when some is.
func corruptMode(r *run, n int) (Result, error) { return r.corrupt(options{}, n) }

func (r *run) corrupt(o options, n int) (Result, error) {
	return r.inSandbox(o, func(s *sandbox) error {
		m := &damager{sandbox: s, rng: rand.New(rand.NewPCG(r.seed, 4)), original: filepath.Join(s.dir, "original")}
		if err := m.prepare(r.seed); err != nil {
			return err
		}
		for i := range n {
			if err := m.once(); err != nil {
				return fmt.Errorf("damage %d: %w", i, err)
			}
			r.progress(i+1, n)
		}
		if err := m.tail(); err != nil {
			return fmt.Errorf("garbage at the end: %w", err)
		}
		s.result.N = n
		for _, e := range s.ledger.all() {
			s.result.Acknowledged += len(e.taken)
		}
		s.result.note("%d starts refused, and %d of these salvaged; of all starts, %d reported damage, %d reported a torn tail, %d found nothing wrong; %d recipients were reported missing, %d got a message again",
			m.refused, m.salvaged, m.told, m.torn, m.silent, m.missing, s.result.AllTwice)
		for _, c := range s.daemon.Complaints() {
			s.result.violate("%s", c)
		}
		return nil
	})
}

// damager damages copies of a state directory.
type damager struct {
	sandbox  *sandbox
	rng      *rand.Rand
	original string        // the undamaged state directory
	done     map[pair]bool // delivered before the damage, so not expected again

	refused, salvaged, told, torn, silent, missing int
}

// prepare fills the state directory. Some messages are delivered, some wait because their receivers cannot be reached;
// then the daemon is killed.
func (m *damager) prepare(seed uint64) error {
	s := m.sandbox
	open, err := os.ReadFile(s.daemon.Config())
	if err != nil {
		return err
	}
	if err := m.offer(load{conns: 4, messages: corruptSettled, seed: seed, prefix: "s", plain: true}); err != nil {
		return err
	}
	if err := s.drain(); err != nil {
		return err
	}
	if err := s.daemon.Stop(stopLimit); err != nil {
		return err
	}
	m.done = make(map[pair]bool)
	for d := range s.sink.All() {
		m.done[pair{d.ID, d.Rcpt}] = true
	}
	shut := replaceRoutes(open)
	if err := os.WriteFile(s.daemon.Config(), shut, 0o600); err != nil {
		return err
	}
	if err := m.offer(load{conns: 4, messages: corruptWaiting, seed: seed + 1, prefix: "w", plain: true}); err != nil {
		return err
	}
	time.Sleep(1200 * time.Millisecond) // long enough for a snapshot, which the next messages are not in
	if err := m.sandbox.again(load{conns: 2, messages: corruptWaiting / 4, seed: seed + 2, prefix: "x", plain: true}); err != nil {
		return err
	}
	if err := s.daemon.Kill(); err != nil {
		return err
	}
	return errors.Join(os.Rename(s.state, m.original), os.WriteFile(s.daemon.Config(), open, 0o600))
}

// replaceRoutes makes every receiver unreachable.
func replaceRoutes(config []byte) []byte {
	head, routes, _ := bytes.Cut(config, []byte("[route]\n"))
	var shut []string
	for line := range strings.Lines(string(routes)) {
		domain, _, _ := strings.Cut(line, " = ")
		shut = append(shut, domain+` = "[127.0.0.1]:1"`)
	}
	return fmt.Appendf(nil, "%s[route]\n%s\n", head, strings.Join(shut, "\n"))
}

// offer starts the daemon and offers messages until all are answered.
func (m *damager) offer(l load) error {
	if err := m.sandbox.recover(); err != nil {
		return err
	}
	return m.sandbox.again(l)
}

// again offers messages to the running daemon until all are answered.
func (s *sandbox) again(l load) error {
	g := s.generate(l)
	defer g.stop()
	if !g.wait(patience, nil) {
		return errors.New("not all messages were answered")
	}
	return nil
}

// once damages a copy in one way, starts the daemon on it, and judges what the daemon says and delivers.
func (m *damager) once() error {
	s := m.sandbox
	if err := m.restore(); err != nil {
		return err
	}
	what, err := m.damage()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := s.daemon.Start(); err != nil {
		return err
	}
	journal, err := s.daemon.Recovered()
	report := journal.Recovery
	if errors.Is(err, process.ErrEnded) {
		m.refusal(what)
		report, err = m.salvage(what)
	}
	if err != nil {
		return err
	}
	if err := m.settle(what); err != nil {
		return err
	}
	m.judge(what, begin, report)
	return nil
}

// salvage runs "millrace spool salvage" on files that the daemon refuses, and starts the daemon on the result.
func (m *damager) salvage(what string) (snapshot.Report, error) {
	d := m.sandbox.daemon
	var report snapshot.Report
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, d.Bin, "spool", "salvage", "--json", "--state-dir", m.sandbox.state).Output()
	if err == nil {
		err = json.Unmarshal(out, &report)
	}
	if err != nil {
		return report, fmt.Errorf("%s: salvage: %w: %.300s", what, err, out)
	}
	m.salvaged++
	if err := d.Start(); err != nil {
		return report, err
	}
	journal, err := d.Recovered()
	if r := journal.Recovery; err == nil && (!r.Healthy() || r.Messages != report.Messages) {
		m.sandbox.result.violate("%s: after a salvage of %d messages the daemon found %d: %s", what, report.Messages, r.Messages, r.String())
	}
	return report, err
}

// restore puts an undamaged copy in place.
func (m *damager) restore() error {
	if err := os.RemoveAll(m.sandbox.state); err != nil {
		return err
	}
	return os.CopyFS(m.sandbox.state, os.DirFS(m.original))
}

// garbage is the number of bytes that tail writes: more than a daemon that is killed at once can leave behind.
const garbage = 64 << 10

// tail puts garbage behind the last record, as a torn write does. The first start must report it and cut it off; a
// second start, after a kill, must not find it again.
func (m *damager) tail() error {
	if err := errors.Join(m.restore(), m.appendGarbage()); err != nil {
		return err
	}
	for i := range 2 {
		if err := m.sandbox.daemon.Start(); err != nil {
			return err
		}
		journal, err := m.sandbox.daemon.Recovered()
		if err != nil {
			return err
		}
		if err := m.sandbox.daemon.Kill(); err != nil {
			return err
		}
		torn := journal.Recovery.Torn
		if told := torn >= garbage; told != (i == 0) || !journal.Recovery.Healthy() {
			m.sandbox.result.violate("%d bytes of garbage behind the last record: start %d reported %d torn bytes: %s", garbage, i+1, torn, journal.Recovery.String())
		}
	}
	return nil
}

// settle waits until the daemon has delivered all messages that it has found, and kills it. Mail that never moves breaks a promise as
// mail that is lost does.
func (m *damager) settle(what string) error {
	if err := m.sandbox.drain(); err != nil {
		m.sandbox.result.violate("%s: %v", what, err)
		if m.sandbox.daemon.Over() {
			return nil
		}
	}
	return m.sandbox.daemon.Kill()
}

// refusal checks that a daemon that has refused to start has said why in one line.
func (m *damager) refusal(what string) {
	m.refused++
	d := m.sandbox.daemon
	if err := d.Failure(); err == nil || len(d.LastWords()) != 1 || strings.Contains(d.Log(), "goroutine ") {
		m.sandbox.result.violate("%s: refused, but not with one clear line and an exit status other than 0: %.500v", what, err)
	}
}

// judge compares the deliveries after a start on damaged files with the daemon's report. begin is the time of the
// start.
func (m *damager) judge(what string, begin time.Time, report snapshot.Report) {
	s := m.sandbox
	got := make(map[pair]int)
	check := &books{sandbox: s, result: &s.result, arrivals: make(map[pair][]time.Time)}
	for d := range s.sink.All() {
		if d.Time.After(begin) {
			check.delivery(d)
			got[pair{d.ID, d.Rcpt}]++
		}
	}
	missing := 0
	for _, e := range s.ledger.all() {
		for _, r := range e.taken {
			switch p := (pair{e.id, r}); {
			case m.done[p]:
				s.result.AllTwice += got[p]
			case got[p] == 0:
				missing++
			default:
				s.result.AllTwice += got[p] - 1
			}
		}
	}
	m.count(what, missing, report)
}

// count counts a start by the daemon's report. Mail that is missing and not reported is lost.
func (m *damager) count(what string, missing int, report snapshot.Report) {
	m.missing += missing
	switch {
	case !report.Healthy():
		m.told++
	case report.Torn > 0:
		m.torn++
	case missing > 0:
		m.sandbox.result.Lost += missing
		m.sandbox.result.violate("%s: %d recipients are missing and the daemon did not say so: %s %v", what, missing, report.String(), report.Notes)
	default:
		m.silent++
	}
}
