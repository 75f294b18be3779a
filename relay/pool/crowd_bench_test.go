package pool

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// waitingAtSites is a manager that knows n sites, each closed and with one queue of one node in line.
func waitingAtSites(tb testing.TB, n int) *Manager {
	tb.Helper()
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Hour}
	limits := relay.DefaultQueueConfig()
	limits.MaxMessages = 2 * n
	queues := relay.NewQueueMap(limits, relay.Deps{Journal: relay.NoJournal{}})
	queues.Open()
	h := relay.NewHandler(queues, relay.DefaultRetryConfig(), relay.HandbackConfig{})
	m := New(cfg, Deps{Handler: h, Router: nowhere{}, Line: queues.NewLine, Log: hclog.NewNullLogger()})
	now := time.Now()
	for i := range n {
		msg := &relay.Message{ID: relay.ID(i + 1), Content: relay.NewContent(relay.Letter{Body: []byte("x\r\n")}), Slip: &relay.Slip{Arrived: now}}
		msg.Slip.Rcpts = []relay.Rcpt{{Addr: fmt.Sprintf("a@d%d.example", i)}}
		if err := queues.Accept(msg); err != nil {
			tb.Fatal(err)
		}
		q := h.Next(tb.Context())
		s := siteFor(m, nowhere{}.Lookup(q.Domain))
		s.pace.Failed(now, "connection refused")
		s.hold(q)
	}
	return m
}

// nowhere is a router that knows a site for each domain.
type nowhere struct{}

func (nowhere) Lookup(domain string) *route.Route             { return &route.Route{Domain: domain, Site: domain} }
func (nowhere) Await(domain string, known func(*route.Route)) { known(nowhere{}.Lookup(domain)) }
func (nowhere) Healthy() bool                                 { return true }

// BenchmarkSites asks about very many sites, and looks after them.
func BenchmarkSites(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) { benchmarkSites(b, n) })
	}
}

func benchmarkSites(b *testing.B, n int) {
	m := waitingAtSites(b, n)
	runtime.GC()
	late := time.Now()
	any := func(Status) bool { return true }
	for _, q := range []struct {
		name string
		ask  func()
	}{
		{"a tick", func() { m.tend(time.Now()) }},
		{"a tick in which as many are due as may be", func() { late = late.Add(24 * time.Hour); m.agenda.dueAt(late) }},
		{"totals", func() { m.Totals() }},
		{"the first 100", func() { m.List("", 100, any) }},
		{"the first 1000", func() { m.List("", 1000, any) }},
		{"all", func() { m.List("", 0, any) }},
		{"of a domain", func() { m.List("d7.example", 1000, any) }},
		{"of a provider", func() { m.List("gmail", 1000, any) }},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.ask()
			}
		})
	}
}

// BenchmarkSiteBytes is the memory of a site that nothing waits for.
func BenchmarkSiteBytes(b *testing.B) {
	const sites = 200_000
	for b.Loop() {
		before := heapInUse()
		m := known(sites)
		b.ReportMetric(float64(heapInUse()-before)/sites, "bytes/site")
		runtime.KeepAlive(m)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
