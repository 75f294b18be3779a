package route

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/millrace/millrace/test/dns"
)

// TestManyQuestionsShareFewSockets: descriptors are for deliveries.
func TestManyQuestionsShareFewSockets(t *testing.T) {
	s := dns.Start(t, "*.test. A 192.0.2.1\n")
	s.Fault("*.test.", dns.Fault{Kind: dns.Slow, Delay: 300 * time.Millisecond})
	c := newClient([]netip.AddrPort{s.AddrPort()})
	server := c.list.Load().servers[0]
	count := func() int {
		server.mu.Lock()
		defer server.mu.Unlock()
		return len(server.ports)
	}
	var wg sync.WaitGroup
	var most int
	for i := range 2 * maxPorts * portLife {
		wg.Go(func() {
			q := question{fmt.Sprintf("d%d.test", i), mdns.TypeA}
			got := c.exchange(t.Context(), []question{q}, patience{total: 20 * time.Second, try: 4 * time.Second, tries: 5})
			if got[0].kind != found || got[0].of != q {
				t.Errorf("%s: %+v", q.name, got[0])
			}
		})
		most = max(most, count())
	}
	wg.Wait()
	if most > maxPorts || most < 2 || count() != 0 {
		t.Errorf("%d sockets at a time, %d left", most, count())
	}
}

// TestPortsDoNotLast: a forger must not find one port for long.
func TestPortsDoNotLast(t *testing.T) {
	s := dns.Start(t, "")
	addr := &server{addr: s.AddrPort()}
	ask := func() (*port, *batch) {
		b := newBatch([]question{{"x.test", mdns.TypeA}})
		b.begin(addr.addr, time.Second)
		p, err := addr.join(t.Context(), b, new(net.Dialer).DialContext)
		if err != nil {
			t.Fatal(err)
		}
		return p, b
	}
	first, keep := ask()
	for range 3 * portLife {
		p, b := ask()
		if p.taken > portLife {
			t.Fatalf("one port took %d batches", p.taken)
		}
		addr.part(p, b)
	}
	addr.part(first, keep)
	if len(addr.ports) != 0 {
		t.Errorf("%d ports left", len(addr.ports))
	}
}
