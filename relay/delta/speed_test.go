package delta

import (
	"testing"

	"github.com/millrace/millrace/test/letters"
)

// campaign is a reference and some messages.
func campaign(shape letters.Shape, n int) (*Reference, [][]byte) {
	var s Scratch
	s.Read(shape.Message(0))
	view, _ := s.View()
	all := make([][]byte, n)
	for i := range all {
		all[i] = shape.Message(i + 1)
	}
	return NewReference(view), all
}

func BenchmarkRead(b *testing.B) {
	for _, shape := range letters.Shapes(15) {
		b.Run(shape.Name, func(b *testing.B) {
			_, all := campaign(shape, 200)
			var s Scratch
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Read(all[i%len(all)])
			}
		})
	}
}

func BenchmarkSplit(b *testing.B) {
	for _, shape := range letters.Shapes(15) {
		b.Run(shape.Name, func(b *testing.B) {
			ref, all := campaign(shape, 200)
			var s Scratch
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Read(all[i%len(all)])
				if _, ok := ref.Split(&s, 4096); !ok {
					b.Fatal("no split")
				}
			}
		})
	}
}

func BenchmarkJoin(b *testing.B) {
	joins(b, func(view, part []byte, s *Scratch) error {
		_, err := Join(view, part, 1<<20, s)
		return err
	})
}

func BenchmarkFits(b *testing.B) { joins(b, Fits) }

// joins does one thing with each of many parts.
func joins(b *testing.B, do func(view, part []byte, s *Scratch) error) {
	for _, shape := range letters.Shapes(15) {
		b.Run(shape.Name, func(b *testing.B) {
			ref, all := campaign(shape, 200)
			var s Scratch
			parts := make([][]byte, len(all))
			for i, m := range all {
				s.Read(m)
				parts[i], _ = ref.Split(&s, 4096)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := do(ref.View(), parts[i%len(parts)], &s); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkLikeness(b *testing.B) {
	for _, shape := range append(letters.Shapes(15), letters.Variants(15)...) {
		b.Run(shape.Name, func(b *testing.B) {
			ref, all := campaign(shape, 200)
			var s Scratch
			s.Read(all[0])
			for b.Loop() {
				ref.Likeness(&s)
			}
		})
	}
}
