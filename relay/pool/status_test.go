package pool

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// closed makes a domain whose hosts refuse connections. The site is closed with its first message.
func (w *world) closed(domain string, hosts ...string) {
	r := &route.Route{Domain: domain, Site: strings.Join(hosts, ",") + ":1", Port: 1}
	for _, h := range hosts {
		r.Hosts = append(r.Hosts, route.Host{Name: h, Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	}
	w.route(domain, r)
}

// listed is the keys of the sites that List yields.
func listed(m *Manager, name string, most int) (keys []string) {
	m.List(name, most, func(s Status) bool {
		keys = append(keys, s.Site)
		return true
	})
	return keys
}

// lasting is quick with doors that stay closed.
func lasting() Config {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Hour}
	return cfg
}

// TestList: the site with the most waiting nodes comes first, and a name finds the sites that it stands for.
func TestList(t *testing.T) {
	w := newWorld(t, lasting(), time.Hour)
	w.closed("few.example", "mx.few.example")
	w.closed("many.example", "mx1.many.example", "mx2.many.example")
	w.closed("some.example", "a.google.com")
	w.alias("many.example", "other.example", "xn--bcher-kva.example")
	w.route("gone.example", &route.Route{Domain: "gone.example", Err: &route.Error{Code: 451, Enhanced: "4.4.3", Text: "no answer"}})
	for domain, n := range map[string]int{"few.example": 5, "some.example": 20, "many.example": 40, "other.example": 40, "gone.example": 2} {
		for i := range n {
			w.send(fmt.Sprintf("u%d@%s", i, domain))
		}
	}
	const few, some, many, gone = "mx.few.example:1", "a.google.com:1", "mx1.many.example,mx2.many.example:1", "dns:gone.example"
	w.eventually("all sites are closed", func() bool {
		n := 0
		for _, s := range w.pool.Sites() {
			if s.Reason != "" && s.Channels == 0 && s.Waiting > 0 {
				n += s.Waiting
			}
		}
		return n == 5
	})
	for _, c := range []struct {
		name string
		most int
		want []string
	}{
		{"", 10, []string{many, some, few, gone}},
		{"", 2, []string{many, some}},
		{"", 1, []string{many}},
		{many, 10, []string{many}},
		{"MX2.many.example", 10, []string{many}},
		{"mx2.many.example.", 10, []string{many}},
		{"many.example", 10, []string{many}},
		{"other.example", 10, []string{many}},
		{"Bücher.example", 10, []string{many}},
		{"gmail", 10, []string{some}},
		{"some.example", 0, []string{some}},
		{"gone.example", 10, []string{gone}},
		{gone, 10, []string{gone}},
		{"example", 10, nil},
		{"never.example", 10, nil},
	} {
		if got := listed(w.pool, c.name, c.most); !slices.Equal(got, c.want) {
			t.Errorf("%q, %d at most: %q, want %q", c.name, c.most, got, c.want)
		}
	}
	if got := listed(w.pool, "", 0); len(got) != 4 {
		t.Errorf("all: %q", got)
	}
	if n := w.pool.Totals(); n.Sites != 4 || n.Closed != 4 || n.Channels != 0 || n.Open != 0 {
		t.Errorf("totals: %+v", n)
	}
}

// TestListEnds: a reader that has enough ends the walk.
func TestListEnds(t *testing.T) {
	w := newWorld(t, lasting(), time.Hour)
	for i := range 3 * walkAtOnce {
		siteFor(w.pool, &route.Route{Domain: "x", Site: fmt.Sprint(i)})
	}
	for _, most := range []int{0, 5 * walkAtOnce} {
		n := 0
		w.pool.List("", most, func(Status) bool { n++; return n < walkAtOnce+1 })
		if n != walkAtOnce+1 {
			t.Errorf("%d at most: %d sites were read, want %d", most, n, walkAtOnce+1)
		}
	}
}

// TestListIsInOrder: of many sites without mail those with the first names are listed, each time the same.
func TestListIsInOrder(t *testing.T) {
	w := newWorld(t, lasting(), time.Hour)
	var all []string
	for i := range 500 {
		all = append(all, fmt.Sprintf("%03d", i))
		siteFor(w.pool, &route.Route{Domain: "x", Site: all[i]})
	}
	for _, most := range []int{1, 2, 7, 100, 499, 500, 501} {
		if got := listed(w.pool, "", most); !slices.Equal(got, all[:min(most, len(all))]) {
			t.Errorf("%d at most: %q", most, got)
		}
	}
}

// TestWalkWhileSitesComeAndGo: a site that is there all the time is seen once.
func TestWalkWhileSitesComeAndGo(t *testing.T) {
	w := newWorld(t, lasting(), time.Hour)
	const stay = 20 * walkAtOnce
	for i := range stay {
		siteFor(w.pool, &route.Route{Domain: "x", Site: fmt.Sprint(i)})
	}
	var wg sync.WaitGroup
	end := make(chan struct{})
	wg.Go(func() { // ends with end
		for i := 0; ; i++ {
			select {
			case <-end:
				return
			default:
			}
			s := siteFor(w.pool, &route.Route{Domain: "x", Site: fmt.Sprint("new", i)})
			if i%3 != 0 {
				w.pool.forget(s, time.Now().Add(24*time.Hour))
			}
		}
	})
	for range 5 {
		seen := make(map[string]int)
		w.pool.walk(func(s *Site) bool { seen[s.Key]++; return true })
		for i := range stay {
			if n := seen[fmt.Sprint(i)]; n != 1 {
				t.Fatalf("site %d was seen %d times", i, n)
			}
		}
	}
	close(end)
	wg.Wait()
}

// TestStatusOfASite: rules, source, plan, flows and suspended senders stand in it.
func TestStatusOfASite(t *testing.T) {
	w := newWorld(t, lasting(), time.Hour)
	rules, err := CompileRules([]Rule{{Name: "goo", MX: []string{"google.com"}, Connections: 3, RecipientsPerMessage: 7, TLS: "none"}}, lasting())
	if err != nil {
		t.Fatal(err)
	}
	w.pool.Reload(lasting(), Policy{Rules: rules}, 20, 0, w.queues.Order)
	today := dayOf(time.Now(), time.Local)
	if err := w.pool.sources.Reload([]SourceConfig{{Name: "news-1", Address: netip.MustParseAddr("127.0.0.1"), Weight: 1,
		Warmup: []Warmup{{Start: today - 1, Plan: []int{50, 100, 100}}}}}); err != nil {
		t.Fatal(err)
	}
	w.closed("g.example", "mx.google.com")
	site := siteFor(w.pool, w.Lookup("g.example"))
	site.pace.Failed(time.Now(), "connection refused")
	for i := range 3 {
		m := w.message(fmt.Sprintf("u%d@g.example", i))
		m.Slip.Flow = relay.FlowName{Name: "autumn", Sender: "n.example"}
		if err := w.queues.Accept(m); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	site.suspend("bad.example", relay.WaitFor(relay.ReasonSite, "", "policy", now.Add(time.Hour)))
	site.suspend("over.example", relay.WaitFor(relay.ReasonSite, "", "policy", now.Add(-time.Hour)))
	site.source.Spend("gmail", 30, now)
	var st Status
	w.eventually("the mail waits", func() bool { st = site.status(time.Now(), nil); return st.Nodes == 3 })
	if st.Site != "mx.google.com:1" || st.Source != "news-1" || st.Provider != "gmail" || st.Rule != "goo" || !slices.Equal(st.Hosts, []string{"mx.google.com"}) {
		t.Errorf("names: %+v", st)
	}
	if st.Window != 0 || st.WindowBy != "rule goo" || st.RecipientsPerMessage != 7 || st.MessagesPerConnection != 50 || st.DomainsPerTransaction != 1 || st.TLS != "none" {
		t.Errorf("terms: %+v", st)
	}
	if st.Reason != "connection refused" || st.ClosedUntil <= now.Unix() || st.Held.Text != "connection refused" {
		t.Errorf("reasons: %+v", st)
	}
	if st.Waiting != 1 || st.AtLeast || st.Oldest.IsZero() || len(st.Flows) != 1 || st.Flows[0].Name != "autumn" || st.Flows[0].Nodes != 3 {
		t.Errorf("line: %+v", st)
	}
	if st.Warming == nil || *st.Warming != (WarmingView{"gmail", 100, 30}) {
		t.Errorf("plan: %+v", st.Warming)
	}
	if len(st.Suspended) != 1 || st.Suspended[0].Sender != "bad.example" {
		t.Errorf("suspended: %+v", st.Suspended)
	}
}

// TestSetBy: an admin reads the name of the rule that sets a limit, as the file has it.
func TestSetBy(t *testing.T) {
	for _, c := range []struct{ pace, terms, want string }{
		{"default", "[pool]", "default"},
		{"default", "", "default"},
		{"rule", "[[site]] goo", "rule goo"},
		{"default", "[[site]] goo", "rule goo"}, // it gives the number that [pool] gives too
		{"rule", "provider orange", "provider orange"},
		{"learned", "[[site]] goo", "learned"},
		{"reply", "provider orange", "reply"},
	} {
		if got := setBy(c.pace, c.terms); got != c.want {
			t.Errorf("%s, %s: %s, want %s", c.pace, c.terms, got, c.want)
		}
	}
}

// TestStatusInQuietHours: the window is closed by the rule that has the hours, which need not be the one that sets the window.
func TestStatusInQuietHours(t *testing.T) {
	w := newWorld(t, lasting(), time.Hour)
	now := time.Now()
	hours := now.Add(-time.Hour).Format("15:04") + "-" + now.Add(2*time.Hour).Format("15:04")
	rules, err := CompileRules([]Rule{{Name: "goo", MX: []string{"a.google.com"}, Connections: 3}, {Name: "night", Provider: "gmail", Quiet: []string{hours}}}, lasting())
	if err != nil {
		t.Fatal(err)
	}
	w.pool.Reload(lasting(), Policy{Rules: rules}, 20, 0, w.queues.Order)
	w.closed("g.example", "a.google.com")
	st := siteFor(w.pool, w.Lookup("g.example")).status(now, nil)
	if st.Window != 0 || st.WindowBy != "rule night" || st.Rule != "goo" || st.Reason == "" || st.ClosedUntil <= now.Unix() {
		t.Errorf("%+v", st)
	}
	if n := w.pool.Totals(); n.Closed != 1 {
		t.Errorf("totals: %+v", n)
	}
}

// TestStatusOfWhatWasLearned: a site that refused one connection more than it allows has a ceiling, with the words it said.
func TestStatusOfWhatWasLearned(t *testing.T) {
	w := newWorld(t, lasting(), time.Hour)
	w.closed("g.example", "a.google.com")
	site := siteFor(w.pool, w.Lookup("g.example"))
	now := time.Now()
	site.pace.Done(now, now.Add(-time.Second), 5, time.Second)
	site.pace.TurnedAway(now, 5, "421 too many connections")
	st := site.status(now, nil)
	if st.Ceiling != 5 || st.WindowBy != "learned" || st.LastThrottle != "421 too many connections" || st.LastThrottleAt != now.Unix() || st.LearnedSince == 0 || st.Latency != time.Second {
		t.Errorf("%+v", st)
	}
}
