package snapshot

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// TestSnapshotInPieces: a large snapshot is synced piece by piece, so that the journal's commits get their turn; the last
// one of a daemon that stops is written as fast as can be.
func TestSnapshotInPieces(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, testConfig())
	w.campaign(t, a, 2000)
	for _, id := range w.order {
		n := *w.offered[id].Node(0)
		n.Resume(relay.SavedNode{Rcpts: n.Rcpts(), Visits: 1, Reason: strings.Repeat("later ", format.MaxReason/6)})
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: n.Message, Node: &n, Rcpt: -1})
	}
	must(t, a.Flush())
	syncs := func(do func() error) (n int) {
		m.mu.Lock()
		m.calls, m.trace = nil, true
		m.mu.Unlock()
		must(t, do())
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, c := range m.calls {
			if strings.HasPrefix(c, "sync snapshot/") {
				n++
			}
		}
		return n
	}
	pieces := 2000 * format.MaxReason / snapshotChunk
	if n := syncs(a.WriteSnapshot); n < pieces/2 || n > 2*pieces {
		t.Errorf("%d syncs, want about %d", n, pieces)
	}
	if n := syncs(a.Close); n > 1 {
		t.Errorf("%d syncs of the last one", n)
	}
	if _, saved, _ := mustStart(t, m, testConfig()); len(saved) != 2000 || saved[0].Nodes[0].Visits != 1 {
		t.Errorf("%d messages came back", len(saved))
	}
}
