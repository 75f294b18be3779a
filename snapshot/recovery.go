package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// recovery is the state of one Recover. It runs on the goroutine that called Recover, while doors take mail and handlers
// settle what was given out already.
//
// It reads the journal twice. The first pass applies the outcomes, since an outcome stands behind its message, often in a
// later segment. The second pass gives out the messages, one by one and in their order. The rejected way, one pass that keeps
// every message until the end, would need the memory of the whole backlog twice.
type recovery struct {
	fs   FileSystem
	log  hclog.Logger
	book *ledger
	// segs are those of earlier starts, a copy of the ledger's map: that map changes while mail is taken. Until the second
	// pass gives out the first message of a segment, only the recovery touches the vector of that segment, without the lock.
	segs    map[uint64]*segment
	salvage bool

	give     func(relay.Saved) error
	counter  Counter // nil: nobody counts
	report   Report
	progress *progress

	names   *format.Names
	kin     *kindred
	claims  claims
	buf     []byte                   // the segment that is being read
	take    format.TakeRecord        // the record that is being read
	doubts  map[format.Node]bool     // nodes in doubt: a receiver may have the message
	told    uint64                   // number of the last segment about which a clean stop has said what is unheard; 0: none
	first   uint64                   // number of the segment with which the first pass begins
	unheard map[relay.ID]bool        // messages whose MTA may not know that they are taken, as far as ids say it
	heard   map[uint64]*format.Bits  // by segment: where messages stand whose MTA knows
	unnamed map[relay.ID]bool        // messages given out as unheard
	done    map[relay.ID]doneUnheard // of the unheard messages, those that are done
	lost    []orphan                 // messages of this segment whose shared record cannot be read
}

// doneUnheard is a message that is done and whose MTA may offer it again.
type doneUnheard struct {
	msg *relay.Message
	at  place
}

// newRecovery is called before the first message is given out, and while mail may be taken already.
func newRecovery(fs FileSystem, log hclog.Logger, book *ledger, salvage bool) *recovery {
	book.mu.Lock()
	defer book.mu.Unlock()
	return &recovery{
		fs: fs, log: log, book: book, segs: maps.Clone(book.segs), salvage: salvage, names: format.NewNames(), kin: newKindred(),
		doubts: make(map[format.Node]bool), unheard: make(map[relay.ID]bool), heard: make(map[uint64]*format.Bits),
		unnamed: make(map[relay.ID]bool), done: make(map[relay.ID]doneUnheard),
	}
}

// replay gives f what v found. After an error the ledger is incomplete, and the keeper takes no snapshot of it.
func (r *recovery) replay(v *survey, f func(relay.Saved) error) (Report, error) {
	start := time.Now()
	r.give, r.buf = f, v.buf
	head := &v.snap.Head
	r.first = head.Prev
	r.report.Notes, r.report.Missing = v.notes, v.missing
	if head.Flags&format.FlagClean != 0 {
		r.told = head.PrevEnd
	}
	r.report.Clean = r.told > 0 && r.told == v.newest
	if err := r.outcomes(v); err != nil {
		return r.report, err
	}
	r.beginCounting()
	if err := r.restoreAll(v); err != nil {
		return r.report, err
	}
	r.handOn()
	r.report.Took = time.Since(start)
	return r.report, nil
}

// handOn leaves the ledger as if this start had taken the messages: what is unheard stays in mind until it is named. What
// nodes have learned is kept only for messages that are here: the first pass has read it for all, before it could know which.
func (r *recovery) handOn() {
	b := r.book
	b.mu.Lock()
	b.doubts.unnamed = r.unnamed
	b.mu.Unlock()
	for i := range b.waits {
		b.mu.Lock() // again for each shard: takes and outcomes get their turn
		b.waits[i].prune(func(id relay.ID) bool { return b.entries.of(id) != nil })
		b.mu.Unlock()
	}
}

