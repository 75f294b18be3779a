package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/scenario"
)

// bulkReceiver is every receiver of Millrace's mail in the part with a real MTA; sourceFactor times as much comes.
var bulkReceiver = scenario.SlowReceiver{Conns: 10, Each: 400 * time.Millisecond}

const (
	sourceFactor = 4
	bulkSize     = 40_000    // bytes of a message, all of them its own
	bulkRoom     = 128 << 20 // queue.max_bytes, which lasts for some 40 seconds
	holds        = 4.0       // seconds that a reply may be held
	maxHeld      = 20
)

// postfix is the part in which a source that is too fast comes through a real Postfix. A second Postfix, without Millrace, has the same
// mail at the same time, so that both have the same noise.
func (b *gateBench) postfix() (list []figure, err error) {
	scenario.ContribDir = "contrib"
	options := scenario.Options{
		Config: fmt.Sprintf("queue.max_bytes = %d\n", int(float64(bulkRoom)*b.scale())),
		Main:   map[string]string{"non_smtpd_milters": "$millrace_milter"},
	}
	beside, err := startScene(filepath.Join(b.dir, "pressed"), b.bin, options)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, beside.Close()) }()
	alone, err := startScene(filepath.Join(b.dir, "unpressed"), b.bin, scenario.Options{NoMillrace: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, alone.Close()) }()
	p := scenario.Pressure{
		Lasts: b.pressure, Other: 1, Local: 0.5,
		Bulk: load.Config{Rate: sourceFactor * bulkReceiver.PerSecond(), Conns: 10, MinSize: bulkSize, Personal: 1},
	}
	if err := beside.SlowBulk(bulkReceiver); err != nil {
		return nil, err
	}
	pair, err := pressBoth(beside, alone, p)
	if err != nil {
		return nil, err
	}
	after, err := beside.Millrace.Opens(5 * time.Minute)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gate:", err)
	}
	pair.beside.Gate = append(pair.beside.Gate, after...)
	for _, s := range []*scenario.Scene{beside, alone} {
		if err := s.Wait(context.Background(), pair.of(s).Expected(), 5*time.Minute); err != nil {
			fmt.Fprintln(os.Stderr, "gate:", err)
		}
	}
	return pair.figures()
}

// pair is the same pressure on two MTAs.
type pair struct {
	with, without *scenario.Scene
	beside, alone scenario.Pressed
}

func (p *pair) of(s *scenario.Scene) *scenario.Pressed {
	if s == p.with {
		return &p.beside
	}
	return &p.alone
}

func pressBoth(beside, alone *scenario.Scene, p scenario.Pressure) (*pair, error) {
	both := &pair{with: beside, without: alone}
	var wg sync.WaitGroup
	var first, second error
	wg.Go(func() { both.beside, first = beside.Press(context.Background(), p) }) // ends with its mail
	wg.Go(func() { both.alone, second = alone.Press(context.Background(), p) })  // likewise
	wg.Wait()
	return both, errors.Join(first, second)
}

// figures judge the pair.
func (p *pair) figures() (list []figure, err error) {
	st, err := p.with.Millrace.Status()
	if err != nil {
		return nil, err
	}
	resident, err := residentPeak(st.PID)
	if err != nil {
		return nil, err
	}
	lost, what := p.losses()
	walk, states := scenario.Walk(p.beside.Gate), make(map[string]int)
	most := 0
	for _, v := range p.beside.Gate {
		most = max(most, v.Held)
		states[v.State]++
	}
	name := func(what string) string { return "a source at 4 x our rate through Postfix: " + what }
	list = []figure{
		atMost(3, name("resident memory, to the limit"), float64(resident)/float64(st.Memory.Limit), 1.2, fmt.Sprintf("%d MB of %d MB", resident>>20, st.Memory.Limit>>20)),
		atMost(3, name("recipients lost"), float64(lost), 0, what),
		p.walked(name("states that the gate walks through, and back to open"), walk, states),
		atMost(3, name("longest reply to a client, in seconds"), scenario.Longest(p.beside.Bulk).Seconds(), holds+0.5,
			fmt.Sprintf("a hold is %g s, and Postfix takes its time besides; alone %.2f s", holds, scenario.Longest(p.alone.Bulk).Seconds())),
		atMost(3, name("most replies held at one time"), float64(most), maxHeld, ""),
	}
	return append(list, p.others(name)...), nil
}

// walked is 1 if the gate has left the open state by a hold and has come back to it.
func (p *pair) walked(name string, walk []string, states map[string]int) figure {
	note := fmt.Sprintf("%s; samples %v", strings.Join(walk[:min(len(walk), 12)], " "), states)
	if len(states) == 1 && states[""] > 0 {
		return unmeasured(3, name, "at least 2", "the daemon says nothing of its gate")
	}
	f := atLeast(3, name, float64(len(slices.Collect(maps.Keys(states)))), 2, note)
	f.Met = f.Met && walk[0] == "open" && walk[len(walk)-1] == "open"
	return f
}

