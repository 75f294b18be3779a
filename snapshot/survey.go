package snapshot

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/millrace/millrace/snapshot/format"
)

// maxSegment bounds the segment file that is read into memory: a full segment, one commit and one more message. A larger file
// is not ours, and reading it would exhaust the memory.
const maxSegment = 4 << 30

// repair tells a human what to do about files that are missing or cannot be read.
const repair = `bring the file back, or go on without it by "millrace spool salvage"`

// unknownStarts is how far Salvage moves the epoch on. A lost file may have been the only witness of some starts of the
// daemon, and the message ids of those starts must not be given out again.
const unknownStarts = 1 << 10

// survey is what is found in a state directory before anything in it is changed: headers, the newest snapshot, and what should
// be there. It decides whether the daemon may start at all. Open makes it, and Recover uses it up.
type survey struct {
	fresh      bool             // nothing was ever here
	snap       *format.Snapshot // never nil
	generation uint64           // highest snapshot number, readable or not
	segments   []found          // that may hold something, by number
	leftovers  []retired        // segments the snapshot no longer names
	unfinished []string         // temporary files
	badSnaps   []uint64         // snapshots that cannot be read
	missing    []string         // Salvage: segments that should be there and are not, or cannot be read
	notes      []string         // what a human should know
	epoch      uint64           // highest epoch of any file
	newest     uint64           // highest segment number that any file names
	buf        []byte           // for segments that are read
}

// found is a segment's file.
type found struct {
	head format.Header
	next uint64 // successor named in it, 0 for none
	end  uint64 // where its records end, 0 when no other file says so
	sure uint64 // up to here all of them are known to have been durable
	bad  error  // Salvage: why it cannot be read
}

// scan reads the segment for a scan, into buf, which is made larger where it must be.
func (s *found) scan(fs FileSystem, buf *[]byte) (*format.Scan, error) {
	name := segmentName(s.head.Number)
	data, err := readFile(fs, name, *buf, maxSegment)
	if err != nil {
		return nil, err
	}
	*buf = data
	if s.end > 0 && s.end < uint64(len(data)) {
		data = data[:s.end]
	}
	return format.NewScan(name, data, s.head, int64(s.sure)), nil
}

// look surveys the directory. It changes nothing. For Salvage it goes on where a start would be refused, and notes why.
func look(fs FileSystem, salvage bool) (*survey, error) {
	v := &survey{snap: &format.Snapshot{}}
	segments, err := v.numbersIn(fs, journalDir, segmentExt)
	if err != nil {
		return nil, err
	}
	snapshots, err := v.numbersIn(fs, snapshotDir, snapshotExt)
	if err != nil {
		return nil, err
	}
	// A newer version anywhere is told before anything that might only be its consequence.
	if err := v.heads(fs, segments, salvage); err != nil {
		return nil, err
	}
	if err := v.newestSnapshot(fs, snapshots, salvage); err != nil {
		return nil, err
	}
	v.ends()
	v.retire()
	switch err := v.complete(); {
	case err != nil && !salvage:
		return nil, err
	case salvage:
		v.epoch += unknownStarts
	}
	return v, nil
}

