package pool

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

func TestManyMessagesFewConnections(t *testing.T) {
	cfg := quick()
	cfg.ConnectionsPerSite = 3
	w := newWorld(t, cfg, time.Minute)
	w.listen("x", sink.Character{})
	const n = 500
	for i := range n {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.drained()
	if got := w.sink.Count(); got != n {
		t.Errorf("%d delivered, want %d", got, n)
	}
	if c := w.sink.Counts("x"); int(c.Connections) > n/cfg.MessagesPerConnection+2*cfg.ConnectionsPerSite {
		t.Errorf("%d connections for %d messages", c.Connections, n)
	}
}

func TestRecipientsOfOneSiteShareATransaction(t *testing.T) {
	w := newWorld(t, quick(), time.Minute)
	w.listen("x", sink.Character{})
	r := *w.Lookup("x")
	r.Domain = "y"
	w.route("y", &r)
	w.send("a@x", "b@y", "c@x")
	w.drained()
	if c := w.sink.Counts("x"); c.Messages != 1 || w.sink.Count() != 3 {
		t.Errorf("%d transactions for %d recipients, want 1 for 3", c.Messages, w.sink.Count())
	}
}

func TestTooManyRecipientsAreSentAtOnce(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{MaxRecipients: 2})
	w.send("a@x", "b@x", "c@x", "d@x", "e@x")
	w.drained()
	if w.sink.Count() != 5 {
		t.Errorf("%d delivered, want 5", w.sink.Count())
	}
}

func TestGreylistedIsSentLater(t *testing.T) {
	w := newWorld(t, quick(), 100*time.Millisecond)
	w.listen("x", sink.Character{Greylist: 50 * time.Millisecond})
	w.send("a@x")
	w.drained()
	if w.count("deferred a@x") != 1 || w.count("sent a@x") != 1 {
		t.Errorf("events %q", w.happened())
	}
}

func TestClosingConnectionsLosesNothing(t *testing.T) {
	w := newWorld(t, quick(), 10*time.Millisecond)
	w.listen("x", sink.Character{MessagesPerConn: 3})
	const n = 60
	for i := range n {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.drained()
	if w.sink.Count() != n {
		t.Errorf("%d delivered, want %d", w.sink.Count(), n)
	}
}

func TestDeadSiteCostsOnlyItsOwn(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{})
	w.route("dead", &route.Route{Domain: "dead", Site: "dead", Port: 1, Hosts: []route.Host{{Name: "mx.dead", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}})
	for i := range 20 {
		w.send(fmt.Sprintf("u%d@dead", i))
	}
	for i := range 20 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	for end := time.Now().Add(10 * time.Second); w.sink.Count() < 20 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if w.sink.Count() != 20 {
		t.Fatalf("%d delivered to the healthy site, want 20", w.sink.Count())
	}
	for _, q := range w.queues.Queues(0) {
		if q.Domain == "dead" && q.Active > 0 && (q.Reason == "" || q.Next == 0) {
			t.Errorf("a queue waits in silence: %+v", q)
		}
	}
	if d := w.handler.Status().Deferrals; d == 0 || d >= 20 {
		t.Errorf("%d visits were charged for a dead site, want those of the probes only", d)
	}
}

func TestDeadSiteComesBack(t *testing.T) {
	w := newWorld(t, quick(), 20*time.Millisecond)
	w.route("x", &route.Route{Domain: "x", Site: "x", Port: 1, Hosts: []route.Host{{Name: "mx.x", Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}}})
	for i := range 10 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	for end := time.Now().Add(5 * time.Second); w.handler.Status().Deferrals == 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	w.listen("x", sink.Character{})
	w.drained()
	if w.sink.Count() != 10 {
		t.Errorf("%d delivered, want 10", w.sink.Count())
	}
}

func TestNextHostTakesWhatTheFirstRefuses(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("bad", sink.Character{Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply451, Times: 1000}}})
	bad := w.Lookup("bad")
	// Two hosts of one site cannot have two ports, so one listener per address of the same port is made here.
	addr, err := w.sink.Listen(fmt.Sprintf("127.0.99.2:%d", bad.Port), sink.Character{Name: "second"})
	if err != nil {
		t.Fatal(err)
	}
	second := route.Host{Name: "mx2.x", Pref: 20, Addrs: []netip.Addr{netip.MustParseAddrPort(addr.String()).Addr()}}
	first := bad.Hosts[0]
	first.Pref = 10
	w.route("x", &route.Route{Domain: "x", Site: "x", Port: bad.Port, Hosts: []route.Host{first, second}})
	for i := range 5 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.drained()
	if c := w.sink.Counts("second"); c.Messages != 5 || w.handler.Status().Deferrals != 0 {
		t.Errorf("second host got %d messages, %d deferrals; events %q", c.Messages, w.handler.Status().Deferrals, w.happened())
	}
}

