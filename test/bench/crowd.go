package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// crowdSize is how many connections the crowd has. Their ends here are descriptors of this process, and the others are the daemon's.
const crowdSize = 5000

// crowd compares what comes through our door alone with what comes through it beside a crowd of connections, of which each sends a byte of
// a command every ten seconds.
func (b *smtpdBench) crowd() (list []figure, err error) {
	d, addr, err := b.submission("crowd", fmt.Sprintf("max_sessions = %d\n", crowdSize+1000))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.Stop(time.Minute), d.far.Close()) }()
	var ratios []float64
	var each float64
	for i := range b.rounds {
		var rate [2]float64
		for k, beside := range []bool{i%2 == 1, i%2 == 0} {
			side := 0
			if beside {
				side = 1
			}
			if rate[side], err = b.beside(d, addr, beside, fmt.Sprintf("w%d.%d.", i, k), &each); err != nil {
				return list, err
			}
		}
		ratios = append(ratios, rate[1]/rate[0])
		fmt.Fprintf(os.Stderr, "round %d: %.0f/s alone, %.0f/s beside %d connections of %.1f KiB each\n", i+1, rate[0], rate[1], crowdSize, each/1024)
	}
	return []figure{
		atLeast(5, fmt.Sprintf("our door beside %d connections that dribble, to our door alone: messages/s", crowdSize), median(ratios), 0.95, fmt.Sprintf("ratios %.2f", ratios)),
		atMost(5, "a connection that dribbles: KiB of the daemon's memory", each/1024, 20, "growth of resident memory when the crowd comes, over its size"),
	}, nil
}

// beside measures the rate, with the crowd or without it. The first crowd says what a connection costs: later ones find the memory of
// the first.
func (b *smtpdBench) beside(d *door, addr string, crowded bool, prefix string, each *float64) (float64, error) {
	c := b.load
	c.Prefix = prefix
	if !crowded {
		return b.through(d.far, addr, c)
	}
	st, err := d.Status()
	if err != nil {
		return 0, err
	}
	before, err := resident(st.PID)
	if err != nil {
		return 0, err
	}
	people, err := gather(addr)
	defer people.leave()
	if err != nil {
		return 0, err
	}
	after, err := resident(st.PID)
	if err != nil {
		return 0, err
	}
	if *each == 0 {
		*each = float64(after-before) / crowdSize
	}
	return b.through(d.far, addr, c)
}

// resident is the resident memory of a process in bytes.
func resident(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(text, []byte("VmRSS:"))
	var kib int64
	_, err = fmt.Sscan(string(rest), &kib)
	return kib << 10, err
}

// people are connections that dribble.
type people struct {
	conns []net.Conn
	stop  chan struct{}
	wg    sync.WaitGroup
}

// gather connects, hears all greetings, and begins to dribble.
func gather(addr string) (*people, error) {
	p := &people{stop: make(chan struct{})}
	greeting := make([]byte, 128)
	for range crowdSize {
		nc, err := net.Dial("tcp", addr)
		if err != nil {
			return p, err
		}
		p.conns = append(p.conns, nc)
		if n, err := nc.Read(greeting); err != nil || !bytes.HasPrefix(greeting[:n], []byte("220")) {
			return p, fmt.Errorf("connection %d hears %q, %w", len(p.conns), greeting[:n], err)
		}
	}
	p.wg.Go(p.dribble) // ends with leave
	return p, nil
}

// dribble writes a byte on each connection every ten seconds.
func (p *people) dribble() {
	tick := time.NewTicker(10 * time.Second / crowdSize)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-p.stop:
			return
		case <-tick.C:
			_, _ = p.conns[i%crowdSize].Write([]byte("N")) // a door that hangs up says so at the messages
		}
	}
}

func (p *people) leave() {
	close(p.stop)
	p.wg.Wait()
	for _, nc := range p.conns {
		_ = nc.Close()
	}
}
