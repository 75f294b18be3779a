package main

import (
	"errors"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/test/load"
)

// smtp is row 5: an application at our SMTP door, with all mail delivered to a sink, against the same application at the sink
// itself. Postfix and Haraka in our place stand beside it.
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
	list = append(list, ours.faster(5, name+"to a bare sink with the same client", itself, 0.6))
	others, err := b.others(name, c, s)
	return append(list, others...), err
}

// rival is a server in the place of our door, with all mail delivered to the same sink.
type rival struct {
	addr string
	cpu  func() (time.Duration, error)
	end  func() error
}

// others are Postfix and Haraka, each in turn with our door.
func (b *rowBench) others(name string, c load.Config, s *store) (list []figure, err error) {
	c.Messages = b.count(1000, 100)
	for _, o := range []struct {
		name  string
		start func(*far) (rival, error)
	}{{"Postfix alone", b.alone}, {"Haraka", b.haraka}} {
		f, err := b.against(name+"to "+o.name, o.name, c, s, o.start)
		if err != nil {
			return list, err
		}
		list = append(list, f)
	}
	return list, nil
}

// against is our door in turn with one rival. A rival that cannot be started is named with the reason.
func (b *rowBench) against(what, name string, c load.Config, s *store, start func(*far) (rival, error)) (f figure, err error) {
	r, err := start(s.to)
	if err != nil {
		return unmeasured(5, what, "", err.Error()), nil
	}
	defer func() { err = errors.Join(err, r.end()) }()
	mine := sending("millrace", c, s.entry, s.to, s.meter())
	theirs := sending(name, c, r.addr, s.to, meter{used: []func() (time.Duration, error){r.cpu}})
	if err := takeTurns(b.turns(3), mine, theirs); err != nil {
		return f, err
	}
	return over(mine.to(theirs, rateOf), func(v float64) figure { return beside(5, what, v, notes(mine, theirs)) }), nil
}

func (b *rowBench) alone(to *far) (rival, error) {
	p, err := b.startPostfix("postfix", to, nil)
	if err != nil {
		return rival{}, err
	}
	return rival{p.Addr, p.CPU, p.Stop}, nil
}

func (b *rowBench) haraka(to *far) (rival, error) {
	if b.quick {
		return rival{}, errors.New("not in the quick form")
	}
	p, addr, err := startHaraka(filepath.Join(b.dir, "haraka"), to)
	if err != nil {
		return rival{}, err
	}
	return rival{addr, p.TreeCPU, func() error { return endPeer(p) }}, nil
}
