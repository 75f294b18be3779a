package main

import (
	"errors"
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
	ours := sending("millrace", c, s.entry, s.to, s.meter())
	itself := sending("the sink itself", c, bare.addr, bare, meter{})
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
			p, err := b.startPostfix("postfix", s.to, nil)
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
		mine := sending("millrace", c, s.entry, s.to, s.meter())
		theirs := sending(o.name, c, addr, s.to, meter{used: []func() (time.Duration, error){cpu}})
		if err := errors.Join(takeTurns(b.turns(3), mine, theirs), end()); err != nil {
			return list, err
		}
		list = append(list, over(mine.to(theirs, rateOf), func(v float64) figure { return beside(5, name+"to "+o.name, v, notes(mine, theirs)) }))
	}
	return list, nil
}
