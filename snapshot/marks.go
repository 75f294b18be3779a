package snapshot

import (
	"encoding/binary"

	"github.com/millrace/millrace/relay"
)

// Marks are what was decided about messages. A frame of them is a sequence of
//
//	1 · uvarint segment · uvarint position                                   the recipient is done
//	2 · uvarint id · uvarint node · soft state                               the node waits
//	3 · uvarint id · uvarint node                                            the node is being sent, or may have been; until mark 2, unless this follows it again
//	4 · uvarint id                                                           the MTA knows that the message is taken
//	5 · uvarint id                                                           it may not know: in a snapshot, where of all others it does, and beside a copy
//
// where soft state is uvarint visits · varint due (Unix nanoseconds, 0 none) · string class · string reason. A mark of a
// segment that is no more says nothing.
const (
	markDone  = 1
	markDefer = 2
	markBegin = 3
	markHeard = 4
	markDeaf  = 5
)

// maxReason bounds what is kept of a reply: it is for people to read.
const maxReason = 512

func appendDone(b []byte, segment uint64, position uint32) []byte {
	b = binary.AppendUvarint(append(b, markDone), segment)
	return binary.AppendUvarint(b, uint64(position))
}

func appendDefer(b []byte, k softKey, s soft) []byte {
	b = binary.AppendUvarint(append(b, markDefer), uint64(k.id))
	b = binary.AppendUvarint(b, uint64(k.node))
	b = binary.AppendUvarint(b, uint64(s.visits))
	b = binary.AppendVarint(b, s.due)
	b = appendString(b, s.class)
	return appendString(b, s.reason)
}

func appendBegin(b []byte, k softKey) []byte {
	b = binary.AppendUvarint(append(b, markBegin), uint64(k.id))
	return binary.AppendUvarint(b, uint64(k.node))
}

func appendHeard(b []byte, mark byte, id relay.ID) []byte {
	return binary.AppendUvarint(append(b, mark), uint64(id))
}

// markVisitor is told of each mark.
type markVisitor struct {
	done    func(segment uint64, position uint32)
	waiting func(softKey, soft)
	begun   func(softKey)
	heard   func(id relay.ID, known bool)
}

// readMarks tells v of each mark in p.
func readMarks(p []byte, names *interned, v markVisitor) error {
	d := &decoder{b: p}
	for len(d.b) > 0 {
		switch kind := d.byte(); kind {
		case markDone:
			seg, pos := d.uvarint(), d.number(maxBase)
			if !d.bad {
				v.done(seg, uint32(pos))
			}
		case markDefer:
			k := softKey{id: relay.ID(d.uvarint()), node: uint32(d.number(maxBase))}
			s := soft{visits: int(d.number(maxBase)), due: d.varint(), class: names.of(d.bytes()), reason: names.of(d.bytes())}
			if !d.bad {
				v.waiting(k, s)
			}
		case markBegin:
			k := softKey{id: relay.ID(d.uvarint()), node: uint32(d.number(maxBase))}
			if !d.bad {
				v.begun(k)
			}
		case markHeard, markDeaf:
			known := kind == markHeard
			if id := relay.ID(d.uvarint()); !d.bad {
				v.heard(id, known)
			}
		default:
			d.fail()
		}
		if d.bad {
			return errRecord
		}
	}
	return nil
}
