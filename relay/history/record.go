package history

import (
	"bytes"
	"math"

	"github.com/millrace/millrace/relay/packed"
)

// lost stands for a text that cannot be read.
var lost = []byte("(lost)")

// scroll reads records. Whatever the bytes are, it reads within them and makes nothing larger than they could have come from.
type scroll struct {
	packed.Reader
	base base
	text func(offset int64) []byte // the text whose frame stands there, nil if there is none

	mem []byte // joined strings
}

// read reads a payload into n. It reports false if the payload is no record that this version knows. What n has is valid until the
// next call.
func (s *scroll) read(payload []byte, n *note) bool {
	*n = note{rcpts: n.rcpts[:0]}
	s.Reader, s.mem = packed.Of(payload), s.mem[:0]
	n.kind = s.Byte()
	n.time = s.base.time + s.Varint()
	if n.kind != kindGap {
		n.id = s.base.id + uint64(s.Varint())
	}
	switch n.kind {
	case kindTaken:
		s.taken(n)
	case kindSettled:
		s.settled(n)
	case kindReported:
		n.rcpt, n.report = s.small(), s.string()
	case kindDoubt:
		n.rcpt, n.why = s.small(), s.small()
	case kindGap:
		n.count, n.since = s.number(), s.base.time+s.Varint()
	default:
		return false
	}
	return !s.Bad
}

func (s *scroll) taken(n *note) {
	n.flags, n.size, n.before = s.Byte(), s.number(), s.number()
	n.queueID = s.string()
	parts := cut(s.string(), 5)
	n.rule, n.client, n.tenant, n.campaign, n.domain = parts[0], parts[1], parts[2], parts[3], parts[4]
	n.from, n.messageID = s.string(), s.string()
	n.total, n.first = s.small(), s.small()
	for range s.small() {
		if s.Bad || len(n.rcpts) == chunk {
			s.Fail()
			return
		}
		n.rcpts = append(n.rcpts, s.string())
	}
}

func (s *scroll) settled(n *note) {
	n.rcpt, n.outcome, n.code = s.small(), s.Byte(), s.small()
	parts := cut(s.string(), 2)
	n.relay, n.site = parts[0], parts[1]
	n.reply, n.use = s.string(), s.small()
	for i := range n.delays {
		n.delays[i] = s.number()
	}
}

// cut undoes joined. Of a text that is lost, each part is.
func cut(b []byte, n int) (parts [5][]byte) {
	if bytes.Equal(b, lost) {
		for i := range n {
			parts[i] = lost
		}
		return parts
	}
	for i := range n {
		parts[i], b, _ = bytes.Cut(b, []byte{0})
	}
	return parts
}

// number is never negative.
func (s *scroll) number() int64 { return int64(s.UpTo(1 << 62)) }

// small is a number that fits an int32.
func (s *scroll) small() int { return int(s.UpTo(math.MaxInt32)) }

func (s *scroll) string() []byte {
	v := s.number()
	switch n := v >> 2; v & 3 {
	case stringText:
		return s.known(n)
	case stringTail:
		own := s.Bytes(uint64(n))
		return s.join(own, s.known(s.number()))
	case stringHead:
		head := s.known(n)
		return s.join(head, s.Bytes(s.UpTo(1<<62)))
	default:
		return s.Bytes(uint64(n))
	}
}

// known is the text at that offset. The texts of one record are small, and there are few.
func (s *scroll) known(offset int64) []byte {
	if s.Bad {
		return nil
	}
	if t := s.text(offset); t != nil {
		return t
	}
	return lost
}

// join joins two strings in memory that no later string of the record moves.
func (s *scroll) join(a, b []byte) []byte {
	start := len(s.mem)
	if cap(s.mem)-start < len(a)+len(b) {
		s.mem, start = make([]byte, 0, max(1024, len(a)+len(b))), 0
	}
	s.mem = append(append(s.mem, a...), b...)
	return s.mem[start:len(s.mem):len(s.mem)]
}
