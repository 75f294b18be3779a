package main

import (
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/daemon"
)

// usual is the load under which the modes crash or stop the daemon at random moments.
func usual(seed uint64) load {
	return load{conns: 4, backlog: 300, pause: 4 * time.Millisecond, seed: seed, prefix: "m"}
}

// underLoad has mail offered and calls disturb again and again, each time after a random while, until disturb says that
// it has done its work n times. Then it balances the books. stream makes the mode's random numbers its own.
func (s *sandbox) underLoad(r *run, stream uint64, n int, disturb func(rng *rand.Rand) (done int, err error)) error {
	if err := s.recover(); err != nil {
		return err
	}
	a := s.administer(rand.New(rand.NewPCG(r.seed, stream+100))) // before the clients, who count what the admin ends
	g := s.generate(usual(r.seed))
	defer g.stop()
	rng := rand.New(rand.NewPCG(r.seed, stream))
	done := 0
	for done < n {
		time.Sleep(runTime(rng))
		var err error
		if done, err = disturb(rng); err != nil {
			a.cancel()
			return err
		}
		r.progress(done, n)
	}
	g.stop()
	if err := a.stop(); err != nil {
		return err
	}
	s.result.note("%d orders of an admin were answered", a.orders)
	s.result.N = done
	return s.finish()
}

// killMode kills the daemon n times under load, over one state directory.
func killMode(r *run, n int) (Result, error) {
	return r.inSandbox(options{}, func(s *sandbox) error {
		return s.underLoad(r, 1, n, func(rng *rand.Rand) (int, error) {
			err := s.killOnce(rng)
			return len(s.crashes), err
		})
	})
}

// killOnce kills the daemon and starts it again. In one of four cases it kills it a second time, during the recovery or
// just after it.
func (s *sandbox) killOnce(rng *rand.Rand) error {
	if len(s.crashes)%10 == 5 {
		s.intrude()
	}
	if err := s.crash("kill", atOnce); err != nil {
		return err
	}
	if rng.IntN(4) == 0 {
		if err := s.killAgain(rng); err != nil {
			return err
		}
	}
	return s.recover()
}

// runTime is how long the daemon works before the next crash: usually a moment, sometimes long enough for a snapshot
// (the daemon takes one each second).
func runTime(rng *rand.Rand) time.Duration {
	if rng.IntN(8) == 0 {
		return time.Second + time.Duration(rng.IntN(200))*time.Millisecond
	}
	return time.Duration(rng.IntN(120)) * time.Millisecond
}

// killAgain kills the daemon during its recovery, or when it has taken the first message after its recovery.
func (s *sandbox) killAgain(rng *rand.Rand) error {
	if rng.IntN(2) == 0 {
		if err := s.daemon.Start(); err != nil {
			return err
		}
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond)
		return s.crash("kill in recovery", atOnce)
	}
	if err := s.recover(); err != nil {
		return err
	}
	taken, _ := s.ledger.answers()
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if now, _ := s.ledger.answers(); now > taken {
			break
		}
	}
	return s.crash("kill at first work", atOnce)
}

// intrusion is how long a second daemon has to notice the first one and end.
const intrusion = 3 * time.Second

// intrude starts a second daemon on the state directory in use. It must refuse to start.
func (s *sandbox) intrude() {
	d := daemon.New(s.daemon.Bin, filepath.Join(s.dir, "intruder"))
	d.Env = s.daemon.Env
	if err := s.startBeside(d); err != nil {
		s.result.violate("second daemon: %v", err)
		return
	}
	err := d.Gone(intrusion)
	if err != nil || d.Failure() == nil || !strings.Contains(d.Log(), "another daemon") {
		s.result.violate("a second daemon on the same state directory was not turned away: %v, %.200s", err, d.Log())
	}
}

// startBeside starts d with the configuration of the sandbox's own daemon, except for the sockets.
func (s *sandbox) startBeside(d *daemon.Daemon) error {
	text, err := s.daemon.Configured()
	if err != nil {
		return err
	}
	moved := strings.NewReplacer(s.door(), filepath.Join(d.Dir, "milter.sock"), s.letterbox(), filepath.Join(d.Dir, "letters.sock"), s.daemon.Socket(), d.Socket())
	if err := d.Configure(moved.Replace(text)); err != nil {
		return err
	}
	return d.Start()
}
