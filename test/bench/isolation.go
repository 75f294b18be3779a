package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/scenario"
	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// isolationBench sends healthy mail at a steady rate through a daemon that gets nothing else, and then through the same daemon
// after it has taken mail for very many receivers that are dead, slow or deferring.
type isolationBench struct {
	bin, dir  string
	channels  []int  // queue.channels, one daemon each
	only      string // a part of the numbers of channels to run; "": all
	perSecond float64
	messages  int           // for receivers that are not healthy, at most
	fill      time.Duration // in which these are offered, at most
	sites     int           // of these receivers
	warm      time.Duration // before the first measurement
	alone     time.Duration
	beside    time.Duration
	think     time.Duration // of a tarpit
	dribble   time.Duration
}

// healthySites are so many. Twenty channels have room for all their mail at the delay that their replies have.
const (
	healthySites = 10
	healthyReply = 3 * time.Millisecond
)

func (b *isolationBench) run(write func(figure) error) error {
	for _, n := range b.channels {
		if !strings.Contains(fmt.Sprint(n), b.only) {
			continue
		}
		if err := b.round(n, write); err != nil {
			return err
		}
	}
	return nil
}

// round is one daemon.
func (b *isolationBench) round(channels int, write func(figure) error) (err error) {
	net, err := newInternet()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.close()) }()
	holes := &blackHoles{}
	defer holes.close()
	bad, err := b.receivers(net, holes)
	if err != nil {
		return err
	}
	config := net.config() + fmt.Sprintf("log.level = \"warn\"\nqueue.max_messages = 10000000\nqueue.channels = %d\n", channels)
	d, err := scenario.NewMillrace(b.bin, filepath.Join(b.dir, fmt.Sprint("isolation", channels)), "127.0.0.1:1", config)
	if err != nil {
		return err
	}
	if err := d.Start(); err != nil {
		return err
	}
	h := &healthyMail{net: net, sent: make(map[string]time.Time), took: make(map[string]time.Time)}
	times, taken, err := b.measure(d, h, bad)
	if err = errors.Join(err, d.Stop(time.Minute)); err != nil {
		return err
	}
	for _, f := range isolated(channels, h, times, taken) {
		if err := write(f); err != nil {
			return err
		}
	}
	return nil
}

// receivers makes the receivers, and returns the domains of those that are not healthy.
func (b *isolationBench) receivers(net *internet, holes *blackHoles) (bad []string, err error) {
	for i := range healthySites {
		if _, err := net.receive(fmt.Sprintf("healthy%d.test", i), thinks(healthyReply)); err != nil {
			return nil, err
		}
	}
	defers := sink.Fault{Stage: sink.Rcpt, Do: sink.Reply451, Text: "451 4.3.0 Try again later"}
	for i := range b.sites {
		name, ch := fmt.Sprintf("bad%d.test", i), sink.Character{}
		switch i % 8 {
		case 0: // a black hole
			addr, err := net.lead(name)
			if err = errors.Join(err, holes.open(addr)); err != nil {
				return nil, err
			}
		case 4: // connections are refused
			if _, err := net.lead(name); err != nil {
				return nil, err
			}
		case 1, 5:
			ch.DotDelay = b.think
		case 2, 6:
			ch.Dribble = b.dribble
		case 3, 7:
			ch.Faults = []sink.Fault{defers}
		}
		if i%4 != 0 {
			if _, err := net.receive(name, ch); err != nil {
				return nil, err
			}
		}
		bad = append(bad, name)
	}
	return bad, nil
}

