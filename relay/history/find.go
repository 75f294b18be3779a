package history

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// Bounds of one look-up, so that its memory and its time have some.
const (
	MostMessages = 1000    // that one look-up can find
	mostLines    = 10_000  // of one message
	mostReads    = 200_000 // records looked at
)

// ErrOff is returned when the history keeps nothing.
var ErrOff = errors.New(`no history is kept: keep = "off" under [history]`)

// Query says which messages are looked for, by one of three names.
type Query struct {
	Recipient string // an address, in either case
	ID        string // the MTA's queue id or ours
	MessageID string // with angle brackets or without

	Most int // messages; the latest are found
}

// Found is what a look-up has found.
type Found struct {
	Messages []Message // the latest first
	More     bool      // there are older ones
	Since    time.Time // how far back the history goes; zero: it is empty
	Gaps     []Gap     // when events were missed, the latest last
}

// Message is what the history knows of one message.
type Message struct {
	ID      relay.ID
	Taken   *Taken // nil: that is not in the history, or no more
	Lines   []Line // in the order in which they were written
	Cut     bool   // there are more lines
	Ended   bool   // all recipients have a final outcome, or the one that was asked for
	Settled bool   // and the senders of those that failed are told, or need not be
}

// Taken is how a message came.
type Taken struct {
	Time, Arrived      time.Time
	QueueID, MessageID string
	Sender             string
	Rule, Client       string
	Flow               relay.FlowName
	Size               int64
	Rcpts              int  // how many recipients it has
	Notice             bool // a notification of our own
}

// LineKind says what a Line is about.
type LineKind int

// The kinds of lines.
const (
	Settled     LineKind = iota // an answer, or an end
	Reported                    // the sender was told of the failure, or need not be told
	Unheard                     // the MTA may offer the message again
	Interrupted                 // the daemon ended while it was sent
)

// Line is one thing that happened to a message.
type Line struct {
	Time      time.Time
	Kind      LineKind
	Rcpt      int
	Recipient string // "" when the message's reception is not known

	// Settled
	Outcome relay.Outcome
	Code    int    // of the reply; 0: there was none
	Reply   string // enhanced code and text
	Relay   string
	Site    string
	ConnUse int
	Delays  relay.Delays
	Twice   bool // the receiver may have it, and it is sent again
	Inject  bool // it went to our own MTA

	Report string // Reported: name of the notification; "": nobody need be told
}

// Gap says that events are missing.
type Gap struct {
	Since, Until time.Time
	Events       int64
}

// Find looks for messages. It sees all that was told before.
func (h *History) Find(q Query) (Found, error) {
	if h.off.Load() {
		return Found{}, ErrOff
	}
	s, err := newSearch(q)
	if err != nil {
		return Found{}, err
	}
	segments, since, err := h.view()
	if err != nil {
		return Found{}, fmt.Errorf("history: %w", err)
	}
	s.h = h
	s.found.Since = since
	s.look(segments)
	s.collect(segments)
	s.close()
	if s.err != nil {
		return Found{}, fmt.Errorf("history: %w", s.err)
	}
	return s.result(), nil
}

// view writes what was told and returns the segments, the oldest first.
func (h *History) view() ([]*segment, time.Time, error) {
	h.writeMu.Lock()
	defer h.writeMu.Unlock()
	_ = h.flush() // what is on the disk can be read all the same
	if err := h.ready(time.Now()); err != nil && h.shelf == nil {
		return nil, time.Time{}, err
	}
	return slices.Clone(h.shelf.segments), h.shelf.oldest(), nil
}

// search is one look-up.
type search struct {
	h     *History
	query Query
	keys  []key
	ids   []uint64 // of ours that the name stands for
	rcpt  []byte   // in lower case

	found  Found
	hits   []*hit
	known  map[uint64]*hit
	reads  int
	reader *reader
	err    error // a segment could not be read now: that it has nothing must not be said
}

