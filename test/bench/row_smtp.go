package main

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/millrace/millrace/test/load"
)

// smtp is row 5: an application at our SMTP door, with all mail delivered to a sink, against the same application at the sink itself.
// Postfix and Haraka in our place stand beside it.
func (b *rowBench) smtp() (list []figure, err error) {
	s, err := b.newStore("door")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	bare, err := startSink(b.dir, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bare.close()) }()
	c := load.Config{Messages: b.count(10_000, 300), MinSize: b.size, Conns: 20, Personal: 0.05}
	ours := b.sending("millrace", c, s.to, s.entry, meter{used: []func() (time.Duration, error){s.CPU}, daemon: s})
	itself := b.sending("the sink itself", c, bare, bare.addr, meter{})
	if err := takeTurns(b.turns(3), ours, itself); err != nil {
		return nil, err
	}
	const name = "our SMTP door with delivery, 20 KB personalised, "
	list = append(list, over(ours.to(itself, rateOf), func(v float64) figure {
		return atLeast(5, name+"to a bare sink with the same client", v, 0.6, notes(ours, itself))
	}))
	others, err := b.others(name, c, ours, s)
	return append(list, others...), err
}

// others are Postfix and Haraka, each in turn with our door.
func (b *rowBench) others(name string, c load.Config, ours *way, s *store) (list []figure, err error) {
	c.Messages = b.count(4000, 100)
	for _, o := range []struct {
		name  string
		start func() (addr string, cpu func() (time.Duration, error), end func() error, err error)
	}{
		{"Postfix alone", func() (string, func() (time.Duration, error), func() error, error) {
			p, err := b.postfixTo(s.to, "postfix", nil)
			if err != nil {
				return "", nil, nil, err
			}
			return p.Addr, p.CPU, p.Stop, nil
		}},
		{"Haraka", func() (string, func() (time.Duration, error), func() error, error) {
			p, addr, err := startHaraka(b.dir+"/haraka", s.to)
			if err != nil {
				return "", nil, nil, err
			}
			return addr, p.TreeCPU, func() error { return endPeer(p) }, nil
		}},
	} {
		addr, cpu, end, err := o.start()
		if err != nil {
			list = append(list, unmeasured(5, name+"to "+o.name, "", err.Error()))
			continue
		}
		mine := b.sending("millrace", c, s.to, s.entry, meter{used: []func() (time.Duration, error){s.CPU}, daemon: s})
		theirs := b.sending(o.name, c, s.to, addr, meter{used: []func() (time.Duration, error){cpu}})
		if err := errors.Join(takeTurns(b.turns(3), mine, theirs), end()); err != nil {
			return list, err
		}
		list = append(list, over(mine.to(theirs, rateOf), func(v float64) figure { return beside(5, name+"to "+o.name, v, notes(mine, theirs)) }))
	}
	return list, nil
}

// sending is a campaign that is sent to an address and arrives at a sink.
func (b *rowBench) sending(name string, c load.Config, to *far, addr string, m meter) *way {
	return &way{name: name, round: func(int) (effort, error) {
		c.Seed = rand.Uint64() // another campaign each time
		if err := m.begin(); err != nil {
			return effort{}, err
		}
		took, err := through(to, addr, c)
		if err != nil {
			return effort{}, err
		}
		return m.end(c.Messages, took)
	}}
}
