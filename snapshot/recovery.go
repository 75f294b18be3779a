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
	report   Report
	progress *progress

	names   *format.Names
	bodies  map[[32]byte]*relay.Wrapper // bodies given out, each once
	buf     []byte                      // the segment that is being read
	take    format.TakeRecord           // the record that is being read
	doubts  map[format.Node]bool        // nodes in doubt: a receiver may have the message
	told    uint64                      // number of the last segment about which a clean stop has said what is unheard; 0: none
	unheard map[relay.ID]bool           // messages whose MTA may not know that they are taken
	done    map[relay.ID]relay.Saved    // of the unheard messages, those that are done

	bodiless []bodiless // messages of this segment whose body cannot be read
}

// bodiless is a message without its body, and where its record stands.
type bodiless struct {
	at   int64
	what string
}

// newRecovery is called before the first message is given out, and while mail may be taken already.
func newRecovery(fs FileSystem, log hclog.Logger, book *ledger, salvage bool) *recovery {
	book.mu.Lock()
	defer book.mu.Unlock()
	return &recovery{
		fs: fs, log: log, book: book, segs: maps.Clone(book.segs), salvage: salvage, names: format.NewNames(), bodies: make(map[[32]byte]*relay.Wrapper),
		doubts: make(map[format.Node]bool), unheard: make(map[relay.ID]bool), done: make(map[relay.ID]relay.Saved),
	}
}

