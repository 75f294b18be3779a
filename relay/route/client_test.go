package route

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	mdns "github.com/miekg/dns"

	"github.com/millrace/millrace/test/dns"
)

const clientZone = `
	x.test.     MX 10 mx.test.
	mx.test.    A 192.0.2.1
	chain0.test. CNAME chain1.test.
	chain1.test. CNAME chain2.test.
	chain2.test. A 192.0.2.3
`

var patient = patience{total: 4 * time.Second, try: time.Second, tries: 3}

// TestClientFaults asks one question of one server that misbehaves once.
func TestClientFaults(t *testing.T) {
	once := func(k dns.Kind) dns.Fault { return dns.Fault{Kind: k, Times: 1} }
	tests := []struct {
		name   string
		fault  dns.Fault
		want   kind
		udpTry int // queries seen in all
	}{
		{"none", dns.Fault{Kind: dns.Slow}, found, 1},
		{"servfail once", once(dns.ServFail), found, 2},
		{"servfail", dns.Fault{Kind: dns.ServFail}, failing, 3},
		{"refused", dns.Fault{Kind: dns.Refused}, failing, 3},
		{"header only", dns.Fault{Kind: dns.HeaderOnly}, failing, 3},
		{"no edns", dns.Fault{Kind: dns.NoEDNS}, found, 2},
		{"formerr", dns.Fault{Kind: dns.FormErr}, failing, 3},
		{"referral", dns.Fault{Kind: dns.Referral}, failing, 3},
		{"lost packet", once(dns.Timeout), found, 2},
		{"timeout", dns.Fault{Kind: dns.Timeout}, silent, 3},
		{"truncated", dns.Fault{Kind: dns.Truncated}, found, 2},
		{"truncated, tcp fails", dns.Fault{Kind: dns.TruncatedAlways}, silent, 6},
		{"garbage then truth", dns.Fault{Kind: dns.Garbage, Then: true}, found, 1},
		{"forged id then truth", dns.Fault{Kind: dns.WrongID, Then: true}, found, 1},
		{"forged name then truth", dns.Fault{Kind: dns.WrongName, Then: true}, found, 1},
		{"garbage", dns.Fault{Kind: dns.Garbage}, silent, 3},
		{"forged id", dns.Fault{Kind: dns.WrongID}, silent, 3},
		{"denied", dns.Fault{Kind: dns.NXDomain}, noName, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := dns.Start(t, clientZone)
			s.Fault("x.test", tt.fault)
			c := newClient([]netip.AddrPort{s.AddrPort()})
			p := patient
			if tt.want == silent {
				p.try = 200 * time.Millisecond
			}
			got := c.exchange(t.Context(), []question{{"x.test", mdns.TypeMX}}, p)
			if len(got) != 1 || got[0].kind != tt.want {
				t.Errorf("got %+v", got)
			}
			if n, _ := s.Total(); n != tt.udpTry {
				t.Errorf("%d queries", n)
			}
		})
	}
}

// TestTakeIgnores holds that a message which ends too soon is no answer, though
// its question is the right one.
func TestTakeIgnores(t *testing.T) {
	q := question{"x.test", mdns.TypeMX}
	b := newBatch([]question{q})
	b.begin(netip.AddrPort{}, time.Second)
	m := message(t, q, 0, "x.test. 60 MX 10 mx.test.")
	m.Id = b.ids[0]
	raw, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	for n := range raw {
		if b.receive(raw[:n]); b.state[0] != asking {
			t.Fatalf("believes %d of %d bytes", n, len(raw))
		}
	}
	if b.receive(raw); b.answers[0].kind != found {
		t.Errorf("does not believe the whole: %+v", b.answers[0])
	}
}

func TestClientBatch(t *testing.T) {
	s := dns.Start(t, `
		*.many.test.   A 192.0.2.1
		odd.many.test. TXT "no address"
	`)
	s.Fault("slow.many.test.", dns.Fault{Kind: dns.Timeout, Times: 1})
	s.Fault("bad.many.test.", dns.Fault{Kind: dns.ServFail})
	s.Fault("cut.many.test.", dns.Fault{Kind: dns.Truncated})
	var qs []question
	for _, name := range []string{"a", "slow", "bad", "cut", "odd", "b"} {
		qs = append(qs, question{name + ".many.test", mdns.TypeA})
	}
	c := newClient([]netip.AddrPort{s.AddrPort()})
	want := []kind{found, found, failing, found, noData, found}
	for i, a := range c.exchange(t.Context(), qs, patient) {
		if a.kind != want[i] {
			t.Errorf("%s: %+v", qs[i].name, a)
		}
	}
	if n := s.Count("a.many.test", ""); n != 1 {
		t.Errorf("asked %d times for what was answered", n)
	}
}

