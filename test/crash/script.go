package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// scriptMessages is how many messages the script offers.
const scriptMessages = 200

// script is the workload of the modes that do something at a certain system call: a first start, half of the messages, a
// snapshot, a clean stop; a start with what still waits, the other half, a clean stop.
type script struct {
	sandbox *sandbox
	gen     *generator
	hit     chan struct{} // closed when the call was reached
}

// play runs the script to its end. It reports false when the daemon did not live to see it because hit was closed.
func (p *script) play() (bool, error) {
	for half := range 2 {
		end, err := p.half(half)
		if !end || err != nil {
			return false, err
		}
	}
	return true, nil
}

// half is one life of the daemon.
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

// unlessHit drops an error that is what was to be brought about.
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

// complete lets the mail of a half that was interrupted come to its end, now that the daemon is back.
func (p *script) complete() error {
	if p.gen != nil {
		defer p.gen.stop()
		if !p.gen.wait(patience, nil) {
			return errors.New("not all messages were answered after the recovery")
		}
	}
	return nil
}
