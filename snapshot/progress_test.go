package snapshot

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// TestProgress: while a recovery goes on, Status says how far it is, and nothing that looks like a result.
func TestProgress(t *testing.T) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 100)
	must(t, a.Flush())
	b, err := open(m.killed(), smallConfig(), hclog.NewNullLogger())
	must(t, err)
	defer b.Close()
	before := b.Status()
	if p := before.Recovering; before.Recovered || p == nil || p.Read != 0 || p.Segments < 4 || p.Messages != 0 {
		t.Fatalf("before: %+v, %+v", before, p)
	}
	given, last := 0, 0
	_, err = b.Recover(func(s relay.Saved) error {
		p := b.Status().Recovering
		if given++; p == nil || p.Messages != given || p.Read < last || p.Read >= p.Segments {
			t.Fatalf("with message %d: %+v", given, p)
		}
		last = p.Read
		return nil
	})
	must(t, err)
	if last < before.Recovering.Segments/2 {
		t.Errorf("the last message was given out after %d of %d segments", last, before.Recovering.Segments)
	}
	if s := b.Status(); !s.Recovered || s.Recovering != nil {
		t.Errorf("after: %+v", s)
	}
}
