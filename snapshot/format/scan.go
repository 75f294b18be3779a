package format

import (
	"bytes"
	"fmt"
)

// Scan walks over the frames of one file and knows, at its end, which bytes did not match a checksum.
type Scan struct {
	Name    string
	Data    []byte         // the file from its first byte
	Damage  []*DamageError // gaps below what is known to have been durable: real damage
	Torn    []*DamageError // gaps above it: a commit that never ended, and for which nobody was answered
	Gaps    []*DamageError // both, in the order of the file
	End     int64          // just after the last frame
	Durable int64          // highest offset below which everything is known to have been durable
	Last    Commit         // the last one

	stamp Stamp
}

// NewScan reads data, the content of the file called name with header h. durable is what another file says of how much of
// this one was durable, 0 when none does; commit frames may say more.
func NewScan(name string, data []byte, h Header, durable int64) *Scan {
	return &Scan{Name: name, Data: data, stamp: Stamp{Seed: h.Seed()}, End: BlockSize, Durable: durable}
}

// Each calls visit for each frame that matches its checksum, in order. An error of visit ends it.
func (s *Scan) Each(visit func(Frame) error) error {
	for at := min(int64(BlockSize), int64(len(s.Data))); at < int64(len(s.Data)); {
		f, ok := ParseFrame(s.Data[at:], s.stamp)
		if !ok {
			next := s.resync(at)
			if next < 0 {
				s.noteTail(at)
				break
			}
			s.noteGap(at, next, "does not match its checksum; what follows does")
			at = next
			continue
		}
		f.At = at
		at += f.Len()
		s.stamp.Commit, s.End = f.Commit, at
		if f.Kind == KindCommit {
			s.noteCommit(f.Payload)
		}
		if err := visit(f); err != nil {
			return fmt.Errorf("%s: at byte %d: %w", s.Name, f.At, err)
		}
	}
	s.sortGaps()
	return nil
}

func (s *Scan) noteCommit(p []byte) {
	if c, ok := DecodeCommit(p); ok {
		s.Durable, s.Last = max(s.Durable, c.Durable), c
	}
}

// resync finds the next frame after at, or -1. The number of bytes whose checksum it computes is limited: content that
// looks like many heads with great lengths would otherwise cost time that grows with the square of the file.
func (s *Scan) resync(at int64) int64 {
	budget := 16*int64(len(s.Data)) + 1<<20
	for budget > 0 {
		i := bytes.Index(s.Data[at+1:], []byte(frameMark))
		if i < 0 {
			return -1
		}
		at += 1 + int64(i)
		n, ok := frameLength(s.Data[at:])
		if !ok {
			continue
		}
		budget -= int64(n)
		if _, ok := ParseFrame(s.Data[at:], s.stamp); ok {
			return at
		}
	}
	return -1
}

// noteTail handles what follows the last frame. Zeros there were reserved and never written.
func (s *Scan) noteTail(at int64) {
	rest := bytes.TrimRight(s.Data[at:], "\x00")
	if len(rest) > 0 {
		s.noteGap(at, at+int64(len(rest)), "does not match its checksum, to the end")
	}
}

func (s *Scan) noteGap(from, to int64, why string) {
	s.Gaps = append(s.Gaps, &DamageError{File: s.Name, From: from, To: to, Why: why})
}

// sortGaps tells damage from a torn end. It runs at the end of the scan, because a later commit frame may say that a gap
// had been durable. A file that ends before what was durable has one more gap.
func (s *Scan) sortGaps() {
	if n := len(s.Gaps); s.End < s.Durable && (n == 0 || s.Gaps[n-1].From < s.End) {
		s.noteGap(s.End, s.Durable, "is missing")
	}
	for _, g := range s.Gaps {
		if g.From < s.Durable {
			s.Damage = append(s.Damage, g)
		} else {
			s.Torn = append(s.Torn, g)
		}
	}
}
