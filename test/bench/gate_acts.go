package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/scenario"
	"github.com/millrace/millrace/test/sink"
)

const (
	actSeconds  = 10.0 // "seconds": what an act on all of it may take
	actPerRatio = 1.5
	actFew      = "delete of a hundredth"
	actStream   = 100 // healthy messages a second meanwhile
	actDomains  = 1000
	actSize     = 1000 // bytes of a body
)

// acts is the part in which an admin gives orders about very many messages that wait, while the doors and the deliveries go on.
func (b *gateBench) acts() (list []figure, err error) {
	net, err := newInternet()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, net.close()) }()
	for i := range healthySites {
		if _, err := net.receive(fmt.Sprintf("healthy%d.test", i), sink.Character{}); err != nil {
			return nil, err
		}
	}
	for i := range actDomains { // they refuse connections: what is released waits on, and is not returned
		if _, err := net.lead(fmt.Sprintf("d%d.test", i)); err != nil {
			return nil, err
		}
	}
	inject, err := net.far.Listen("127.0.0.1:0", sink.Character{Name: "inject"})
	if err != nil {
		return nil, err
	}
	d, err := scenario.NewMillrace(b.bin, filepath.Join(b.dir, "acts"), inject.String(), net.config()+"queue.max_messages = 10000000\nlog.level = \"info\"\nretry.schedule = [\"12h\"]\n")
	if err != nil {
		return nil, err
	}
	if err := waiting(d.StateDir(), b.waiting, actDomains, actSize, time.Now().Add(24*time.Hour)); err != nil {
		return nil, err
	}
	under, err := (&rowBench{profile: b.profile}).profiled(d.Daemon, "acts")
	if err != nil {
		return nil, err
	}
	debug.FreeOSMemory() // what waiting has left must not be collected during an act
	if err := d.Start(); err != nil {
		return nil, err
	}
	defer func() {
		if e := d.Stop(2 * time.Minute); !errors.Is(e, process.ErrEnded) {
			err = errors.Join(err, e)
		}
	}()
	if err := (&idleBench{patience: 5 * time.Minute}).recovered(d); err != nil {
		return nil, err
	}
	r := &actRun{b: b, d: d, under: under, h: &healthyMail{net: net, sent: make(map[string]time.Time), took: make(map[string]time.Time)}}
	if err := r.play(); err != nil {
		return nil, err
	}
	return r.figures(), nil
}

// actRun is the orders and what they took.
type actRun struct {
	b *gateBench
	d *scenario.Millrace
	h *healthyMail

	under *profiled // nil: no profiles are wanted

	alone   span
	during  []actSpan
	took    map[string]time.Duration
	reports map[string]relay.ActReport
	kept    int64         // messages that the hold has after kill -9
	again   time.Duration // from the restart until the daemon had all of it again
	back    float64       // messages a second that a drain gives back
}

// actSpan is when an order was carried out, and a moment after that.
type actSpan struct {
	name string
	span
}

// campaign is what all the waiting mail belongs to.
var campaign1M = relay.Selector{Campaign: "news.sender.test"}

func (r *actRun) play() error {
	r.took, r.reports = make(map[string]time.Duration), make(map[string]relay.ActReport)
	o, err := openOfficeFor(r.d.MilterSocket(), 20, r.h.told)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { o.stream(ctx, actStream, r.h.letter, r.h.due) }) // ends with ctx
	time.Sleep(2 * time.Second)
	r.alone.begin = time.Now()
	time.Sleep(r.b.actsAlone)
	r.alone.end = time.Now()
	err = r.beside()
	time.Sleep(2 * time.Second) // for the last healthy messages
	cancel()
	wg.Wait()
	if err = errors.Join(err, o.close()); err != nil {
		return err
	}
	return errors.Join(r.kill(), r.drain(), r.order("delete --older", relay.Act{Verb: relay.VerbDelete, Selector: relay.Selector{Older: time.Second}}))
}

// beside gives the orders during which others must go on.
func (r *actRun) beside() error {
	for range 3 {
		err := errors.Join(
			r.order("hold", relay.Act{Verb: relay.VerbHold, Selector: campaign1M}),
			r.order("release", relay.Act{Verb: relay.VerbRelease, Selector: campaign1M}),
			r.order(actFew, relay.Act{Verb: relay.VerbDelete, Selector: relay.Selector{Older: time.Second, Domain: fmt.Sprintf("d%d.test", len(r.during))}}),
		)
		if err != nil {
			return err
		}
	}
	return nil
}