func TestDomainThatTakesNoMail(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.route("null", &route.Route{Domain: "null", Err: &route.Error{Permanent: true, Code: 556, Enhanced: "5.1.10", Text: "no"}})
	w.route("soft", &route.Route{Domain: "soft", Err: &route.Error{Code: 451, Enhanced: "4.4.3", Text: "SERVFAIL"}})
	w.send("a@null")
	w.send("b@soft")
	for end := time.Now().Add(5 * time.Second); len(w.happened()) < 2 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if w.count("bounced a@null") != 1 || w.count("deferred b@soft") != 1 {
		t.Errorf("events %q", w.happened())
	}
}

// TestMailToOurselvesGoesBack: only our own MTA knows what becomes of it, so it neither bounces nor waits, and is not
// delivered to ourselves either.
func TestMailToOurselvesGoesBack(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{time.Hour}
	w := newWorld(t, cfg, time.Hour)
	w.listen("inject", sink.Character{Name: "mta"})
	ours := &route.Route{Domain: "own", Err: &route.Error{Code: 451, Enhanced: "4.4.6", Text: "loops back", Cause: route.Ourselves}}
	w.route("own", ours)
	for i := range 20 {
		w.send(fmt.Sprintf("u%d@own", i))
	}
	w.send("a@late") // found out while its queue waits for the lookup
	time.Sleep(20 * time.Millisecond)
	w.route("late", ours)
	w.drained()
	if s := w.handler.Status(); w.count("handedback a@late") != 1 || s.HandedBack != 21 || s.Bounced != 0 || w.sink.Counts("mta").Messages != 21 {
		t.Errorf("status %+v, events %q", s, w.happened())
	}
	for _, s := range w.pool.Sites() {
		if strings.HasPrefix(s.Site, dnsKey) {
			t.Errorf("a closed site was made of it: %+v", s)
		}
	}
}

func TestUnknownRouteParks(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	for i := range 50 {
		w.send(fmt.Sprintf("u%d@late", i))
	}
	time.Sleep(20 * time.Millisecond)
	if qs := w.queues.Queues(0); len(qs) != 1 || qs[0].Reason == "" {
		t.Errorf("waits in silence: %+v", qs)
	}
	w.listen("late", sink.Character{})
	w.drained()
	if w.sink.Count() != 50 {
		t.Errorf("%d delivered, want 50", w.sink.Count())
	}
}

func TestStopFinishesTransactions(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{Delay: 5 * time.Millisecond})
	for i := range 200 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	for w.sink.Count() < 10 {
		time.Sleep(time.Millisecond)
	}
	w.stop()
	s := w.handler.Status()
	if int(s.Sent) != w.sink.Count() || s.Busy != 0 || s.Sent+s.Active+s.Held+s.Deferred != 200 {
		t.Errorf("after Stop: %d arrived, status %+v", w.sink.Count(), s)
	}
}

