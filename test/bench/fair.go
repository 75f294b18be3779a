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

	"github.com/millrace/millrace/test/scenario"
	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// fairBench has a daemon feed one receiver with the mail of several senders at a time.
type fairBench struct {
	bin, dir string
	only     string        // a part of the names of the parts to run: behind, tenants, limits; "": all
	idle     time.Duration // for urgent mail without a campaign
	intake   time.Duration // for the campaign: as much as the machine takes
	alone    time.Duration // for the rate of the campaign alone
	others   int           // messages of other senders, one a second
	urgent   time.Duration // for urgent mail beside the campaign
	shares   time.Duration // for the shares of two tenants, and again for limits
}

// crowded is the receiver.
const crowded = "crowded.test"

// takes is a receiver that takes so long for a message.
func takes(d time.Duration) sink.Character { return sink.Character{DotDelay: d} }

func (b *fairBench) run(write func(figure) error) error {
	for _, part := range []struct {
		name string
		run  func() ([]figure, error)
	}{{"behind", b.behind}, {"tenants", b.tenants}, {"limits", b.limits}} {
		if !strings.Contains(part.name, b.only) {
			continue
		}
		list, err := part.run()
		if err != nil {
			return err
		}
		for _, f := range list {
			if err := write(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// hall is one daemon and the receiver that it feeds.
type hall struct {
	*scenario.Millrace
	net   *internet
	lacks string // why the daemon does not know the keys that were to stand in its configuration; "": it knows them
}

// open starts a daemon in front of the receiver. A daemon that does not know the keys in wanted starts without them.
func (b *fairBench) open(name, wanted string, is sink.Character) (*hall, error) {
	plain := fmt.Sprintf("log.level = \"warn\"\nqueue.max_messages = 10000000\npool.connections_per_site = %d\n", perSite)
	return openHall(b.bin, filepath.Join(b.dir, name), plain, wanted, map[string]sink.Character{crowded: is})
}

// openHall starts a daemon in front of receivers. plain is more of its configuration, and wanted what it need not know.
func openHall(bin, dir, plain, wanted string, receivers map[string]sink.Character) (*hall, error) {
	net, err := newInternet()
	if err != nil {
		return nil, err
	}
	h := &hall{net: net}
	for name, is := range receivers {
		if _, err = net.receive(name, is); err != nil {
			return nil, errors.Join(err, net.close())
		}
	}
	h.Millrace, err = scenario.NewMillrace(bin, dir, "127.0.0.1:1", net.config()+plain+wanted)
	if err != nil {
		return nil, errors.Join(err, net.close())
	}
	if out, err := h.Run("check", "-c", h.Config()); err != nil {
		first, _, _ := strings.Cut(strings.TrimPrefix(out, h.Config()+":"), "\n")
		h.lacks = "the daemon does not take the configuration: line " + first
		if err := h.Replace(wanted, ""); err != nil {
			return nil, errors.Join(err, net.close())
		}
	}
	if err := h.Start(); err != nil {
		return nil, errors.Join(err, net.close())
	}
	return h, nil
}

func (h *hall) shut() error { return errors.Join(h.Stop(time.Minute), h.net.close()) }

// post offers n messages of senders, in turn. Their ids begin with the sender.
func (h *hall) post(n int, from ...string) error {
	o, err := openOffice(h.MilterSocket(), 20)
	if err != nil {
		return err
	}
	for i := range n {
		sender := from[i%len(from)]
		o.post(letter(fmt.Sprintf("%s-%07d", sender, i), sender, fmt.Sprintf("u%d@%s", i, crowded)))
	}
	return o.close()
}

// arrived is the deliveries of a time whose message ids begin with prefix.
func (h *hall) arrived(s span, prefix string) (list []sink.Delivery) {
	for d := range h.net.far.All() {
		if s.has(d.Time) && strings.HasPrefix(d.ID, prefix) {
			list = append(list, d)
		}
	}
	return list
}

const urgentRule = `
[[bulk.rule]]
name = "urgent"
header = "X-Urgent"
lane = "urgent"
`

// behind is the first part: messages of other senders, and urgent ones, behind a campaign.
func (b *fairBench) behind() (list []figure, err error) {
	h, err := b.open("behind", urgentRule, takes(20*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	idle, err := h.urgent("idle", b.idle)
	if err != nil {
		return nil, err
	}
	taken, err := h.campaign(b.intake)
	if err != nil {
		return nil, err
	}
	alone := span{begin: time.Now()}
	time.Sleep(b.alone)
	alone.end = time.Now()
	other, err := b.another(h, taken)
	if err != nil {
		return nil, err
	}
	beside := span{begin: time.Now()}
	urgent, err := h.urgent("beside", b.urgent)
	if err != nil {
		return nil, err
	}
	beside.end = time.Now()
	before, now := h.rate(alone, "bulk"), h.rate(beside, "bulk")
	const lane, rest = "urgent lane behind a campaign: p99 of the delay, to that without one", "urgent lane behind a campaign: what the campaign keeps"
	if h.lacks != "" {
		return []figure{other, unmeasured(4, lane, "at most 2", h.lacks), unmeasured(4, rest, "at least 0.95", h.lacks)}, nil
	}
	return []figure{
		other,
		atMost(4, lane, urgent.P99/idle.P99, 2, fmt.Sprintf("%.1f ms, without %.1f ms; p50 %.1f ms, without %.1f ms; %d messages", urgent.P99, idle.P99, urgent.P50, idle.P50, urgent.Messages)),
		atLeast(4, rest, now/before, 0.95, fmt.Sprintf("%.1f/s of %.1f/s", now, before)),
	}, nil
}

// rate is the messages a second.
func (h *hall) rate(s span, prefix string) float64 {
	return float64(len(h.arrived(s, prefix))) / s.took().Seconds()
}

// campaign has the daemon take as much as it takes in that time.
func (h *hall) campaign(lasts time.Duration) (taken int64, err error) {
	o, err := openOffice(h.MilterSocket(), 30)
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	for i := 0; time.Since(begin) < lasts; i++ {
		o.post(letter(fmt.Sprintf("bulk%08d", i), "news@campaign.test", fmt.Sprintf("u%d@%s", i, crowded)))
	}
	err = o.close()
	fmt.Fprintf(os.Stderr, "campaign: %d messages taken in %s, %d left with the MTA\n", o.taken.Load(), lasts, o.left.Load())
	return o.taken.Load(), err
}

// urgent sends ten urgent messages a second, and returns their delays. What has not come some seconds later counts as if it came
// then.
func (h *hall) urgent(name string, lasts time.Duration) (quantiles, error) {
	due, err := h.send(name, lasts, 10, func(id string, i int) *standin.Message {
		m := letter(id, "reset@shop.test", fmt.Sprintf("u%d@%s", i, crowded))
		m.Header = append(m.Header, standin.Field{Name: "X-Urgent", Value: " yes"})
		return m
	})
	if err != nil {
		return quantiles{}, err
	}
	var delays []time.Duration
	for _, w := range h.waits(due) {
		delays = append(delays, w.took)
	}
	return quantilesOf(delays), nil
}

// send streams messages whose ids begin with name and waits some seconds for them. It returns when each was due.
func (h *hall) send(name string, lasts time.Duration, perSecond float64, letter func(id string, i int) *standin.Message) (due map[string]time.Time, err error) {
	o, err := openOffice(h.MilterSocket(), 4)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), lasts)
	defer cancel()
	due = make(map[string]time.Time)
	id := func(i int) string { return fmt.Sprintf("%s%05d", name, i) }
	o.stream(ctx, perSecond, func(i int) *standin.Message { return letter(id(i), i) }, func(i int, at time.Time) { due[id(i)] = at })
	err = o.close()
	time.Sleep(2500 * time.Millisecond)
	return due, err
}

// wait is how long a message waited, and how many others were received meanwhile.
type wait struct {
	took   time.Duration
	others int
	came   bool
}

// waits are the waits of messages, the longest last.
func (h *hall) waits(due map[string]time.Time) (list []wait) {
	came := make(map[string]time.Time)
	var times []time.Time
	for d := range h.net.far.All() {
		times = append(times, d.Time)
		if _, ok := due[d.ID]; ok {
			came[d.ID] = d.Time
		}
	}
	slices.SortFunc(times, time.Time.Compare)
	before := func(t time.Time) int {
		n, _ := slices.BinarySearchFunc(times, t, time.Time.Compare)
		return n
	}
	now := time.Now()
	for id, at := range due {
		end, ok := came[id]
		if !ok {
			end = now
		}
		list = append(list, wait{end.Sub(at), before(end) - before(at), ok})
	}
	slices.SortFunc(list, func(a, b wait) int { return int(a.took - b.took) })
	return list
}

// another sends one message a second, each of another sender.
func (b *fairBench) another(h *hall, campaign int64) (figure, error) {
	due, err := h.send("other", time.Duration(b.others)*time.Second, 1, func(id string, i int) *standin.Message {
		return letter(id, fmt.Sprintf("note@sender%d.test", i), fmt.Sprintf("u%d@%s", i, crowded))
	})
	if err != nil {
		return figure{}, err
	}
	list := h.waits(due)
	worst, missing, met := list[len(list)-1], 0, true
	for _, w := range list {
		met = met && w.came && (w.took <= 2*time.Second || w.others <= 50)
		if !w.came {
			missing++
		}
	}
	seconds := worst.took.Seconds()
	return figure{
		Row: 4, Figure: "another sender behind a campaign: longest wait in seconds", Value: &seconds, Goal: "at most 2, or 50 others", Met: met,
		Note: fmt.Sprintf("%d others received before it; %d of %d messages did not come; the campaign had %d messages", worst.others, missing, len(list), campaign),
	}, nil
}
