// Package disk is a file system in memory that implements snapshot.FileSystem and knows what a crash leaves: all that was
// synced, and of the rest a part that a seed decides. It differs from the model in package snapshot's own tests in two ways:
// files are sparse, so that a reserved segment costs nothing, and a disk that has crashed fails every later call, so that the
// daemon that had it can be ended at leisure while the next daemon runs on the disk's successor.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/snapshot"
)

// Disk holds the files of one state directory.
type Disk struct {
	syncTime time.Duration // how long a sync takes

	mu    sync.Mutex
	names map[string]*inode // as the running program sees them
	safe  map[string]*inode // as they are after a crash
	queue []rename          // of names, not yet synced, in order
	dead  bool
	lies  bool
	ill   Illness
	syncs int
}

// Illness is what a disk suffers from.
type Illness int

const (
	Well   Illness = iota
	Full           // no file grows, and none is created
	Faulty         // a sync of a file fails, and what it should have kept is lost at a power cut although it can be read until then
)

var _ snapshot.FileSystem = (*Disk)(nil)

// rename gives a name to an inode, or takes it away.
type rename struct {
	name string
	to   *inode
}

// inode is a file, or a directory.
type inode struct {
	dir   bool
	now   content
	safe  content
	queue []change // not yet synced, in order
}

// content is the bytes of a file. What lies behind data, up to size, is zeros.
type content struct {
	data []byte
	size int64
}

// change is a write, or with data nil a new length.
type change struct {
	at   int64
	data []byte
}

// New makes an empty disk, for which a sync takes so long.
func New(syncTime time.Duration) *Disk {
	return &Disk{syncTime: syncTime, names: make(map[string]*inode), safe: make(map[string]*inode)}
}

// Lie makes the disk report every sync of a file as done without keeping anything, as broken hardware does. A test that finds no
// loss on such a disk finds none at all.
func (d *Disk) Lie(lies bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lies = lies
}

// Suffer makes the disk ill, or well.
func (d *Disk) Suffer(ill Illness) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ill = ill
}

// Ill reports whether the disk is not well.
func (d *Disk) Ill() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ill != Well
}

// Syncs is how often a file was synced.
func (d *Disk) Syncs() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.syncs
}

// errDead is what a disk answers after its crash.
var errDead = &fs.PathError{Op: "access", Path: "disk", Err: syscall.EIO}

// Open implements snapshot.FileSystem.
func (d *Disk) Open(name string) (snapshot.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.names[name]
	switch {
	case d.dead:
		return nil, errDead
	case i == nil:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &file{d, i}, nil
}

// OpenRead implements snapshot.FileSystem.
func (d *Disk) OpenRead(name string) (snapshot.File, error) { return d.Open(name) }

// Create implements snapshot.FileSystem.
func (d *Disk) Create(name string) (snapshot.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch dir := path.Dir(name); {
	case d.dead:
		return nil, errDead
	case d.ill == Full:
		return nil, &fs.PathError{Op: "create", Path: name, Err: syscall.ENOSPC}
	case d.names[name] != nil:
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	case dir != "." && (d.names[dir] == nil || !d.names[dir].dir):
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	}
	i := &inode{}
	d.give(name, i)
	return &file{d, i}, nil
}

// give gives a name to an inode; nil takes it away. The mutex is held.
func (d *Disk) give(name string, i *inode) {
	r := rename{name, i}
	r.apply(d.names)
	d.queue = append(d.queue, r)
}

func (r rename) apply(names map[string]*inode) {
	if r.to == nil {
		delete(names, r.name)
	} else {
		names[r.name] = r.to
	}
}

// Rename implements snapshot.FileSystem.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := d.names[from]
	switch {
	case d.dead:
		return errDead
	case i == nil:
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	d.give(to, i)
	d.give(from, nil)
	return nil
}

// Remove implements snapshot.FileSystem.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.dead:
		return errDead
	case d.names[name] == nil:
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	d.give(name, nil)
	return nil
}

// List implements snapshot.FileSystem.
func (d *Disk) List(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errDead
	}
	if i := d.names[dir]; dir != "." && (i == nil || !i.dir) {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var list []string
	for name := range d.names {
		if path.Dir(name) == dir {
			list = append(list, path.Base(name))
		}
	}
	slices.Sort(list)
	return list, nil
}

// Mkdir implements snapshot.FileSystem.
func (d *Disk) Mkdir(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	if d.names[dir] == nil {
		d.give(dir, &inode{dir: true})
	}
	return nil
}

// SyncDir implements snapshot.FileSystem.
func (d *Disk) SyncDir(dir string) error {
	time.Sleep(d.syncTime)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return errDead
	}
	d.queue = slices.DeleteFunc(d.queue, func(r rename) bool {
		if path.Dir(r.name) != dir {
			return false
		}
		r.apply(d.safe)
		return true
	})
	return nil
}