func TestStopCutsWhatHangs(t *testing.T) {
	t.Parallel()
	cfg := quick()
	w := newWorld(t, cfg, time.Hour)
	w.retime(func(t *smtp.Timeouts) { t.Dot = time.Hour })
	w.listen("x", sink.Character{Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Silence, Times: 10}}})
	w.send("a@x")
	for w.handler.Status().Busy == 0 {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond)
	w.stop()
	if s := w.handler.Status(); s.Busy != 0 || s.Messages != 1 || s.MaybeTwice != 1 {
		t.Errorf("status %+v", s)
	}
}

func TestEightBitWithoutReceiverGoesToOurMTA(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.listen("x", sink.Character{Extensions: []string{"PIPELINING"}})
	w.listen("inject", sink.Character{})
	m := w.message("a@x")
	m.Content = relay.NewContent(relay.Letter{Body: []byte("caf\xe9\r\n")})
	if err := w.queues.Accept(m); err != nil {
		t.Fatal(err)
	}
	w.drained()
	if w.count("handedback a@x") != 1 || w.sink.Counts("inject").Messages != 1 || w.sink.Counts("x").Messages != 0 {
		t.Errorf("events %q", w.happened())
	}
}

func TestManyDeadSitesLeaveRoom(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.retime(func(t *smtp.Timeouts) { t.Banner = time.Minute })
	for i := range 300 { // more than half of the channels
		name := fmt.Sprintf("silent%d", i)
		r := w.silent(name)
		w.route(name, r)
		for j := range 3 {
			w.send(fmt.Sprintf("u%d@%s", j, name))
		}
	}
	w.listen("x", sink.Character{})
	for i := range 50 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	for end := time.Now().Add(15 * time.Second); w.sink.Count() < 50 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if w.sink.Count() != 50 {
		t.Errorf("%d of 50 delivered behind 300 sites that say nothing", w.sink.Count())
	}
	if used := w.pool.channels.working(channelToken); used > 20 {
		t.Errorf("%d channels in use", used)
	}
}

func TestBacklogOfReopenedSiteUsesItsWindow(t *testing.T) {
	cfg := quick()
	cfg.ClosedFor = []time.Duration{100 * time.Millisecond}
	w := newWorld(t, cfg, 10*time.Millisecond)
	w.listen("x", sink.Character{Delay: 5 * time.Millisecond, Faults: []sink.Fault{{Stage: sink.Banner, Do: sink.Reply421, Times: 1}}})
	for i := range 400 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.drained()
	if c := w.sink.Counts("x"); c.MaxOpen < 5 {
		t.Errorf("at most %d connections for a backlog of 400", c.MaxOpen)
	}
}

// TestStopDoesNotWaitForAGreeting: a connection without a message in it is not worth waiting for, and its mail is not charged.
func TestStopDoesNotWaitForAGreeting(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.retime(func(t *smtp.Timeouts) { t.Banner = time.Minute })
	w.route("mute", w.silent("mute"))
	w.send("a@mute")
	w.eventually("it is being tried", func() bool { return w.handler.Status().Held == 1 })
	begin := time.Now()
	w.stop()
	if d := time.Since(begin); d > 4*time.Second { // Stop is given five
		t.Errorf("stopped after %s", d)
	}
	if s := w.handler.Status(); s.Deferrals != 0 || s.Messages != 1 {
		t.Errorf("%+v", s)
	}
}

// TestOneDomainATransaction: a site that DNS names gets one domain in each transaction. One that the table names gets all that
// wait when the first is taken; they are linked one behind the other, so that a fast agent may be too early for some.
func TestOneDomainATransaction(t *testing.T) {
	transactions := func(static bool) int64 {
		w := newWorld(t, quick(), time.Minute)
		w.listen("x", sink.Character{})
		r := *w.Lookup("x")
		r.Static = static
		w.route("x", &r)
		w.alias("x", "y", "z")
		w.send("a@x", "b@y", "c@x", "d@z")
		w.drained()
		if w.sink.Count() != 4 {
			t.Errorf("static %t: %d recipients", static, w.sink.Count())
		}
		return w.sink.Counts("x").Messages
	}
	fewest := int64(3)
	for range 20 {
		if n := transactions(false); n != 3 {
			t.Fatalf("%d transactions for 3 domains", n)
		}
		if fewest = min(fewest, transactions(true)); fewest == 1 {
			return
		}
	}
	t.Errorf("%d transactions for 3 domains of a static route in 20 tries", fewest)
}

