package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/test/load"
)

// ownListener is the {daemon_name} of the listener about which a rule of Millrace's decides.
const ownListener = "people"

// lateness is how the times of messages at a steady rate are compared.
const (
	lateRate = 100 // messages a second
	lateGoal = 2.0 // milliseconds
)

// pass is row 7: mail that is no bulk through Postfix with Millrace, against a milter that accepts each connection. On a shared
// listener Millrace must see the header; where a rule names the listener it decides at CONNECT too.
func (b *rowBench) pass() (list []figure, err error) {
	p, err := b.newPost(fmt.Sprintf("[[bulk.rule]]\nname = \"people\"\nlistener = %q\ntake = false\n", ownListener), "accept",
		func(socket string) map[string][]string {
			return map[string][]string{"own": {"smtpd_milters=unix:" + socket, "milter_macro_daemon_name=" + ownListener}}
		})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	c := load.Config{Messages: b.count(2000, 100), MinSize: b.size, Conns: 20, Plain: 1}
	shared := sending("Millrace on a shared listener", c, p.Listener("millrace"), p.to, p.with())
	own := sending("Millrace on a listener of its own", c, p.Listener("own"), p.to, p.with())
	least := sending("a milter that accepts", c, p.Listener("bare"), p.to, p.meter(p.bare.CPU))
	if err := takeTurns(b.turns(3), shared, own, least); err != nil {
		return nil, err
	}
	const name = "no bulk, through Postfix with Millrace, to a milter that accepts each connection: "
	list = []figure{
		shared.faster(7, name+"messages/s, a shared listener", least, 0.88),
		own.faster(7, name+"messages/s, a listener that a rule names", least, 0.99),
		over(shared.to(least, cpuOf), func(v float64) figure { return beside(7, name+"processor time, a shared listener", v, "") }),
	}
	late, err := b.late(p, c)
	return append(list, late...), err
}

// late is how much later the replies to messages at a steady rate are. Both listeners get their mail at the same time, so that a slow
// disk is slow for both.
func (b *rowBench) late(p *post, c load.Config) ([]figure, error) {
	c.Rate, c.Messages = lateRate/2, b.count(1000, 50)
	var added []float64
	note := ""
	for range b.turns(3) {
		with, without, err := p.together(c)
		if err != nil {
			return nil, err
		}
		added = append(added, with-without)
		note = fmt.Sprintf("%d/s in all; in the last round %.2f ms, %.2f ms beside the milter that accepts", lateRate, with, without)
	}
	const name = "no bulk, through Postfix with Millrace on a shared listener: added milliseconds, p99"
	return []figure{over(added, func(v float64) figure { return atMost(7, name, v, lateGoal, note) })}, nil
}

// together sends a campaign at both listeners at once and returns the slowest replies of each.
func (p *post) together(c load.Config) (with, without float64, err error) {
	var wg sync.WaitGroup
	var failed [2]error
	for k, to := range []*float64{&with, &without} {
		c := c
		c.Addr, c.Seed = p.Listener([]string{"millrace", "bare"}[k]), rand.Uint64()
		wg.Go(func() { // ends with the campaign
			report, err := load.Run(context.Background(), c)
			if err == nil {
				*to, err = slowest(report)
			}
			failed[k] = err
		})
	}
	wg.Wait()
	return with, without, errors.Join(failed[:]...)
}

// slowest is the 99th percentile of the times from MAIL to the last reply, in milliseconds.
func slowest(r load.Report) (float64, error) {
	var times []time.Duration
	for i := range r.Records {
		if !r.Records[i].Acked {
			return 0, errors.New("a message was refused: " + r.Records[i].Reply)
		}
		times = append(times, r.Records[i].Longest)
	}
	slices.Sort(times)
	return times[len(times)*99/100].Seconds() * 1000, nil
}
