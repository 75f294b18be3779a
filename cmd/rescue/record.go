package rescue

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Record is what is written down before anything is changed. While it is there, Postfix may have the settings of a rescue.
type Record struct {
	Begun     time.Time `json:"begun"`
	PID       int       `json:"pid"` // of the command
	Door      string    `json:"door"`
	Addresses int       `json:"addresses"` // lines of the table
	Table     string    `json:"table"`     // as main.cf names it
	Transport bool      `json:"transport"` // transport_maps stood in main.cf before
}

// store is the directory in which a rescue keeps what it needs to put Postfix's files back.
type store struct {
	dir    string // it is below that of main.cf
	config string // that of main.cf
}

// What is in a store, beside the files of Postfix.
const (
	storeName  = "millrace-rescue"
	recordName = "record.json"
	tableName  = "recipients"
	before     = "before" // main.cf and master.cf as they were
	after      = "after"  // and as the rescue has them
)

// changed are the files of Postfix that a rescue changes, in that order: a route must not name a service that is not there.
var changed = []string{"master.cf", "main.cf"}

func newStore(config string) *store {
	return &store{dir: filepath.Join(config, storeName), config: config}
}

// record reads the record, nil if there is none.
func (s *store) record() (*Record, error) {
	text, err := os.ReadFile(filepath.Join(s.dir, recordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var rec Record
	if err := json.Unmarshal(text, &rec); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(s.dir, recordName), err)
	}
	return &rec, nil
}

// prepare makes an empty store with the files as they are, twice: the second is for postconf to change.
func (s *store) prepare() error {
	if err := os.RemoveAll(s.dir); err != nil { // without a record nothing in it matters
		return err
	}
	for _, sub := range []string{before, after} {
		if err := os.MkdirAll(filepath.Join(s.dir, sub), 0o700); err != nil {
			return err
		}
		for _, name := range changed {
			text, err := os.ReadFile(filepath.Join(s.config, name))
			if err != nil {
				return err
			}
			if sub == after && !bytes.HasSuffix(text, []byte("\n")) { // postconf would write on in the last line
				text = append(text, '\n')
			}
			if err := writeSynced(filepath.Join(s.dir, sub, name), text, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// commit writes the record: from here on the files may be changed.
func (s *store) commit(rec *Record) error {
	text, err := json.MarshalIndent(rec, "", "\t")
	if err != nil {
		return err
	}
	for _, dir := range []string{filepath.Join(s.dir, before), filepath.Join(s.dir, after)} {
		if err := syncDir(dir); err != nil {
			return err
		}
	}
	temp := filepath.Join(s.dir, recordName+".new")
	if err := writeSynced(temp, append(text, '\n'), 0o600); err != nil {
		return err
	}
	if err := os.Rename(temp, filepath.Join(s.dir, recordName)); err != nil {
		return err
	}
	return errors.Join(syncDir(s.dir), syncDir(s.config))
}

// forget takes the store away: first the record, so that half a store is none.
func (s *store) forget() error {
	if err := os.Remove(filepath.Join(s.dir, recordName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(syncDir(s.dir), os.RemoveAll(s.dir))
}

// install puts a kept version of a file in the place of another. It reports false, and does nothing, if the file in use is not that other
// one: somebody has changed it.
func (s *store) install(name, want, instead string) (bool, error) {
	path, err := filepath.EvalSymlinks(filepath.Join(s.config, name))
	if err != nil {
		return false, err
	}
	var texts [3][]byte
	for i, file := range []string{path, filepath.Join(s.dir, want, name), filepath.Join(s.dir, instead, name)} {
		if texts[i], err = os.ReadFile(file); err != nil {
			return false, err
		}
	}
	switch {
	case bytes.Equal(texts[0], texts[1]):
		return true, nil
	case !bytes.Equal(texts[0], texts[2]):
		return false, nil
	}
	return true, replace(path, texts[1])
}

// replace gives a file another text at once: who reads it has the old one or the new one. Owner and mode stay.
func replace(path string, text []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	temp := path + "." + storeName
	if err := writeSynced(temp, text, info.Mode().Perm()); err != nil {
		return err
	}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		err = os.Chown(temp, int(sys.Uid), int(sys.Gid))
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return syncDir(filepath.Dir(path))
}

// writeSynced writes a new file to the disk.
func writeSynced(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// ErrBusy is returned while another rescue of the same Postfix is under way.
var ErrBusy = errors.New("another rescue of this Postfix is under way")

// lock keeps other rescues of this Postfix away until unlock, or until the process ends. What is locked is the directory of main.cf, which
// is always there.
func (s *store) lock() (unlock func(), err error) {
	f, err := os.Open(s.config)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, fmt.Errorf("lock %s: %w", s.config, err)
	}
	return func() { f.Close() }, nil
}
