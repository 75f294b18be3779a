package filter

import (
	"bytes"
	"strings"
	"testing"
)

// TestBodyGrows: whatever the pieces and the room asked for them, the body is what came, and each byte of it was reserved.
func TestBodyGrows(t *testing.T) {
	for name, pieces := range map[string][]struct{ ask, come int }{
		"one piece":                {{100, 100}},
		"less than asked for":      {{100, 60}, {100, 100}, {100, 0}},
		"more than asked for":      {{100, 200}, {100, 100}, {1, 70_000}},
		"beyond the first buffer":  {{30_000, 30_000}, {30_000, 30_000}, {300_000, 300_000}},
		"beyond it, unasked":       {{30_000, 30_000}, {10, 30_000}, {10, 10}},
		"beyond it, all at once":   {{10, 100_000}},
		"nothing, and then a byte": {{0, 0}, {1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, Deliver, wideLimits())
			for round := range 2 { // the second has the buffer of the first
				m := s.in.Begin(Offer{}, nil)
				m.SetSender(ParseCommand("<a@b.example>"))
				m.AddRcpt(ParseCommand("<c@d.example>"), Hop{Routed: true})
				m.HeaderLine([]byte("List-Id: x"))
				m.EndHeader(nil)
				var want []byte
				for i, p := range pieces {
					dst, ok := m.BodyRoom(p.ask, true)
					if !ok {
						t.Fatal(m.Left())
					}
					piece := bytes.Repeat([]byte{byte('a' + i + round)}, p.come)
					want = append(want, piece...)
					m.SetBody(append(dst, piece...))
				}
				if !bytes.Equal(m.RawBody(), want) {
					t.Errorf("%d bytes, want %d, or others", len(m.RawBody()), len(want))
				}
				if kept := s.in.Status().Buffered; kept < int64(len(want)) {
					t.Errorf("%d bytes are reserved for a body of %d", kept, len(want))
				}
				m.Dismiss()
				if kept := s.in.Status().Buffered; kept != 0 {
					t.Errorf("%d bytes stay reserved", kept)
				}
			}
		})
	}
}

// TestBodyUnasked: a piece that grows beyond its room, and for which there is no memory, leaves the message, and can still be sent on.
func TestBodyUnasked(t *testing.T) {
	s := newSite(t, Deliver, Limits{Rcpts: 1, HeaderBytes: 500, Buffered: 1000})
	d := &lineDoor{in: s.in}
	m := s.in.Begin(Offer{}, nil)
	for line := range strings.SplitSeq("MAIL <a@b.example>\nRCPT <c@d.example>\nH List-Id: x\nEOH", "\n") {
		d.digest(m, line)
	}
	dst, _ := m.BodyRoom(100, true)
	m.SetBody(append(dst, make([]byte, 5000)...))
	if m.Left() != leftMemory || len(m.RawBody()) != 5000 {
		t.Errorf("left for %q with %d bytes", m.Left(), len(m.RawBody()))
	}
	m.Dismiss()
}

func TestBodiesAreKept(t *testing.T) {
	var b bodies
	first := b.lend(1)
	if cap(*first) != newBody {
		t.Errorf("a new buffer has %d bytes", cap(*first))
	}
	b.takeBack(nil)
	lentAgain := false
	for range 100 { // under the race detector a pool forgets some
		b.takeBack(first)
		again := b.lend(1)
		lentAgain = lentAgain || again == first
		first = again
	}
	if !lentAgain {
		t.Error("no buffer that was given back is lent again")
	}
	large := b.lend(keepBody)
	b.takeBack(large)
	if small := b.lend(1); cap(*small) > newBody {
		t.Errorf("%d bytes are lent for one", cap(*small))
	}
	if again := b.lend(2 * newBody); cap(*again) < 2*newBody || len(*again) != 0 {
		t.Errorf("%d bytes in a buffer of %d", len(*again), cap(*again))
	}
}