// hit is a message on its way into Found.
type hit struct {
	Message
	from  int            // the segment from which on its records stand
	rcpts map[int]string // recipients by number; only those that were asked for
	final map[int]bool   // those that have a final outcome
	ends  map[int]bool   // those that are settled

	wanted int // recipients that were asked for
}

func newHit(id uint64, from int) *hit {
	return &hit{
		Message: Message{ID: relay.ID(id)}, from: from,
		rcpts: make(map[int]string), final: make(map[int]bool), ends: make(map[int]bool),
	}
}

// newSearch makes the keys of a query.
func newSearch(q Query) (*search, error) {
	s := &search{query: q, known: make(map[uint64]*hit)}
	s.query.Most = min(max(q.Most, 1), MostMessages)
	switch {
	case q.Recipient != "":
		s.rcpt = appendLower(nil, []byte(q.Recipient[:min(len(q.Recipient), maxAddress)]))
		s.keys = []key{keyOf(keyRcpt, s.rcpt)}
	case q.ID != "":
		s.keys = []key{keyOf(keyQueueID, []byte(q.ID))}
		if id, ok := relay.ParseID(strings.ToUpper(q.ID)); ok {
			s.ids = append(s.ids, uint64(id))
			s.keys = append(s.keys, keyOfID(uint64(id)))
		}
	case q.MessageID != "":
		s.query.MessageID = trimMessageID(q.MessageID)
		s.keys = []key{keyOf(keyMessageID, []byte(s.query.MessageID))}
	default:
		return nil, errors.New("history: no name to look for")
	}
	return s, nil
}

// trimMessageID takes the angle brackets off, as the key has it.
func trimMessageID(id string) string {
	id = strings.TrimSpace(id)
	if inner, ok := strings.CutPrefix(id, "<"); ok && strings.HasSuffix(inner, ">") {
		id = strings.TrimSuffix(inner, ">")
	}
	return id[:min(len(id), maxMessageID)]
}

// look finds the messages, from the latest segment back.
func (s *search) look(segments []*segment) {
	for i, x := range slices.Backward(segments) {
		for _, k := range s.keys {
			s.each(x, k, func(n *note) bool {
				if s.known[n.id] != nil {
					return k != keyOfID(n.id) // what else an id of ours has is for collect
				}
				if !s.matches(n) {
					return true
				}
				if len(s.hits) == s.query.Most {
					s.found.More = true
					return false
				}
				// A message with many recipients may begin in the segment before.
				m := newHit(n.id, max(i-1, 0))
				if n.kind == kindTaken {
					m.taken(s, n)
				} else {
					m.from = 0
				}
				s.known[n.id], s.hits = m, append(s.hits, m)
				return true
			})
			if s.found.More {
				break
			}
		}
		s.close()
		if s.found.More {
			return
		}
	}
}

// matches reports whether a record is one of the query's, and not only one with the same key.
func (s *search) matches(n *note) bool {
	switch {
	case slices.Contains(s.ids, n.id):
		return true
	case n.kind != kindTaken:
		return false
	case s.query.Recipient != "":
		return slices.ContainsFunc(n.rcpts, s.asked)
	case s.query.ID != "":
		return string(n.queueID) == s.query.ID
	}
	return string(n.messageID) == s.query.MessageID || torn(n.messageID, []byte(s.query.MessageID))
}

// asked reports whether an address is the one that was asked for, if one was.
func (s *search) asked(addr []byte) bool {
	if s.rcpt == nil {
		return true
	}
	lower := appendLower(nil, addr)
	return bytes.Equal(lower, s.rcpt) || torn(lower, s.rcpt)
}

// torn reports whether a string is the one that was asked for as far as it can be read. The key, which is made of all of it, was found.
func torn(s, asked []byte) bool {
	head, ok := bytes.CutSuffix(s, lost)
	return ok && bytes.HasPrefix(asked, head)
}

