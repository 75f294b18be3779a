package snapshot

import "time"

// alarm lets the writer wait for others. The waits are of some hundred microseconds, for which a sleeping program's timers are too
// coarse: they are late by up to a millisecond.
type alarm interface {
	// wait waits so long, or until ring is called. It may miss a call at its very beginning.
	wait(d time.Duration)
	// ring ends the wait. It does not block, and without a wait it does nothing that lasts.
	ring()
	// close gives the alarm up, after the last wait.
	close()
}

// newAlarm returns the alarm of a journal on fs: the kernel's where the disk is a real one, and a timer where time may be virtual.
func newAlarm(fs FileSystem) alarm {
	if _, real := fs.(osFS); real {
		if a, err := newKernelAlarm(); err == nil {
			return a
		}
	}
	return &timerAlarm{timer: time.NewTimer(0), rung: make(chan struct{}, 1)}
}

// timerAlarm is an alarm by Go's timers.
type timerAlarm struct {
	timer *time.Timer
	rung  chan struct{}
}

// wait implements alarm.
func (a *timerAlarm) wait(d time.Duration) {
	a.timer.Reset(d)
	select {
	case <-a.timer.C:
	case <-a.rung:
	}
	select { // who rang as the time was over
	case <-a.rung:
	default:
	}
}

// ring implements alarm.
func (a *timerAlarm) ring() {
	select {
	case a.rung <- struct{}{}:
	default:
	}
}

// close implements alarm.
func (a *timerAlarm) close() { a.timer.Stop() }
