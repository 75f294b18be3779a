package main

import (
	"errors"
	"fmt"
	"time"
)

// milterConns is how many connections an MTA has to the milter in row 4.
const milterConns = 50

// milter is row 4: the milter door with delivery, against a milter that discards.
func (b *rowBench) milter() (list []figure, err error) {
	messages := b.count(20_000, 600)
	s, err := startMilter(b.dir, "discard")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, endPeer(s.Process)) }()
	bare, err := newRawMilter(s.socket, 50, toTen)
	if err != nil {
		return nil, err
	}
	ours := &way{name: "millrace", round: func(i int) (effort, error) { return b.door(fmt.Sprint("door", i), messages) }}
	theirs := &way{name: "discarding milter", round: func(int) (effort, error) {
		m := meter{used: []func() (time.Duration, error){s.CPU}}
		if err := m.begin(); err != nil {
			return effort{}, err
		}
		begin := time.Now()
		if err := bare.run(int64(messages), milterConns); err != nil {
			return effort{}, err
		}
		return m.end(messages, time.Since(begin))
	}}
	if err := takeTurns(b.turns(5), ours, theirs); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("the milter door with delivery, %d connections, to a milter that discards", milterConns)
	return []figure{ours.faster(4, name, theirs, 0.75)}, nil
}

// door is one round of the milter door, from the first frame to the last message at the sink.
func (b *rowBench) door(name string, messages int) (e effort, err error) {
	d, to, err := b.daemon(name, "")
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, d.Kill(), to.close()) }()
	profile, err := b.profiled(d.Daemon, "milter")
	if err != nil {
		return e, err
	}
	if err := d.Start(); err != nil {
		return e, err
	}
	if _, err := d.Recovered(); err != nil {
		return e, err
	}
	raw, err := newRawMilter(d.MilterSocket(), 50, toTen)
	if err != nil {
		return e, err
	}
	m := meter{used: []func() (time.Duration, error){d.CPU}, daemon: d, profile: profile}
	if err := m.begin(); err != nil {
		return e, err
	}
	begin := time.Now()
	if err := raw.run(int64(messages), milterConns); err != nil {
		return e, err
	}
	end, err := to.when(int64(messages), 2*time.Minute)
	if err != nil {
		return e, err
	}
	return m.end(messages, end.Sub(begin))
}