// collect reads all records of the messages, from the oldest segment on. It leaves a message out of the segments behind its end.
func (s *search) collect(segments []*segment) {
	for i, x := range segments {
		for _, m := range s.hits {
			if i < m.from || m.done() {
				continue
			}
			s.gather(x, m)
		}
		s.gaps(x)
		s.close()
	}
}

// mostGaps is how many gaps are told of; the latest are.
const mostGaps = 10

// gaps reads what is missing in a segment.
func (s *search) gaps(x *segment) {
	var some []Gap
	s.each(x, keyOf(keyGap, nil), func(n *note) bool {
		some = append(some, Gap{Since: time.UnixMilli(n.since), Until: time.UnixMilli(n.time), Events: n.count})
		return len(some) < mostGaps
	})
	slices.Reverse(some)
	s.found.Gaps = append(s.found.Gaps, some...)
	s.found.Gaps = s.found.Gaps[max(0, len(s.found.Gaps)-mostGaps):]
}

// gather reads the records of one message in one segment.
func (s *search) gather(x *segment, m *hit) {
	var offsets []int64
	s.offsets(x, keyOfID(uint64(m.ID)), func(at int64) bool {
		offsets = append(offsets, at)
		return len(offsets) < mostReads-s.reads
	})
	for _, at := range slices.Backward(offsets) {
		if n := s.read(x, at); n != nil && n.id == uint64(m.ID) {
			m.add(s, n)
		}
	}
}

// add takes up one record.
func (m *hit) add(s *search, n *note) {
	if n.kind == kindTaken {
		m.taken(s, n)
		return
	}
	name, ok := m.rcpts[n.rcpt]
	if s.rcpt != nil && !ok {
		return
	}
	if ends(n) {
		m.ends[n.rcpt] = true
	}
	if n.kind == kindSettled && outcomeOf(n).Final() {
		m.final[n.rcpt] = true
	}
	if len(m.Lines) == mostLines {
		m.Cut = true
		return
	}
	m.Lines = append(m.Lines, lineOf(n, name))
}

// ends reports whether a record is the end of its recipient. One that has failed is at the end when its sender need not be told any
// more.
func ends(n *note) bool {
	o := outcomeOf(n)
	return n.kind == kindReported || n.kind == kindSettled && (o == relay.Sent || o == relay.HandedBack || o == relay.Deleted)
}

// outcomeOf is the outcome of a record, whatever stands there.
func outcomeOf(n *note) relay.Outcome {
	return min(relay.Outcome(n.outcome&outcomeBits), relay.Deleted)
}

func (m *hit) taken(s *search, n *note) {
	for i, r := range n.rcpts {
		if s.asked(r) && len(m.rcpts) < mostLines {
			m.rcpts[n.first+i] = string(r)
		}
	}
	if m.Taken == nil {
		m.Taken = takenOf(n)
	}
	if m.wanted = n.total; s.rcpt != nil {
		m.wanted = len(m.rcpts)
	}
}

// done reports whether nothing more can have happened to those who were asked for: to one recipient, or to all.
func (m *hit) done() bool {
	if m.Taken == nil || len(m.rcpts) == 0 {
		return false
	}
	return len(m.ends) == m.wanted
}

func takenOf(n *note) *Taken {
	t := time.UnixMilli(n.time)
	return &Taken{
		Time: t, Arrived: t.Add(-time.Duration(n.before) * time.Millisecond), QueueID: string(n.queueID), MessageID: string(n.messageID),
		Sender: string(n.from), Rule: string(n.rule), Client: string(n.client), Size: n.size, Rcpts: n.total, Notice: n.flags&flagNotice != 0,
		Flow: relay.FlowName{Tenant: string(n.tenant), Name: string(n.campaign), Sender: string(n.domain)},
	}
}

