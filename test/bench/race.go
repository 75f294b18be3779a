package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// race is a trial under way: the daemon feeds the receiver, and the ideal client feeds its twin.
type race struct {
	trial
	net     *internet
	ideal   *ideal // nil when the receiver could have all that is offered
	offers  atomic.Int64
	samples []sample
	peak    int64 // most connections at once, after the receiver was opened again
}

// sample is how much had come when.
type sample struct {
	at         time.Duration // since the begin
	got, could int64         // recipients: of the receiver, and of its twin
	tried      int64         // connections of the daemon
	turned     int64         // of these, the ones that the receiver turned away
	deferred   int64         // replies of 4xx
}

func (r *race) twin() string { return "twin-" + r.name }

func newRace(net *internet, t trial) (*race, error) {
	t.goal, t.rcpts = cmp.Or(t.goal, 0.9), cmp.Or(t.rcpts, 1)
	if t.groups == nil {
		t.groups = []int{1}
	}
	r := &race{trial: t, net: net}
	if _, err := net.receive(t.name, t.is); err != nil || t.exact {
		return r, err
	}
	to, err := net.receive(r.twin(), t.is)
	if err != nil {
		return nil, err
	}
	r.ideal = &ideal{to: to, most: max(t.conns, perSite), rcpts: t.groups}
	r.ideal.limit.Store(int64(t.conns))
	if t.rate > 0 {
		r.ideal.turn.every = time.Duration(float64(time.Second) / t.rate)
	}
	return r, nil
}

// run offers mail by o, and lets the ideal client and the course of things run beside it, until ctx is done. backlog is the
// time in which the receiver could take what is offered at once.
func (r *race) run(ctx context.Context, o *office, backlog, every time.Duration) error {
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { r.offer(ctx, o, backlog) })
	wg.Go(func() { r.watch(ctx, every) })
	if r.ideal != nil {
		wg.Go(func() { r.ideal.run(ctx) })
	}
	if r.course != nil {
		wg.Go(func() { failed = r.course(ctx, r) })
	}
	wg.Wait() // each of them ends with ctx
	r.notePeak()
	return failed
}

// offer posts the mail.
func (r *race) offer(ctx context.Context, o *office, backlog time.Duration) {
	post := func(i int) *standin.Message {
		r.offers.Add(int64(r.rcpts))
		return letter(fmt.Sprintf("%s-%06d", r.name, i), "news@sender.test", addresses(i, r.rcpts, "d."+r.name)...)
	}
	rate, first := r.capacity/float64(r.rcpts), 0
	if !r.exact {
		first, rate = int(rate*backlog.Seconds()), 1.2*rate
	}
	for i := range first {
		if ctx.Err() != nil {
			return
		}
		o.post(post(i))
	}
	o.stream(ctx, rate, func(i int) *standin.Message { return post(first + i) }, nil)
}

// watch takes samples.
func (r *race) watch(ctx context.Context, every time.Duration) {
	begin := time.Now()
	for ; ; pause(ctx, every) {
		mine := r.net.far.Counts(r.name)
		s := sample{at: time.Since(begin), got: mine.Deliveries, could: r.offers.Load(), tried: mine.Connections, turned: mine.TurnedAway, deferred: mine.Deferred}
		if r.ideal != nil {
			s.could = r.net.far.Counts(r.twin()).Deliveries
		}
		r.samples = append(r.samples, s)
		if ctx.Err() != nil {
			return
		}
	}
}

// both does the same to the receiver and to its twin.
func (r *race) both(do func(name string) error) error {
	return errors.Join(do(r.name), do(r.twin()))
}

func (r *race) shut() error {
	r.notePeak()
	return r.both(r.net.far.Shut)
}

func (r *race) reopen() error {
	r.peak = max(r.peak, 1) // from here on it counts
	return r.both(r.net.far.Reopen)
}

// notePeak keeps the most connections since the last time that the receiver was opened again.
func (r *race) notePeak() {
	if r.peak > 0 {
		r.peak = max(r.peak, r.net.far.Counts(r.name).MaxOpen)
	}
}

// allow changes how many connections the receiver and its twin allow.
func (r *race) allow(n int) error {
	r.is.MaxConns = n
	r.ideal.limit.Store(int64(n))
	return r.both(func(name string) error {
		is := r.is
		is.Name = name
		return r.net.far.Change(name, is)
	})
}

// near is the sample that was taken at a time, or the next one.
func (r *race) near(at time.Duration) sample {
	for _, s := range r.samples {
		if s.at >= at {
			return s
		}
	}
	return r.samples[len(r.samples)-1]
}

// share is what the receiver got of what its twin got, in a part of the time.
func (r *race) share(from, to time.Duration) float64 {
	a, b := r.near(from), r.near(to)
	return float64(b.got-a.got) / float64(max(b.could-a.could, 1))
}

// figures says how the race ended. In the time limit after the begin, or after the receiver has changed, the daemon must have
// learned what it allows.
func (r *race) figures(limit, window time.Duration) []figure {
	end, from := r.samples[len(r.samples)-1], r.after+limit
	whole := fmt.Sprintf("%d of %d recipients in %.0f s, with %d replies of 4xx; share of the whole time %.3f", end.got, end.could, end.at.Seconds(), end.deferred, r.share(0, end.at))
	list := []figure{
		atLeast(r.row, r.what+": share of what an ideal client gets", r.share(from, end.at), r.goal, whole),
		r.learnedAt(limit, window, end.at),
	}
	late := r.near(from)
	tried, turned := end.tried-late.tried, end.turned-late.turned
	if r.polite {
		list = append(list, atMost(r.row, r.what+": share of connections turned away", float64(turned)/float64(max(tried, 1)), 0.05,
			fmt.Sprintf("%d of %d; in the whole time %d of %d", turned, tried, end.turned, end.tried)))
	}
	if r.peak > 0 {
		list = append(list, atMost(r.row, r.what+": most connections at once after reopening", float64(r.peak), perSite, ""))
	}
	return list
}

// learnedAt is how long it took until the receiver began to get what it could have for the length of a window.
func (r *race) learnedAt(limit, window, end time.Duration) figure {
	name := r.what + ": seconds until nine tenths of that"
	for _, s := range r.samples {
		if s.at >= r.after && s.at+window <= end && r.share(s.at, s.at+window) >= 0.9 {
			return atMost(r.row, name, (s.at - r.after).Seconds(), limit.Seconds(), "")
		}
	}
	return unmeasured(r.row, name, fmt.Sprintf("at most %.3g", limit.Seconds()), fmt.Sprintf("not in %.0f s", (end-r.after).Seconds()))
}
