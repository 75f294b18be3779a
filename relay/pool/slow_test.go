package pool

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// hangs is a receiver that has proven itself and is silent from its second message on.
func hangs(name string) sink.Character {
	return sink.Character{Name: name, Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Silence, After: 1, Times: 1 << 20}}}
}

// TestSlowSitesGiveTheirChannelsBack: sites that worked and hang now hold connections, but no channels; a healthy site gets
// its mail meanwhile, and theirs is sent when they answer again.
func TestSlowSitesGiveTheirChannelsBack(t *testing.T) {
	const channels = 20
	w := newWorldWith(t, quick(), time.Hour, channels, nil)
	t.Cleanup(w.pool.cutAll) // a stop would wait for what hangs
	w.pool.slowAfter = 200 * time.Millisecond
	w.retime(func(t *smtp.Timeouts) { t.Dot = time.Minute })
	for i := range 4 {
		d := fmt.Sprintf("slow%d", i)
		w.listen(d, hangs(d))
		w.send("prove@" + d)
	}
	w.drained()
	for i := range 4 {
		for j := range 100 {
			w.send(fmt.Sprintf("u%d@slow%d", j, i))
		}
	}
	w.eventually("agents of the slow sites have become slow", func() bool { return w.pool.channels.working(slowToken) >= 4 })
	w.listen("fast", sink.Character{})
	for i := range 100 {
		w.send(fmt.Sprintf("u%d@fast", i))
	}
	w.eventually("the healthy site has its mail", func() bool { return w.sink.Counts("fast").Messages == 100 })
	if n := w.pool.channels.working(slowToken); n > slowRoom*channels {
		t.Errorf("%d slow agents", n)
	}
	for _, s := range w.pool.Sites() {
		if s.Slow > 2 || s.Slow > s.Channels { // of ten
			t.Errorf("%+v", s)
		}
	}
}

// TestManyHangingSitesLeaveChannels: a thousand sites that worked and hang now do not keep a healthy site from its mail, whether
// there are few channels or many.
func TestManyHangingSitesLeaveChannels(t *testing.T) {
	const sites = 1000
	for _, channels := range []int{20, 500} {
		t.Run(fmt.Sprint(channels), func(t *testing.T) {
			w := newWorldWith(t, quick(), time.Hour, channels, nil)
			w.pool.channels.most[slowToken].Store(2000)                             // as the daemon does
			w.retime(func(t *smtp.Timeouts) { *t = smtp.Timeouts{Dot: time.Hour} }) // the others are smtp's own
			t.Cleanup(w.pool.cutAll)                                                // a stop would wait for what hangs
			for i := range sites {
				d := fmt.Sprintf("hangs%d", i)
				w.listen(d, hangs(d))
				w.send("prove@" + d)
			}
			w.drained()
			w.pool.slowAfter = 250 * time.Millisecond
			for i := range sites {
				for j := range 10 {
					w.send(fmt.Sprintf("u%d@hangs%d", j, i))
				}
			}
			w.listen("fast", sink.Character{})
			for i := range 100 {
				w.send(fmt.Sprintf("u%d@fast", i))
			}
			w.eventually("the healthy site has its mail", func() bool { return w.sink.Counts("fast").Messages == 100 })
			w.eventually("every site hangs", func() bool { return w.pool.channels.working(slowToken) >= sites })
			for i := range 100 {
				w.send(fmt.Sprintf("v%d@fast", i))
			}
			w.eventually("the healthy site has more mail", func() bool { return w.sink.Counts("fast").Messages == 200 })
		})
	}
}

// TestSlowAgentsOfASiteAreFew: a site that hangs holds as many connections as a site may have, and not one more for each token
// that an agent gives back.
func TestSlowAgentsOfASiteAreFew(t *testing.T) {
	cfg := quick()
	cfg.ConnectionsPerSite = 4
	w := newWorldWith(t, cfg, time.Hour, 20, nil)
	w.pool.slowAfter = 50 * time.Millisecond
	w.retime(func(t *smtp.Timeouts) { t.Mail = time.Minute })
	w.listen("x", sink.Character{Faults: []sink.Fault{{Stage: sink.Mail, Do: sink.Silence, After: 1}}})
	w.send("prove@x")
	w.drained()
	for i := range 100 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	slow := func() int { return w.pool.channels.working(slowToken) }
	w.eventually("agents have become slow", func() bool { return slow() > 1 })
	why := func(domain string) func() bool {
		return func() bool {
			return slices.ContainsFunc(w.queues.Queues(0), func(q relay.QueueStatus) bool {
				return q.Domain == domain && q.Kind == relay.ReasonConnection && strings.HasPrefix(q.Reason, "waiting for a connection to the site: ")
			})
		}
	}
	w.eventually("the mail behind them says so", why("x"))
	w.alias("x", "y")
	w.send("a@y")
	w.eventually("later mail does, too", why("y"))
	for range 20 {
		time.Sleep(w.pool.slowAfter)
		if s := w.pool.Sites()[0]; s.Slow > cfg.ConnectionsPerSite || s.Channels > cfg.ConnectionsPerSite {
			t.Fatalf("%d slow agents of %d", s.Slow, s.Channels)
		}
	}
}