// replay gives f what v found. After an error the ledger is incomplete, and the keeper takes no snapshot of it.
func (r *recovery) replay(v *survey, f func(relay.Saved) error) (Report, error) {
	start := time.Now()
	r.give = f
	head := &v.snap.Head
	r.report.Notes, r.report.Missing = v.notes, v.missing
	if head.Flags&format.FlagClean != 0 {
		r.told = head.PrevEnd
	}
	r.report.Clean = r.told > 0 && r.told == v.newest
	if err := r.outcomes(v); err != nil {
		return r.report, err
	}
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
	b.doubts.handOn(r.unheard)
	b.mu.Unlock()
	for i := range b.waits {
		b.mu.Lock() // again for each shard: takes and outcomes get their turn
		b.waits[i].prune(func(id relay.ID) bool { return b.entries[id] != nil })
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

// outcomesOf reads one segment in the first pass. It knows the bodies of the segment so far, by number, because a copy counts
// only with its body.
func (r *recovery) outcomesOf(s *found) error {
	sc, err := r.load(s)
	if sc == nil {
		return err
	}
	bodies := make(map[uint32]bool)
	return sc.Each(func(f format.Frame) error {
		switch f.Kind {
		case format.KindMarks:
			return r.tolerate(sc, f, format.ReadMarks(f.Payload, r.names, r.marksOf(s.head.Number)))
		case format.KindBody:
			b, err := format.DecodeBody(f.Payload)
			bodies[b.Number] = err == nil
		case format.KindTake:
			// The second pass reports a malformed one. Reporting it here too would count it twice.
			if r.take.Decode(f.Payload, r.names) == nil {
				r.meet(s, &r.take, bodies)
			}
		}
		return nil
	})
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
		Done: func(segment uint64, position uint32) {
			if s := r.segs[segment]; s != nil && segment <= from {
				s.done.Set(position)
			}
		},
		Waits: func(k format.Node, s format.Wait) {
			r.book.waits.learn(k, s)
			delete(r.doubts, k)
		},
		Begun: func(k format.Node) { r.doubts[k] = true },
		Heard: func(id uint64, heard bool) {
			if heard {
				delete(r.unheard, relay.ID(id))
			} else if from == 0 || from > r.told {
				r.unheard[relay.ID(id)] = true
			}
		},
	}
}

// meet is called for each take of the first pass. A new message is unheard until a mark says otherwise, or the snapshot of a clean
// stop, which leaves out those whose MTA hung up: the door's log line has told of them, and no mark 4 ever comes. A copy whose body is
// there takes the place of what it was made from; a copy without its body is ignored, and the message stays where it was.
func (r *recovery) meet(in *found, t *format.TakeRecord, bodies map[uint32]bool) {
	switch {
	case !t.Copied:
		if in.head.Version >= format.VersionHeard && in.head.Number > r.told {
			r.unheard[relay.ID(t.ID)] = true
		}
	case bodies[t.Body] && t.Origin.Segment < in.head.Number:
		if s := r.segs[t.Origin.Segment]; s != nil {
			for i := range t.Rcpts {
				s.done.Set(t.Origin.Base + uint32(i))
			}
		}
	}
}

// load reads a segment for a scan. It returns nil and no error when the segment cannot be read and Salvage goes on without
// it. The buffer is reused: what outlives the segment is copied.
func (r *recovery) load(s *found) (*format.Scan, error) {
	if s.bad != nil {
		return nil, nil
	}
	name := segmentName(s.head.Number)
	data, err := readFile(r.fs, name, r.buf, maxSegment)
	if err != nil {
		if !r.salvage {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.bad = err
		what, err := r.setAside(s)
		r.report.Missing, r.report.Notes = append(r.report.Missing, what), append(r.report.Notes, knownInPart)
		return nil, err
	}
	r.buf = data
	if s.end > 0 && s.end < uint64(len(data)) {
		data = data[:s.end]
	}
	return format.NewScan(name, data, s.head, int64(s.sure)), nil
}

// setAside gives a segment that cannot be read another name and forgets it.
func (r *recovery) setAside(s *found) (string, error) {
	what, err := s.setAside(r.fs)
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	delete(r.segs, s.head.Number)
	delete(r.book.segs, s.head.Number)
	return what, err
}

// restoreAll is the second pass: it gives out what is not done. It reads all segments, also those before the snapshot: a
// message that waits for days stands where it was taken, or where it was last copied to.
func (r *recovery) restoreAll(v *survey) error {
	for i := range v.segments {
		if err := r.messagesOf(&v.segments[i]); err != nil {
			return err
		}
		r.progress.read.Add(1)
	}
	return r.giveDone()
}

// messagesOf reads one segment in the second pass. Its bodies stay in the buffer until a message needs one.
func (r *recovery) messagesOf(s *found) error {
	sc, err := r.load(s)
	if sc == nil {
		return err
	}
	bodies := make(map[uint32]format.Body)
	err = sc.Each(func(f format.Frame) error {
		switch f.Kind {
		case format.KindBody:
			b, err := format.DecodeBody(f.Payload)
			if err == nil {
				bodies[b.Number] = b
			}
			return r.tolerate(sc, f, err)
		case format.KindTake:
			return r.tolerate(sc, f, r.restoreOne(s, f, bodies))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.endSegment(s, sc)
}

// restoreOne gives out the message of a take frame, if some of its recipients are not done. The message is entered into the
// ledger before it is given out, because give may cause events about it at once.
func (r *recovery) restoreOne(s *found, f format.Frame, bodies map[uint32]format.Body) error {
	t := &r.take
	if err := t.Decode(f.Payload, r.names); err != nil {
		return err
	}
	seg := r.segs[s.head.Number]
	left := r.left(seg, t)
	r.report.Done += len(t.Rcpts) - len(left)
	unheard := r.unheard[relay.ID(t.ID)]
	if len(left) == 0 && !unheard {
		return nil
	}
	m := messageOf(t)
	saved := relay.Saved{Message: m, Unheard: unheard}
	if len(left) == 0 {
		r.done[m.ID] = saved // a later segment may hold a copy that is not done
		return nil
	}
	delete(r.done, m.ID)
	b, ok := bodies[t.Body]
	if !ok {
		r.bodiless = append(r.bodiless, bodiless{f.At, fmt.Sprintf("%s: message %s from <%s>, %d recipients: its body cannot be read",
			segmentName(s.head.Number), m.Name(), m.From, len(left))})
		return nil
	}
	m.Content = r.wrapperOf(b).Behind(slices.Concat(t.Trace, t.Header), factsOf(t))
	saved.Nodes = r.nodes(t, left)
	if !r.book.restore(&entry{msg: m, nodeOf: t.Nodes, acked: true, waits: true}, place{seg, t.Base}, len(left), saved.Nodes) {
		return nil
	}
	r.countIn(&saved)
	return r.give(saved)
}

// giveDone gives out, without nodes, the messages that are done and that the MTA may offer again: the mail log must name
// their recipients, who may get them twice. It comes last, because only then is it known that no copy of them is not done.
func (r *recovery) giveDone() error {
	for _, id := range slices.Sorted(maps.Keys(r.done)) {
		s := r.done[id]
		r.report.MaybeTwice += len(s.Message.Rcpts)
		if err := r.give(s); err != nil {
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
		r.report.MaybeTwice += len(s.Message.Rcpts)
	} else {
		r.report.MaybeTwice += begun
	}
}

// left lists the recipients who are not done. A copy says itself who was done when it was made. The mutex is held because
// messages of the same segment that were given out already are settled meanwhile, and share words of the vector.
func (r *recovery) left(seg *segment, t *format.TakeRecord) []int {
	r.book.mu.Lock()
	defer r.book.mu.Unlock()
	for _, i := range t.Done {
		seg.done.Set(t.Base + uint32(i))
	}
	left := make([]int, 0, len(t.Rcpts))
	for i := range t.Rcpts {
		if !seg.done.Has(t.Base + uint32(i)) {
			left = append(left, i)
		}
	}
	return left
}

// factsOf is what a record of an older format says of the bytes.
func factsOf(t *format.TakeRecord) relay.Facts {
	if t.EightBit {
		return relay.EightBitFacts
	}
	return 0
}

// wrapperOf returns the one wrapper that all messages with a body share, over all segments: a campaign has one body in each
// segment, and restoring it once for each would multiply the memory it takes.
func (r *recovery) wrapperOf(b format.Body) *relay.Wrapper {
	w := r.bodies[b.Sum]
	if w == nil {
		w = relay.NewWrapper(slices.Concat([]byte("\r\n"), b.Content))
		r.bodies[b.Sum] = w
	}
	return w
}

// nodes puts the recipients that are left back into their nodes, each with what it had learned.
func (r *recovery) nodes(t *format.TakeRecord, left []int) []relay.SavedNode {
	var nodes []relay.SavedNode
	at := make(map[int]int, 1)
	for _, i := range left {
		index := 0
		if t.Nodes != nil {
			index = int(t.Nodes[i])
		}
		n, ok := at[index]
		if !ok {
			n = len(nodes)
			at[index] = n
			nodes = append(nodes, r.node(t, index))
		}
		nodes[n].Rcpts = append(nodes[n].Rcpts, i)
	}
	return nodes
}

// node is the node of this index without recipients. One that never waited has the class the message was taken with.
func (r *recovery) node(t *format.TakeRecord, index int) relay.SavedNode {
	k := format.Node{ID: t.ID, Index: uint32(index)}
	n := relay.SavedNode{Index: index, Class: t.Class, Begun: r.doubts[k]}
	if s, ok := r.book.waits.of(k); ok {
		n.Class, n.Visits, n.Due, n.Reason = s.Class, s.Visits, s.DueTime(), s.Reason
	}
	return n
}

// endSegment ends the reading of a segment: it keeps aside what is damaged, cuts a torn tail off, and makes durable what was
// read. The last matters after a kill: what was only in the page cache was given out, and a power cut must not take it back.
func (r *recovery) endSegment(s *found, sc *format.Scan) error {
	if sc.Last.After(r.report.Until) {
		r.report.Until = sc.Last
	}
	for _, g := range sc.Damage {
		r.report.Damaged = append(r.report.Damaged, g.Error())
	}
	r.tellBodiless(sc)
	for _, g := range sc.Torn {
		r.report.Torn += g.To - g.From
	}
	if len(sc.Gaps) > 0 {
		r.report.Clean = false
		r.quarantine(s.head.Number, sc)
	}
	if s.end > 0 {
		return nil
	}
	sure := sc.End
	if len(sc.Torn) > 0 {
		sure = min(sure, sc.Torn[0].From)
	}
	r.book.mu.Lock()
	seg := r.segs[s.head.Number]
	seg.limit, seg.sure = uint64(sc.End), uint64(sure)
	r.book.mu.Unlock()
	return r.cut(s, sc)
}

// tellBodiless reports the messages without a body. One in a commit that ended is lost. In a commit that may never have
// ended, nobody was answered for it, and a note is enough.
func (r *recovery) tellBodiless(sc *format.Scan) {
	for _, b := range r.bodiless {
		if b.at < sc.Durable {
			r.report.Lost = append(r.report.Lost, b.what)
		} else {
			r.report.Notes = append(r.report.Notes, b.what+"; its commit is not known to have ended")
		}
	}
	r.bodiless = nil
}

// cut takes off what follows the last frame of a segment that no successor has ended: reserved space, or a torn tail. If the
// tail stayed, the next start would find and report it again.
func (r *recovery) cut(s *found, sc *format.Scan) error {
	f, err := r.fs.Open(segmentName(s.head.Number))
	if err != nil {
		return err
	}
	defer f.Close()
	if int64(len(sc.Data)) > sc.End {
		if err := f.Truncate(sc.End); err != nil {
			return err
		}
	}
	return f.Sync()
}
