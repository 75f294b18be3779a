package snapshot

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"
)

// A scan walks over the frames of a file and knows, at its end, what did not check.
type scan struct {
	name  string
	data  []byte // the file from its first byte
	stamp stamp

	damage  []*DamageError // gaps below what is known to have been durable: real damage
	torn    []*DamageError // gaps above it: a commit that never ended, and was never answered for
	end     int64          // just after the last frame
	durable int64          // highest durable offset a commit frame told of
	last    time.Time      // time of the last commit
	gaps    []*DamageError
}

// newScan reads data, the content of a segment or snapshot with header h.
func newScan(name string, data []byte, h header) *scan {
	return &scan{name: name, data: data, stamp: stamp{seed: h.seed()}, end: blockSize}
}

// run calls visit for each frame that checks, in order. An error of visit ends it.
func (s *scan) run(visit func(frame) error) error {
	for at := min(int64(blockSize), int64(len(s.data))); at < int64(len(s.data)); {
		f, ok := parseFrame(s.data[at:], s.stamp)
		if !ok {
			next := s.resync(at)
			if next < 0 {
				s.tail(at)
				break
			}
			s.gap(at, next, "does not check; what follows does")
			at = next
			continue
		}
		f.at = at
		at += f.size()
		s.stamp.commit, s.end = f.commit, at
		if f.kind == kindBatch {
			s.commit(f.payload)
		}
		if err := visit(f); err != nil {
			return fmt.Errorf("%s: at byte %d: %w", s.name, f.at, err)
		}
	}
	s.sort()
	return nil
}

// commit notes what a commit frame says.
func (s *scan) commit(p []byte) {
	if len(p) != commitPayload {
		return
	}
	s.durable = max(s.durable, int64(binary.BigEndian.Uint64(p)))
	s.last = time.Unix(0, int64(binary.BigEndian.Uint64(p[8:])))
}

// resync finds the next frame after at, or -1. The bytes it may sum up are limited: content that looks like many heads
// with great lengths must not make recovery take for ever.
func (s *scan) resync(at int64) int64 {
	budget := 16*int64(len(s.data)) + 1<<20
	for budget > 0 {
		i := bytes.Index(s.data[at+1:], []byte(frameMark))
		if i < 0 {
			return -1
		}
		at += 1 + int64(i)
		n, ok := frameLength(s.data[at:])
		if !ok {
			continue
		}
		budget -= int64(n)
		if _, ok := parseFrame(s.data[at:], s.stamp); ok {
			return at
		}
	}
	return -1
}

// tail handles what follows the last frame. Zeros were reserved and never written.
func (s *scan) tail(at int64) {
	rest := bytes.TrimRight(s.data[at:], "\x00")
	if len(rest) > 0 {
		s.gap(at, at+int64(len(rest)), "does not check, to the end")
	}
}

func (s *scan) gap(from, to int64, why string) {
	s.gaps = append(s.gaps, &DamageError{File: s.name, From: from, To: to, Why: why})
}

// sort tells the gaps that are damage from those that are a torn end. A file that ends before what was durable has one
// more gap.
func (s *scan) sort() {
	if n := len(s.gaps); s.end < s.durable && (n == 0 || s.gaps[n-1].From < s.end) {
		s.gap(s.end, s.durable, "is missing")
	}
	for _, g := range s.gaps {
		if g.From < s.durable {
			s.damage = append(s.damage, g)
		} else {
			s.torn = append(s.torn, g)
		}
	}
}
