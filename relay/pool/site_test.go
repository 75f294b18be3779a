package pool

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

func TestFullTransactionsAreNotCharged(t *testing.T) {
	for _, c := range []struct {
		name    string
		domains int
		is      sink.Character
	}{
		{"a receiver that takes one recipient at a time", 8, sink.Character{MaxRecipients: 1}},
		{"more domains of one site than a transaction holds", 600, sink.Character{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, quick(), time.Hour)
			w.listen("d0", c.is)
			rcpts := []string{"u@d0"}
			for i := 1; i < c.domains; i++ {
				w.alias("d0", fmt.Sprintf("d%d", i))
				rcpts = append(rcpts, fmt.Sprintf("u@d%d", i))
			}
			w.send(rcpts...)
			w.drained()
			if d := w.handler.Status().Deferrals; d != 0 || w.sink.Count() != c.domains {
				t.Errorf("%d of %d delivered, %d deferrals", w.sink.Count(), c.domains, d)
			}
		})
	}
}

func TestOneHungConnectionDoesNotHoldUpItsSite(t *testing.T) {
	t.Parallel()
	cfg := quick()
	cfg.Idle = time.Millisecond
	w := newWorld(t, cfg, time.Hour)
	w.retime(func(t *smtp.Timeouts) { t.Dot = time.Hour })
	t.Cleanup(w.pool.cutAll) // a stop would wait for what hangs
	w.listen("x", sink.Character{})
	good := w.Lookup("x")
	w.send("prove@x")
	w.drained()
	w.eventually("the idle connection is closed", func() bool { return w.pool.idle.Load() == 0 })
	w.listen("x", sink.Character{Name: "hung", Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Silence, Times: 1000}}})
	w.send("hang@x")
	w.eventually("a message hangs", func() bool { return w.handler.Status().Busy == 1 })
	time.Sleep(50 * time.Millisecond) // until it is past the connection
	w.route("x", good)
	w.send("next@x")
	w.eventually("the next one is sent", func() bool { return w.count("sent next@x") == 1 })
}

func TestFailureBehindASuccessClosesTheSite(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Minute}
	p := newPace(configured(cfg), relay.ReasonSite, "x")
	now := time.Now()
	p.Failed(now, "421")
	p.Answered() // a connection that was open already
	if n := p.Window(now); n != cfg.ConnectionsPerSite {
		t.Errorf("window %d after an answer", n)
	}
	p.Failed(now.Add(time.Second), "connection refused")
	if n := p.Window(now.Add(time.Second)); n != 0 {
		t.Errorf("window %d after a failed connection, want 0", n)
	}
	if n := p.Window(now.Add(2 * time.Minute)); n != 1 {
		t.Errorf("window %d when the time is over, want 1 to probe", n)
	}
}

func TestClosedForGrows(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Minute, time.Hour}
	p := newPace(configured(cfg), relay.ReasonSite, "x")
	now := time.Now()
	for i, want := range []time.Duration{time.Minute, time.Hour, time.Hour} {
		p.Failed(now, "refused")
		if until := p.Closed().Until; until.Sub(now) != want {
			t.Errorf("failure %d closes for %s, want %s", i+1, until.Sub(now), want)
		}
		now = now.Add(2 * time.Hour)
	}
}

// TestSiteThatTurnsEverythingAwayIsClosed: 421 in reply to each body says nothing about a message; after a few the site
// is left alone, and the rest waits uncharged.
func TestSiteThatTurnsEverythingAwayIsClosed(t *testing.T) {
	for _, ext := range [][]string{{"8BITMIME"}, {"PIPELINING", "8BITMIME"}} {
		t.Run(strings.Join(ext, " "), func(t *testing.T) {
			cfg := quick()
			cfg.ClosedFor = []time.Duration{time.Hour}
			w := newWorld(t, cfg, time.Hour)
			w.listen("x", sink.Character{Extensions: ext, Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Reply421, Times: 1 << 20}}})
			for i := range 200 {
				w.send(fmt.Sprintf("u%d@x", i))
			}
			w.eventually("the site is closed", func() bool { s := w.pool.Sites(); return len(s) == 1 && s[0].Reason != "" && s[0].Channels == 0 })
			if d := w.handler.Status().Deferrals; d > 20 {
				t.Errorf("%d visits charged before the site was closed", d)
			}
		})
	}
}