func lineOf(n *note, name string) Line {
	l := Line{Time: time.UnixMilli(n.time), Rcpt: n.rcpt, Recipient: name}
	switch n.kind {
	case kindReported:
		l.Kind, l.Report = Reported, string(n.report)
		return l
	case kindDoubt:
		l.Kind = Unheard
		if n.why == doubtInterrupted {
			l.Kind = Interrupted
		}
		return l
	}
	l.Outcome = outcomeOf(n)
	l.Twice, l.Inject = n.outcome&flagTwice != 0, n.outcome&flagInject != 0
	l.Code, l.Reply, l.Relay, l.Site, l.ConnUse = n.code, string(n.reply), string(n.relay), string(n.site), n.use
	for i, part := range [...]*time.Duration{&l.Delays.Before, &l.Delays.Queue, &l.Delays.Setup, &l.Delays.Transmit} {
		*part = time.Duration(n.delays[i]) * time.Millisecond
	}
	return l
}

// result is what was found. Two keys may have found the messages in another order than that of time.
func (s *search) result() Found {
	for _, m := range s.hits {
		m.Settled, m.Ended = m.done(), m.Taken != nil && len(m.rcpts) > 0 && len(m.final) == m.wanted
		s.found.Messages = append(s.found.Messages, m.Message)
	}
	s.found.More = s.found.More || s.reads >= mostReads
	return s.found
}

// each calls yield with the records of a key in one segment, the latest first, until it returns false.
func (s *search) each(x *segment, k key, yield func(*note) bool) {
	s.offsets(x, k, func(at int64) bool {
		n := s.read(x, at)
		return s.reads < mostReads && (n == nil || yield(n))
	})
}

// offsets calls yield with the offsets of a key in a segment, the largest first, until it returns false. A segment that was removed
// meanwhile has none.
func (s *search) offsets(x *segment, k key, yield func(int64) bool) {
	if x.closed != "" || s.err != nil {
		return
	}
	if offsets, ok := s.h.unclosed(x, k); ok {
		for _, at := range offsets {
			if !yield(at) {
				return
			}
		}
		return
	}
	r, err := s.open(x)
	if err == nil {
		err = r.find(s.h.deps.Dir, k, yield)
	}
	if lasting(err) {
		s.h.deps.Log.Warn("a segment of the history cannot be searched", "segment", segmentName(x.number), "error", err)
	}
	s.fail(err)
}

// fail keeps an error that passes, such as having no descriptor. That a segment was removed meanwhile is none.
func (s *search) fail(err error) {
	if s.err == nil && !lasting(err) && !errors.Is(err, fs.ErrNotExist) {
		s.err = err
	}
}

// unclosed returns the offsets of a key in the segment that is being written. It reports false for any other.
func (h *History) unclosed(x *segment, k key) (offsets []int64, ok bool) {
	h.writeMu.Lock()
	defer h.writeMu.Unlock()
	if x.runs == nil {
		return nil, false
	}
	return x.runs.find(k), true
}

// read reads the record at an offset; nil if there is none that checks. It is valid until the next one is read.
func (s *search) read(x *segment, at int64) *note {
	s.reads++
	r, err := s.open(x)
	if err != nil {
		s.fail(err)
		return nil
	}
	return r.record(at)
}

// open returns the reader of a segment. There is one at a time.
func (s *search) open(x *segment) (*reader, error) {
	if s.reader != nil && s.reader.segment == x {
		return s.reader, nil
	}
	s.close()
	r, err := openReader(s.h.deps.Dir, x)
	if err == nil {
		s.reader = r
	}
	return r, err
}

func (s *search) close() {
	if s.reader != nil {
		s.reader.close()
		s.reader = nil
	}
}

// ReplyText is the reply as one line, its code first. What a stranger has put into it is harmless in a log and on a terminal.
func (l *Line) ReplyText() string {
	return smtp.Reply{Code: l.Code, Lines: []string{l.Reply}}.String()
}