// TestSlowReceiverIsServed: a receiver that takes longer over each message than an agent may keep a channel gets all its mail,
// each message once, and every token comes back.
func TestSlowReceiverIsServed(t *testing.T) {
	w := newWorldWith(t, quick(), time.Hour, 2, nil)
	w.pool.slowAfter = 20 * time.Millisecond
	w.retime(func(t *smtp.Timeouts) { t.Banner, t.EHLO, t.Mail, t.Rcpt, t.Data, t.Block, t.Dot = 0, 0, 0, 0, 0, 0, 0 }) // smtp's own
	w.listen("x", sink.Character{Delay: 30 * time.Millisecond})
	for i := range 30 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.drained()
	if w.sink.Count() != 30 || w.handler.Status().Deferrals != 0 {
		t.Errorf("%d arrived; %+v", w.sink.Count(), w.handler.Status())
	}
	w.eventually("every token is back", func() bool {
		c := w.pool.channels
		return c.working(channelToken)+c.working(probationToken)+c.working(slowToken) == 0 && w.pool.Sites()[0].Slow == 0
	})
}

// dozing is a connection whose receiver takes a while over each answer.
type dozing struct {
	net.Conn
	nap *atomic.Int64
}

func (d dozing) Read(p []byte) (int, error) {
	time.Sleep(time.Duration(d.nap.Load()))
	return d.Conn.Read(p)
}

// TestSlowAgentEndsWithTheAnswer: when its receiver answers again, a slow agent ends behind what it has begun, although there is
// more to send. The next agent finds that the site is not slow any more, and leaves it to agents with a channel.
func TestSlowAgentEndsWithTheAnswer(t *testing.T) {
	cfg := quick()
	cfg.ConnectionsPerSite = 1
	w := newWorldWith(t, cfg, time.Hour, 2, nil)
	w.pool.slowAfter = 100 * time.Millisecond
	var nap atomic.Int64
	var d net.Dialer
	w.dialing(func(ctx context.Context, network, addr string) (net.Conn, error) {
		nc, err := d.DialContext(ctx, network, addr)
		return dozing{nc, &nap}, err
	})
	w.listen("x", sink.Character{})
	w.send("prove@x")
	w.drained()
	nap.Store(int64(500 * time.Millisecond))
	for i := range 1000 {
		w.send(fmt.Sprintf("u%d@x", i))
	}
	w.eventually("the agent has become slow", func() bool { return w.pool.channels.working(slowToken) == 1 })
	nap.Store(int64(time.Millisecond))
	w.eventually("the agent has ended", func() bool { return w.pool.channels.working(slowToken) == 0 })
	if w.handler.Status().Messages == 0 {
		t.Error("it went on until all was sent")
	}
}

// TestHangingSitesDoNotFillProbation: sites that never answer leave probation to others.
func TestHangingSitesDoNotFillProbation(t *testing.T) {
	w := newWorldWith(t, quick(), time.Hour, 20, nil)
	w.pool.slowAfter = 100 * time.Millisecond
	w.pool.channels.most[probationToken].Store(10)
	w.retime(func(t *smtp.Timeouts) { t.Banner = time.Minute })
	for i := range 15 {
		name := fmt.Sprintf("silent%d", i)
		w.route(name, w.silent(name))
		w.send("u@" + name)
	}
	time.Sleep(50 * time.Millisecond)
	w.listen("x", sink.Character{})
	w.send("u@x")
	w.eventually("the new site has its mail", func() bool { return w.sink.Count() == 1 })
}

// TestSilentReceiverHasAReason: while a site is being tried, its mail says so, and is not shown as active.
func TestSilentReceiverHasAReason(t *testing.T) {
	w := newWorld(t, quick(), time.Hour)
	w.retime(func(t *smtp.Timeouts) { t.Banner = time.Minute })
	w.route("mute", w.silent("mute"))
	w.send("a@mute")
	w.eventually("the listing says that it is being tried", func() bool {
		for l := range w.handler.Messages {
			r := l.Recipients[0]
			return l.QueueName == "deferred" && r.State == "held" && r.DelayKind == relay.ReasonAnswer && strings.HasPrefix(r.DelayReason, "connecting to mx.mute[127.0.0.1]:")
		}
		return false
	})
	if s := w.handler.Status(); s.Held != 1 || s.Active != 0 {
		t.Errorf("%+v", s)
	}
}

// TestSlowSiteNeedsNoChannel: a site that has kept an agent waiting gets its next agents without a channel, and its mail goes on.
func TestSlowSiteNeedsNoChannel(t *testing.T) {
	w := newWorldWith(t, quick(), time.Hour, 4, nil)
	w.pool.slowAfter = 50 * time.Millisecond
	w.listen("x", sink.Character{DotDelay: 300 * time.Millisecond})
	w.send("prove@x")
	w.drained()
	w.eventually("an agent has become slow", func() bool {
		w.send("u@x")
		return w.pool.channels.working(slowToken) > 0
	})
	w.drained()
	for i := range 3 {
		w.send(fmt.Sprintf("v%d@x", i))
		w.eventually("the message is under way", func() bool { return w.handler.Status().Busy > 0 })
		if n := w.pool.channels.working(channelToken); n > 0 {
			t.Errorf("%d channels at work for a site that is known to be slow", n)
		}
		w.drained()
	}
	if s := w.pool.Sites()[0]; s.Slow != 0 {
		t.Errorf("%d slow agents behind the last one", s.Slow)
	}
}
