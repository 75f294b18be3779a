package snapshot

import (
	"testing"

	"github.com/millrace/millrace/snapshot/format"
)

// TestCheckedInOrder: messages are checked by several goroutines, and come back in the order in which they were taken. One whose part
// does not fit, although its checksum does, is told of and takes no other with it.
func TestCheckedInOrder(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 3000)
	must(t, w.flush(a))
	k := m.killed()
	takes, spoilt := 0, make(map[int]bool)
	for n := uint64(1); k.names[segmentName(n)] != nil; n++ {
		f := k.names[segmentName(n)]
		h, err := format.ReadHeader("s", format.SegmentMagic, f.data)
		must(t, err)
		var record format.TakeRecord
		must(t, format.NewScan("s", f.data, h, 0).Each(func(x format.Frame) error {
			if x.Kind != format.KindTake {
				return nil
			}
			if takes++; takes%97 == 0 {
				must(t, record.Decode(x.Payload, h.Basis(), nil, format.NewNames()))
				record.Part[0] = 99 // no form of a part
				format.EndFrame(f.data[:x.At+x.Len()], int(x.At), x.Kind, format.Stamp{Seed: h.Seed(), Commit: x.Commit})
				spoilt[takes-1] = true
			}
			return nil
		}))
	}
	_, saved, r := mustStart(t, k, smallConfig())
	if takes != 3000 || len(r.Damaged) != len(spoilt) || len(saved) != takes-len(spoilt) || r.Messages != len(saved) {
		t.Fatalf("of %d takes, %d spoilt, %d came back: %+v", takes, len(spoilt), len(saved), r)
	}
	for i, id := range w.order {
		if spoilt[i] {
			continue
		}
		if saved[0].Message.ID != id {
			t.Fatalf("message %d comes in the place of %d", saved[0].Message.ID, id)
		}
		must(t, w.checkOne(saved[0]))
		saved = saved[1:]
	}
}
