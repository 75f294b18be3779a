package filter

import "sync"

// bodies are the buffers of a door that no message uses now. The collector takes those that nobody asks for.
type bodies struct{ pool sync.Pool }

const (
	// newBody is the size of a new buffer: that of a newsletter, so that the next message finds room in it.
	newBody = 32 << 10
	// keepBody is the largest buffer that is kept.
	keepBody = 256 << 10
)

// lend returns an empty buffer for size bytes at least. Whoever asks is charged for size, so a buffer that is much larger is left to the
// collector.
func (b *bodies) lend(size int) *[]byte {
	lent, _ := b.pool.Get().(*[]byte)
	if lent == nil {
		lent = new([]byte)
	}
	if room := cap(*lent); room < size || room > max(newBody, 2*size) {
		*lent = make([]byte, 0, max(size, newBody))
	}
	return lent
}

// takeBack keeps a buffer for another message. nil is none.
func (b *bodies) takeBack(lent *[]byte) {
	if lent != nil && cap(*lent) <= keepBody {
		b.pool.Put(lent)
	}
}