// outcomes is the first pass: it reads what was decided since the snapshot began. What was decided before is in the vectors of
// the snapshot, and marks that are in both are applied twice, which changes nothing.
func (r *recovery) outcomes(v *survey) error {
	for _, p := range v.snap.Soft {
		if err := format.ReadMarks(p, r.names, r.marksOf(0)); err != nil {
			return err
		}
	}
	v.snap.Soft = nil
	r.recount(v.snap.Kept[keptCounts])
	for i := range v.segments {
		if !v.inFirstPass(i) {
			continue
		}
		if err := r.outcomesOf(&v.segments[i]); err != nil {
			return err
		}
		r.progress.read.Add(1)
	}
	return nil
}

// recount gives the counter a record. A counter that cannot read it is told about and goes on: no mail depends on it.
func (r *recovery) recount(p []byte) {
	if r.counter == nil || len(p) == 0 {
		return
	}
	if err := r.counter.Replay(p); err != nil {
		r.report.Notes = append(r.report.Notes, fmt.Sprintf("counters begin too low, because a record of them cannot be read: %v", err))
	}
}

// beginCounting has the counter count from now on.
func (r *recovery) beginCounting() {
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	r.book.counts.by = r.counter
}

// outcomesOf reads one segment in the first pass. It knows which shared records the segment has had so far, because a copy counts
// only with the one it names.
func (r *recovery) outcomesOf(s *found) error {
	sc, err := r.load(s)
	if sc == nil {
		return err
	}
	var shared format.Bits
	return sc.Each(func(f format.Frame) error {
		switch f.Kind {
		case format.KindMarks:
			return r.tolerate(sc, f, format.ReadMarks(f.Payload, r.names, r.marksOf(s.head.Number)))
		case format.KindCounts:
			r.recount(f.Payload)
		case format.KindBody, format.KindShared:
			if n, err := format.SharedNumber(f.Payload); err == nil {
				shared.Set(n)
			}
		case format.KindOldTake, format.KindTake:
			// The second pass reports a malformed one. Reporting it here too would count it twice.
			if r.readStand(s, f) == nil {
				r.meet(s, &r.take.Stand, shared.Has(r.take.Shared))
			}
		}
		return nil
	})
}

// readStand reads where a message stands. Of an older version it reads all of the record.
func (r *recovery) readStand(s *found, f format.Frame) error {
	switch {
	case !f.Kind.In(s.head.Version):
		return format.ErrMalformed
	case f.Kind == format.KindOldTake:
		return r.take.DecodeOld(f.Payload, r.names)
	}
	return r.take.DecodeStand(f.Payload, s.head.Basis())
}

// tolerate notes a malformed record as damage, and goes on. Any other error it returns. Refusing the whole journal because of
// one record would keep all mail from being delivered, and help nobody.
func (r *recovery) tolerate(sc *format.Scan, f format.Frame, err error) error {
	if errors.Is(err, format.ErrMalformed) {
		d := &format.DamageError{File: sc.Name, From: f.At, To: f.At + f.Len(), Why: fmt.Sprintf("%s: %v", f.Kind, err)}
		r.report.Damaged = append(r.report.Damaged, d.Error())
		return nil
	}
	return err
}

// marksOf applies the marks read from segment from, or from the snapshot when that is 0. It ignores a mark that names a
// later segment: that segment was never created, and a later start may have reused its number.
func (r *recovery) marksOf(from uint64) format.Marks {
	return format.Marks{
		Done: func(segment uint64, position, n uint32, _ format.Why) {
			if s := r.segs[segment]; s != nil && segment <= from {
				for i := range n {
					s.done.Set(position + i)
				}
			}
		},
		Waits: func(k format.Node, s format.Wait, _ bool) {
			r.book.waits.learn(k, s)
			delete(r.doubts, k)
		},
		Begun: func(k format.Node) { r.doubts[k] = true },
		HeardID: func(id uint64, heard bool) {
			if heard {
				delete(r.unheard, relay.ID(id))
			} else if from == 0 || from > r.told {
				r.unheard[relay.ID(id)] = true
			}
		},
		Heard: func(segment uint64, position uint32) {
			if segment <= from {
				r.hear(segment, position)
			}
		},
	}
}

