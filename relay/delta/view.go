package delta

import "encoding/binary"

// viewer makes the view of a message: what is in base64 is decoded, and soft line breaks are taken out of quoted-printable, where a
// coder can put them back. How it finds out matters to nobody: a part says what Join must do.
type viewer struct {
	*Scratch
	taken int // bytes of the message that are in the view
	mark  int // where in the view the last stretch ended
	coded int // bytes of the view in stretches

	broken int // where in the view the last soft break of a stretch with places is
}

// leaf looks at the part of the message that w has found.
func (v *viewer) leaf(w *walk) {
	if v.view == nil {
		v.view = grown(v.buffer[:0], len(v.message)+slack)
	}
	switch w.encoding {
	case base64:
		w.at = v.base64(w.at)
	case quotedPrintable:
		w.at = v.quoted(w.at, w.fence)
	}
}

// slack is room behind the view, for a decoder that writes a few bytes too many and takes them back.
const slack = 8

// grown returns b with room for n more bytes.
func grown(b []byte, n int) []byte {
	if cap(b)-len(b) >= n {
		return b
	}
	bigger := make([]byte, len(b), len(b)+n+min(n/4, keptScratch/16))
	copy(bigger, b)
	return bigger
}

// plain adds the message as it is up to end.
func (v *viewer) plain(end int) {
	v.view = append(v.view, v.message[v.taken:end]...)
	v.taken = end
}

// stretch notes that what was added to the view since from becomes the message up to end by way of c.
func (v *viewer) stretch(c coder, from, end int) {
	size := len(v.view) - from
	v.stretches = append(v.stretches, stretch{before: from - v.mark, coder: c, size: size})
	v.coded += size
	v.taken, v.mark = end, len(v.view)
}

// extend makes the last stretch longer by a line, or begins a new one. It reports false when there are too many.
func (v *viewer) extend(c coder, l hardLine) bool {
	last := len(v.stretches) - 1
	if last < 0 || v.stretches[last].coder != c || v.mark != l.start {
		v.stretches = append(v.stretches, stretch{before: l.start - v.mark, coder: c})
		v.broken = l.start
		last++
	}
	if c.kind == coderPlaces {
		v.place(&v.stretches[last], l)
	}
	v.stretches[last].size += l.end - l.start
	v.coded += l.end - l.start
	v.mark = l.end
	return len(v.stretches) < mostStretches
}

// place notes the soft breaks of l.
func (v *viewer) place(s *stretch, l hardLine) {
	was := len(v.places)
	for _, at := range l.soft {
		v.places = binary.AppendUvarint(v.places, uint64(at-v.broken))
		v.broken = at
	}
	s.places += len(v.places) - was
}

// full reports whether no stretch can be added.
func (v *viewer) full() bool { return len(v.stretches) >= mostStretches || v.coded >= mostCoded }

// finish adds the rest. A message of which nothing is coded is its own view, without a copy.
func (v *viewer) finish() {
	if len(v.stretches) > 0 {
		v.plain(len(v.message))
		v.buffer = v.view
	} else {
		v.view = v.message
	}
}
