package pool

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// TestPanicCostsOneMessage: a fault of our own in an agent ends neither the daemon nor other mail. The message is charged each
// time, with the reason, and goes to our MTA after the third.
func TestPanicCostsOneMessage(t *testing.T) {
	w := newWorld(t, quick(), 20*time.Millisecond)
	w.listen("bad", sink.Character{})
	w.listen("good", sink.Character{})
	w.listen("inject", sink.Character{})
	bad := w.Lookup("bad")
	var d net.Dialer
	w.dialing(func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasPrefix(addr, bad.Hosts[0].Addrs[0].String()+":") {
			panic("a fault in the wire")
		}
		return d.DialContext(ctx, network, addr)
	})
	w.send("a@bad", "b@good")
	for range 5 {
		w.send("c@good")
	}
	w.drained()
	if w.count("deferred a@bad") != 3 || w.count("handedback a@bad") != 1 || w.sink.Counts("good").Messages != 6 {
		t.Errorf("events %q", w.happened())
	}
	w.eventually("every token is back", func() bool {
		c := w.pool.channels
		return c.working(channelToken)+c.working(probationToken)+c.working(slowToken) == 0
	})
}

// TestDamagedContent: a message whose memory was damaged waits with the reason, and is not tried again and again. Mail before and behind
// it goes out over the same connection, and nobody may get it twice.
func TestDamagedContent(t *testing.T) {
	cfg := quick()
	cfg.ConnectionsPerSite = 1
	w := newWorld(t, cfg, time.Hour)
	w.listen("x", sink.Character{})
	m := w.message("bad@x")
	m.Content = relay.NewWrapper([]byte("\r\nhello\r\n")).Content([]byte{1, 20, 0, 99}, 0)
	w.send("a@x")
	if err := w.queues.Accept(m); err != nil {
		t.Fatal(err)
	}
	for range 20 {
		w.send("b@x")
	}
	w.eventually("all others are sent", func() bool { return w.sink.Counts("x").Messages == 21 && w.count("sent b@x") == 20 })
	w.eventually("it is deferred", func() bool { return w.count("deferred bad@x") > 0 })
	if n := w.count("deferred bad@x"); n != 1 || len(w.happened()) != 22 {
		t.Errorf("events %q", w.happened())
	}
	w.stop()
	if n := m.Node(0); !strings.Contains(n.Reason(), "the message cannot be put together: delta: damaged") || n.Visits != 1 {
		t.Errorf("%d visits, %q", n.Visits, n.Reason())
	}
	if n := w.sink.Counts("x").Connections; n > 2 {
		t.Errorf("%d connections", n)
	}
}
