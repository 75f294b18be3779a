package licence

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// MaxFile is the largest file of this package: a licence has a few hundred bytes.
const MaxFile = 64 << 10

// ErrLarge is the error for a file of more than MaxFile bytes. It is refused by its size, before it is read.
var ErrLarge = errors.New("larger than 64 KB; this is no licence")

// FileName is the name of the licence in the state directory.
const FileName = "licence.json"

// ReadFile reads the text of a licence.
func ReadFile(path string) ([]byte, error) {
	text, _, err := readFile(path)
	return text, err
}

// readFile reads a small file. O_NONBLOCK lets the open of a pipe without a writer return.
func readFile(path string) ([]byte, fs.FileMode, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, 0, err
	case !info.Mode().IsRegular():
		return nil, 0, fmt.Errorf("%s: is no file", path)
	case info.Size() > MaxFile:
		return nil, 0, fmt.Errorf("%s: %w", path, ErrLarge)
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(text) > MaxFile {
		err = fmt.Errorf("%s: %w", path, ErrLarge)
	}
	return text, info.Mode(), err
}

// Install puts the text of a licence, which has been verified, into the state directory in one step: a crash leaves the old one or the
// new one. Everybody on the host may read it, because it is no secret and the daemon runs as another user than the one who installs.
func Install(stateDir string, text []byte) error {
	return replace(filepath.Join(stateDir, FileName), text, 0o644)
}

// replace makes path with text as its content, durable when it returns.
func replace(path string, text []byte, mode fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	err = errors.Join(err, f.Chmod(mode))
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes the names in a directory durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
