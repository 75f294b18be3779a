package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// tap puts a decision of the harness before each system call that a daemon makes on its state directory, one call at a
// time over all threads. It uses seccomp's user notification (seccomp_unotify(2)): the call waits in the kernel for the
// decision.
type tap struct {
	state  string // the state directory; calls on other files pass
	decide func(*call) decision

	mu  sync.Mutex // held during decide
	n   int        // calls on the state directory so far, of all starts
	err error      // a failure of the tap itself

	starts int // processes launched

	done chan struct{} // closed when the last launched process is gone
}

// call is a system call that waits for its decision.
type call struct {
	pid   int    // of the thread
	start int    // number of the process, from 1
	op    string // "pwrite64", "fsync", ...
	path  string // of the file, relative to the state directory
	n     int    // number of the call, from 1
}

// decision is what becomes of a call.
type decision struct {
	errno unix.Errno // not 0: the call fails with it
	lie   bool       // the call reports success and does nothing
}

// watched are the calls that change a state directory, or make it durable.
var watched = map[uint32]string{
	unix.SYS_PWRITE64: "pwrite64", unix.SYS_FSYNC: "fsync", unix.SYS_FDATASYNC: "fdatasync", unix.SYS_FTRUNCATE: "ftruncate",
	unix.SYS_FALLOCATE: "fallocate", unix.SYS_RENAMEAT: "rename", unix.SYS_RENAMEAT2: "rename", unix.SYS_UNLINKAT: "unlink",
	unix.SYS_MKDIRAT: "mkdir", unix.SYS_OPENAT: "open",
}

// The kernel's structures of seccomp_unotify(2).
type (
	notification struct {
		id    uint64
		pid   uint32
		flags uint32
		nr    int32
		arch  uint32
		ip    uint64
		args  [6]uint64
	}
	response struct {
		id    uint64
		val   int64
		error int32
		flags uint32
	}
)

const (
	respondContinue  = 1 // SECCOMP_USER_NOTIF_FLAG_CONTINUE
	ioctlReceive     = unix.SECCOMP_IOCTL_NOTIF_RECV
	ioctlSend        = unix.SECCOMP_IOCTL_NOTIF_SEND
	maxPath          = 4096
	atPathArg        = 1 // openat, mkdirat, unlinkat: the path is the second argument
	renameAtPathArg2 = 3 // renameat: the new path is the fourth
)

// launch starts cmd under the tap. cmd is not started directly: this program is started as a launcher (tap_launch.go),
// which becomes cmd.
func (t *tap) launch(cmd *exec.Cmd) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "ours"), os.NewFile(uintptr(fds[1]), "theirs")
	defer ours.Close()
	cmd.Args = append([]string{self, cmd.Path}, cmd.Args[1:]...)
	cmd.Path, cmd.Env, cmd.ExtraFiles = self, append(cmd.Env, launchEnv+"=1"), []*os.File{theirs}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	listener, err := receive(fds[0])
	if err != nil {
		_ = cmd.Process.Kill()
		return errors.Join(fmt.Errorf("%w: tapping system calls: %v", errUnavailable, err), cmd.Wait())
	}
	t.done = make(chan struct{})
	t.starts++
	go t.serve(listener, t.starts, t.done) // ends when the last process under the filter has ended
	return nil
}

// receive receives the descriptor of the listener, which the launcher sends over the socket.
func receive(socket int) (int, error) {
	b, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, b, oob, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(msgs) != 1 {
		return -1, fmt.Errorf("the launcher sent no listener: %w", errors.Join(err, os.ErrInvalid))
	}
	fds, err := unix.ParseUnixRights(&msgs[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("the launcher sent no listener: %w", errors.Join(err, os.ErrInvalid))
	}
	return fds[0], nil
}

// serve decides about calls until no process is left under the filter.
func (t *tap) serve(listener, start int, done chan struct{}) {
	defer close(done)
	defer unix.Close(listener)
	for {
		poll := []unix.PollFd{{Fd: int32(listener), Events: unix.POLLIN}}
		if _, err := unix.Poll(poll, -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			t.fail(err)
			return
		}
		if poll[0].Revents&unix.POLLIN == 0 {
			return
		}
		if err := t.answer(listener, start); err != nil {
			t.fail(err)
			return
		}
	}
}

func (t *tap) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = errors.Join(t.err, fmt.Errorf("tap: %w", err))
}

// answer receives one call and sends the decision about it.
func (t *tap) answer(listener, start int) error {
	var n notification
	if err := ioctl(listener, ioctlReceive, unsafe.Pointer(&n)); err != nil {
		return ignoreGone(err)
	}
	r := response{id: n.id, flags: respondContinue}
	if path, ok := t.concerns(&n); ok {
		switch d := t.judge(&n, start, path); {
		case d.errno != 0:
			r.flags, r.error = 0, -int32(d.errno)
		case d.lie:
			r.flags = 0
		}
	}
	return ignoreGone(ioctl(listener, ioctlSend, unsafe.Pointer(&r)))
}

// ignoreGone drops the error that says that the caller was killed meanwhile.
func ignoreGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
		return nil
	}
	return err
}

func ioctl(fd int, request uintptr, arg unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(arg)); errno != 0 {
		return errno
	}
	return nil
}

// judge counts a call on the state directory and asks decide about it.
func (t *tap) judge(n *notification, start int, path string) decision {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
	if t.decide == nil {
		return decision{}
	}
	return t.decide(&call{pid: int(n.pid), start: start, op: watched[uint32(n.nr)], path: path, n: t.n})
}

// concerns returns the path of the file that a call works on, relative to the state directory, and whether it lies
// there. An open for reading is let pass, because it changes nothing.
func (t *tap) concerns(n *notification) (string, bool) {
	var path string
	switch uint32(n.nr) {
	case unix.SYS_OPENAT:
		if n.args[2]&(unix.O_WRONLY|unix.O_RDWR) == 0 {
			return "", false
		}
		path = readString(int(n.pid), n.args[atPathArg])
	case unix.SYS_MKDIRAT, unix.SYS_UNLINKAT:
		path = readString(int(n.pid), n.args[atPathArg])
	case unix.SYS_RENAMEAT, unix.SYS_RENAMEAT2:
		path = readString(int(n.pid), n.args[renameAtPathArg2])
	default:
		path, _ = os.Readlink(fmt.Sprintf("/proc/%d/fd/%d", n.pid, int32(n.args[0])))
	}
	rest, ok := strings.CutPrefix(path, t.state)
	return strings.TrimPrefix(rest, "/"), ok
}

// readString reads a string from the memory of a process that waits in the kernel.
func readString(pid int, at uint64) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return ""
	}
	defer f.Close()
	b := make([]byte, maxPath)
	n, _ := f.ReadAt(b, int64(at)) // a short read is no error here: the string may end in the last page that is mapped
	if i := bytes.IndexByte(b[:n], 0); i >= 0 {
		return string(b[:i])
	}
	return ""
}

// The structures must have the kernel's sizes.
var (
	_ [80]byte = [unsafe.Sizeof(notification{})]byte{}
	_ [24]byte = [unsafe.Sizeof(response{})]byte{}
)
