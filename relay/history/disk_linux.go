package history

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// space is how many bytes a user who is not root may still write in dir, and how many there are in all.
func space(dir string) (free, all int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	if st.Blocks == 0 {
		return 0, 0, errors.ErrUnsupported // a file system that does not count
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}
