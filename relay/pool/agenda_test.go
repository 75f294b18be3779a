package pool

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// known is a manager that knows n sites and has nothing to do for them.
func known(n int) *Manager {
	m := New(quick(), Deps{Line: func() *relay.Line { return relay.NewLine(relay.RoundRobin, 0) }, Log: hclog.NewNullLogger()})
	for i := range n {
		d := fmt.Sprintf("d%d.example", i)
		siteFor(m, &route.Route{Domain: d, Site: d})
	}
	return m
}

// TestTickLooksAtWhatIsDue: sites that wait for nothing cost a tick nothing, and are forgotten in portions.
func TestTickLooksAtWhatIsDue(t *testing.T) {
	const n = 2*mostAtOnce + 10
	m := known(n)
	now := time.Now()
	if due := m.agenda.dueAt(now.Add(forgetAfter / 2)); len(due) != 0 {
		t.Errorf("%d of %d sites without anything to do are due", len(due), n)
	}
	late := now.Add(forgetAfter + time.Minute)
	for _, left := range []int{n - mostAtOnce, n - 2*mostAtOnce, 0} {
		if m.tend(late); len(m.sites) != left {
			t.Errorf("%d sites known, want %d", len(m.sites), left)
		}
	}
}

// TestAgendaKeepsTheEarliest: whatever is planned, a site comes at the earliest of its times, once, and in order.
func TestAgendaKeepsTheEarliest(t *testing.T) {
	g := newAgenda()
	now := time.Unix(1_700_000_000, 0)
	want := make(map[*Site]time.Time)
	var sites []*Site
	for range 100 {
		sites = append(sites, &Site{place: -1})
	}
	for range 1000 {
		s, at := sites[rand.IntN(len(sites))], now.Add(time.Duration(rand.IntN(1000))*time.Second)
		if old, ok := want[s]; !ok || at.Before(old) {
			want[s] = at
		}
		g.plan(s, at)
	}
	due := g.dueAt(now.Add(time.Hour))
	if len(due) != len(want) || g.sites.Len() != 0 {
		t.Fatalf("%d sites due, want %d; %d left", len(due), len(want), g.sites.Len())
	}
	for _, s := range due {
		if s.due != want[s] || s.place != -1 {
			t.Errorf("due at %s, want %s", s.due, want[s])
		}
	}
	if !slices.IsSortedFunc(due, func(a, b *Site) int { return a.due.Compare(b.due) }) {
		t.Error("not in order")
	}
}

// TestAgendaRests: the more sites were looked after, the later the next ones are, also when one more becomes due meanwhile.
func TestAgendaRests(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	for n, want := range map[int]time.Duration{1: leastTick, 100: leastTick, 1000: tick / 5, mostAtOnce: tick, 2 * mostAtOnce: tick} {
		g := newAgenda()
		for range n {
			g.plan(&Site{place: -1}, now)
		}
		g.dueAt(now)
		g.plan(&Site{place: -1}, now)
		if wait := g.wait(now); wait != want {
			t.Errorf("behind %d sites the next are looked after in %s, want %s", n, wait, want)
		}
		if wait := g.wait(now.Add(want)); wait != leastTick {
			t.Errorf("%s behind %d sites the next wait for %s more", want, n, wait)
		}
	}
}

// BenchmarkTick is the manager's tick with very many sites known.
func BenchmarkTick(b *testing.B) {
	m := known(1_000_000)
	now := time.Now()
	for b.Loop() {
		m.tend(now)
	}
}

// dead is a router for which no domain is found. It counts the questions.
type dead struct{ asked int }

// Lookup implements Router.
func (d *dead) Lookup(domain string) *route.Route {
	d.asked++
	return &route.Route{Domain: domain, Err: &route.Error{Code: 451, Enhanced: "4.4.3", Text: "SERVFAIL"}}
}

// Await implements Router.
func (d *dead) Await(domain string, known func(*route.Route)) { known(d.Lookup(domain)) }

// Healthy implements Router.
func (d *dead) Healthy() bool { return true }

// TestLookingForTheLostIsBounded: mail that waits for domains that DNS cannot tell has them looked for, a few each five seconds and
// many no more than a hundred times a second.
func TestLookingForTheLostIsBounded(t *testing.T) {
	for n, most := range map[int]int{3: 3 * 13, 6000: 60*100 + 6000} { // and each once at the beginning
		cfg := quick()
		cfg.ClosedFor = []time.Duration{time.Hour}
		queues := relay.NewQueueMap(relay.DefaultQueueConfig(), relay.Deps{Journal: relay.NoJournal{}})
		queues.Open()
		h := relay.NewHandler(queues, relay.DefaultRetryConfig(), relay.HandbackConfig{})
		r := &dead{}
		m := New(cfg, Deps{Handler: h, Router: r, Line: func() *relay.Line { return relay.NewLine(relay.RoundRobin, 0) }, Log: hclog.NewNullLogger()})
		for i := range n {
			msg := &relay.Message{Slip: &relay.Slip{}, ID: relay.ID(i + 1), Content: relay.NewContent(relay.Letter{Body: []byte("x\r\n")})}
			msg.Slip.Rcpts = []relay.Rcpt{{Addr: fmt.Sprintf("a@d%d.example", i)}}
			if err := queues.Accept(msg); err != nil {
				t.Fatal(err)
			}
			m.await(h.Next(t.Context()))
		}
		r.asked = 0
		for now := time.Now(); now.Before(time.Now().Add(time.Minute)); now = now.Add(tick) {
			m.tend(now)
		}
		if r.asked > most || r.asked < n {
			t.Errorf("%d domains were looked for %d times in a minute, want %d at most", n, r.asked, most)
		}
	}
}
