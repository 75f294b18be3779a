package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/letters"
)

// stock is a store and the two campaigns that are sent through it: one to ten domains, and one to a domain for each message.
type stock struct {
	*store
	few, many *rawMilter
}

// waitingMail is row 11: what the whole path costs beside mail that waits, and with many domains.
func (b *rowBench) waitingMail() (list []figure, err error) {
	waits, messages := b.count(100_000, 500), 10_000
	if b.quick {
		messages = 600
	}
	empty, err := b.stock("empty", 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, empty.end()) }()
	full, err := b.stock("full", waits)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, full.end()) }()
	none, much := empty.way("nothing waits", empty.few, messages), full.way("much waits", full.few, messages)
	wide := empty.way("a domain each", empty.many, messages)
	if err := takeTurns(b.turns(3), none, much, wide); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("the milter door to the sink while %d personalised messages wait, to none: ", waits)
	domains := fmt.Sprintf("the milter door to the sink for %d new domains a round, to 10: ", messages)
	list = []figure{
		much.cheaper(11, name+"processor time", none, 1.15),
		much.faster(11, name+"messages/s", none, 0.9),
		wide.cheaper(11, domains+"processor time", none, 1.15),
		wide.faster(11, domains+"messages/s", none, 0.9),
	}
	idle, err := b.idle(waits)
	return append(list, idle...), err
}

// stock makes a store in which so many messages wait.
func (b *rowBench) stock(name string, waits int) (*stock, error) {
	s, err := b.newStore(name)
	if err != nil {
		return nil, err
	}
	k := &stock{store: s}
	if err = s.feed(waits, letterTo(letters.Shapes(personalLinks), kept, waitingZone)); err == nil {
		k.few, err = newRawMilter(s.MilterSocket(), 50, toTen)
	}
	if err == nil {
		k.many, err = newRawMilter(s.MilterSocket(), 50, toEach)
	}
	if err != nil {
		return nil, errors.Join(err, s.end())
	}
	k.many.next.Store(1 << 30) // its messages are others
	return k, nil
}

// way is a campaign through the store.
func (k *stock) way(name string, r *rawMilter, messages int) *way {
	m := k.meter()
	return &way{name: name, round: func(int) (effort, error) {
		before, _, err := k.to.counts()
		if err != nil {
			return effort{}, err
		}
		if err := m.begin(); err != nil {
			return effort{}, err
		}
		begin := time.Now()
		if err := r.run(int64(messages), milterConns); err != nil {
			return effort{}, err
		}
		end, err := k.to.when(before+int64(messages), 2*time.Minute)
		if err != nil {
			return effort{}, err
		}
		return m.end(messages, end.Sub(begin))
	}}
}

// idleTime has two snapshots in it, each of which costs more than all else.
const idleTime = time.Minute

// idle is what a daemon costs that waits with mail for so many domains.
func (b *rowBench) idle(domains int) (list []figure, err error) {
	i := &idleBench{domains: domains, bin: b.bin, dir: filepath.Join(b.dir, "idle"), lasts: idleTime}
	i.patience = max(2*time.Minute, time.Duration(domains)*time.Millisecond)
	if b.quick {
		i.lasts, i.pause = time.Second, time.Second
	}
	states, err := i.states()
	if err != nil {
		return nil, err
	}
	for _, state := range states {
		if strings.Contains(state.name, "one closed") || b.quick && state.name == "deferred" {
			continue // the first costs less than the others
		}
		s, err := i.measure(state.name, state.config, state.due)
		if err != nil {
			return list, fmt.Errorf("%s: %w", state.name, err)
		}
		name := fmt.Sprintf("mail for %d domains waits, %s: percent of a processor", domains, s.Name)
		note := fmt.Sprintf("%d messages, %d sites, %.0f s", s.Waiting, s.Sites, i.lasts.Seconds())
		list = append(list, atMost(11, name, s.CPU, 1, note))
	}
	return list, nil
}