// Free implements snapshot.FileSystem. Nobody counts what a disk holds: it is full, or it does not say.
func (d *Disk) Free() (int64, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ill == Full {
		return 0, nil
	}
	return 0, errors.ErrUnsupported
}

// Crash ends the disk and returns what the next start finds. After a power cut the rest of what was not synced is lost, kept or
// torn as rng decides; without one (the process alone was killed) all of it is there.
func (d *Disk) Crash(power bool, rng *rand.Rand) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	next := New(d.syncTime)
	names := d.names
	if power {
		names = d.safe
		keep := rng.IntN(3) // of the names: none, some, all
		for _, r := range d.queue {
			if keep == 2 || keep == 1 && rng.IntN(2) == 0 {
				r.apply(names)
			}
		}
	}
	all := make([]string, 0, len(names))
	for name := range names {
		if dir := path.Dir(name); dir == "." || names[dir] != nil {
			all = append(all, name)
		}
	}
	slices.Sort(all) // so that a seed decides about the same file each time
	for _, name := range all {
		i := &inode{dir: names[name].dir, now: names[name].now.clone()}
		if power {
			i.now = names[name].afterPower(rng)
		}
		i.safe = i.now.clone()
		next.names[name], next.safe[name] = i, i
	}
	return next
}

// afterPower is what the disk holds of a file after a power cut.
func (i *inode) afterPower(rng *rand.Rand) content {
	c := i.safe.clone()
	how := rng.IntN(4)
	for _, op := range i.queue {
		switch how {
		case 0: // lost
		case 1: // written in time
			c.apply(op)
		case 2: // in another order: some of them
			if rng.IntN(2) == 0 {
				c.apply(op)
			}
		case 3: // some sectors of each
			c.tear(op, rng)
		}
	}
	return c
}

// tear applies some of the sectors of a change.
func (c *content) tear(op change, rng *rand.Rand) {
	const sector = 512
	if op.data == nil {
		c.apply(op)
		return
	}
	for from := int64(0); from < int64(len(op.data)); {
		to := min((op.at+from)/sector*sector+sector-op.at, int64(len(op.data)))
		if rng.IntN(2) == 0 {
			c.apply(change{op.at + from, op.data[from:to]})
		}
		from = to
	}
}

func (c content) clone() content { return content{slices.Clone(c.data), c.size} }

func (c *content) apply(op change) {
	if op.data == nil {
		c.size = op.at
		c.data = c.data[:min(int64(len(c.data)), c.size)]
		return
	}
	end := op.at + int64(len(op.data))
	if grow := end - int64(len(c.data)); grow > 0 {
		c.data = append(c.data, make([]byte, grow)...)
	}
	copy(c.data[op.at:], op.data)
	c.size = max(c.size, end)
}

// file is an open file.
type file struct {
	disk  *Disk
	inode *inode
}

// ReadAt implements io.ReaderAt.
func (f *file) ReadAt(b []byte, at int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	c := &f.inode.now
	if f.disk.dead {
		return 0, errDead
	}
	if at >= c.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(b)), c.size-at))
	clear(b[:n])
	if at < int64(len(c.data)) {
		copy(b[:n], c.data[at:])
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (f *file) WriteAt(b []byte, at int64) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	return len(b), f.change(change{at, slices.Clone(b)})
}

// change applies a change for the running program, and notes it for the next sync.
func (f *file) change(op change) error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.dead {
		return errDead
	}
	if f.disk.ill == Full && op.at+int64(len(op.data)) > f.inode.now.size {
		return &fs.PathError{Op: "write", Path: "disk", Err: syscall.ENOSPC}
	}
	f.inode.now.apply(op)
	f.inode.queue = append(f.inode.queue, op)
	return nil
}

// Size implements snapshot.File.
func (f *file) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.inode.now.size, nil
}

// Sync implements snapshot.File. A crash while it lasts finds the file as it was before.
func (f *file) Sync() error {
	time.Sleep(f.disk.syncTime)
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.disk.dead {
		return errDead
	}
	f.disk.syncs++
	if f.disk.ill == Faulty {
		f.inode.queue = nil
		return &fs.PathError{Op: "sync", Path: "disk", Err: syscall.EIO}
	}
	if f.disk.lies {
		return nil
	}
	for _, op := range f.inode.queue {
		f.inode.safe.apply(op)
	}
	f.inode.queue = nil
	return nil
}

// Truncate implements snapshot.File.
func (f *file) Truncate(size int64) error { return f.change(change{at: size}) }

// Allocate implements snapshot.File.
func (f *file) Allocate(size int64) error {
	if n, _ := f.Size(); n >= size {
		return nil
	}
	return f.change(change{at: size})
}

// Close implements io.Closer.
func (f *file) Close() error { return nil }
