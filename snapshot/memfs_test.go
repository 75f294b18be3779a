package snapshot

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// memFS is a file system in memory that knows what a power cut may leave: what was synced, and of the rest whatever the
// disk happened to have written.
type memFS struct {
	mu    sync.Mutex
	names map[string]*inode // as the running program sees them
	safe  map[string]*inode // as the disk has them
	queue []nameOp          // not yet synced, in order
	ops   int               // calls that change something or sync
	calls []string          // of them, when trace is set
	trace bool
	hook  func(n int, op, name string) error // an error makes the call fail
	space func(size int64) bool              // whether a file may be so large; nil: it may
	size  int64                              // of the disk; 0: without end
}

// nameOp gives name to an inode, or takes it away.
type nameOp struct {
	name string
	to   *inode
}

// inode is a file, or a directory when dir is set.
type inode struct {
	dir   bool
	data  []byte
	safe  []byte
	queue []dataOp
}

// dataOp is a write, or a truncation when data is nil.
type dataOp struct {
	at   int64
	data []byte
}

func newMemFS() *memFS {
	return &memFS{names: make(map[string]*inode), safe: make(map[string]*inode)}
}

// step counts a call and asks the hook. The mutex is held.
func (m *memFS) step(op, name string) error {
	m.ops++
	if m.trace {
		m.calls = append(m.calls, op+" "+name)
	}
	if m.hook == nil {
		return nil
	}
	return m.hook(m.ops, op, name)
}

func (m *memFS) Open(name string) (File, error)     { return m.open(name) }
func (m *memFS) OpenRead(name string) (File, error) { return m.open(name) }

func (m *memFS) open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.names[name]
	if i == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &memFile{m, i, name, false}, nil
}

func (m *memFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("create", name); err != nil {
		return nil, err
	}
	if m.names[name] != nil {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrExist}
	}
	if dir := path.Dir(name); dir != "." && (m.names[dir] == nil || !m.names[dir].dir) {
		return nil, &fs.PathError{Op: "create", Path: name, Err: fs.ErrNotExist}
	}
	i := &inode{}
	m.set(name, i)
	return &memFile{m, i, name, false}, nil
}

func (m *memFS) set(name string, i *inode) {
	if i == nil {
		delete(m.names, name)
	} else {
		m.names[name] = i
	}
	m.queue = append(m.queue, nameOp{name, i})
}

func (m *memFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("rename", to); err != nil {
		return err
	}
	i := m.names[from]
	if i == nil {
		return &fs.PathError{Op: "rename", Path: from, Err: fs.ErrNotExist}
	}
	m.set(to, i)
	m.set(from, nil)
	return nil
}

func (m *memFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("remove", name); err != nil {
		return err
	}
	if m.names[name] == nil {
		return &fs.PathError{Op: "remove", Path: name, Err: fs.ErrNotExist}
	}
	m.set(name, nil)
	return nil
}

func (m *memFS) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if d := m.names[dir]; d == nil || !d.dir {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: fs.ErrNotExist}
	}
	var names []string
	for n := range m.names {
		if strings.HasPrefix(n, dir+"/") {
			names = append(names, path.Base(n))
		}
	}
	slices.Sort(names)
	return names, nil
}

func (m *memFS) Mkdir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("mkdir", dir); err != nil {
		return err
	}
	if m.names[dir] == nil {
		m.set(dir, &inode{dir: true})
	}
	return nil
}

// Free implements FileSystem. What is in use is what the names reach, reserved space included.
func (m *memFS) Free() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.size == 0 {
		return 0, errors.ErrUnsupported
	}
	return m.size - m.used(), nil
}

// used is how many bytes the files take. The mutex is held.
func (m *memFS) used() (n int64) {
	for _, i := range m.names {
		n += int64(len(i.data))
	}
	return n
}

// fill takes what is left of a disk of a certain size for a file as large as fits, and returns ENOSPC when that is not all
// of it. As ext4 does it, what it got it keeps. The mutex is held.
func (m *memFS) fill(i *inode, end int64) (int64, error) {
	grow := end - int64(len(i.data))
	if m.size == 0 || grow <= 0 || grow <= m.size-m.used() {
		return end, nil
	}
	return int64(len(i.data)) + max(m.size-m.used(), 0), syscall.ENOSPC
}

func (m *memFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.step("syncdir", dir); err != nil {
		return err
	}
	var rest []nameOp
	for _, op := range m.queue {
		if path.Dir(op.name) == dir {
			apply(m.safe, op)
		} else {
			rest = append(rest, op)
		}
	}
	m.queue = rest
	return nil
}

func apply(names map[string]*inode, op nameOp) {
	if op.to == nil {
		delete(names, op.name)
	} else {
		names[op.name] = op.to
	}
}

// memFile is an open file of a memFS.
type memFile struct {
	fs     *memFS
	inode  *inode
	name   string
	failed bool
}

