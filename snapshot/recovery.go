package snapshot

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// recovery is the state of one Recover.
type recovery struct {
	a      *Agent
	give   func(relay.Saved) error
	report Report
	names  *format.Names
	bodies map[[32]byte][]byte      // bodies given out, each once
	buf    []byte                   // the segment that is being read
	begun  map[format.Node]bool     // nodes that were being sent
	deaf   map[relay.ID]bool        // messages of which the MTA may not know that they are taken
	done   map[relay.ID]relay.Saved // of them, those that are done

	bodiless []bodiless // messages of this segment whose body cannot be read
}

// bodiless is a message without its body, and where its record stands.
type bodiless struct {
	at   int64
	what string
}

// Recover gives f each message that has recipients who are not done, in the order in which they were taken, and then those
// that are done and that the MTA may offer again. When f returns, the message must be as it stays: the agent may write it
// again. Take and Event may be called meanwhile, Event also for messages f has been given. Recover is called once. An error
// of f ends it and is returned.
func (a *Agent) Recover(f func(relay.Saved) error) (Report, error) {
	start := time.Now()
	r := &recovery{
		a: a, give: f, names: format.NewNames(), bodies: make(map[[32]byte][]byte),
		begun: make(map[format.Node]bool), deaf: make(map[relay.ID]bool), done: make(map[relay.ID]relay.Saved),
	}
	v := a.found
	if v == nil {
		return Report{}, errors.New("recovered already")
	}
	a.found = nil
	r.report.Notes, r.report.Missing = v.notes, v.missing
	r.report.Clean = v.snap.Head.Flags&format.FlagClean != 0 && v.snap.Head.PrevEnd == v.newest
	if err := r.outcomes(v); err != nil {
		return r.report, err
	}
	if err := r.messages(v); err != nil {
		return r.report, err
	}
	a.handOn(r.deaf)
	r.report.Took = time.Since(start)
	a.complete(r.report)
	return r.report, nil
}

// manySegments is so many that a snapshot is taken at once: of a daemon that ends again and again before it takes one, the
// segments would fill the disk.
const manySegments = 16

// complete ends the recovery: from now on snapshots are taken.
func (a *Agent) complete(r Report) {
	for i := range a.soft {
		a.mu.Lock()
		a.soft[i].prune(a.hasMessage)
		a.mu.Unlock()
	}
	a.mu.Lock()
	a.recovered, a.report = true, r
	many := len(a.segs) > manySegments
	a.mu.Unlock()
	if many {
		a.crowded <- struct{}{}
	}
	if r.Healthy() {
		a.log.Info(r.String())
		return
	}
	a.log.Error(r.String())
	for _, s := range slices.Concat(r.Missing, r.Damaged, r.Lost) {
		a.log.Error("lost or damaged", "what", s)
	}
}

