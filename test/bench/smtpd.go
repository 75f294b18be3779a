package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/scenario"
	"github.com/millrace/millrace/test/sink"
)

// smtpdBench measures the SMTP door: an application that hands its mail straight to it, and a Postfix that has it before its queue.
type smtpdBench struct {
	bin, dir, only string
	load           load.Config
	rounds         int
}

func (b *smtpdBench) run(write func(figure) error) error {
	for _, part := range []struct {
		name string
		run  func() ([]figure, error)
	}{{"direct", b.direct}, {"proxy", b.proxy}, {"crowd", b.crowd}} {
		if !strings.Contains(part.name, b.only) {
			continue
		}
		list, err := part.run()
		for _, f := range list {
			err = errors.Join(err, write(f))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// direct compares a client at our door, with all mail delivered to a sink, with the same client at the sink itself.
func (b *smtpdBench) direct() (list []figure, err error) {
	d, addr, err := b.submission("direct", "")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Stop(time.Minute), d.far.Close()) }()
	straight, err := d.far.Listen("127.0.0.1:0", sink.Character{Name: "straight"})
	if err != nil {
		return nil, err
	}
	for _, conns := range []int{10, 50} {
		c := b.load
		c.Conns = conns
		var ratios, rates []float64
		before, err := d.CPU()
		if err != nil {
			return nil, err
		}
		for i := range b.rounds {
			c.Prefix = fmt.Sprintf("c%dr%d.", conns, i)
			rate, err := inTurn(i, func(addr string) (float64, error) { return b.through(d.far, addr, c) }, addr, straight.String())
			if err != nil {
				return list, err
			}
			ratios, rates = append(ratios, rate[0]/rate[1]), append(rates, rate[0])
			fmt.Fprintf(os.Stderr, "%d connections, round %d: our door %.0f/s, the sink itself %.0f/s\n", conns, i+1, rate[0], rate[1])
		}
		after, err := d.CPU()
		if err != nil {
			return nil, err
		}
		each := (after - before) / time.Duration(b.rounds*c.Messages)
		note := fmt.Sprintf("%.0f messages/s at our door, %s of processor time each; ratios %.2f", median(rates), each.Round(time.Microsecond), ratios)
		list = append(list, atLeast(2, fmt.Sprintf("our door with delivery, to a bare sink: %d connections", conns), median(ratios), 0.6, note))
	}
	return list, nil
}

// submission starts a daemon without an MTA, in a folder of that name. more are lines of its table smtpd.
func (b *smtpdBench) submission(name, more string) (*door, string, error) {
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, "", err
	}
	d, err := newDoor(b.bin, filepath.Join(b.dir, name), "")
	if err != nil {
		return nil, "", err
	}
	text, err := os.ReadFile(d.Config())
	if err == nil {
		err = d.Configure(string(text) + fmt.Sprintf("[smtpd]\nsubmission = [\"inet:%s\"]\n%s", addr, more))
	}
	if err == nil {
		err = d.Start()
	}
	if err == nil {
		_, err = d.Recovered()
	}
	if err != nil {
		return nil, "", errors.Join(err, d.far.Close())
	}
	return d, addr, nil
}

// inTurn measures at two places, in the order that the round asks for.
func inTurn(round int, measure func(addr string) (float64, error), addrs ...string) ([]float64, error) {
	rates, order := make([]float64, len(addrs)), []int{0, 1}
	if round%2 == 1 {
		slices.Reverse(order)
	}
	for _, k := range order {
		rate, err := measure(addrs[k])
		if err != nil {
			return nil, err
		}
		rates[k] = rate
	}
	return rates, nil
}

// through sends a campaign to addr and returns its rate, from the first byte to the last arrival.
func (b *smtpdBench) through(far *sink.Sink, addr string, c load.Config) (float64, error) {
	c.Addr = addr
	before, begin := far.Count(), time.Now()
	report, err := load.Run(context.Background(), c)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	if err := far.Wait(ctx, before+report.Recipients()); err != nil {
		return 0, fmt.Errorf("%d of %d came: %w", far.Count()-before, report.Recipients(), err)
	}
	return float64(report.Recipients()) / time.Since(begin).Seconds(), nil
}

// proxied is a Postfix with its processor time.
type proxied struct {
	*scenario.Scene
	addr string
	used func() (time.Duration, error)
}

// proxy compares a Postfix whose bulk listener has Millrace before its queue with a Postfix alone.
func (b *smtpdBench) proxy() (list []figure, err error) {
	scenario.ContribDir = "contrib"
	front, back, err := twoAddrs()
	if err != nil {
		return nil, err
	}
	proxyAddr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, "proxied")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	with, err := scenario.New(dir, b.bin, scenario.Options{Config: fmt.Sprintf("smtpd.proxy = [\"inet:%s\"]\nsmtpd.reinject = %q\n", proxyAddr, daemon.NextHop(back))})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, with.Close()) }()
	if err := with.StartMillrace(); err != nil {
		return nil, err
	}
	if err := with.StartProxied(front, proxyAddr, back); err != nil {
		return nil, err
	}
	alone, err := startScene(filepath.Join(b.dir, "unproxied"), b.bin, scenario.Options{NoMillrace: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, alone.Close()) }()
	ours := proxied{with, front, func() (time.Duration, error) { return sumOf(with.Postfix.CPU, with.Millrace.CPU) }}
	theirs := proxied{alone, alone.Addr(), alone.Postfix.CPU}
	return b.compareProxied(ours, theirs)
}

func twoAddrs() (a, b string, err error) {
	if a, err = process.FreeAddr(); err == nil {
		b, err = process.FreeAddr()
	}
	return a, b, err
}

func sumOf(parts ...func() (time.Duration, error)) (sum time.Duration, err error) {
	for _, part := range parts {
		d, failed := part()
		sum, err = sum+d, errors.Join(err, failed)
	}
	return sum, err
}

func (b *smtpdBench) compareProxied(ours, theirs proxied) (list []figure, err error) {
	var ratios, costs []float64
	for i := range b.rounds {
		c := b.load
		c.Prefix = fmt.Sprintf("p%d.", i)
		var rate, cost [2]float64
		order := []int{0, 1}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		for _, k := range order {
			p := []proxied{ours, theirs}[k]
			before, err := p.used()
			if err != nil {
				return nil, err
			}
			if rate[k], err = b.through(p.Sink, p.addr, c); err != nil {
				return nil, err
			}
			after, err := p.used()
			if err != nil {
				return nil, err
			}
			cost[k] = float64(after-before) / float64(time.Microsecond) / float64(b.load.Messages)
		}
		ratios, costs = append(ratios, rate[0]/rate[1]), append(costs, cost[0]/cost[1])
		fmt.Fprintf(os.Stderr, "round %d: proxied %.0f/s and %.0f us, Postfix alone %.0f/s and %.0f us\n", i+1, rate[0], cost[0], rate[1], cost[1])
	}
	return []figure{
		atLeast(2, "a proxy before Postfix's queue, to Postfix alone: messages/s end to end", median(ratios), 2.2, fmt.Sprintf("ratios %.2f", ratios)),
		atMost(2, "a proxy before Postfix's queue, to Postfix alone: processor time a message", median(costs), 0.45, fmt.Sprintf("all processes of both; ratios %.2f", costs)),
	}, nil
}