func TestOurOwnRefusalsSayNothingAboutTheSite(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Hour}
	w := newWorld(t, cfg, time.Hour)
	w.listen("x", sink.Character{Extensions: []string{"PIPELINING"}})
	w.listen("inject", sink.Character{})
	for i := range 2 * maxTroubles {
		m := w.message(fmt.Sprintf("a%d@x", i))
		m.Content = relay.NewContent(relay.Letter{Body: []byte("caf\xe9\r\n")})
		if err := w.queues.Accept(m); err != nil {
			t.Fatal(err)
		}
	}
	w.drained()
	w.send("plain@x")
	w.drained()
	if w.count("sent plain@x") != 1 {
		t.Errorf("events %q", w.happened())
	}
}

// TestLoop: a host that DNS names and that greets with a name of ours is ourselves. Everything that waits for it goes back to
// our MTA at once. A host that the table names is not asked for its name.
func TestLoop(t *testing.T) {
	for _, tt := range []struct {
		static bool
		helo   string
		mta    string // the name that our MTA gives itself, which may be another than ours
	}{
		{true, "millrace.test", "inject.test"}, {false, "millrace.test", "inject.test"}, {false, "news.millrace.test", "inject.test"},
		{false, "millrace.test.", "inject.test"}, {false, "out.other.test", "mx1.other.test"}, {true, "out.other.test", "mx1.other.test"},
	} {
		static := tt.static
		t.Run(fmt.Sprintf("static=%t,%s,%s", static, tt.helo, tt.mta), func(t *testing.T) {
			w := newWorld(t, quick(), time.Hour)
			cfg := *w.pool.smtp.Load()
			cfg.Hostname = tt.helo
			w.pool.SetSMTP(cfg)
			greets := "millrace.test"
			if tt.mta != "inject.test" {
				greets = tt.mta
			}
			addr, err := w.sink.Listen("127.0.77.2:25", sink.Character{Name: greets})
			if err != nil && os.Getenv("CI") != "" {
				t.Fatal(err)
			}
			if err != nil {
				t.Skipf("port 25 is needed, which only root may listen on: %v", err)
			}
			ap := netip.MustParseAddrPort(addr.String())
			w.listen("inject", sink.Character{Name: tt.mta})
			own := w.message("n@inject")
			own.Slip.Class = relay.ClassInject
			if err := w.queues.Accept(own); err != nil { // a notification, by which the name is learned
				t.Fatal(err)
			}
			w.drained()
			hosts := []route.Host{{Name: "mx.x", Addrs: []netip.Addr{ap.Addr()}}}
			for _, d := range []string{"x", "y", "z"} {
				w.route(d, &route.Route{Domain: d, Site: "x", Port: 25, Static: static, Hosts: hosts})
			}
			word := "handedback"
			if static {
				word = "sent"
			}
			for _, d := range []string{"x", "y", "z", "x"} {
				w.send("a@" + d)
			}
			w.drained()
			for d, n := range map[string]int{"x": 2, "y": 1, "z": 1} {
				if want := word + " a@" + d; w.count(want) != n {
					t.Errorf("%d %s, events %q", w.count(want), want, w.happened())
				}
			}
		})
	}
}

func TestSecondMXIsReachedWhileManySitesAreTried(t *testing.T) {
	w := newWorld(t, quick(), 100*time.Millisecond)
	for range int(w.pool.channels.most[probationToken].Load())/4 + 2 {
		w.pool.channels.acquire(probationToken)
	}
	w.listen("x", sink.Character{})
	r := *w.Lookup("x")
	live := r.Hosts[0]
	live.Pref = 20
	r.Static = false
	r.Hosts = []route.Host{{Name: "mx1.x", Pref: 10, Addrs: []netip.Addr{netip.MustParseAddr("127.0.88.3")}}, live}
	w.route("x", &r)
	w.send("a@x")
	w.drained()
	if w.sink.Count() != 1 {
		t.Errorf("events %q", w.happened())
	}
}

