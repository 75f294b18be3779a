package snapshot

import (
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/snapshot/format"
)

// Open takes possession of the state directory dir, which is made if it is missing, and starts a new segment. It fails,
// having changed nothing, when another daemon uses dir (ErrLocked), when a file in it is of a newer version
// (ErrVersion), or when something that must be there is not (ErrMissing). log may be nil.
func Open(dir string, cfg Config, log hclog.Logger) (*Agent, error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := prepareDir(dir); err != nil {
		return nil, err
	}
	if err := ownership(dir, os.Geteuid()); err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	if kind := volatile(dir); kind != "" {
		log.Warn("state directory is on a file system that does not keep the journal's promises: a reboot or a lost server loses mail", "dir", dir, "filesystem", kind)
	}
	a, err := OpenOn(osFS{dir}, cfg, log)
	if err != nil {
		lock.Close()
		return nil, stateError(dir, err)
	}
	a.lock = lock
	return a, nil
}

// OpenOn is Open on any file system. There is nothing to lock on it and it has no owner: the caller makes sure that one agent at
// a time uses it.
func OpenOn(fs FileSystem, cfg Config, log hclog.Logger) (*Agent, error) {
	if log == nil {
		log = hclog.NewNullLogger()
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	a, err := open(fs, cfg, log)
	if err != nil {
		return nil, err
	}
	a.establishSecret()
	return a, nil
}

// open is OpenOn for a valid cfg, and without a secret.
func open(fs FileSystem, cfg Config, log hclog.Logger) (*Agent, error) {
	v, err := look(fs, cfg.salvage)
	if err != nil {
		return nil, err
	}
	if v.epoch >= maxEpoch {
		return nil, errors.New("message ids are used up")
	}
	a := assemble(fs, cfg, log, v, v.count(fs))
	if err := a.establish(v); err != nil {
		return nil, err
	}
	go a.writer.run() // ended by Close
	go a.keeper.run() // ended by Close, before the writer
	return a, nil
}

// assemble makes the agent and its parts, each from those below it.
func assemble(fs FileSystem, cfg Config, log hclog.Logger, v *survey, totals format.Totals) *Agent {
	a := &Agent{cfg: cfg, log: log, fs: fs, kept: v.snap.Kept, end: crash}
	a.found.Store(v)
	a.progress.expect(v)
	call := newBell(cfg.Journal.CommitInterval, newAlarm(fs))
	a.book = &ledger{
		draft: draft{cfg: &a.cfg, bell: call, clock: workClock{base: time.Now()}, epoch: v.epoch + 1, ids: &a.ids, newest: v.newest}, count: &a.count, totals: totals,
		segs: v.inRAM(), entries: newRoll(), doubts: newDoubts(),
	}
	t := &tape{fs: fs, cfg: &a.cfg, log: log, book: a.book, count: &a.count, totals: totals}
	a.writer = &writer{
		cfg: &a.cfg, book: a.book, bell: call, tape: t, healer: &healer{tape: t, book: a.book, log: log},
		flushes: make(chan chan error), quit: make(chan struct{}), done: make(chan struct{}),
	}
	a.keeper = &keeper{
		saw: news{takes: -1}, // the first is always written
		fs:  fs, cfg: &a.cfg, log: log, book: a.book, count: &a.count, writer: a.writer,
		kick: make(chan chan error), crowded: make(chan struct{}, 1), halt: make(chan struct{}), done: make(chan struct{}), parts: make(map[string]func() []byte),
		generation: v.generation, valid: v.snap.Head.Number, retired: v.leftovers,
	}
	return a
}

// establish is all that Open changes in the state directory: unfinished files go, and the new segment comes. Its header makes
// the epoch durable, and with it every message id of this start. No goroutine runs yet.
func (a *Agent) establish(v *survey) error {
	if err := sweep(a.fs, v.unfinished); err != nil {
		return err
	}
	if a.cfg.salvage {
		if err := a.setAside(v); err != nil {
			return err
		}
	}
	if err := a.makeDirs(v.fresh); err != nil {
		return err
	}
	s, t, last := a.book.newSegment(), a.writer.tape, v.lastHeader()
	// A full disk must not keep the daemon from delivering what it has: it starts with room for outcomes only, and be it none.
	// An outcome that finds no room stops deliveries until there is some.
	j := &a.cfg.Journal
	sizes := append(j.takingSizes(), j.outcomeSizes(0)...)
	a.keeper.keepRoom()
	if err := t.create(s, last, append(sizes, format.BlockSize)); err != nil {
		return err
	}
	if !t.takesMail(s) {
		a.book.blocked = t.explainFull(j.takingSizes()[0], syscall.ENOSPC)
		a.log.Error("disk full: waiting mail is delivered, and no mail is taken until there is room", "error", a.book.blocked)
	}
	a.ids.allow(&s.head)
	a.book.segs[s.number], a.book.active, t.seg = s, s, s
	a.book.next = newBatch(s, nil, a.book.bell)
	if last.Number > 0 {
		t.linkOld(last.Number, s.number)
	}
	a.keeper.widenRoom()
	return nil
}

// setAside is the part of establish for Salvage: what cannot be read gets another name.
func (a *Agent) setAside(v *survey) error {
	numbers, err := v.setAsideBad(a.fs)
	for _, n := range numbers {
		delete(a.book.segs, n)
	}
	return err
}

// makeDirs makes the state directory's parts. The first snapshot comes before the journal's directory, so that a journal
// without any snapshot always means that one was lost.
func (a *Agent) makeDirs(fresh bool) error {
	if fresh {
		if err := makeDir(a.fs, snapshotDir); err != nil {
			return err
		}
	}
	if fresh && !a.cfg.salvage {
		first := &plan{head: format.Header{Magic: format.SnapshotMagic, Version: format.Version, Node: node, Number: 1, Salt: newSalt(), Created: time.Now()}}
		if _, err := a.keeper.write(first); err != nil {
			return err
		}
		a.keeper.generation, a.keeper.valid = 1, 1
	}
	return makeDir(a.fs, journalDir)
}

// makeDir makes a part of the state directory, with its name durable.
func makeDir(fs FileSystem, dir string) error {
	if err := fs.Mkdir(dir); err != nil {
		return err
	}
	return fs.SyncDir(".")
}

// sweep removes files that were never finished: a crash came before their rename, and nobody was told of what is in them.
func sweep(fs FileSystem, unfinished []string) error {
	for _, name := range unfinished {
		if err := fs.Remove(name); err != nil && !isNotExist(err) {
			return err
		}
	}
	return nil
}