// numbersIn returns the numbers of the files with extension ext in dir, in order, and notes unfinished files. A directory that
// does not exist is empty: the first start has none.
func (v *survey) numbersIn(fs FileSystem, dir, ext string) ([]uint64, error) {
	names, err := fs.List(dir)
	if isNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, name := range names {
		if strings.HasSuffix(name, temporaryExt) {
			v.unfinished = append(v.unfinished, dir+"/"+name)
		} else if n, ok := parseName(name, ext); ok {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// heads reads the header of each segment. A newer version ends it at once, also for Salvage: setting such a file aside would
// throw away mail that a newer program can read.
func (v *survey) heads(fs FileSystem, numbers []uint64, salvage bool) error {
	for _, n := range numbers {
		f, err := readFound(fs, n)
		if err != nil {
			switch {
			case errors.Is(err, ErrVersion):
				return err
			case !salvage:
				return fmt.Errorf("%w; %s", err, repair)
			}
			f = found{head: format.Header{Number: n}, bad: err}
			v.notes = append(v.notes, err.Error())
		}
		if err := ofThisNode(&f.head, segmentName(n)); err != nil {
			return err
		}
		v.segments = append(v.segments, f)
		v.epoch = max(v.epoch, f.head.Epoch)
		v.newest = max(v.newest, n, f.next)
	}
	return nil
}

// ofThisNode refuses a file of another node of a cluster: its ids would be given out again.
func ofThisNode(h *format.Header, name string) error {
	if h.Version >= format.VersionShared && h.Node != node {
		return fmt.Errorf("%s: it is of node %d of a cluster, and this daemon is node %d; nothing was changed", name, h.Node, node)
	}
	return nil
}

// readFound reads the header block of a segment. An error that is no damage, such as one of the disk, refuses the start as
// well: a segment that cannot be read is not an empty one.
func readFound(fs FileSystem, number uint64) (found, error) {
	name := segmentName(number)
	f, err := fs.OpenRead(name)
	if err != nil {
		return found{}, err
	}
	defer f.Close()
	block := make([]byte, format.BlockSize)
	n, err := f.ReadAt(block, 0)
	if n < format.BlockSize && err != nil && !errors.Is(err, io.EOF) {
		return found{}, fmt.Errorf("%s: %w", name, err)
	}
	h, err := format.ReadHeader(name, format.SegmentMagic, block[:n])
	switch {
	case err != nil:
	case h.Number != number:
		err = &format.DamageError{File: name, Why: fmt.Sprintf("its header says it is number %d", h.Number)}
	case n < format.BlockSize:
		err = &format.DamageError{File: name, Why: "shorter than its header block"}
	}
	return found{head: h, next: format.DecodeSuccessor(block[:n])}, err
}

// newestSnapshot reads the newest snapshot that is whole. An older one does as well, because its segments are still there.
// With a journal and no snapshot the start is refused: recipients who are done would get their mail again.
func (v *survey) newestSnapshot(fs FileSystem, numbers []uint64, salvage bool) error {
	var bad error
	for _, n := range slices.Backward(numbers) {
		v.generation = max(v.generation, n)
		if v.snap.Head.Number > 0 {
			continue
		}
		s, err := readSnapshot(fs, numbered(snapshotDir, n, snapshotExt))
		if errors.Is(err, ErrVersion) {
			return err
		}
		if err != nil {
			v.notes = append(v.notes, err.Error())
			v.badSnaps = append(v.badSnaps, n)
			bad = errors.Join(bad, err)
			continue
		}
		if err := ofThisNode(&s.Head, numbered(snapshotDir, n, snapshotExt)); err != nil {
			return err
		}
		v.snap = s
		v.epoch, v.newest = max(v.epoch, s.Head.Epoch), max(v.newest, s.Head.PrevEnd)
	}
	if v.snap.Head.Number > 0 || salvage {
		v.fresh = v.snap.Head.Number == 0 && len(numbers) == 0
		return nil
	}
	if v.fresh = len(numbers) == 0 && len(v.segments) == 0; v.fresh {
		return nil
	}
	return errors.Join(fmt.Errorf("no snapshot that can be read, though there is a journal: %w; %s", ErrMissing, repair), bad)
}

// ends notes for each segment where it ends. The header of the next segment says it. The snapshot repeats it, because it
// outlives the next segment when that is finished first.
func (v *survey) ends() {
	for _, x := range v.snap.Vectors {
		if i, ok := v.segment(x.Number); ok {
			v.segments[i].end, v.segments[i].sure = x.End, x.Sure
		}
	}
	for _, s := range v.segments {
		if i, ok := v.segment(s.head.Prev); ok {
			v.segments[i].end = max(v.segments[i].end, s.head.PrevEnd)
			v.segments[i].sure = max(v.segments[i].sure, s.head.PrevEnd)
		}
	}
}

// retire takes out the segments that the snapshot no longer names: a crash came before they were deleted. The keeper deletes
// them after its next snapshot but one.
func (v *survey) retire() {
	if v.snap.Head.Number == 0 {
		return
	}
	v.segments = slices.DeleteFunc(v.segments, func(s found) bool {
		if !v.isGone(s.head.Number) {
			return false
		}
		v.leftovers = append(v.leftovers, retired{s.head.Number, v.snap.Head.Number})
		return true
	})
}

// isGone reports whether the snapshot says that segment n need not exist.
func (v *survey) isGone(n uint64) bool {
	named := slices.ContainsFunc(v.snap.Vectors, func(x format.Vector) bool { return x.Number == n })
	return n <= v.snap.Head.PrevEnd && !named
}

// complete returns ErrMissing with the names of the segments that must be there and are not: those that the snapshot names,
// and for each segment the one before and the one after it. Three chains are needed because each can be the one that is lost:
// a snapshot may be older than a segment, and the last segment has no successor that would name it.
func (v *survey) complete() error {
	need := func(n uint64, why string) {
		if n == 0 || v.isGone(n) {
			return
		}
		if _, ok := v.segment(n); !ok {
			v.missing = append(v.missing, fmt.Sprintf("%s (%s)", segmentName(n), why))
		}
	}
	for _, x := range v.snap.Vectors {
		need(x.Number, "named by "+numbered(snapshotDir, v.snap.Head.Number, snapshotExt))
	}
	for _, s := range v.segments {
		need(s.head.Prev, "named by "+segmentName(s.head.Number))
		need(s.next, "named by "+segmentName(s.head.Number))
	}
	if len(v.missing) == 0 {
		return nil
	}
	slices.Sort(v.missing)
	return fmt.Errorf("%w: %s; %s", ErrMissing, strings.Join(v.missing, ", "), repair)
}

// inFirstPass reports whether the outcomes in segment i count: those in earlier segments are in the vectors of the snapshot.
func (v *survey) inFirstPass(i int) bool { return v.segments[i].head.Number >= v.snap.Head.Prev }

// segment finds a segment by its number.
func (v *survey) segment(number uint64) (int, bool) {
	return slices.BinarySearchFunc(v.segments, number, func(s found, n uint64) int {
		switch {
		case s.head.Number < n:
			return -1
		case s.head.Number > n:
			return 1
		}
		return 0
	})
}

// lastHeader is the header of the segment that the new one names as the one before. Where it ends is not known: its tail may
// be torn, and recovery reads it later.
func (v *survey) lastHeader() format.Header {
	for _, s := range slices.Backward(v.segments) {
		if s.bad == nil {
			s.head.PrevEnd = 0
			return s.head
		}
	}
	return format.Header{}
}

// inRAM makes the segments in RAM, with the vectors of the snapshot.
func (v *survey) inRAM() map[uint64]*segment {
	m := make(map[uint64]*segment, len(v.segments)+1)
	for _, s := range v.segments {
		m[s.head.Number] = &segment{number: s.head.Number, head: s.head, basis: s.head.Basis(), limit: s.end, sure: s.sure}
	}
	for _, x := range v.snap.Vectors {
		if s := m[x.Number]; s != nil {
			s.done, s.total = x.Done, x.Total
		}
	}
	return m
}

// knownInPart is what follows from a lost file: outcomes that stood in it are forgotten.
const knownInPart = "the journal knows only in part who has received his message: some recipients may receive theirs again"

// setAsideBad is the first change that Salvage makes. It gives segments and snapshots that cannot be read other names, notes
// what follows from that, and returns the numbers of the segments.
func (v *survey) setAsideBad(fs FileSystem) ([]uint64, error) {
	var numbers []uint64
	for i := range v.segments {
		s := &v.segments[i]
		if s.bad == nil {
			continue
		}
		what, err := s.setAside(fs)
		if err != nil {
			return numbers, err
		}
		numbers = append(numbers, s.head.Number)
		v.missing = append(v.missing, what)
	}
	for _, n := range v.badSnaps {
		if err := fs.Rename(numbered(snapshotDir, n, snapshotExt), numbered(snapshotDir, n, asideExt)); err != nil {
			return numbers, err
		}
	}
	if len(v.missing) > 0 || v.snap.Head.Number == 0 {
		v.notes = append(v.notes, knownInPart)
	}
	if len(v.badSnaps) > 0 {
		return numbers, fs.SyncDir(snapshotDir)
	}
	return numbers, nil
}

// setAside gives a segment that cannot be read another name, and returns what to say of it.
func (s *found) setAside(fs FileSystem) (string, error) {
	name, aside := segmentName(s.head.Number), numbered(journalDir, s.head.Number, asideExt)
	if err := fs.Rename(name, aside); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s (set aside as %s: %v)", name, aside, s.bad), fs.SyncDir(journalDir)
}
