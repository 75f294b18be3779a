package main

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// atATime is how many sandboxes an enumeration works in at a time. It may be more than there are processors, because a
// sandbox waits most of the time.
const atATime = 4

// everyMode plays the script up to each step-th system call of the journal. That call is the last one before a kill,
// and in another run the last one before a power cut.
func everyMode(r *run, step int) (Result, error) {
	calls, err := r.census()
	if err != nil {
		return Result{}, err
	}
	points := every(calls[""], step)
	killed, err := r.parallel(len(points), func(r *run, i int) (Result, bool, error) {
		res, met, err := r.killAt(options{}, isCall(points[i]))
		return res.at(points[i]), met, err
	})
	if err != nil {
		return killed, err
	}
	cut, err := r.parallel(len(points), func(r *run, i int) (Result, bool, error) {
		res, met, err := r.cutAt(options{}, isCall(points[i]))
		return res.at(points[i]), met, err
	})
	killed.note("%d calls; %d points to kill at, %d points to cut the power at", calls[""], killed.N, cut.N)
	killed.add(cut)
	return killed, err
}

func isCall(n int) func(*call) bool { return func(c *call) bool { return c.n == n } }

// every returns 1, 1+step, 1+2*step, ... up to n.
func every(n, step int) []int {
	var points []int
	for i := 1; i <= n; i += step {
		points = append(points, i)
	}
	return points
}

// census plays the script undisturbed and counts its system calls by name. All calls together are counted as "".
func (r *run) census() (map[string]int, error) {
	calls := make(map[string]int)
	_, err := r.inSandbox(options{}, func(s *sandbox) error {
		t := s.through(&tap{decide: func(c *call) decision {
			calls[c.op]++
			calls[""]++
			return decision{}
		}})
		p := &script{sandbox: s, hit: make(chan struct{})}
		if _, err := p.play(); err != nil {
			return err
		}
		<-t.done
		return t.err
	})
	return calls, err
}

// parallel calls do with 0 to n-1, atATime at once, and adds up the results. do reports whether the script reached the
// point that do was looking for: the script does not make the same number of calls each time.
func (r *run) parallel(n int, do func(r *run, i int) (Result, bool, error)) (Result, error) {
	var (
		sum   Result
		first error
		mu    sync.Mutex
		next  atomic.Int64
		wg    sync.WaitGroup
	)
	worker := *r
	worker.verbose = nil
	work := func() {
		for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
			res, met, err := do(&worker, i)
			mu.Lock()
			if err != nil {
				first = cmp.Or(first, err)
				next.Store(int64(n))
			}
			if met {
				res.N = 1
			}
			sum.add(res)
			r.progress(sum.N, n)
			mu.Unlock()
		}
	}
	for range atATime {
		wg.Go(work) // ends when no number is left
	}
	wg.Wait()
	return sum, first
}

// at adds the number of the point to the violations.
func (r Result) at(n int) Result {
	for i, v := range r.Violations {
		r.Violations[i] = fmt.Sprintf("%s (point %d)", v, n)
	}
	return r
}

// killAt plays the script and kills the daemon at the first call that one chooses. It reports whether there was such a
// call.
func (r *run) killAt(o options, one func(*call) bool) (Result, bool, error) {
	met := false
	res, err := r.inSandbox(o, func(s *sandbox) (err error) {
		met, err = s.playTo(one, &crash{what: "kill at a call"}, atOnce)
		return err
	})
	return res, met, err
}

// cutAt is killAt with a power cut.
func (r *run) cutAt(o options, one func(*call) bool) (Result, bool, error) {
	met := false
	res, err := r.atDisk(o, func(s *sandbox, d *disk) (err error) {
		met, err = s.playTo(one, &crash{what: "power cut at a call"}, func() error {
			return errors.Join(s.daemon.Kill(), d.cut(cutNothing), d.remount(5))
		})
		return err
	})
	return res, met, err
}

// slowDisk is how long the last call is under way before the crash. A daemon that wrongly does not wait for the call
// has the time to go on.
const slowDisk = 10 * time.Millisecond

// playTo plays the script up to the first call that one chooses. That call is never made: the daemon is killed while it
// waits in the kernel; then strike is called. playTo reports whether there was such a call. It balances the books in
// any case.
func (s *sandbox) playTo(one func(*call) bool, c *crash, strike func() error) (bool, error) {
	p := &script{sandbox: s, hit: make(chan struct{})}
	s.through(&tap{decide: func(x *call) decision {
		if !c.at.IsZero() || !one(x) {
			return decision{}
		}
		time.Sleep(slowDisk)
		c.at, c.what = time.Now(), fmt.Sprintf("%s %d: %s %s", c.what, x.n, x.op, x.path)
		close(p.hit)
		_ = unix.Kill(x.pid, unix.SIGKILL)
		return decision{errno: unix.EIO} // the daemon does not live to see it
	}})
	end, err := p.play()
	if err != nil {
		return false, err
	}
	s.through(nil)
	if !end {
		if err := s.note(c, strike); err != nil {
			return true, err
		}
	}
	if err := s.recover(); err != nil {
		return !end, err
	}
	if err := p.complete(); err != nil {
		return !end, err
	}
	return !end, s.finish()
}