// hear notes that the MTA has heard of the message whose first recipient stands there.
func (r *recovery) hear(segment uint64, position uint32) {
	v := r.heard[segment]
	if v == nil {
		v = new(format.Bits)
		r.heard[segment] = v
	}
	v.Set(position)
}

// meet is called for each take of the first pass; whole says that its shared record is there. A copy that is whole takes the place of
// what it was made from. Any other copy is ignored, and the message stays where it was. A copy knows whether its message was heard
// of by then; versions 1 and 2 say that by id, and a message of version 2 is unheard until a mark says otherwise.
//
// A copy whose recipients are all done is ignored too: it is one that a daemon has given up because it could not be synced, and the
// message stood where it was. Where the recipients were really settled, the marks are at both places.
func (r *recovery) meet(in *found, t *format.Stand, whole bool) {
	if t.Copied && r.isOver(in, t) {
		return
	}
	byID := in.head.Version < format.VersionShared
	switch {
	case !t.Copied:
		if byID && in.head.Version >= format.VersionHeard && in.head.Number > r.told {
			r.unheard[relay.ID(t.ID)] = true
		}
	case whole && t.Origin.Segment < in.head.Number:
		if s := r.segs[t.Origin.Segment]; s != nil {
			for i := range t.Count {
				s.done.Set(t.Origin.Base + uint32(i))
			}
		}
		if !byID && !t.Unheard {
			delete(r.unheard, relay.ID(t.ID))
		}
	}
}

// isUnheard reports whether the MTA may not know that a message is taken. Such a message is one without mark 9 behind it, or a copy
// that says so. A snapshot says it of messages that were taken before its first segment. The snapshot of a clean stop says it of
// all messages, and leaves out those whose MTA hung up: the door's log line has told of them, and no mark 9 ever comes.
func (r *recovery) isUnheard(in *found, t *format.Stand) bool {
	n := in.head.Number
	switch v := r.heard[n]; {
	case v != nil && v.Has(t.Base):
		return false
	case r.unheard[relay.ID(t.ID)]:
		return true
	case in.head.Version < format.VersionShared || n <= r.told || n < r.first:
		return false
	}
	return !t.Copied || t.Unheard
}

// isOver reports whether all recipients of a take are done.
func (r *recovery) isOver(in *found, t *format.Stand) bool {
	s := r.segs[in.head.Number]
	for i := range t.Count {
		if s == nil || !s.done.Has(t.Base+uint32(i)) {
			return false
		}
	}
	return true
}

// restoreAll is the second pass: it gives out what is not done. It reads all segments, also those before the snapshot: a
// message that waits for days stands where it was taken, or where it was last copied to.
func (r *recovery) restoreAll(v *survey) error {
	r.claims.begin(r)
	defer r.claims.end()
	for i := range v.segments {
		if err := r.messagesOf(&v.segments[i]); err != nil {
			return err
		}
		r.progress.read.Add(1)
	}
	return r.giveDone()
}

// messagesOf reads one segment in the second pass. Its shared records stay in the buffer until a message needs one.
func (r *recovery) messagesOf(s *found) error {
	sc, err := r.load(s)
	if sc == nil {
		return err
	}
	r.kin.reset()
	err = sc.Each(func(f format.Frame) error {
		switch f.Kind {
		case format.KindBody, format.KindShared:
			return r.tolerate(sc, f, r.kin.meet(s, f, r.names))
		case format.KindOldTake, format.KindTake:
			if err := r.tolerate(sc, f, r.claim(s, f)); err != nil {
				return err
			}
			return r.giveOut(s, sc, r.claims.most)
		}
		return nil
	})
	if err == nil {
		err = r.giveOut(s, sc, 0)
	}
	if err != nil {
		return err
	}
	return r.endSegment(s, sc)
}

