package format

import (
	"encoding/binary"
	"time"
)

// A frame of marks is a sequence of
//
//	1 · uvarint segment · uvarint position             the recipient is done, and is not counted
//	2 · uvarint id · uvarint node · wait               the node waits, and no receiver has it; ends mark 3
//	3 · uvarint id · uvarint node                      delivery of the node was started; in force until mark 2 or the message's end
//	4 · uvarint id                                     versions 1 and 2: the MTA has heard that the message is taken
//	5 · uvarint id                                     the MTA may not have heard it. Written in a snapshot (a message without
//	                                                   mark 5 there is known to the MTA); versions 1 and 2: also next to a copy
//	6 · uvarint segment · uvarint position · byte why  the recipient is done
//	7 · as 6 · uvarint count                           so are the count recipients from position on, who are of one message
//	8 · as 2                                           so, after a visit, which is counted
//	9 · uvarint segment · uvarint position             the MTA has heard of the message whose first recipient is there
//
// where wait is uvarint visits · varint due (Unix nanoseconds, 0 none) · string class · string reason. Each mark overrules
// the marks before it about the same thing. A mark that names a segment that no longer exists says nothing.
const (
	markDone     = 1
	markWait     = 2
	markBegun    = 3
	markHeardID  = 4
	markUnheard  = 5
	markDoneWhy  = 6
	markDoneAll  = 7
	markDeferred = 8
	markHeard    = 9
)

// MaxReason bounds what is kept of a receiver's reply. The reply is kept for people to read, and a receiver chooses its
// length.
const MaxReason = 512

// Node names one node of a message.
type Node struct {
	ID    uint64 // of the message
	Index uint32 // of the node in its message
}

// Wait is what a node has learned while it waited. Losing it costs a visit too early, never mail.
type Wait struct {
	Visits int
	Due    int64 // Unix nanoseconds, 0 for none: an integer, because a million of them are kept in RAM
	Class  string
	Reason string
}

// DueTime is Due, or the zero time when the node may be visited at once.
func (w Wait) DueTime() time.Time {
	if w.Due == 0 {
		return time.Time{}
	}
	return time.Unix(0, w.Due)
}

// AppendDone writes mark 6, or mark 1 for a recipient who is not counted.
func AppendDone(b []byte, segment uint64, position uint32, why Why) []byte {
	if why == WhyUnknown {
		return appendPlace(append(b, markDone), segment, position)
	}
	return append(appendPlace(append(b, markDoneWhy), segment, position), byte(why))
}

// AppendDoneAll writes mark 7 for the n recipients of a message from position on.
func AppendDoneAll(b []byte, segment uint64, position uint32, why Why, n int) []byte {
	b = append(appendPlace(append(b, markDoneAll), segment, position), byte(why))
	return binary.AppendUvarint(b, uint64(n))
}

// AppendWait writes mark 2.
func AppendWait(b []byte, n Node, w Wait) []byte { return appendWait(append(b, markWait), n, w) }

// AppendDeferred writes mark 8.
func AppendDeferred(b []byte, n Node, w Wait) []byte {
	return appendWait(append(b, markDeferred), n, w)
}

func appendWait(b []byte, n Node, w Wait) []byte {
	b = appendNode(b, n)
	b = binary.AppendUvarint(b, uint64(w.Visits))
	b = binary.AppendVarint(b, w.Due)
	b = appendString(b, w.Class)
	return appendString(b, w.Reason)
}

// AppendBegun writes mark 3.
func AppendBegun(b []byte, n Node) []byte { return appendNode(append(b, markBegun), n) }

// AppendHeard writes mark 9.
func AppendHeard(b []byte, segment uint64, position uint32) []byte {
	return appendPlace(append(b, markHeard), segment, position)
}

// AppendUnheard writes mark 5.
func AppendUnheard(b []byte, id uint64) []byte {
	return binary.AppendUvarint(append(b, markUnheard), id)
}

func appendNode(b []byte, n Node) []byte {
	b = binary.AppendUvarint(b, n.ID)
	return binary.AppendUvarint(b, uint64(n.Index))
}

func appendPlace(b []byte, segment uint64, position uint32) []byte {
	b = binary.AppendUvarint(b, segment)
	return binary.AppendUvarint(b, uint64(position))
}

// Marks is told of each mark that is read. All functions are set.
type Marks struct {
	Done    func(segment uint64, position, n uint32, why Why)
	Waits   func(n Node, w Wait, deferred bool)
	Begun   func(Node)
	HeardID func(id uint64, heard bool)
	Heard   func(segment uint64, position uint32)
}

// ReadMarks tells to of each mark in p, in order. Marks before a malformed one have been told when it returns
// ErrMalformed: each mark stands for itself.
func ReadMarks(p []byte, names *Names, to Marks) error {
	d := decode(p)
	for len(d.Rest) > 0 {
		d.mark(names, &to)
		if d.Bad {
			return ErrMalformed
		}
	}
	return nil
}

// mark reads one mark.
func (d *decoder) mark(names *Names, to *Marks) {
	switch mark := d.Byte(); mark {
	case markDone, markDoneWhy, markDoneAll:
		d.done(mark, to)
	case markWait, markDeferred:
		n := d.node()
		w := Wait{Visits: int(d.UpTo(MaxPosition)), Due: d.Varint(), Class: names.Intern(d.bytes()), Reason: names.Intern(d.bytes())}
		if !d.Bad {
			to.Waits(n, w, mark == markDeferred)
		}
	case markBegun:
		if n := d.node(); !d.Bad {
			to.Begun(n)
		}
	case markHeardID, markUnheard:
		if id := d.Uvarint(); !d.Bad {
			to.HeardID(id, mark == markHeardID)
		}
	case markHeard:
		if seg, pos := d.place(); !d.Bad {
			to.Heard(seg, pos)
		}
	default:
		d.Fail()
	}
}

// done reads what follows the number of a mark 1, 6 or 7.
func (d *decoder) done(mark byte, to *Marks) {
	seg, pos := d.place()
	n, why := uint64(1), WhyUnknown
	if mark != markDone {
		if why = Why(d.Byte()); why == WhyUnknown || why >= whys {
			d.Fail()
		}
	}
	if mark == markDoneAll {
		n = d.UpTo(MaxPosition)
	}
	if n == 0 || uint64(pos)+n > MaxPosition+1 {
		d.Fail()
	}
	if !d.Bad {
		to.Done(seg, pos, uint32(n), why)
	}
}

func (d *decoder) place() (segment uint64, position uint32) {
	return d.Uvarint(), uint32(d.UpTo(MaxPosition))
}

func (d *decoder) node() Node { return Node{ID: d.Uvarint(), Index: uint32(d.UpTo(MaxPosition))} }
