package pool

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// braked keeps the mail of the flow "news" from site x while it is on, and spares whom x refuses with the word "sender".
type braked struct{ on atomic.Bool }

func (b *braked) Holds(flow relay.FlowName, site string) relay.Reason {
	if !b.on.Load() || flow.Name != "news" || site != "x" {
		return relay.Reason{}
	}
	return relay.WaitFor(relay.ReasonPause, "the test", "stopped", time.Now().Add(50*time.Millisecond))
}

func (b *braked) Spares(_ *relay.Visit, site string, reply smtp.Reply) bool {
	return site == "x" && strings.Contains(reply.String(), "sender")
}

// TestBrake: mail that is braked is not sent and not charged, other mail of the site and the same elsewhere is; it goes on when the brake
// is off. Whom a brake spares does not bounce.
func TestBrake(t *testing.T) {
	w, b := newWorld(t, quick(), time.Hour), new(braked)
	w.pool.brake = b
	b.on.Store(true)
	w.listen("x", sink.Character{Faults: []sink.Fault{
		{Stage: sink.Rcpt, Match: "spared", Do: sink.Reply550, Text: "550 5.7.26 the sender is unauthenticated"},
		{Stage: sink.Rcpt, Match: "gone", Do: sink.Reply550, Text: "550 5.1.1 no such user"},
	}})
	w.listen("y", sink.Character{})
	for _, rcpt := range []string{"news@x", "shop@x", "news@y", "shop-spared@x", "shop-gone@x"} {
		m := w.message(rcpt)
		m.Slip.Flow.Name, _, _ = strings.Cut(rcpt, "@")
		m.Slip.Flow.Name, _, _ = strings.Cut(m.Slip.Flow.Name, "-")
		if err := w.queues.Accept(m); err != nil {
			t.Fatal(err)
		}
	}
	w.eventually("the others are settled", func() bool { return len(w.happened()) == 4 })
	time.Sleep(120 * time.Millisecond) // the brake is asked again
	for _, want := range []string{"sent shop@x", "sent news@y", "deferred shop-spared@x", "bounced shop-gone@x"} {
		if w.count(want) != 1 {
			t.Errorf("not %q: %q", want, w.happened())
		}
	}
	for l := range w.handler.Messages {
		if r := l.Recipients[0]; r.Address == "news@x" && r.DelayReason != "stopped" {
			t.Errorf("shown as %+v", r)
		}
	}
	b.on.Store(false)
	w.eventually("it goes on", func() bool { return w.count("sent news@x") == 1 })
}
