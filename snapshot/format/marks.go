package format

import (
	"encoding/binary"
	"time"
)

// A frame of marks is a sequence of
//
//	1 · uvarint segment · uvarint position    the recipient is done
//	2 · uvarint id · uvarint node · wait      the node waits, and no receiver has it; ends mark 3
//	3 · uvarint id · uvarint node             delivery of the node was started; in force until mark 2 or the message's end
//	4 · uvarint id                            the MTA has heard that the message is taken
//	5 · uvarint id                            the MTA may not have heard it. Written in a snapshot (a message without mark 5
//	                                          there is known to the MTA) and next to a copied take record
//
// where wait is uvarint visits · varint due (Unix nanoseconds, 0 none) · string class · string reason. Each mark overrules
// the marks before it about the same thing. A mark 1 that names a segment that no longer exists says nothing.
const (
	markDone    = 1
	markWait    = 2
	markBegun   = 3
	markHeard   = 4
	markUnheard = 5
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

// AppendDone writes mark 1.
func AppendDone(b []byte, segment uint64, position uint32) []byte {
	b = binary.AppendUvarint(append(b, markDone), segment)
	return binary.AppendUvarint(b, uint64(position))
}

// AppendWait writes mark 2.
func AppendWait(b []byte, n Node, w Wait) []byte {
	b = appendNode(append(b, markWait), n)
	b = binary.AppendUvarint(b, uint64(w.Visits))
	b = binary.AppendVarint(b, w.Due)
	b = appendString(b, w.Class)
	return appendString(b, w.Reason)
}

// AppendBegun writes mark 3.
func AppendBegun(b []byte, n Node) []byte { return appendNode(append(b, markBegun), n) }

// AppendHeard writes mark 4.
func AppendHeard(b []byte, id uint64) []byte { return binary.AppendUvarint(append(b, markHeard), id) }

// AppendUnheard writes mark 5.
func AppendUnheard(b []byte, id uint64) []byte {
	return binary.AppendUvarint(append(b, markUnheard), id)
}

func appendNode(b []byte, n Node) []byte {
	b = binary.AppendUvarint(b, n.ID)
	return binary.AppendUvarint(b, uint64(n.Index))
}

// Marks is told of each mark that is read. All functions are set.
type Marks struct {
	Done  func(segment uint64, position uint32)
	Waits func(Node, Wait)
	Begun func(Node)
	Heard func(id uint64, heard bool)
}

// ReadMarks tells to of each mark in p, in order. Marks before a malformed one have been told when it returns
// ErrMalformed: each mark stands for itself.
func ReadMarks(p []byte, names *Names, to Marks) error {
	d := &decoder{b: p}
	for len(d.b) > 0 {
		switch mark := d.byte(); mark {
		case markDone:
			seg, pos := d.uvarint(), d.number(MaxPosition)
			if !d.bad {
				to.Done(seg, uint32(pos))
			}
		case markWait:
			n := d.node()
			w := Wait{Visits: int(d.number(MaxPosition)), Due: d.varint(), Class: names.Intern(d.bytes()), Reason: names.Intern(d.bytes())}
			if !d.bad {
				to.Waits(n, w)
			}
		case markBegun:
			if n := d.node(); !d.bad {
				to.Begun(n)
			}
		case markHeard, markUnheard:
			if id := d.uvarint(); !d.bad {
				to.Heard(id, mark == markHeard)
			}
		default:
			d.fail()
		}
		if d.bad {
			return ErrMalformed
		}
	}
	return nil
}

func (d *decoder) node() Node { return Node{ID: d.uvarint(), Index: uint32(d.number(MaxPosition))} }
