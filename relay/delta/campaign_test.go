package delta

import (
	"slices"
	"testing"

	"github.com/millrace/millrace/test/letters"
)

// TestShared: of each message of the six mailers at least 95 % are shared with the first of its campaign.
func TestShared(t *testing.T) {
	for _, links := range []int{0, 15} {
		for _, shape := range letters.Shapes(links) {
			r, all := campaign(shape, 60)
			var s Scratch
			total, personal := 0, 0
			for _, m := range all {
				total += len(m)
				personal += rejoin(t, &s, r, m)
			}
			if shared := 100 - 100*float64(personal)/float64(total); shared < 95 {
				t.Errorf("%s with %d links: %.1f %% are shared", shape.Name, links, shared)
			}
		}
	}
}

// family is the references of one campaign, found as they are needed.
type family []*Reference

// likeliest is the reference that the message of s is most like.
func (f family) likeliest(s *Scratch) *Reference {
	return slices.MaxFunc(f, func(a, b *Reference) int { return a.Likeness(s) - b.Likeness(s) })
}

// split returns the size of the part, or makes the message a reference.
func (f *family) split(s *Scratch, m []byte, most int) int {
	s.Read(m)
	if len(*f) > 0 {
		if part, ok := f.likeliest(s).Split(s, most); ok {
			return len(part)
		}
	}
	view, part := s.View()
	*f = append(*f, NewReference(view))
	return len(part)
}

// TestVariants: where a campaign has several forms, as many references leave little of a message, and one leaves much. Each message
// finds the right one by its likeness alone.
func TestVariants(t *testing.T) {
	for _, shape := range letters.Variants(15) {
		t.Run(shape.Name, func(t *testing.T) {
			r, all := campaign(shape, 150)
			var s Scratch
			var f family
			var one, several []int
			for _, m := range all {
				s.Read(m)
				part, _ := r.Split(&s, 1<<20)
				one = append(one, len(part))
				several = append(several, f.split(&s, m, 1500))
			}
			slices.Sort(one)
			slices.Sort(several)
			t.Logf("one reference leaves %d, %d at most; %d leave %d, %d at p99", one[75], one[149], len(f), several[75], several[148])
			if several[148] > 1000 || len(f) > 6 {
				t.Errorf("%d references leave %d bytes", len(f), several[148])
			}
			if shape.Name != "ten-part" && one[149] < 4000 {
				t.Errorf("one reference leaves %d bytes: this is no variant", one[149])
			}
		})
	}
}

// TestNothingPersonal: a message that is its reference leaves a few bytes.
func TestNothingPersonal(t *testing.T) {
	shape := letters.Shapes(15)[2]
	m := shape.Message(1)
	var s Scratch
	s.Read(m)
	view, _ := s.View()
	s.Read(m)
	part, ok := NewReference(view).Split(&s, 100)
	if !ok || len(part) > 10 {
		t.Errorf("the same message once more: %d bytes, %v", len(part), ok)
	}
}
