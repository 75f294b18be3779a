package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// scriptMessages is how many messages the script offers.
const scriptMessages = 200

// script is the workload of the modes that break something at a certain system call. It has two halves, each a life of
// the daemon: start, half of the messages, in the first half a snapshot, clean stop. The second start finds the
// messages that still wait.
type script struct {
	sandbox *sandbox
	gen     *generator
	hit     chan struct{} // closed when that call is reached
}

// play runs the script. It reports whether the script came to its end; it does not when hit is closed and the daemon
// dies.
func (p *script) play() (bool, error) {
	for half := range 2 {
		end, err := p.half(half)
		if !end || err != nil {
			return false, err
		}
	}
	return true, nil
}

// half plays one life of the daemon and reports what play reports.
func (p *script) half(i int) (bool, error) {
	s := p.sandbox
	if err := s.recover(); err != nil {
		return false, p.unlessHit(err)
	}
	p.gen = s.generate(load{conns: 4, messages: scriptMessages / 2, seed: uint64(i), prefix: []string{"a", "b"}[i]})
	if !p.gen.wait(patience, p.hit) {
		return false, p.unlessHit(errors.New("not all messages were answered"))
	}
	if i == 0 && !p.awaitSnapshot() {
		return false, p.unlessHit(errors.New("no snapshot was taken"))
	}
	s.daemon.Signal(syscall.SIGTERM)
	if err := s.daemon.Gone(stopLimit); err != nil {
		return false, p.unlessHit(err)
	}
	if err := s.daemon.Failure(); err != nil {
		return false, p.unlessHit(fmt.Errorf("stop: %w", err))
	}
	return true, nil
}

// unlessHit drops an error after hit was closed: the mode has caused it on purpose.
func (p *script) unlessHit(err error) error {
	select {
	case <-p.hit:
		return nil
	default:
		return err
	}
}

// awaitSnapshot waits for the first snapshot of this start.
func (p *script) awaitSnapshot() bool {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if journal, err := p.sandbox.daemon.Journal(); err != nil {
			return false
		} else if journal.Snapshots > 0 {
			return true
		}
	}
	return false
}

// complete waits until the mail of an interrupted half is answered, now that the daemon is back.
func (p *script) complete() error {
	if p.gen != nil {
		defer p.gen.stop()
		if !p.gen.wait(patience, nil) {
			return errors.New("not all messages were answered after the recovery")
		}
	}
	return nil
}
