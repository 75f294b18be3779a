package filter

import (
	"iter"
	"strings"
)

// fieldIndex finds the conditions that look at a header field, by numbers that its owner gives them.
type fieldIndex struct {
	byName   map[string][]int // by the field's name in lower case
	byPrefix []prefixed
}

// prefixed is a condition whose field's name ends in "*".
type prefixed struct {
	prefix string
	number int
}

// add notes condition i; t is nil when it looks at no field.
func (x *fieldIndex) add(t *headerTest, i int) {
	if t == nil {
		return
	}
	if prefix, wild := strings.CutSuffix(t.name, "*"); wild {
		x.byPrefix = append(x.byPrefix, prefixed{prefix, i})
		return
	}
	if x.byName == nil {
		x.byName = make(map[string][]int)
	}
	x.byName[t.name] = append(x.byName[t.name], i)
}

// empty reports that no condition looks at a field.
func (x *fieldIndex) empty() bool { return x.byName == nil && x.byPrefix == nil }

// lookingAt yields the conditions that look at a field of this name. It does not allocate, because it runs for every field of
// every message.
func (x *fieldIndex) lookingAt(name []byte) iter.Seq[int] {
	return func(yield func(i int) bool) {
		var buf [64]byte
		if len(name) <= len(buf) {
			for k, c := range name {
				buf[k] = lowerByte(c)
			}
			for _, i := range x.byName[string(buf[:len(name)])] {
				if !yield(i) {
					return
				}
			}
		}
		for _, p := range x.byPrefix {
			if hasPrefixFold(name, p.prefix) && !yield(p.number) {
				return
			}
		}
	}
}
