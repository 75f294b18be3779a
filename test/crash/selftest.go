package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// selftestMode builds a daemon with twelve faults that sleep, wakes one after the other, and looks whether the modes
// notice. A fault that they miss here they would miss in the real daemon.
func selftestMode(r *run, n int) (Result, error) {
	root, err := moduleRoot()
	if err != nil {
		return Result{}, err
	}
	bin, err := buildFaulty(filepath.Join(r.dir, "faulty"), root)
	if err != nil {
		return Result{}, err
	}
	sum, quiet := Result{}, *r
	quiet.verbose = nil
	for i, f := range faults() {
		if i == n {
			break
		}
		o := options{bin: bin, env: []string{faultEnv + "=" + f.name}}
		begin := time.Now()
		res, err := f.catch(&quiet, o)
		if err != nil {
			return sum, fmt.Errorf("seeded fault %q: %w", f.name, err)
		}
		sum.N++
		sum.judge(f, res, time.Since(begin))
		r.progress(i+1, n)
	}
	return sum, nil
}

// judge records whether the fault was caught, and the violation that caught it.
func (r *Result) judge(f fault, res Result, took time.Duration) {
	if res.held() {
		r.violate("not caught: %s", f.name)
		return
	}
	r.Caught++
	r.note("caught: %s, after %.1f s: %.160s", f.name, took.Seconds(), strings.ReplaceAll(res.Violations[0], "\n", " "))
}

// tries is how many crashes a fault may survive before it counts as not caught.
const tries = 60

// catchAtSync cuts the power while the journal is being synced.
func catchAtSync(r *run, o options) (Result, error) {
	return sample(tries/10, func(n int) (Result, error) {
		seen := 0
		res, _, err := r.cutAt(o, func(c *call) bool {
			if c.op == "fdatasync" && strings.HasSuffix(c.path, ".seg") {
				seen++
			}
			return seen == 10*n
		})
		return res, err
	})
}

// sample calls try with 1 to n until one of them finds a violation.
func sample(n int, try func(int) (Result, error)) (Result, error) {
	var sum Result
	for i := 1; i <= n && sum.held(); i++ {
		res, err := try(i)
		sum.add(res)
		if err != nil {
			return sum, err
		}
	}
	return sum, nil
}

// catchByPower cuts the power until the books show a violation.
func catchByPower(r *run, o options) (Result, error) {
	return r.atDisk(o, func(s *sandbox, d *disk) error {
		rng := rand.New(rand.NewPCG(r.seed, 5))
		return s.until(rng, func() error {
			return s.cutOnce("power cut", d, rng)
		})
	})
}

// catchByKill kills the daemon until the books show a violation.
func catchByKill(r *run, o options) (Result, error) {
	return r.inSandbox(o, func(s *sandbox) error {
		rng := rand.New(rand.NewPCG(r.seed, 6))
		return s.until(rng, func() error { return s.crash("kill", atOnce) })
	})
}

// catchBySums kills the daemon a few times, and compares at the end the accounts of who has got his mail.
func catchBySums(r *run, o options) (Result, error) {
	return r.inSandbox(o, func(s *sandbox) error {
		return s.underLoad(r, 1, 8, func(rng *rand.Rand) (int, error) {
			err := s.killOnce(rng)
			return len(s.crashes), err
		})
	})
}

// catchByModel runs the crash model. A power cut on ext4 cannot catch a directory that was not synced, because ext4
// keeps names in the order in which they were made.
func catchByModel(r *run, o options) (Result, error) {
	return r.model(o, overlayOf(filepath.Dir(o.bin)), 4000)
}

// catchByLie runs the daemon without a fault on a disk whose every fsync reports success and does nothing.
func catchByLie(r *run, o options) (Result, error) {
	o.bin, o.env = r.bin, nil
	o.tap = &tap{decide: func(c *call) decision { return decision{lie: c.op == "fsync" || c.op == "fdatasync"} }}
	return catchByPower(r, o)
}

// until crashes the daemon under load until the books show a violation, or the daemon has survived the tries. It
// balances the books after every five crashes.
func (s *sandbox) until(rng *rand.Rand, crash func() error) error {
	if err := s.recover(); err != nil {
		return err
	}
	for i := 0; i < tries && s.result.held(); i += 5 {
		g := s.generate(load{conns: 4, backlog: 300, pause: 4 * time.Millisecond, seed: uint64(i), prefix: fmt.Sprintf("r%d.", i)})
		err := s.crashes5(rng, crash)
		g.stop()
		if err != nil {
			return err
		}
		if err := s.drain(); err != nil {
			return err
		}
		s.result = Result{kinds: s.result.kinds, Violations: s.result.Violations}
		s.balance(nil)
	}
	return nil
}

// crashes5 crashes the daemon five times. Before the last crash it waits for a snapshot and some work after it.
func (s *sandbox) crashes5(rng *rand.Rand, crash func() error) error {
	for i := range 5 {
		wait := time.Duration(20+rng.IntN(100)) * time.Millisecond
		if i == 4 {
			wait = 1300 * time.Millisecond
		}
		time.Sleep(wait)
		if err := crash(); err != nil {
			return err
		}
		if err := s.recover(); err != nil {
			return err
		}
	}
	return nil
}

// catchByDamage damages files; the last damage is garbage at the end of the last segment.
func catchByDamage(r *run, o options) (Result, error) { return r.corrupt(o, tries) }

// catchByError lets single fdatasyncs fail.
func catchByError(r *run, o options) (Result, error) {
	return sample(tries/10, func(n int) (Result, error) {
		res, _, err := r.failAt(o, failure{"fdatasync", unix.EIO, 10 * n})
		return res, err
	})
}

// catchAtSnapshot kills the daemon just before a snapshot gets its final name.
func catchAtSnapshot(r *run, o options) (Result, error) {
	return sample(5, func(n int) (Result, error) {
		seen := 0
		res, _, err := r.killAt(o, func(c *call) bool {
			if c.op == "rename" && strings.HasSuffix(c.path, ".snap") {
				seen++
			}
			return seen == n
		})
		return res, err
	})
}

// catchByIntruder starts a second daemon on the same state directory.
func catchByIntruder(r *run, o options) (Result, error) {
	return r.inSandbox(o, func(s *sandbox) error {
		if err := s.recover(); err != nil {
			return err
		}
		s.intrude()
		return nil
	})
}
