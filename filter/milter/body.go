package milter

import "github.com/millrace/millrace/filter"

// sizeHint guesses how long the body will be, from the SIZE the client announced.
func (t *transaction) sizeHint() int {
	return int(min(max(t.offer.Size-int64(len(t.header)), 0), maxHint))
}

// maxHint bounds what is allocated on the client's word.
const maxHint = 1 << 20

// chunk reads n bytes of the body.
func (s *session) chunk(n int, from *frames) error {
	t := s.tx
	if t == nil || t.left != "" {
		return from.skip(n)
	}
	if t.verdict.Decision != filter.Take {
		t.leave(leftOrder)
		return from.skip(n)
	}
	if int64(len(t.header)+len(t.body)+n) > t.filter.SizeLimit() {
		t.leave(leftBody)
		return from.skip(n)
	}
	if !t.charge(n) {
		return from.skip(n)
	}
	var err error
	t.body, err = from.appendTo(t.room(n), n)
	return err
}

// room makes place for n more bytes of the body. Most bodies come in one chunk and get a buffer of just that size.
func (t *transaction) room(n int) []byte {
	if t.body != nil {
		return t.body
	}
	size := n
	if n >= fullChunk {
		size = max(n, t.sizeHint())
	}
	return make([]byte, 0, min(size, maxHint))
}

// fullChunk is the size from which a chunk is not the last one.
const fullChunk = 65535
