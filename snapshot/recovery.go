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

// recovery is the state of one Recover. It runs on the caller's goroutine, and reads the journal twice: first what was
// decided, then the messages. Messages are given out one by one, in their order, so that only one segment is in memory.
type recovery struct {
	fs      fileSystem
	log     hclog.Logger
	book    *ledger
	segs    map[uint64]*segment // of earlier starts; the ledger's map changes while mail is taken
	salvage bool

	give    func(relay.Saved) error
	report  Report
	names   *format.Names
	bodies  map[[32]byte][]byte      // bodies given out, each once
	buf     []byte                   // the segment that is being read
	doubts  map[format.Node]bool     // nodes in doubt: a receiver may have the message
	unheard map[relay.ID]bool        // messages whose MTA may not know that they are taken
	done    map[relay.ID]relay.Saved // of the unheard messages, those that are done

	bodiless []bodiless // messages of this segment whose body cannot be read
}

// bodiless is a message without its body, and where its record stands.
type bodiless struct {
	at   int64
	what string
}

func newRecovery(fs fileSystem, log hclog.Logger, book *ledger, salvage bool) *recovery {
	book.mu.Lock()
	defer book.mu.Unlock()
	return &recovery{
		fs: fs, log: log, book: book, segs: maps.Clone(book.segs), salvage: salvage, names: format.NewNames(), bodies: make(map[[32]byte][]byte),
		doubts: make(map[format.Node]bool), unheard: make(map[relay.ID]bool), done: make(map[relay.ID]relay.Saved),
	}
}

// replay gives f what v found.
func (r *recovery) replay(v *survey, f func(relay.Saved) error) (Report, error) {
	start := time.Now()
	r.give = f
	head := &v.snap.Head
	r.report.Notes, r.report.Missing = v.notes, v.missing
	r.report.Clean = head.Flags&format.FlagClean != 0 && head.PrevEnd == v.newest
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

// handOn leaves the ledger as if this start had taken the messages: what is unheard stays in mind until it is named, and
// what nodes have learned is kept only for messages that are here. The first pass has read all of it, before it could know.
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

// outcomes is the first pass: it reads what was decided since the snapshot began.
func (r *recovery) outcomes(v *survey) error {
	for _, p := range v.snap.Soft {
		if err := format.ReadMarks(p, r.names, r.marksOf(0)); err != nil {
			return err
		}
	}
	v.snap.Soft = nil
	for i := range v.segments {
		if v.segments[i].head.Number < v.snap.Head.Prev {
			continue
		}
		if err := r.outcomesOf(&v.segments[i]); err != nil {
			return err
		}
	}
	return nil
}

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
			// The second pass tells of one that cannot be read.
			if t, err := format.DecodeTake(f.Payload, r.names); err == nil {
				r.met(s, t, bodies)
			}
		}
		return nil
	})
}

// tolerate notes a record that checks and still makes no sense, and goes on: to refuse everything because of one would
// help nobody.
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
			} else {
				r.unheard[relay.ID(id)] = true
			}
		},
	}
}

// met is told of each take in the first pass: the MTA may not know of a new one until a mark says so, and a copy that can
// be used takes the place of what it was made from.
func (r *recovery) met(in *found, t *format.TakeRecord, bodies map[uint32]bool) {
	switch {
	case !t.Copied:
		if in.head.Version >= format.VersionHeard {
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

// load reads a segment for a scan; nil when it cannot be read and salvage goes on without it.
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
	delete(r.book.segs, s.head.Number)
	r.book.mu.Unlock()
	return what, err
}

// restoreAll is the second pass: it gives out what is not done.
func (r *recovery) restoreAll(v *survey) error {
	for i := range v.segments {
		if err := r.messagesOf(&v.segments[i]); err != nil {
			return err
		}
	}
	return r.giveDone()
}

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

// restoreOne gives out one message, if there is something left to do for it.
func (r *recovery) restoreOne(s *found, f format.Frame, bodies map[uint32]format.Body) error {
	t, err := format.DecodeTake(f.Payload, r.names)
	if err != nil {
		return err
	}
	seg := r.segs[s.head.Number]
	left := r.left(seg, t)
	r.report.Done += len(t.Rcpts) - len(left)
	m := messageOf(t)
	saved := relay.Saved{Message: m, Unheard: r.unheard[m.ID]}
	if len(left) == 0 {
		if saved.Unheard {
			r.done[m.ID] = saved // unless a copy of it, in a later segment, is not
		}
		return nil
	}
	delete(r.done, m.ID)
	b, ok := bodies[t.Body]
	if !ok {
		r.bodiless = append(r.bodiless, bodiless{f.At, fmt.Sprintf("%s: message %s from <%s>, %d recipients: its body cannot be read",
			segmentName(s.head.Number), m.Name(), m.From, len(left))})
		return nil
	}
	m.Body = r.shareBody(b)
	saved.Nodes = r.nodes(t, left)
	if !r.book.restore(&entry{msg: m, nodeOf: t.Nodes, acked: true, waits: true}, place{seg, t.Base}, len(left), saved.Nodes) {
		return nil
	}
	r.countIn(&saved)
	return r.give(saved)
}

// giveDone gives out the messages that are done and that the MTA may offer again.
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

func (r *recovery) countIn(s *relay.Saved) {
	r.report.Messages++
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

// left lists the recipients not done. A copy says itself who was done when it was made. The mutex is held because messages
// of the same segment that were given out already are settled meanwhile, in the same words of the vector.
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

// shareBody returns a body as the one slice all its messages share.
func (r *recovery) shareBody(b format.Body) []byte {
	if body, ok := r.bodies[b.Sum]; ok {
		return body
	}
	body := append(make([]byte, 0, len(b.Content)), b.Content...)
	r.bodies[b.Sum] = body
	return body
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

func (r *recovery) node(t *format.TakeRecord, index int) relay.SavedNode {
	k := format.Node{ID: t.ID, Index: uint32(index)}
	n := relay.SavedNode{Index: index, Class: t.Class, Begun: r.doubts[k]}
	if s, ok := r.book.waits.of(k); ok {
		n.Class, n.Visits, n.Due, n.Reason = s.Class, s.Visits, s.DueTime(), s.Reason
	}
	return n
}

// endSegment ends the reading of a segment: what does not check is kept aside, a torn tail is cut off, and what was read is
// made durable, because this start builds on it.
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

// tellBodiless tells of the messages without a body: as lost, or, in a commit that may never have ended, as a note.
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

// cut takes off what follows the last frame of a segment no successor has ended.
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
