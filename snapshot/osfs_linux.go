package snapshot

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync repeats a call that a signal has interrupted. That is no failed fsync: nothing was tried.
func datasync(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err != unix.EINTR {
			return pathError("fdatasync", f, err)
		}
	}
}

// reserveFile makes the file as long as size. A write inside it then does not change the length, which would cost a commit of
// the file system's own journal at each fdatasync; and it does not fail for lack of space.
func reserveFile(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case err == unix.EINTR:
			continue
		case errors.Is(err, unix.EOPNOTSUPP):
			return errors.ErrUnsupported
		}
		return pathError("fallocate", f, err)
	}
}

// freeSpace is what is left for a user who is not root.
func freeSpace(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Blocks == 0 {
		return 0, errors.ErrUnsupported // a file system that does not count
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// pathError names call and file, as package os does for its own calls: a bare "input/output error" helps nobody.
func pathError(op string, f *os.File, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}

// volatile names the kind of file system under dir when our promises do not hold on it: it is gone after a reboot, or another
// host decides about its locks and syncs. The daemon warns and goes on, since a test on tmpfs is a fair use.
func volatile(dir string) string {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return ""
	}
	switch uint32(st.Type) {
	case unix.TMPFS_MAGIC, unix.RAMFS_MAGIC:
		return "tmpfs"
	case unix.NFS_SUPER_MAGIC:
		return "NFS"
	case unix.SMB_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC:
		return "SMB"
	}
	return ""
}