// order gives one order and notes what it took, the longest time of those of one name.
func (r *actRun) order(name string, act relay.Act) error {
	c := console.NewClient(r.d.Socket())
	defer c.Close()
	if err := r.under.begin(); err != nil {
		return err
	}
	s := span{begin: time.Now()}
	rep, err := c.Act(context.Background(), act)
	s.end = time.Now()
	if err = errors.Join(err, r.under.endAs(name, rep.Messages)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	r.took[name], r.reports[name] = max(r.took[name], s.took()), rep
	s.end = s.end.Add(500 * time.Millisecond)
	r.during = append(r.during, actSpan{name, s})
	return nil
}

// kill holds all of it, kills the daemon, and looks whether the hold is there after the restart.
func (r *actRun) kill() error {
	if err := r.order("hold", relay.Act{Verb: relay.VerbHold, Selector: campaign1M}); err != nil {
		return err
	}
	if err := errors.Join(r.d.Kill(), r.d.Start()); err != nil {
		return err
	}
	begin := time.Now()
	if err := (&idleBench{patience: 5 * time.Minute}).recovered(r.d); err != nil {
		return err
	}
	r.again = time.Since(begin)
	c := console.NewClient(r.d.Socket())
	defer c.Close()
	for p, err := range c.Pauses(context.Background()) {
		if err != nil {
			return err
		}
		r.kept += p.Nodes
	}
	return r.order("release", relay.Act{Verb: relay.VerbRelease, Selector: campaign1M})
}

// drain begins a drain and looks how fast mail goes back to the MTA.
func (r *actRun) drain() error {
	begin := time.Now()
	if err := r.order("drain", relay.Act{Verb: relay.VerbDrain, Until: begin.Add(time.Second)}); err != nil {
		return err
	}
	time.Sleep(r.b.actsAlone)
	r.back = float64(r.h.net.far.Counts("inject").Messages) / time.Since(begin).Seconds()
	return r.order("undrain", relay.Act{Verb: relay.VerbUndrain})
}

func (r *actRun) figures() (list []figure) {
	name := func(what string) string { return fmt.Sprintf("%d messages wait: %s", r.b.waiting, what) }
	for _, act := range []string{"hold", "release", "drain", "delete --older"} {
		list = append(list, atMost(8, name(act+", in seconds"), r.took[act].Seconds(), actSeconds, fmt.Sprintf("%d messages", r.reports[act].Messages)))
	}
	_, delays, _ := r.h.during(r.alone)
	alone, door := quantilesOf(delays), r.h.door(r.alone)
	var beside, doors []time.Duration
	missing, parts := 0, make(map[string][]time.Duration)
	for _, s := range r.during[:min(9, len(r.during))] {
		_, some, lost := r.h.during(s.span)
		beside, missing = append(beside, some...), missing+lost
		doors = append(doors, r.h.doorTimes(s.span)...)
		parts[s.name] = append(parts[s.name], some...)
	}
	of := func(act string) float64 { return quantilesOf(parts[act]).P99 }
	d, at := quantilesOf(beside), quantilesOf(doors)
	return append(list,
		atMost(8, name("healthy mail during acts, p99 of the delay"), d.P99/alone.P99, actPerRatio,
			fmt.Sprintf("%.1f ms, alone %.1f ms; p50 %.1f ms, alone %.1f ms; %d messages, %d did not come; p99 of hold %.1f ms, release %.1f ms, %s %.1f ms",
				d.P99, alone.P99, d.P50, alone.P50, d.Messages, missing, of("hold"), of("release"), actFew, of(actFew))),
		atMost(8, name("the door during acts, p99"), at.P99/door.P99, actPerRatio, fmt.Sprintf("%.1f ms, alone %.1f ms", at.P99, door.P99)),
		atLeast(8, name("part of a hold that is there after kill -9"), float64(r.kept)/float64(r.reports["hold"].Messages), 1, fmt.Sprintf("%d of %d; recovered in %.1f s", r.kept, r.reports["hold"].Messages, r.again.Seconds())),
		atLeast(8, name("messages a second that a drain gives back"), r.back, 1, ""),
	)
}
