package snapshot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dirLock is the state directory's lock. It is the kernel's and ends with the process, so that the file of a killed daemon
// is no obstacle to the next; the pid in the file is for the error message only.
type dirLock struct{ file *os.File }

// Close gives the directory free: the lock belongs to the descriptor. The file stays, because whoever deleted it could
// delete the one that another daemon has just locked.
func (l *dirLock) Close() error { return l.file.Close() }

// lockDir makes sure that one daemon at a time uses dir.
func lockDir(dir string) (*dirLock, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, stateError(dir, err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := readPid(f)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (pid %s) uses %s", ErrLocked, pid, dir)
		}
		return nil, stateError(dir, err)
	}
	if err := writePid(f); err != nil {
		f.Close()
		return nil, stateError(dir, err)
	}
	return &dirLock{f}, nil
}

// readPid returns who holds the lock, as far as the file says so.
func readPid(f *os.File) string {
	buf := make([]byte, 20)
	n, _ := f.ReadAt(buf, 0)
	if pid := strings.TrimSpace(string(buf[:n])); pid != "" {
		return pid
	}
	return "unknown"
}

// writePid notes this process in the lock file.
func writePid(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	// A full disk must not keep the daemon from starting: it has mail to deliver. The lock holds without the pid.
	if isFull(err) {
		return nil
	}
	return err
}

// prepareDir makes the state directory if it is missing. Its error says in one line why the directory cannot be used.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return stateError(dir, err)
	}
	st, err := os.Stat(dir)
	switch {
	case err != nil:
		return stateError(dir, err)
	case !st.IsDir():
		return stateError(dir, errors.New("not a directory"))
	}
	return nil
}

// stateError is the one line that a human gets when dir cannot be used. A wrong owner is the usual mistake of a first start, so
// the line says what to do about it.
func stateError(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("state directory %s: permission denied for uid %d; make it owned by the user the daemon runs as, mode 0700: %w",
			dir, os.Getuid(), fs.ErrPermission)
	}
	return fmt.Errorf("state directory %s: %w", dir, err)
}
