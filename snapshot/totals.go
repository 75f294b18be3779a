package snapshot

import (
	"slices"

	"github.com/millrace/millrace/snapshot/format"
)

// Totals count since the first start in the state directory. A crash makes them fall by outcomes that were not durable yet, those of the
// last commit_interval, and by nothing else. The license meter and graphs count by them.
type Totals struct {
	Messages   uint64 `json:"messages"`    // taken
	Recipients uint64 `json:"recipients"`  // of them
	Sent       uint64 `json:"sent"`        // recipients whose receiver has the message
	HandedBack uint64 `json:"handed_back"` // recipients given back to the MTA
	Reported   uint64 `json:"reported"`    // recipients whose failure the sender knows of, or need not know of
	Suppressed uint64 `json:"suppressed"`  // recipients suppressed at the take or later
	Removed    uint64 `json:"removed"`     // recipients removed by an operator
	Deferred   uint64 `json:"deferred"`    // visits that ended with a deferral
}

// totalsOf is n with names.
func totalsOf(n *format.Totals) Totals { return Totals{n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7]} }

// count finds the totals up to where the journal ends: those of the last commit frame, and what stands behind it. A snapshot may
// know of outcomes whose commit never came; its own totals have them.
func (v *survey) count(fs FileSystem) (sum format.Totals) {
	for _, s := range slices.Backward(v.segments) {
		n, counted := v.countIn(fs, &s)
		if sum.Add(&n); counted {
			break
		}
	}
	sum.Newest(&v.snap.Totals)
	return sum
}

// countIn counts what stands in a segment behind its last commit frame, that frame's totals included. counted says that it has
// such a frame. It is silent about what is damaged or cannot be read: recovery reads the segment again.
func (v *survey) countIn(fs FileSystem, s *found) (sum format.Totals, counted bool) {
	if s.bad != nil || s.head.Version < format.VersionShared {
		return sum, false
	}
	sc, err := s.scan(fs, &v.buf)
	if err != nil {
		return sum, false
	}
	var shared format.Bits
	var take format.TakeRecord
	names, basis := format.NewNames(), s.head.Basis()
	sc.Each(func(f format.Frame) error {
		switch f.Kind {
		case format.KindCommit:
			if c, ok := format.DecodeCommit(f.Payload); ok && c.Counted {
				sum, counted = c.Totals, true
			}
		case format.KindShared:
			if n, err := format.SharedNumber(f.Payload); err == nil {
				shared.Set(n)
			}
		case format.KindTake:
			if take.DecodeStand(f.Payload, basis) == nil && shared.Has(take.Shared) && (!take.Copied || take.Again) {
				sum.Take(take.Count)
			}
		case format.KindMarks:
			format.ReadMarks(f.Payload, names, countMarks(&sum))
		}
		return nil
	})
	return sum, counted
}

// countMarks adds marks to sum. A mark is written once, so each of them counts.
func countMarks(sum *format.Totals) format.Marks {
	return format.Marks{
		Done: func(_ uint64, _, n uint32, why format.Why) {
			if why == format.WhyRefused && (sum[format.TotalMessages] == 0 || sum[format.TotalRecipients] < uint64(n)) {
				return // the take that it counts out is lost
			}
			sum.Done(why, int(n))
		},
		Waits: func(_ format.Node, _ format.Wait, deferred bool) {
			if deferred {
				sum[format.TotalDeferred]++
			}
		},
		Begun: func(format.Node) {}, HeardID: func(uint64, bool) {}, Heard: func(uint64, uint32) {},
	}
}