// losses are the acknowledged messages that did not arrive at both MTAs' receivers.
func (p *pair) losses() (n int, what string) {
	for i := range p.beside.Bulk.Records {
		if !p.beside.Bulk.Records[i].Acked {
			n++
			what = "not acknowledged: " + p.beside.Bulk.Records[i].Reply
		}
	}
	records := append(slices.Clone(p.beside.Bulk.Records), p.beside.Other.Records...)
	c := load.Compare(records, p.with.Sink.All())
	if bad := len(c.Lost) + len(c.Duplicated) + len(c.Altered) + len(c.Misdelivered); bad > 0 {
		n, what = n+bad, c.Err().Error()
	}
	by := p.with.Sink.Counts("bulk").Messages
	return n, fmt.Sprintf("%d messages, %d of them sent by Millrace; %s", len(records), by, what)
}

// others are the figures of the mail that is not bulk, and of sendmail(1).
func (p *pair) others(name func(string) string) []figure {
	d, missing := p.with.Delays(p.beside.Other)
	base, _ := p.without.Delays(p.alone.Other)
	mine, alone := quantilesOf(d), quantilesOf(base)
	list, gone := p.with.LocalDelays(p.beside.Local)
	other, _ := p.without.LocalDelays(p.alone.Local)
	here, there := quantilesOf(list), quantilesOf(other)
	return []figure{
		atMost(3, name("other mail, p99 of the delay, to Postfix without us"), mine.P99/alone.P99, 1.2,
			fmt.Sprintf("%.0f ms, alone %.0f ms; p50 %.0f ms, alone %.0f ms; %d messages, %d did not come", mine.P99, alone.P99, mine.P50, alone.P50, len(d), missing)),
		atMost(3, name("mail of sendmail(1), p99 of the delay, to Postfix without us"), here.P99/there.P99, 1.2,
			fmt.Sprintf("%.0f ms, alone %.0f ms; p50 %.0f ms, alone %.0f ms; %d messages, %d did not come", here.P99, there.P99, here.P50, there.P50, len(list), gone)),
	}
}

// impatient is the part in which an application that never tries again meets a full queue, while no receiver answers.
func (b *gateBench) impatient() (list []figure, err error) {
	scenario.ContribDir = "contrib"
	s, err := startScene(filepath.Join(b.dir, "impatient"), b.bin, scenario.Options{Config: "queue.max_messages = 500\n"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	done := make(chan error, 1)
	go func() { done <- s.Stall(b.stall/6, b.stall) }() // ends after the stall
	r, err := s.Press(context.Background(), scenario.Pressure{Lasts: b.stall * 5 / 3, Bulk: scenario.Impatient(100)})
	if err := errors.Join(err, <-done); err != nil {
		return nil, err
	}
	if err := s.Wait(context.Background(), r.Expected(), 5*time.Minute); err != nil {
		fmt.Fprintln(os.Stderr, "gate:", err)
	}
	dropped, told := 0, ""
	for _, rec := range r.Bulk.Records {
		if !rec.Acked {
			dropped, told = dropped+1, rec.Reply
		}
	}
	c := load.Compare(r.Bulk.Records, s.Sink.All())
	lost := dropped + len(c.Lost)
	note := fmt.Sprintf("of %d; %d sent by Millrace; longest reply %.1f s; the gate was %s; %s", len(r.Bulk.Records), s.Sink.Counts("bulk").Messages,
		scenario.Longest(r.Bulk).Seconds(), strings.Join(scenario.Walk(r.Gate), " "), told)
	return []figure{
		atMost(5, "listmonk's pattern, a full queue, and receivers that stall: messages lost", float64(lost), 0, note),
		atMost(5, "listmonk's pattern, a full queue, and receivers that stall: duplicates", float64(len(c.Duplicated)), 0, ""),
	}, nil
}

// drain is the part in which everything that waits leaves a Millrace beside a real Postfix; half of it is for a site that is dead.
func (b *gateBench) drain() (list []figure, err error) {
	scenario.ContribDir = "contrib"
	dir := filepath.Join(b.dir, "drain")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := scenario.New(dir, b.bin, scenario.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	slow := scenario.SlowReceiver{Conns: 10, Each: 50 * time.Millisecond}
	for _, step := range []func() error{s.HalfDead, s.StartMillrace, func() error { return s.StartPostfix(scenario.Options{}) }, func() error { return s.SlowBulk(scenario.SlowReceiver{Conns: 10, Each: 5 * time.Second}) }} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	r, err := load.Run(context.Background(), load.Config{Addr: s.Addr(), Messages: b.draining, MinSize: 3000, Domains: []string{"far.test", scenario.DeadDomain}})
	if err == nil {
		err = s.SlowBulk(slow)
	}
	if err != nil {
		return nil, err
	}
	d, wrong := s.DrainAll(10*time.Minute, r)
	what, bad := fmt.Sprintf("%d waited, %d sent by Millrace; the drain took %.0f s", d.Before, d.Sent, d.Took.Seconds()), 0
	if wrong != nil {
		what, bad = what+": "+wrong.Error(), 1
	}
	return []figure{
		atMost(9, "a drain beside Postfix, half of the mail for a dead site: something lost, doubled or left", float64(bad), 0, what),
		atMost(9, "a drain beside Postfix: messages in the queue of Postfix in the end", float64(d.Queued), 0, ""),
	}, nil
}
