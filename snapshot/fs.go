package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"syscall"

	"github.com/millrace/millrace/snapshot/format"
)

// FileSystem is the part of a file system that the agent needs, under one state directory. It is an interface so that tests
// can make every call fail and can cut the power between any two calls, and so that a daemon can be simulated on a disk in
// memory. Names are relative, with slashes.
type FileSystem interface {
	// Open opens an existing file to read and write.
	Open(name string) (File, error)
	// OpenRead opens an existing file to read only.
	OpenRead(name string) (File, error)
	// Create makes a file that must not exist yet. Neither the file nor its name is durable until synced.
	Create(name string) (File, error)
	// Rename gives a file another name, and replaces a file of that name. A crash leaves one of the two names.
	Rename(from, to string) error
	// Remove takes a file's name away.
	Remove(name string) error
	// List names the entries of a directory, sorted.
	List(dir string) ([]string, error)
	// Mkdir makes a directory; one that exists already is no error.
	Mkdir(dir string) error
	// SyncDir makes the names in a directory durable. Syncing a file does not do that.
	SyncDir(dir string) error
	// Free is how many bytes the daemon may still write; errors.ErrUnsupported: this file system does not say.
	Free() (int64, error)
}

// File is an open file of a FileSystem.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	// Size is the length of the file, reserved space included.
	Size() (int64, error)
	// Sync makes the content durable (fdatasync). After an error it must not be called again on this file: the kernel
	// may have forgotten the pages it could not write and would report success.
	Sync() error
	// Truncate sets the length.
	Truncate(size int64) error
	// Allocate reserves disk space up to size, as zeros. errors.ErrUnsupported: this file system cannot.
	Allocate(size int64) error
}

// writeFile makes name with data as its content. The content is durable afterwards, the name is not: the caller syncs the
// directory if that matters.
func writeFile(sys FileSystem, name string, data []byte) error {
	f, err := sys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// replaceFile makes name, in the state directory itself, with data as its content. A crash leaves the file of before or the new
// one. After replaceFile the new one is durable.
func replaceFile(sys FileSystem, name string, data []byte) error {
	unfinished := name + temporaryExt
	if err := sys.Remove(unfinished); err != nil && !isNotExist(err) {
		return err
	}
	if err := writeFile(sys, unfinished, data); err != nil {
		return err
	}
	if err := sys.Rename(unfinished, name); err != nil {
		return err
	}
	return sys.SyncDir(".")
}

// readFile returns the content of name in buf, which it replaces by a larger one when that is too small. A file of more than
// limit bytes is damage.
func readFile(sys FileSystem, name string, buf []byte, limit int64) ([]byte, error) {
	f, err := sys.OpenRead(name)
	if err != nil {
		return buf[:0], err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return buf[:0], err
	}
	if size > limit {
		return buf[:0], &format.DamageError{File: name, Why: "is larger than any file of this kind can be"}
	}
	if int64(cap(buf)) < size {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	n, err := f.ReadAt(buf, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return buf[:n], err
}

// isFull reports whether there is no space left: on the disk, or in the quota of the daemon's user.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// isNotExist reports whether err says that there is no such file.
func isNotExist(err error) bool { return errors.Is(err, fs.ErrNotExist) }

// isExist reports whether err says that there is such a file already.
func isExist(err error) bool { return errors.Is(err, fs.ErrExist) }