// measure sends healthy mail all the time and the other mail in the middle. It returns when the parts began and ended, and how
// much of the other mail was taken.
func (b *isolationBench) measure(d *scenario.Millrace, h *healthyMail, bad []string) (t parts, taken int64, err error) {
	healthy, err := openOfficeFor(d.MilterSocket(), 30, h.told)
	if err != nil {
		return t, 0, err
	}
	other, err := openOffice(d.MilterSocket(), 20)
	if err != nil {
		return t, 0, errors.Join(err, healthy.close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { healthy.stream(ctx, b.perSecond, h.letter, h.due) }) // ends with ctx
	time.Sleep(b.warm)
	t.alone.begin = time.Now()
	time.Sleep(b.alone)
	t.alone.end = time.Now()
	for i := 0; i < b.messages && time.Since(t.alone.end) < b.fill; i++ {
		other.post(letter(fmt.Sprintf("bad%07d", i), "news@sender.test", fmt.Sprintf("u%d@%s", i, bad[i%len(bad)])))
	}
	err = other.close()
	t.beside.begin = time.Now()
	time.Sleep(b.beside)
	t.beside.end = time.Now()
	time.Sleep(b.warm) // for the last healthy messages
	cancel()
	wg.Wait()
	fmt.Fprintf(os.Stderr, "%d messages for receivers that are not healthy taken in %s, %d left with the MTA\n",
		other.taken.Load(), t.beside.begin.Sub(t.alone.end).Round(time.Second), other.left.Load())
	return t, other.taken.Load(), errors.Join(err, healthy.close())
}

// parts are the times of the measurements.
type parts struct{ alone, beside span }

// healthyMail is the healthy mail, and when it was due at the door.
type healthyMail struct {
	net *internet

	mu   sync.Mutex
	sent map[string]time.Time // when it was due
	took map[string]time.Time // when the door had taken it
}

func healthyID(i int) string { return fmt.Sprintf("healthy%07d", i) }

func (h *healthyMail) letter(i int) *standin.Message {
	return letter(healthyID(i), "news@other.test", fmt.Sprintf("u%d@d%d.healthy%d.test", i, i%7, i%healthySites))
}

func (h *healthyMail) due(i int, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sent[healthyID(i)] = at
}

func (h *healthyMail) told(m *standin.Message) {
	now := time.Now()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.took[strings.TrimPrefix(m.QueueID, "4A")] = now
}

// door is the part of the delays that the door makes.
func (h *healthyMail) door(s span) quantiles { return quantilesOf(h.doorTimes(s)) }

// doorTimes is how long the door took for each message that was due in that time.
func (h *healthyMail) doorTimes(s span) (list []time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for id, at := range h.sent {
		if end, ok := h.took[id]; ok && s.has(at) {
			list = append(list, end.Sub(at))
		}
	}
	return list
}

// during is the rate of the messages that were due and came in a time, and the delays of those that were due in it. What never
// came counts as if it came now.
func (h *healthyMail) during(s span) (perSecond float64, delays []time.Duration, missing int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	came := make(map[string]time.Time, len(h.sent))
	for d := range h.net.far.All() {
		came[d.ID] = d.Time
	}
	arrived := 0
	for id, at := range h.sent {
		if !s.has(at) {
			continue
		}
		end, ok := came[id]
		switch {
		case !ok:
			end = time.Now()
			missing++
		case s.has(end): // of two times that are alike, what came from before would count in one only
			arrived++
		}
		delays = append(delays, end.Sub(at))
	}
	return float64(arrived) / s.took().Seconds(), delays, missing
}

// has reports whether t lies in the span.
func (s span) has(t time.Time) bool { return !t.Before(s.begin) && t.Before(s.end) }

// isolated are the figures of one daemon.
func isolated(channels int, h *healthyMail, t parts, taken int64) []figure {
	rate, delays, _ := h.during(t.alone)
	alone := quantilesOf(delays)
	_, delays, _ = h.during(span{t.alone.end, t.beside.begin})
	meanwhile := quantilesOf(delays)
	rateBeside, delays, missing := h.during(t.beside)
	beside := quantilesOf(delays)
	taking, takingAlone := h.door(t.beside), h.door(t.alone)
	name := func(what string) string {
		return fmt.Sprintf("healthy mail beside mail that cannot go, %d channels: %s", channels, what)
	}
	return []figure{
		atLeast(3, name("throughput"), rateBeside/rate, 0.99,
			fmt.Sprintf("%.1f/s of %.1f/s for %.0f s, %d did not come; %d other messages taken", rateBeside, rate, t.beside.took().Seconds(), missing, taken)),
		atMost(3, name("p99 of the delay"), beside.P99/alone.P99, 1.5,
			fmt.Sprintf("%.1f ms, alone %.1f ms; p50 %.1f ms, alone %.1f ms; of it the door: p99 %.1f ms, alone %.1f ms; p50 %.1f ms, alone %.1f ms; p99 while the other mail came in %.1f ms",
				beside.P99, alone.P99, beside.P50, alone.P50, taking.P99, takingAlone.P99, taking.P50, takingAlone.P50, meanwhile.P99)),
	}
}
