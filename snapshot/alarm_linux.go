package snapshot

import (
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// kernelAlarm is an alarm by a timer of the kernel. The writer sleeps in Go's poller meanwhile, where the timer wakes it as a
// connection would, and no thread waits.
type kernelAlarm struct {
	file *os.File
	conn syscall.RawConn // of file
}

func newKernelAlarm() (alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "alarm")
	conn, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &kernelAlarm{f, conn}, nil
}

// wait implements alarm.
func (a *kernelAlarm) wait(d time.Duration) {
	var expired [8]byte
	if a.set(d) == nil {
		a.file.Read(expired[:])
	}
}

// ring implements alarm: it has the timer expire now. The next wait sets the timer anew, so a call that comes too late does no
// harm.
func (a *kernelAlarm) ring() { a.set(1) }

// set has the timer expire once, after d.
func (a *kernelAlarm) set(d time.Duration) (err error) {
	once := unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}
	closed := a.conn.Control(func(fd uintptr) { err = unix.TimerfdSettime(int(fd), 0, &once, nil) })
	if err == nil {
		err = closed
	}
	return err
}

// close implements alarm.
func (a *kernelAlarm) close() { a.file.Close() }
