package route

import (
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestMemo(t *testing.T) {
	cfg := Config{MaxStale: time.Hour}.withDefaults()
	m := newSearcher(cfg, Table{}).memo
	q, start := question{"mx.test", dns.TypeA}, time.Unix(1e9, 0)
	at := func(d time.Duration) time.Time { return start.Add(d) }
	if _, ok := m.fresh(q, start); ok {
		t.Error("knows something at the start")
	}
	m.keep(q, answer{kind: noData, ttl: 100 * time.Second}, start)
	if a, ok := m.fresh(q, at(40*time.Second)); !ok || a.kind != noData || a.ttl != time.Minute {
		t.Errorf("in the first half: %+v, %v", a, ok)
	}
	if a, ok := m.fresh(q, at(51*time.Second)); ok {
		t.Errorf("in the second half: %+v", a)
	}
	none := softAnswer(silent, "no answer")
	if a := m.keep(q, none, at(time.Hour)); a.kind != noData || a.ttl != cfg.MinTTL {
		t.Errorf("stale: %+v", a)
	}
	if a := m.keep(q, none, at(time.Hour+100*time.Second)); a.kind != silent {
		t.Errorf("too stale: %+v", a)
	}
	if a := m.keep(question{"mx.test", dns.TypeAAAA}, none, start); a.kind != silent {
		t.Errorf("another type: %+v", a)
	}
}
