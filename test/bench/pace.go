package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/scenario"
)

// perSite is how many connections a site may have at most, in the daemon's configuration and to the knowledge of the ideal
// client.
const perSite = 10

// paceBench has one daemon feed receivers with all kinds of limits at the same time, each beside a twin that an ideal client
// feeds. Then a daemon feeds one receiver behind very many domains.
type paceBench struct {
	bin, dir string
	lasts    time.Duration // the first part
	domains  int           // of the second part
	drains   time.Duration // the second part, from the first message on
	only     string        // a part of the names of the receivers to run; "": all
}

// The times of the trials are for a first part of fullPace, and are scaled to the one there is.
const (
	fullPace = 240 * time.Second
	learned  = 120 * time.Second // by then the daemon must know its receivers
	changed  = 60 * time.Second  // when some of them change, and must be learned anew
	window   = 30 * time.Second  // over which a rate is taken; a receiver that flaps has one period in it
)

func (b *paceBench) scale(d time.Duration) time.Duration {
	return time.Duration(float64(d) * float64(b.lasts) / float64(fullPace))
}

func (b *paceBench) run(write func(figure) error) error {
	if err := b.races(write); err != nil || !strings.Contains(manyDomains, b.only) {
		return err
	}
	return b.many(write)
}

// races is the first part.
func (b *paceBench) races(write func(figure) error) (err error) {
	net, err := newInternet()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.close()) }()
	var races []*race
	for _, t := range trials(b.scale) {
		if !strings.Contains(t.name, b.only) {
			continue
		}
		r, err := newRace(net, t)
		if err != nil {
			return err
		}
		races = append(races, r)
	}
	config := net.config() + fmt.Sprintf("log.level = \"warn\"\npool.connections_per_site = %d\n", perSite) +
		"pool.closed_for = " + durations(b.scale, "2s", "2s", "2s", "2s", "2s", "4s", "4s", "10s", "20s", "60s") + // as the default, for a site that flaps in seconds
		"retry.schedule = " + durations(b.scale, "20s", "40s", "120s") // likewise, for the greylist
	d, err := scenario.NewMillrace(b.bin, filepath.Join(b.dir, "pace"), "127.0.0.1:1", config)
	if err != nil {
		return err
	}
	if err := d.Start(); err != nil {
		return err
	}
	err = b.observe(d, races)
	if err = errors.Join(err, d.Stop(time.Minute)); err != nil {
		return err
	}
	for _, r := range races {
		for _, f := range r.figures(b.scale(learned), b.scale(window)) {
			if err := write(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// durations is a line of TOML, with each of the times scaled.
func durations(scale func(time.Duration) time.Duration, list ...string) string {
	line := "["
	for _, text := range list {
		d, _ := time.ParseDuration(text)
		line += fmt.Sprintf("%q, ", scale(d).Round(time.Millisecond))
	}
	return line + "]\n"
}

// observe runs all races at the same time.
func (b *paceBench) observe(d *scenario.Millrace, races []*race) error {
	o, err := openOffice(d.MilterSocket(), 8)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.lasts)
	defer cancel()
	var wg sync.WaitGroup
	failed := make([]error, len(races))
	for i, r := range races {
		wg.Go(func() { failed[i] = r.run(ctx, o, b.scale(window), b.scale(time.Second)) }) // ends with ctx
	}
	wg.Wait()
	return errors.Join(append(failed, o.close())...)
}

// manyDomains is the receiver of the second part.
const manyDomains = "many.test"

// many is the second part: one receiver is the mail host of very many domains, each of which has one message.
func (b *paceBench) many(write func(figure) error) (err error) {
	net, err := newInternet()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, net.close()) }()
	r, err := newRace(net, trial{name: manyDomains, is: thinks(5 * time.Millisecond), conns: perSite, capacity: perSite / 0.02})
	if err != nil {
		return err
	}
	config := net.config() + fmt.Sprintf("log.level = \"warn\"\npool.connections_per_site = %d\nqueue.max_messages = 10000000\n", perSite)
	d, err := scenario.NewMillrace(b.bin, filepath.Join(b.dir, "many"), "127.0.0.1:1", config)
	if err != nil {
		return err
	}
	if err := d.Start(); err != nil {
		return err
	}
	sites, err := b.drain(d, r)
	if err = errors.Join(err, d.Stop(time.Minute)); err != nil {
		return err
	}
	far := net.far.Counts(r.name)
	note := fmt.Sprintf("%d domains taken, %d heard from in %s", b.domains, far.Messages, b.drains)
	for _, f := range []figure{
		atMost(7, "many domains, one MX set: sites", float64(sites), 1, note),
		atMost(7, "many domains, one MX set: most connections at once", float64(far.MaxOpen), perSite, note),
		b.drained(r, far.Messages),
	} {
		if err := write(f); err != nil {
			return err
		}
	}
	return nil
}

// drained is the rate of the second part.
func (b *paceBench) drained(r *race, heard int64) figure {
	const name = "many domains, one MX set: share of what an ideal client gets"
	if heard == int64(b.domains) {
		return unmeasured(7, name, "at least 0.9", "all mail was sent before the end")
	}
	return atLeast(7, name, r.share(b.drains/2, b.drains), 0.9, "in the second half")
}

// drain has d take and send the mail of many domains, and returns how many sites d knows then.
func (b *paceBench) drain(d *scenario.Millrace, r *race) (sites int64, err error) {
	o, err := openOffice(d.MilterSocket(), 20)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.drains)
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(func() { r.ideal.run(ctx) })          // ends with ctx
	wg.Go(func() { r.watch(ctx, time.Second) }) // ends with ctx
	for i := range b.domains {
		o.post(letter(fmt.Sprintf("%08d", i), "news@sender.test", fmt.Sprintf("u@d%d.%s", i, r.name)))
	}
	err = o.close()
	wg.Wait()
	st, asked := d.Status()
	if left := o.left.Load(); left > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d messages were left with the MTA", left, b.domains))
	}
	return st.Pool.Sites, errors.Join(err, asked)
}
