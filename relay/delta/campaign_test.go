package delta

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/test/letters"
)

// TestCampaigns
func TestCampaignTable(t *testing.T) {
	const n = 400
	for _, links := range []int{0, 15} {
		for _, shape := range letters.Shapes(links) {
			var s Scratch
			s.Read(shape.Message(0))
			view, _ := s.View()
			ref := NewReference(view)
			var sizes []int
			var splits, joins []time.Duration
			total, personal := 0, 0
			for i := 1; i < n; i++ {
				m := shape.Message(i)
				at := time.Now()
				s.Read(m)
				part, ok := ref.Split(&s, len(m))
				splits = append(splits, time.Since(at))
				if !ok {
					t.Fatalf("%s %d: no split", shape.Name, i)
				}
				at = time.Now()
				pieces, err := Join(view, part, 1<<30, &s)
				joins = append(joins, time.Since(at))
				if err != nil || !same(m, pieces) {
					t.Fatalf("%s %d: %v", shape.Name, i, err)
				}
				sizes = append(sizes, len(part))
				total += len(m)
				personal += len(part)
				if i == 5 && os.Getenv("DUMP") == shape.Name {
					dump(&s, ref, m)
				}
			}
			slices.Sort(sizes)
			slices.Sort(splits)
			slices.Sort(joins)
			fmt.Printf("%-10s %2d | %4d %4d | %.1f%% | %v %v | %v %v\n", shape.Name, links, sizes[n/2], sizes[n*99/100], 100-float64(personal)*100/float64(total),
				splits[n/2], splits[n*99/100], joins[n/2], joins[n*99/100])
		}
	}
}

func dump(s *Scratch, ref *Reference, m []byte) {
	s.Read(m)
	part, _ := ref.Split(s, len(m))
	fmt.Println("part", len(part))
	fmt.Printf("stretches %+v\n", s.stretches)
	_, rest, _ := head(part)
	var j joiner
	r := reader{b: rest}
	j.left = len(m)
	j.begin(&r)
	expected := 0
	ops, lits, packed, again := 0, 0, 0, 0
	for len(r.b) > 0 && !r.bad {
		was := len(r.b)
		kind := r.b[0] >> 4
		np := len(j.pieces)
		before := expected
		expected = j.op(&r, ref.view, expected)
		_ = before
		_ = np
		fmt.Printf("op %d bytes kind %d, last %q\n", was-len(r.b), kind, j.text.last[0])
		ops++
		switch {
		case kind == literalPacked:
			packed++
		case kind >= literalAgain:
			again++
		case kind > 0:
			lits++
		}
	}
	fmt.Println("ops", ops, "raw", lits, "packed", packed, "again", again)
}
