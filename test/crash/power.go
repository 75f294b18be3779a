package main

import (
	"errors"
	"math/rand/v2"
	"time"
)

// powerMode cuts the power n times under load, over one state directory.
func powerMode(r *run, n int) (Result, error) {
	return r.atDisk(options{}, func(s *sandbox, d *disk) error {
		return s.underLoad(r, 3, n, func(rng *rand.Rand) (int, error) {
			err := s.powerCut(d, rng)
			return len(s.crashes), err
		})
	})
}

// powerCut cuts the power and starts the daemon again. In one of four cases it cuts the power a second time, during the
// recovery.
func (s *sandbox) powerCut(d *disk, rng *rand.Rand) error {
	if err := s.cutOnce("power cut", d, rng); err != nil {
		return err
	}
	if rng.IntN(4) == 0 {
		if err := s.daemon.Start(); err != nil {
			return err
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		if err := s.cutOnce("power cut in recovery", d, rng); err != nil {
			return err
		}
	}
	return s.recover()
}

// cutOnce kills the daemon and cuts its disk off, in either order: a real power cut does both at once. A daemon that
// still answers for a message after its disk was cut off lies.
func (s *sandbox) cutOnce(what string, d *disk, rng *rand.Rand) error {
	how := uint32(cutNothing)
	if rng.IntN(5) == 0 {
		how = []uint32{cutDefault, cutFlushed}[rng.IntN(2)]
	}
	if err := s.daemon.Ended(); err != nil {
		return err
	}
	s.ledger.powerOff()
	c := &crash{what: what, at: time.Now(), disk: rng.IntN(2) == 0}
	err := s.note(c, func() error {
		if !c.disk {
			return errors.Join(s.daemon.Kill(), d.cut(how))
		}
		err := d.cut(how)
		time.Sleep(survival(rng))
		return err
	})
	if late := s.ledger.powerOn(); c.disk && late > stall {
		s.result.violate("mail was answered for %s after the disk had been cut off", late)
	}
	if err != nil {
		return err
	}
	return d.remount([]int{1, 5, 1000}[rng.IntN(3)])
}

// stall is how long after the cut an answer may arrive that was given before it.
const stall = 100 * time.Millisecond

// survival is how long the daemon lives on without its disk: usually too short a time to notice the loss.
func survival(rng *rand.Rand) time.Duration {
	if rng.IntN(10) == 0 {
		return 2 * stall
	}
	return time.Duration(rng.IntN(15)) * time.Millisecond
}

// atDisk is inSandbox with the state directory on a disk of its own.
func (r *run) atDisk(o options, do func(*sandbox, *disk) error) (Result, error) {
	o.dir = r.place()
	d, err := newDisk(o.dir)
	if err != nil {
		return Result{}, err
	}
	o.state = d.state()
	res, err := r.inSandbox(o, func(s *sandbox) error {
		err := do(s, d)
		// The daemon must be gone before its disk can go.
		return errors.Join(err, s.end(), d.unmount())
	})
	return res, errors.Join(err, d.unmount())
}
