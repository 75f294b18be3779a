package snapshot

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

const (
	// epochBits is the part of a message id that counts within one start of the daemon.
	epochBits = 40
	// maxWaiting is the longest a take waits to get into a commit.
	maxWaiting = 20 * time.Second
	// maxDeferMarks bounds the marks that wait for a slow disk. Beyond it soft state stays in RAM, for the next snapshot.
	maxDeferMarks = 8 << 20
)

// Agent is the recovery agent: a relay.Journal that brings back, after a crash, every message that is not done.
//
// Two goroutines belong to it, started by Open and ended by Close: the writer, which alone touches the journal's files,
// and the keeper, which writes snapshots and deletes what they make needless.
type Agent struct {
	cfg   Config
	log   hclog.Logger
	fs    fileSystem
	lock  io.Closer
	epoch uint64
	ids   atomic.Uint64
	soft  softStore
	mute  atomic.Pointer[error] // why nothing can be recorded now, not even an outcome; nil: it can
	count counts
	found *survey // what Open found, until Recover has read it

	wake       chan struct{}   // somebody waits for a commit
	flushes    chan chan error // somebody wants everything durable
	kick       chan chan error // somebody wants a snapshot
	crowded    chan struct{}   // the recovery has found many segments
	halt       chan struct{}   // closed to end the keeper
	quit       chan struct{}   // closed to end the writer
	keeperDone chan struct{}
	writerDone chan struct{}
	timer      *time.Timer // runs while something waits for its commit and nobody waits for it
	keeper     keeper      // belongs to the keeper goroutine
	writer     writer      // belongs to the writer goroutine

	mu        sync.Mutex
	segs      map[uint64]*segment
	seg       *segment // the one whose file is written to
	cur       *batch   // the next commit
	where     map[relay.ID]*entry
	begun     map[format.Node]doubt // nodes that are being sent, or were and it is not known what became of it
	unheard   map[relay.ID]bool     // messages taken of which the MTA may not know it; true: it has hung up
	untold    map[relay.ID]bool     // of them, those Recover has given out
	redo      []*entry              // answered for, but their record is lost: they go into the next segment
	newest    uint64                // highest segment number given out
	blocked   error                 // why nothing is taken now
	armed     bool                  // timer runs
	recovered bool
	closed    bool
	report    Report
	keeping   map[string]func() []byte // parts of the daemon that keep bytes in the snapshot
	kept      map[string][]byte        // theirs, as the last start left them
}

var _ relay.Journal = (*Agent)(nil)

// counts are the counters behind Status.
type counts struct {
	takes, rcpts, dones, bytes, commits, syncs, snapshots atomic.Int64
}

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
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	if kind := volatile(dir); kind != "" {
		log.Warn("state directory is no place for the promises of the journal: a reboot or a lost server loses mail", "dir", dir, "filesystem", kind)
	}
	a, err := open(osFS{dir}, cfg, log)
	if err != nil {
		lock.Close()
		return nil, stateError(dir, err)
	}
	a.lock = lock
	return a, nil
}

// open is Open without the lock, on any file system.
func open(fs fileSystem, cfg Config, log hclog.Logger) (*Agent, error) {
	found, err := look(fs, cfg.salvage)
	if err != nil {
		return nil, err
	}
	if found.epoch+1 >= 1<<(64-epochBits) {
		return nil, errors.New("message ids are used up")
	}
	a := newAgent(fs, cfg, log, found)
	if err := a.establish(); err != nil {
		return nil, err
	}
	go a.commitLoop()
	go a.snapshotLoop()
	return a, nil
}

func newAgent(fs fileSystem, cfg Config, log hclog.Logger, found *survey) *Agent {
	a := &Agent{
		cfg: cfg, log: log, fs: fs, epoch: found.epoch + 1, found: found, newest: found.newest,
		wake: make(chan struct{}, 1), flushes: make(chan chan error), kick: make(chan chan error), crowded: make(chan struct{}, 1),
		quit: make(chan struct{}), halt: make(chan struct{}), keeperDone: make(chan struct{}), writerDone: make(chan struct{}),
		timer: time.NewTimer(math.MaxInt64), keeping: make(map[string]func() []byte),
		segs: found.objects(), where: make(map[relay.ID]*entry), begun: make(map[format.Node]doubt),
		unheard: make(map[relay.ID]bool), kept: found.snap.Kept,
	}
	a.ids.Store(a.epoch << epochBits)
	a.keeper = keeper{generation: found.generation, valid: found.snap.Head.Number, retired: found.leftovers}
	return a
}