// TestStopDoesNotWaitForRepliesBeforeTheBody: a receiver that is silent before it has the whole message holds up no stop, and
// its mail is put back uncharged. What it has been told before is not forgotten.
func TestStopDoesNotWaitForRepliesBeforeTheBody(t *testing.T) {
	for stage, name := range map[sink.Stage]string{sink.Mail: "MAIL", sink.Rcpt: "RCPT", sink.Data: "DATA"} {
		for after := range 2 {
			t.Run(fmt.Sprintf("%s %d", name, after), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, quick(), time.Hour)
				w.retime(func(t *smtp.Timeouts) { t.Mail, t.Rcpt, t.Data, t.Dot = time.Hour, time.Hour, time.Hour, time.Hour })
				w.listen("x", sink.Character{Faults: []sink.Fault{{Stage: stage, Do: sink.Silence, After: after, Times: 100}}})
				for i := range after + 1 {
					w.send(fmt.Sprintf("u%d@x", i))
				}
				w.eventually("the receiver is silent", func() bool { return w.handler.Status().Busy == 1 && w.sink.Count() == after })
				w.pool.Stop(t.Context()) // has all the time there is
				s := w.handler.Status()
				if s.Deferrals != 0 || s.MaybeTwice != 0 || s.Messages != 1 || s.Busy != 0 {
					t.Errorf("%+v; %q", s, w.happened())
				}
			})
		}
	}
}

// TestStopWaitsForMessagesThatReceiversHave: a receiver that takes its time over a whole message is waited for; the message that
// is with it in part is put back.
func TestStopWaitsForMessagesThatReceiversHave(t *testing.T) {
	cfg := quick()
	cfg.ConnectionsPerSite = 1
	w := newWorld(t, cfg, time.Hour)
	w.listen("x", sink.Character{Delay: 100 * time.Millisecond})
	for i := range 5 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.eventually("some are sent", func() bool { return w.sink.Count() >= 2 })
	w.pool.Stop(t.Context())
	s := w.handler.Status()
	if int(s.Sent) != w.sink.Count() || s.Deferrals != 0 || s.MaybeTwice != 0 || int(s.Messages)+w.sink.Count() != 5 || s.Busy != 0 {
		t.Errorf("%d arrived; %+v; %q", w.sink.Count(), s, w.happened())
	}
}

// TestOneDomainIsLearned: a static site that refuses several domains in one transaction gets each alone, at once and uncharged,
// and is asked no more.
func TestOneDomainIsLearned(t *testing.T) {
	const words = "550 5.7.1 Multiple destination domains per transaction is unsupported"
	for name, faults := range map[string][]sink.Fault{
		"RCPT": {{Stage: sink.Rcpt, Do: sink.Reply550, Text: words, Match: "@y", Times: 1}, {Stage: sink.Rcpt, Do: sink.Reply550, Text: words, Match: "@z", Times: 1}},
		"DATA": {{Stage: sink.Data, Do: sink.Reply550, Text: words, Times: 1}},
		"dot":  {{Stage: sink.Dot, Do: sink.Reply550, Text: words, Times: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, quick(), time.Hour)
			w.listen("x", sink.Character{Faults: faults})
			w.alias("x", "y", "z")
			for range 2 {
				w.send("a@x", "b@y", "c@z")
				w.drained()
			}
			s := w.handler.Status()
			if w.sink.Count() != 6 || s.Sent != 6 || s.Deferrals != 0 || s.Bounced != 0 {
				t.Errorf("%d arrived; %+v; %q", w.sink.Count(), s, w.happened())
			}
			if n := w.sink.Counts("x").Messages; n != 6 {
				t.Errorf("%d transactions for two messages to three domains", n)
			}
		})
	}
}
