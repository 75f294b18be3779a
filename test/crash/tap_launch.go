package main

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	launchEnv    = "MILLRACE_CRASH_LAUNCH"
	launchSocket = 3 // the launcher's descriptor of the socket over which it sends the listener
)

// launched reports whether this process was started as a launcher.
func launched() bool { return os.Getenv(launchEnv) != "" }

// launch is the body of the launcher. It puts the filter on its thread, sends the listener to its parent, and becomes
// the program that args name. It returns only when one of these fails.
func launch(args []string) int {
	runtime.LockOSThread()
	err := os.Unsetenv(launchEnv)
	if err == nil {
		err = filterAndExec(args)
	}
	fmt.Fprintln(os.Stderr, "launch:", err)
	return 127
}

func filterAndExec(args []string) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("no new privileges: %w", err)
	}
	prog := filterProgram()
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		return fmt.Errorf("seccomp: %w", errno)
	}
	if err := unix.Sendmsg(launchSocket, []byte{1}, unix.UnixRights(int(fd)), nil, 0); err != nil {
		return fmt.Errorf("hand over the listener: %w", err)
	}
	unix.CloseOnExec(launchSocket)
	return unix.Exec(args[0], args, os.Environ())
}

// filterProgram returns the filter that stops the watched calls and lets all others pass.
func filterProgram() []unix.SockFilter {
	const nr = 0 // offset of the call's number in struct seccomp_data
	prog := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: nr}}
	for n := range watched {
		prog = append(prog,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: n, Jt: 0, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	return append(prog, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
}