// establish makes the directories and the segment of this start. Its format.Header makes the epoch durable.
func (a *Agent) establish() error {
	if err := a.sweep(); err != nil {
		return err
	}
	if a.cfg.salvage {
		if err := a.setAsideBad(); err != nil {
			return err
		}
	}
	if err := a.directories(); err != nil {
		return err
	}
	s := a.newSegment()
	// A full disk must not keep the daemon from delivering what it has: it starts with room for outcomes only.
	if err := a.create(s, a.found.lastHeader(), a.cfg.Journal.SegmentBytes, format.BlockSize+a.cfg.Journal.reserve()); err != nil {
		return err
	}
	if s.allocated < a.cfg.Journal.SegmentBytes {
		a.blocked = fmt.Errorf("journal: no room for a segment of %d bytes: %w", a.cfg.Journal.SegmentBytes, syscall.ENOSPC)
		a.log.Error("disk full: what waits is delivered, and no mail is taken until there is room", "error", a.blocked)
	}
	a.segs[s.number], a.seg = s, s
	a.cur = newBatch(s, nil, a.wake)
	if last := a.found.lastHeader(); last.Number > 0 {
		a.linkOld(last.Number, s.number)
	}
	return nil
}

// directories makes the state directory's parts. The first snapshot comes before the journal's directory, so that a
// journal without any snapshot always means that one was lost.
func (a *Agent) directories() error {
	if a.found.fresh {
		if err := a.makeDir(snapshotDir); err != nil {
			return err
		}
	}
	if a.found.fresh && !a.cfg.salvage {
		if err := a.writeSnapshot(&plan{head: format.Header{Magic: format.SnapshotMagic, Version: format.Version, Number: 1, Created: time.Now()}}); err != nil {
			return err
		}
		a.keeper.generation, a.keeper.valid = 1, 1
	}
	return a.makeDir(journalDir)
}

func (a *Agent) makeDir(dir string) error {
	if err := a.fs.Mkdir(dir); err != nil {
		return err
	}
	return a.fs.SyncDir(".")
}

// sweep removes files that were never finished.
func (a *Agent) sweep() error {
	for _, name := range a.found.unfinished {
		if err := a.fs.Remove(name); err != nil && !isNotExist(err) {
			return err
		}
	}
	return nil
}

// NewID returns an id that no message of this state directory ever had.
func (a *Agent) NewID() relay.ID { return relay.ID(a.ids.Add(1)) }

// Take implements relay.Journal: it returns nil when m is as safe as Config.Ack says. On an error the message is not in
// the journal, or only in a part that recovery leaves out, and stays with the MTA.
func (a *Agent) Take(m *relay.Message) error {
	b, err := a.enter(m)
	if err != nil {
		return fmt.Errorf("take %s: %w", m.ID, err)
	}
	if a.cfg.Ack == AckMemory {
		return nil
	}
	<-b.done
	if b.err != nil {
		return fmt.Errorf("take %s: %w", m.ID, b.err)
	}
	return nil
}

// enter puts m into the next commit that has room.
func (a *Agent) enter(m *relay.Message) (*batch, error) {
	if err := fits(m); err != nil {
		return nil, err
	}
	var late <-chan time.Time
	for {
		b, ok, err := a.tryEnter(m)
		if err != nil || ok {
			return b, err
		}
		if late == nil {
			t := time.NewTimer(maxWaiting)
			defer t.Stop()
			late = t.C
		}
		select {
		case <-b.sealed:
		case <-late:
			return nil, ErrBusy
		}
	}
}

// fits refuses what no frame may hold.
func fits(m *relay.Message) error {
	if len(m.Rcpts) == 0 {
		return errors.New("message without recipients")
	}
	if m.Size()+int64(len(m.Rcpts))*1024 > format.MaxFrame {
		return ErrTooLarge
	}
	return nil
}

// tryEnter reports false, and the commit that is full, when m has to wait for the next.
func (a *Agent) tryEnter(m *relay.Message) (*batch, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.closed:
		return nil, false, ErrClosed
	case a.blocked != nil:
		return nil, false, a.blocked
	case a.where[m.ID] != nil:
		return nil, false, fmt.Errorf("id %s is in the journal already", m.ID)
	}
	b := a.cur
	if len(b.buf) >= a.cfg.Journal.CommitBytes {
		signal(a.wake)
		return b, false, nil
	}
	a.add(b, m)
	if a.cfg.Ack == AckMemory {
		a.arm()
	} else {
		signal(a.wake)
	}
	return b, true, nil
}

// add writes m into b. The mutex is held.
func (a *Agent) add(b *batch, m *relay.Message) {
	e := &entry{msg: m, nodeOf: nodesOf(m), acked: a.cfg.Ack == AckMemory}
	body := b.body(m)
	p := b.seg.claim(len(m.Rcpts))
	t := takeOf(m, e.nodeOf)
	t.Base, t.Body = p.base, body
	b.take(t)
	e.stand(p)
	a.where[m.ID] = e
	a.unheard[m.ID] = false
	b.takes = append(b.takes, e)
}