func TestClientNextServer(t *testing.T) {
	bad, fine := dns.Start(t, ""), dns.Start(t, clientZone)
	bad.Fault("*.", dns.Fault{Kind: dns.ServFail})
	closed := netip.MustParseAddrPort(closedPort(t))
	for name, first := range map[string]netip.AddrPort{"failing": bad.AddrPort(), "closed": closed} {
		c := newClient([]netip.AddrPort{first, fine.AddrPort()})
		got := c.exchange(t.Context(), []question{{"x.test", mdns.TypeMX}}, patient)
		if got[0].kind != found {
			t.Errorf("%s: got %+v", name, got[0])
		}
	}
	c := newClient([]netip.AddrPort{closed})
	if got := c.exchange(t.Context(), []question{{"x.test", mdns.TypeMX}}, patient); got[0].kind != failing {
		t.Errorf("only a closed one: %+v", got[0])
	}
}

// closedPort is an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	return pc.LocalAddr().String()
}

func TestClientAvoidsADeadServer(t *testing.T) {
	dead, fine := dns.Start(t, ""), dns.Start(t, clientZone)
	dead.Fault("*.", dns.Fault{Kind: dns.Timeout})
	c := newClient([]netip.AddrPort{dead.AddrPort(), fine.AddrPort()})
	short := patience{total: 10 * time.Second, try: 150 * time.Millisecond, tries: 2}
	for range 20 {
		c.exchange(t.Context(), []question{{"x.test", mdns.TypeMX}}, short)
	}
	if n, _ := dead.Total(); n > 10 {
		t.Errorf("asked the dead server %d times of 20", n)
	}
}

func TestClientPassesServersOver(t *testing.T) {
	one, two := dns.Start(t, clientZone), dns.Start(t, clientZone)
	c := newClient([]netip.AddrPort{one.AddrPort(), two.AddrPort()})
	for first := range 4 {
		p := patient
		p.first = first
		c.exchange(t.Context(), []question{{"x.test", mdns.TypeMX}}, p)
	}
	if a, _ := one.Total(); a != 2 {
		t.Errorf("the first server was asked %d times of 4", a)
	}
}

func TestClientEndsWithItsContext(t *testing.T) {
	s := dns.Start(t, "")
	s.Fault("*.", dns.Fault{Kind: dns.Timeout})
	ctx, cancel := context.WithCancel(t.Context())
	c := newClient([]netip.AddrPort{s.AddrPort()})
	done := make(chan []answer)
	go func() {
		hour := patience{total: time.Hour, try: time.Hour, tries: 3}
		done <- c.exchange(ctx, []question{{"x.test", mdns.TypeMX}}, hour)
	}()
	for n := 0; n == 0; n, _ = s.Total() {
		time.Sleep(time.Millisecond)
	}
	cancel()
	select {
	case got := <-done:
		if got[0].kind != silent {
			t.Errorf("got %+v", got[0])
		}
	case <-time.After(30 * time.Second):
		t.Fatal("still waiting")
	}
}

// TestChaseLeftOpen follows aliases one query at a time, as behind servers that
// leave the target's records out.
func TestChaseLeftOpen(t *testing.T) {
	zone := "end.test. A 192.0.2.3\n"
	for i := range 14 {
		zone += fmt.Sprintf("c%d.test. CNAME c%d.test.\n", i, i+1)
	}
	zone += "c14.test. CNAME end.test.\nround.test. CNAME about.test.\nabout.test. CNAME round.test.\n"
	s := dns.Start(t, zone)
	s.Fault("*.test.", dns.Fault{Kind: dns.Bare})
	cfg := testConfig(s).withDefaults()
	x := &search{searcher: newSearcher(cfg, Table{}), cfg: &rules{Config: cfg}, ex: newClient([]netip.AddrPort{s.AddrPort()}), patience: patient}
	tests := []struct {
		name string
		want kind
		most int // queries
	}{
		{"c14.test", found, 2},
		{"c5.test", found, 11},
		{"c4.test", broken, 12},
		{"c0.test", broken, 12},
		{"round.test", broken, 4},
	}
	for _, tt := range tests {
		before, _ := s.Total()
		got := x.chase(t.Context(), []question{{tt.name, mdns.TypeA}})
		after, _ := s.Total()
		if got[0].kind != tt.want || after-before > tt.most {
			t.Errorf("%s: %+v after %d queries", tt.name, got[0], after-before)
		}
	}
}