func TestChannelsBoundConnections(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, quick(), time.Hour, 2, nil)
	w.retime(func(t *smtp.Timeouts) { t.Dot = time.Hour })
	t.Cleanup(w.pool.cutAll) // a stop would wait for what hangs
	for i := range 60 {
		d := fmt.Sprintf("d%d", i)
		w.listen(d, sink.Character{Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Silence, After: 1, Times: 1 << 20}}})
		w.send("a@"+d, "b@"+d)
		w.send("c@" + d)
	}
	w.eventually("every place is taken by a site that hangs", func() bool { return w.handler.Status().Busy >= 8 })
	time.Sleep(time.Second)
	working := 0
	for _, s := range w.pool.Sites() {
		working += s.Channels
	}
	if most := 2 + int(w.pool.channels.most[probationToken].Load()); working > most {
		t.Errorf("%d connections at work with %d channels and %d places on probation", working, 2, int(w.pool.channels.most[probationToken].Load()))
	}
}

// TestSlowSiteGivesWay: a site with much to do and few channels in all does not keep them.
func TestSlowSiteGivesWay(t *testing.T) {
	w := newWorldWith(t, quick(), time.Hour, 4, nil)
	w.reload(4, func(c *Config) { c.Slice = 5 })
	w.listen("slow", sink.Character{Delay: 20 * time.Millisecond})
	w.send("prove@slow")
	w.drained()
	const all = 2000
	for i := range all {
		w.send(fmt.Sprintf("u%d@slow", i))
	}
	w.eventually("the slow site has all channels", func() bool { return w.pool.channels.working(channelToken) == 4 })
	before := w.sink.Counts("slow").Messages
	for i := range 20 {
		name := fmt.Sprintf("fast%d", i)
		w.listen(name, sink.Character{})
		w.send("a@"+name, "b@"+name)
	}
	w.eventually("all others are delivered", func() bool { return w.sink.Count()-int(w.sink.Counts("slow").Deliveries) >= 40 })
	if n := w.sink.Counts("slow").Messages - before; n > all/4 {
		t.Errorf("%d of %d slow messages were done first", n, all)
	}
}

// TestChannelsOfQueuesInLineAreLeft: a site that works takes no channel that a queue in line is waiting for.
func TestChannelsOfQueuesInLineAreLeft(t *testing.T) {
	t.Parallel()
	w := newWorldWith(t, quick(), time.Hour, 4, nil)
	w.listen("x", sink.Character{Delay: 5 * time.Millisecond})
	w.send("prove@x")
	w.drained()
	w.crowd.Store(1)
	for i := range 100 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	most := 0
	w.eventually("all is sent", func() bool {
		most = max(most, w.pool.channels.working(channelToken))
		return w.handler.Status().Messages == 0
	})
	if most != 3 {
		t.Errorf("%d of 4 channels were at work while one queue stood in line", most)
	}
}

func TestQueueFollowsItsRoute(t *testing.T) {
	cfg := quick()
	cfg.ConnectionsPerSite, cfg.Slice = 1, 10
	w := newWorld(t, cfg, time.Hour)
	w.listen("x", sink.Character{Name: "old", Delay: 3 * time.Millisecond})
	for i := range 200 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.eventually("some are sent", func() bool { return w.sink.Count() >= 5 })
	w.listen("other", sink.Character{Name: "new"})
	r := *w.Lookup("other")
	r.Domain = "x"
	w.route("x", &r)
	w.drained()
	if old := w.sink.Counts("old").Messages; old > 60 {
		t.Errorf("the old host got %d of 200", old)
	}
}

func TestClosedSiteIsNotForgotten(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	s := newSite(w.pool, path{siteID: siteID{key: "k"}})
	s.route = &route.Route{}
	w.reload(20, func(c *Config) { c.ClosedFor = []time.Duration{30 * time.Minute} })
	now := time.Now()
	s.pace.Failed(now, "refused")
	if s.forgettable(now.Add(11*time.Minute)) || !s.forgettable(now.Add(41*time.Minute)) {
		t.Error("a closed site is to be remembered until a while after it may be open")
	}
}

// tooMany is a router whose backlog is full.
type tooMany struct {
	*world
	awaits atomic.Int64
}

func (r *tooMany) Await(d string, known func(*route.Route)) {
	r.awaits.Add(1)
	known(&route.Route{Domain: d, Err: &route.Error{Code: 451, Enhanced: "4.3.2", Text: "too many lookups are waiting"}})
}