// claim has the message of a take frame checked, if some of its recipients are not done.
func (r *recovery) claim(s *found, f format.Frame) error {
	t := &r.take
	if err := r.readStand(s, f); err != nil {
		return err
	}
	left := r.left(r.segs[s.head.Number], &t.Stand)
	r.report.Done += t.Count - len(left)
	if unheard := r.isUnheard(s, &t.Stand); unheard || len(left) > 0 {
		r.claims.add(claim{in: s, frame: f, kin: r.kin.of(t.Shared), left: left, unheard: unheard})
	}
	return nil
}

// giveOut gives out messages that were checked, in their order, until no more than so many lots are ahead.
func (r *recovery) giveOut(s *found, sc *format.Scan, ahead int) error {
	for l := range r.claims.upTo(ahead) {
		for i := range l.claims {
			c := &l.claims[i]
			err := c.err
			if err == nil {
				err = r.restoreOne(s, c)
			}
			if err := r.tolerate(sc, c.frame, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// restoreOne gives out the message of c. The message is entered into the ledger before it is given out, because give may cause
// events about it at once.
func (r *recovery) restoreOne(s *found, c *claim) error {
	m, at := c.message, place{r.segs[s.head.Number], c.base}
	if len(c.left) == 0 {
		r.done[m.ID] = doneUnheard{m, at} // a later segment may hold a copy that is not done
		return nil
	}
	delete(r.done, m.ID)
	if c.kin == nil {
		what := "%s: message %s, %d recipients: what it has in common with others cannot be read"
		r.lost = append(r.lost, orphan{c.frame.At, fmt.Sprintf(what, segmentName(s.head.Number), m.Name(), len(c.left))})
		return nil
	}
	saved := relay.Saved{Message: m, Unheard: c.unheard, Nodes: c.nodes}
	if !r.book.restore(c.entry, at, c.copied, len(c.left), &saved) {
		return nil
	}
	r.countIn(&saved)
	return r.give(saved)
}

// giveDone gives out, without nodes, the messages that are done and that the MTA may offer again: the mail log must name
// their recipients, who may get them twice. It comes last, because only then is it known that no copy of them is not done.
func (r *recovery) giveDone() error {
	for _, id := range slices.Sorted(maps.Keys(r.done)) {
		d := r.done[id]
		r.report.MaybeTwice += d.msg.RcptCount()
		r.unnamed[id] = true
		r.book.restoreDone(d.msg, d.at)
		if err := r.give(relay.Saved{Message: d.msg, Unheard: true}); err != nil {
			return err
		}
	}
	return nil
}

// countIn adds a message to the report. Of an unheard message all recipients count as "may be delivered twice", also those
// who are done: the MTA offers the message for all of them.
func (r *recovery) countIn(s *relay.Saved) {
	r.report.Messages++
	r.progress.messages.Add(1)
	begun := 0
	for _, n := range s.Nodes {
		r.report.Recipients += len(n.Rcpts)
		if n.Begun {
			begun += len(n.Rcpts)
		}
	}
	if s.Unheard {
		r.unnamed[s.Message.ID] = true
		r.report.MaybeTwice += s.Message.RcptCount()
	} else {
		r.report.MaybeTwice += begun
	}
}

// left lists the recipients who are not done. A copy says itself who was done when it was made. The mutex is held because
// messages of the same segment that were given out already are settled meanwhile, and share words of the vector.
func (r *recovery) left(seg *segment, t *format.Stand) []int {
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	for _, i := range t.Done {
		seg.done.Set(t.Base + uint32(i))
	}
	if t.Count == 1 && !seg.done.Has(t.Base) {
		return onlyOne
	}
	var left []int
	for i := range t.Count {
		if seg.done.Has(t.Base + uint32(i)) {
			continue
		}
		if left == nil {
			left = make([]int, 0, t.Count-i)
		}
		left = append(left, i)
	}
	return left
}

// onlyOne is what left gives for a message with one recipient who is not done, as most are. It is never changed.
var onlyOne = []int{0}
