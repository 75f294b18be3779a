package pool

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

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