func TestFullResolverIsNotAskedWithoutPause(t *testing.T) {
	var r *tooMany
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Minute}
	w := newWorldWith(t, cfg, time.Hour, 10, func(w *world) Router { r = &tooMany{world: w}; return r })
	w.send("u@new.example")
	time.Sleep(300 * time.Millisecond)
	if n := r.awaits.Load(); n == 0 || n > 3 {
		t.Errorf("asked %d times in 0.3 s for one queue", n)
	}
	if qs := w.queues.Queues(0); len(qs) != 1 || !strings.Contains(qs[0].Reason, "too many lookups") || qs[0].Next == 0 || qs[0].Kind != relay.ReasonDNS || qs[0].Who != "new.example" {
		t.Errorf("waits in silence: %+v", qs)
	}
}

func TestDelaysAddUp(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{Delay: 100 * time.Millisecond})
	begin := time.Now()
	w.send("a@x")
	w.drained()
	took := time.Since(begin)
	w.mu.Lock()
	defer w.mu.Unlock()
	if d := w.delays[0]; d.Total() > took || d.Setup < 150*time.Millisecond || d.Transmit < 250*time.Millisecond {
		t.Errorf("took %s, delays %+v", took, d)
	}
}

func TestMaybeTwiceOnlyWhoWasAccepted(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{Refuse: sink.Matching("bad*"), Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Disconnect, Times: 1}}})
	w.send("good@x", "bad@x")
	w.eventually("both are settled", func() bool { return len(w.happened()) == 2 })
	if w.count("deferred good@x maybe twice") != 1 || w.count("bounced bad@x") != 1 {
		t.Errorf("events %q", w.happened())
	}
}

// A reply that says neither yes nor no to the body leaves the receiver with a message that it may have taken.
func TestMaybeTwiceWhenTheReplyIsNone(t *testing.T) {
	for _, text := range []string{"354 go on", "199 thinking", "999 what"} {
		t.Run(text, func(t *testing.T) {
			w := newWorld(t, quick(), time.Hour)
			w.listen("x", sink.Character{Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Reply451, Text: text, Take: true, Times: 1}}})
			w.send("a@x")
			w.eventually("it is settled", func() bool { return len(w.happened()) == 1 })
			if w.count("deferred a@x maybe twice") != 1 || w.handler.Status().MaybeTwice != 1 {
				t.Errorf("events %q", w.happened())
			}
		})
	}
}

// TestNoQueueIsForgotten sends through sites that break off in every way, with short turns and few connections.
func TestNoQueueIsForgotten(t *testing.T) {
	t.Parallel()
	cfg := quick()
	cfg.Slice, cfg.ConnectionsPerSite = 3, 3
	w := newWorldWith(t, cfg, 20*time.Millisecond, 8, nil)
	var domains []string
	for i := range 6 {
		d := fmt.Sprintf("s%d", i)
		w.listen(d, sink.Character{MessagesPerConn: 7, MaxRecipients: 3, Faults: []sink.Fault{
			{Stage: sink.Stage(1 + i%2), Do: sink.Reply421, After: 3, Times: 2},
			{Stage: sink.Dot, Do: sink.Reply421, After: 20, Times: 2}, {Stage: sink.Rcpt, Do: sink.Disconnect, After: 30, Times: 5},
		}})
		domains = append(domains, d)
		for j := range 5 {
			name := fmt.Sprintf("v%d.%d", i, j)
			w.alias(d, name)
			domains = append(domains, name)
		}
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 400 { // pace slows down for all the 421s, so that more would take minutes
		var rcpts []string
		for range 1 + rng.IntN(4) {
			rcpts = append(rcpts, fmt.Sprintf("u%d@%s", i, domains[rng.IntN(len(domains))]))
		}
		w.send(rcpts...)
	}
	w.drained()
	w.eventually("all agents have ended", func() bool {
		for _, s := range w.pool.Sites() {
			if s.Channels != 0 {
				return false
			}
		}
		return w.pool.channels.working(probationToken) == 0 && w.pool.channels.working(channelToken) == 0 && len(w.queues.Queues(0)) == 0
	})
}

var _ Handler = (*relay.Handler)(nil)