func (f *memFile) ReadAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if at >= int64(len(f.inode.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.inode.data[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *memFile) WriteAt(b []byte, at int64) (int, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	err := f.fs.step("write", f.name)
	if err != nil {
		b = b[:len(b)/2] // a write that fails may have written a part
	} else if end, full := f.fs.fill(f.inode, at+int64(len(b))); full != nil {
		b, err = b[:max(end-at, 0)], full
	}
	op := dataOp{at, slices.Clone(b)}
	f.inode.data = op.apply(f.inode.data)
	f.inode.queue = append(f.inode.queue, op)
	return len(b), err
}

func (f *memFile) Size() (int64, error) {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	return int64(len(f.inode.data)), nil
}

var errSyncedAgain = errors.New("a descriptor was synced again after its sync had failed")

// Sync behaves like Linux: after a failure the pages count as clean, and a second sync reports success.
func (f *memFile) Sync() error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if f.failed {
		panic(errSyncedAgain)
	}
	if err := f.fs.step("sync", f.name); err != nil {
		f.failed = true
		f.inode.queue = nil
		return err
	}
	for _, op := range f.inode.queue {
		f.inode.safe = op.apply(f.inode.safe)
	}
	f.inode.queue = nil
	return nil
}

func (f *memFile) Truncate(size int64) error { return f.resize("truncate", size) }

func (f *memFile) Allocate(size int64) error {
	if n, _ := f.Size(); n >= size {
		return nil
	}
	if f.fs.space != nil && !f.fs.space(size) {
		f.resize("allocate", size/2) // as ext4 does it: what it got it keeps
		return syscall.ENOSPC
	}
	f.fs.mu.Lock()
	got, err := f.fs.fill(f.inode, size)
	f.fs.mu.Unlock()
	if err != nil {
		f.resize("allocate", got)
		return err
	}
	return f.resize("allocate", size)
}

func (f *memFile) resize(op string, size int64) error {
	f.fs.mu.Lock()
	defer f.fs.mu.Unlock()
	if err := f.fs.step(op, f.name); err != nil {
		return err
	}
	o := dataOp{at: size}
	f.inode.data = o.apply(f.inode.data)
	f.inode.queue = append(f.inode.queue, o)
	return nil
}

func (f *memFile) Close() error { return nil }

func (o dataOp) apply(b []byte) []byte {
	end := o.at + int64(len(o.data))
	if o.data == nil && end < int64(len(b)) {
		return b[:end:end]
	}
	if grow := end - int64(len(b)); grow > 0 {
		b = append(b, make([]byte, grow)...)
	}
	copy(b[o.at:], o.data)
	return b
}

// killed is what a process finds that is started after this one was killed: everything, synced or not.
func (m *memFS) killed() *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return restart(m.names, func(i *inode) []byte { return i.data })
}

// cut is what a process may find after the power was cut, one state of very many.
func (m *memFS) cut(rng *rand.Rand) *memFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	names := maps.Clone(m.safe)
	keep := rng.IntN(3) // nothing, something, everything of the names
	for _, op := range m.queue {
		if keep == 2 || keep == 1 && rng.IntN(2) == 0 {
			apply(names, op)
		}
	}
	return restart(names, func(i *inode) []byte { return i.after(rng) })
}

// after is what the disk holds of a file.
func (i *inode) after(rng *rand.Rand) []byte {
	b := slices.Clone(i.safe)
	how := rng.IntN(5)
	for _, op := range i.queue {
		switch how {
		case 0: // lost
		case 1: // kept
			b = op.apply(b)
		case 2: // each kept or lost: reordered
			if rng.IntN(2) == 0 {
				b = op.apply(b)
			}
		case 3:
			b = op.torn(b, 512, rng)
		case 4:
			b = op.torn(b, 4096, rng)
		}
	}
	return b
}

// torn applies some of the sectors of a write.
func (o dataOp) torn(b []byte, sector int64, rng *rand.Rand) []byte {
	if o.data == nil {
		return o.apply(b)
	}
	for from := int64(0); from < int64(len(o.data)); {
		to := min((o.at+from)/sector*sector+sector-o.at, int64(len(o.data)))
		if rng.IntN(2) == 0 {
			b = dataOp{o.at + from, o.data[from:to]}.apply(b)
		}
		from = to
	}
	return b
}

// restart is a file system that holds what names say, all of it durable.
func restart(names map[string]*inode, content func(*inode) []byte) *memFS {
	n := newMemFS()
	for name, i := range names {
		j := &inode{dir: i.dir}
		if !i.dir {
			j.data = slices.Clone(content(i))
			j.safe = slices.Clone(j.data)
		}
		n.names[name], n.safe[name] = j, j
	}
	// A name in a directory that is not there is not there either.
	for name := range n.names {
		if d := path.Dir(name); d != "." && n.names[d] == nil {
			delete(n.names, name)
			delete(n.safe, name)
		}
	}
	return n
}