// arm makes the writer commit within the interval. The mutex is held.
func (a *Agent) arm() {
	if !a.armed {
		a.armed = true
		a.timer.Reset(a.cfg.Journal.CommitInterval)
	}
}

// Event implements relay.Listener. It records what is decided and does not wait for the disk.
func (a *Agent) Event(e *relay.Event) {
	switch e.Kind {
	case relay.EventHeard:
		a.heard(e.Message.ID)
	case relay.EventHungUp:
		a.hungUp(e.Message.ID)
	case relay.EventSettled:
		if e.MaybeTwice {
			a.lostReply(e.Node)
		}
		// A failure is done with only when the sender knows of it: until then a restart must find the recipient again.
		if e.Outcome == relay.Sent || e.Outcome == relay.HandedBack {
			a.settled(e.Message.ID, e.Rcpt)
		}
	case relay.EventReported:
		a.settled(e.Message.ID, e.Rcpt)
	case relay.EventDeferred:
		a.deferred(e)
	case relay.EventPutBack:
		a.putBack(e.Node)
	case relay.EventRemoved:
		a.removed(e.Message.ID)
	}
}

func (a *Agent) settled(id relay.ID, rcpt int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e := a.where[id]; e != nil && rcpt >= 0 && rcpt < len(e.msg.Rcpts) {
		a.markDone(e, rcpt)
		a.arm()
	}
}

// markDone sets recipient i of e done, wherever e stands. The mutex is held.
func (a *Agent) markDone(e *entry, i int) {
	pos := e.at.base + uint32(i)
	if !e.at.seg.mark(pos) {
		return
	}
	a.count.dones.Add(1)
	a.cur.marks = format.AppendDone(a.cur.marks, e.at.seg.number, pos)
	// While a copy is not durable recovery may find the message at either place.
	if e.from != nil && e.from.seg.mark(e.from.base+uint32(i)) {
		a.cur.marks = format.AppendDone(a.cur.marks, e.from.seg.number, e.from.base+uint32(i))
	}
}

// deferred records that n waits. That answers whether its receiver has the message, if it was asked and heard.
func (a *Agent) deferred(e *relay.Event) {
	n := e.Node
	s := format.Wait{Visits: n.Visits, Class: n.Class, Reason: n.Reason[:min(len(n.Reason), format.MaxReason)]}
	if !n.Due.IsZero() {
		s.Due = n.Due.UnixNano()
	}
	k := nodeOf(n)
	a.mu.Lock()
	defer a.mu.Unlock()
	entry := a.where[relay.ID(k.ID)]
	if entry == nil {
		return
	}
	entry.waits = true
	a.soft.put(k, s)
	if len(a.cur.marks) < maxDeferMarks {
		a.cur.marks = format.AppendWait(a.cur.marks, k, s)
		a.arm()
	}
	d, doubted := a.begun[k]
	switch {
	case !doubted:
	case d.lost || e.Relay == "none":
		a.begun[k] = doubt{before: true}
		a.cur.marks = format.AppendBegun(a.cur.marks, k)
	default:
		delete(a.begun, k)
	}
}

func (a *Agent) removed(id relay.ID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := a.where[id]
	if e == nil {
		return
	}
	for i := range e.msg.Rcpts {
		a.markDone(e, i)
	}
	a.arm()
	a.drop(e)
}

// drop forgets e, whose recipients are all done. The mutex is held.
func (a *Agent) drop(e *entry) {
	e.gone = true
	e.leave()
	delete(a.where, e.msg.ID)
	if a.unheard[e.msg.ID] { // else the door will still say
		delete(a.unheard, e.msg.ID)
	}
	for i := range e.nodes() {
		delete(a.begun, format.Node{ID: uint64(e.msg.ID), Index: uint32(i)})
	}
	if e.waits {
		a.soft.drop(e.msg.ID, e.nodes())
	}
}

// Flush makes durable what was recorded so far.
func (a *Agent) Flush() error {
	reply := make(chan error, 1)
	select {
	case a.flushes <- reply:
		return <-reply
	case <-a.quit:
		return ErrClosed
	}
}

// Close makes everything durable, so that the next start delivers nothing twice, writes a last snapshot and gives the
// state directory free. What is told to Event meanwhile may be forgotten: whoever delivers must have stopped. It ends both
// goroutines and waits for them. A second call does nothing.
func (a *Agent) Close() error {
	a.mu.Lock()
	again := a.closed
	a.closed = true
	if !again {
		a.takeBackAll()
	}
	a.mu.Unlock()
	if again {
		return nil
	}
	err := a.Flush()
	a.keeper.clean = err == nil
	close(a.halt)
	<-a.keeperDone
	close(a.quit)
	<-a.writerDone
	if err == nil {
		err = a.keeper.err
	}
	if a.lock != nil {
		a.lock.Close()
	}
	return err
}
