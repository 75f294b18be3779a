package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// osFS is the real file system under one directory. Files are readable by the daemon's user only: they hold other people's mail.
type osFS struct{ dir string }

// path is where the host has name.
func (o osFS) path(name string) string { return filepath.Join(o.dir, filepath.FromSlash(name)) }

// Open implements FileSystem.
func (o osFS) Open(name string) (File, error) { return o.openFile(name, os.O_RDWR) }

// OpenRead implements FileSystem.
func (o osFS) OpenRead(name string) (File, error) { return o.openFile(name, os.O_RDONLY) }

// Create implements FileSystem.
func (o osFS) Create(name string) (File, error) {
	return o.openFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

// openFile opens name for the daemon's user only.
func (o osFS) openFile(name string, flag int) (File, error) {
	f, err := os.OpenFile(o.path(name), flag, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

// Rename implements FileSystem.
func (o osFS) Rename(from, to string) error { return os.Rename(o.path(from), o.path(to)) }

// Remove implements FileSystem.
func (o osFS) Remove(name string) error { return os.Remove(o.path(name)) }

// List implements FileSystem.
func (o osFS) List(dir string) ([]string, error) {
	entries, err := os.ReadDir(o.path(dir))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name())
	}
	slices.Sort(names)
	return names, err
}

// Mkdir implements FileSystem.
func (o osFS) Mkdir(dir string) error {
	err := os.Mkdir(o.path(dir), 0o700)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// SyncDir implements FileSystem. A file system on which a directory cannot be synced fails here, at the first start, and not
// at the first power cut.
func (o osFS) SyncDir(dir string) error {
	d, err := os.Open(o.path(dir))
	if err != nil {
		return err
	}
	err = d.Sync()
	if cerr := d.Close(); err == nil {
		err = cerr
	}
	return err
}

// Free implements FileSystem.
func (o osFS) Free() (int64, error) { return freeSpace(o.dir) }

// osFile is an open file of the real file system.
type osFile struct{ *os.File }

// Size implements File.
func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Sync implements File by fdatasync, which leaves out what a reader does not need, like the time of change: that would cost a
// second write for each commit.
func (f osFile) Sync() error { return datasync(f.File) }

// Allocate implements File.
func (f osFile) Allocate(size int64) error { return reserveFile(f.File, size) }
