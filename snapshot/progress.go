package snapshot

import "sync/atomic"

// Progress says how far the recovery is.
type Progress struct {
	// Read counts the segments that were read, of Segments. Each is counted as often as it is read, which is twice for most.
	Read     int `json:"read"`
	Segments int `json:"segments"`
	// Messages counts those given out so far.
	Messages int `json:"messages"`
}

// progress is Progress while it changes: the recovery counts, and Status reads.
type progress struct{ read, segments, messages atomic.Int64 }

// expect notes what the recovery of v has to read.
func (p *progress) expect(v *survey) {
	for i := range v.segments {
		p.segments.Add(1)
		if v.inFirstPass(i) {
			p.segments.Add(1)
		}
	}
}

// soFar is the progress of this moment.
func (p *progress) soFar() *Progress {
	return &Progress{Read: int(p.read.Load()), Segments: int(p.segments.Load()), Messages: int(p.messages.Load())}
}