// outcomes is the first pass: it reads what was decided since the snapshot began.
func (r *recovery) outcomes(v *survey) error {
	for _, p := range v.snap.Soft {
		if err := format.ReadMarks(p, r.names, r.marks(0)); err != nil {
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
			return r.tolerate(sc, f, format.ReadMarks(f.Payload, r.names, r.marks(s.head.Number)))
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

// marks applies marks found in segment in to the vectors and the soft state. A mark of a later segment is of one that
// never came to the disk: its number may have been given out again by a later start.
func (r *recovery) marks(in uint64) format.Marks {
	return format.Marks{
		Done: func(segment uint64, position uint32) {
			if s := r.a.segs[segment]; s != nil && segment <= in {
				s.done.Set(position)
			}
		},
		Waits: func(k format.Node, s format.Wait) {
			r.a.soft.put(k, s)
			delete(r.begun, k)
		},
		Begun: func(k format.Node) { r.begun[k] = true },
		Heard: func(id uint64, heard bool) {
			if heard {
				delete(r.deaf, relay.ID(id))
			} else {
				r.deaf[relay.ID(id)] = true
			}
		},
	}
}

// met is told of each take in the first pass: the MTA may not know of a new one until a mark says so, and a copy that can
// be used takes the place of what it was made from.
func (r *recovery) met(in *found, t *format.Take, bodies map[uint32]bool) {
	switch {
	case !t.Copied:
		if in.head.Version >= format.VersionHeard {
			r.deaf[relay.ID(t.ID)] = true
		}
	case bodies[t.Body] && t.Origin.Segment < in.head.Number:
		if s := r.a.segs[t.Origin.Segment]; s != nil {
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
	data, err := readFile(r.a.fs, name, r.buf, maxSegment)
	if err != nil {
		if !r.a.cfg.salvage {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		s.bad = err
		what, err := r.a.setAside(s)
		r.report.Missing, r.report.Notes = append(r.report.Missing, what), append(r.report.Notes, knownInPart)
		return nil, err
	}
	r.buf = data
	if s.end > 0 && s.end < uint64(len(data)) {
		data = data[:s.end]
	}
	return format.NewScan(name, data, s.head, int64(s.sure)), nil
}

// messages is the second pass: it gives out what is not done.
func (r *recovery) messages(v *survey) error {
	for i := range v.segments {
		if err := r.messagesOf(&v.segments[i]); err != nil {
			return err
		}
	}
	return r.tell()
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
			return r.tolerate(sc, f, r.message(s, f, bodies))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.close(s, sc)
}

// message gives out one message, if there is something left to do for it.
func (r *recovery) message(s *found, f format.Frame, bodies map[uint32]format.Body) error {
	t, err := format.DecodeTake(f.Payload, r.names)
	if err != nil {
		return err
	}
	seg := r.a.segs[s.head.Number]
	for _, i := range t.Done {
		seg.done.Set(t.Base + uint32(i))
	}
	left := r.left(seg, t)
	r.report.Done += len(t.Rcpts) - len(left)
	m := messageOf(t)
	saved := relay.Saved{Message: m, Unheard: r.deaf[m.ID]}
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
	m.Body = r.body(b)
	saved.Nodes = r.nodes(t, left)
	if !r.a.restore(seg, t.Base, &entry{msg: m, nodeOf: t.Nodes, acked: true, waits: true}, len(left), saved.Nodes) {
		return nil
	}
	r.count(&saved)
	return r.give(saved)
}

// tell gives out the messages that are done and that the MTA may offer again.
func (r *recovery) tell() error {
	for _, id := range slices.Sorted(maps.Keys(r.done)) {
		s := r.done[id]
		r.report.MaybeTwice += len(s.Message.Rcpts)
		if err := r.give(s); err != nil {
			return err
		}
	}
	return nil
}

func (r *recovery) count(s *relay.Saved) {
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

// left lists the recipients not done. Only this goroutine changes bits of messages not yet given out.
func (r *recovery) left(seg *segment, t *format.Take) []int {
	r.a.mu.Lock()
	defer r.a.mu.Unlock()
	left := make([]int, 0, len(t.Rcpts))
	for i := range t.Rcpts {
		if !seg.done.Has(t.Base + uint32(i)) {
			left = append(left, i)
		}
	}
	return left
}

// body returns a body as the one slice all its messages share.
func (r *recovery) body(b format.Body) []byte {
	if body, ok := r.bodies[b.Sum]; ok {
		return body
	}
	body := append(make([]byte, 0, len(b.Content)), b.Content...)
	r.bodies[b.Sum] = body
	return body
}

// restore enters a message found in seg, with open recipients. It reports false when the message is known already.
func (a *Agent) restore(seg *segment, base uint32, e *entry, open int, nodes []relay.SavedNode) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.where[e.msg.ID] != nil {
		return false
	}
	e.stand(place{seg, base})
	seg.open += open
	seg.total = max(seg.total, base+uint32(len(e.msg.Rcpts)))
	a.where[e.msg.ID] = e
	for _, n := range nodes {
		if n.Begun { // still true when we end before it is decided
			a.begun[format.Node{ID: uint64(e.msg.ID), Index: uint32(n.Index)}] = doubt{before: true}
		}
	}
	return true
}

// nodes puts the recipients that are left back into their nodes, each with what it had learned.
func (r *recovery) nodes(t *format.Take, left []int) []relay.SavedNode {
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

func (r *recovery) node(t *format.Take, index int) relay.SavedNode {
	k := format.Node{ID: t.ID, Index: uint32(index)}
	n := relay.SavedNode{Index: index, Class: t.Class, Begun: r.begun[k]}
	if s, ok := r.a.soft.at(k); ok {
		n.Class, n.Visits, n.Due, n.Reason = s.Class, s.Visits, s.Time(), s.Reason
	}
	return n
}

// close ends the reading of a segment: what does not check is kept aside, a torn tail is cut off, and what was read is
// made durable, because this start builds on it.
func (r *recovery) close(s *found, sc *format.Scan) error {
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
	r.a.mu.Lock()
	seg := r.a.segs[s.head.Number]
	seg.limit, seg.sure = uint64(sc.End), uint64(sure)
	r.a.mu.Unlock()
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
	f, err := r.a.fs.Open(segmentName(s.head.Number))
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
