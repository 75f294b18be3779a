package dns

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

const testZone = `
	; comments and blank lines are allowed

	example.test.        MX    10 mx1.example.test.
	example.test.        MX    20 mx2.example.test.
	mx1.example.test.    A     192.0.2.1
	mx1.example.test. 60 AAAA  2001:db8::1
	alias.test.          CNAME example.test.
	loop.test.           CNAME pool.test.
	pool.test.           CNAME loop.test.
	deep.below.test.     A     192.0.2.9
	*.wild.test.         MX    5 mx1.example.test.
	soa.test.            SOA   ns.soa.test. root.soa.test. 1 2 3 4 77
`

// ask sends one query; a nil message means that nothing usable came.
func ask(t *testing.T, s *Server, network, name, qtype string) (*mdns.Msg, error) {
	t.Helper()
	m := new(mdns.Msg)
	m.SetQuestion(name, mdns.StringToType[qtype])
	m.SetEdns0(1232, false)
	c := mdns.Client{Net: network, Timeout: 300 * time.Millisecond}
	r, _, err := c.Exchange(m, s.Addr())
	return r, err
}

func TestAnswers(t *testing.T) {
	s := Start(t, testZone)
	tests := []struct {
		name, qtype string
		rcode       int
		answers     int
		soaMin      uint32 // of the negative answer
	}{
		{"example.test.", "MX", mdns.RcodeSuccess, 2, 0},
		{"EXAMPLE.test.", "MX", mdns.RcodeSuccess, 2, 0},
		{"example.test.", "A", mdns.RcodeSuccess, 0, 60},
		{"alias.test.", "MX", mdns.RcodeSuccess, 3, 0},
		{"loop.test.", "MX", mdns.RcodeSuccess, maxChain, 0},
		{"below.test.", "A", mdns.RcodeSuccess, 0, 60},
		{"nowhere.test.", "A", mdns.RcodeNameError, 0, 60},
		{"a.b.wild.test.", "MX", mdns.RcodeSuccess, 1, 0},
		{"a.b.wild.test.", "A", mdns.RcodeSuccess, 0, 60},
		{"sub.soa.test.", "A", mdns.RcodeNameError, 0, 77},
	}
	for _, tt := range tests {
		for _, network := range []string{"udp", "tcp"} {
			t.Run(tt.name+tt.qtype+network, func(t *testing.T) {
				r, err := ask(t, s, network, tt.name, tt.qtype)
				if err != nil {
					t.Fatal(err)
				}
				if r.Rcode != tt.rcode || len(r.Answer) != tt.answers {
					t.Errorf("got %s, %d answers:\n%v", mdns.RcodeToString[r.Rcode], len(r.Answer), r)
				}
				if tt.soaMin > 0 && (len(r.Ns) != 1 || r.Ns[0].(*mdns.SOA).Minttl != tt.soaMin) {
					t.Errorf("authority section: %v", r.Ns)
				}
			})
		}
	}
}

func TestWildcardTakesTheNameAsked(t *testing.T) {
	s := Start(t, testZone)
	r, err := ask(t, s, "udp", "x.wild.test.", "MX")
	if err != nil || r.Answer[0].Header().Name != "x.wild.test." {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestFaults(t *testing.T) {
	tests := []struct {
		fault   Fault
		network string
		want    func(r *mdns.Msg, err error) bool
	}{
		{Fault{Kind: ServFail}, "udp", hasRcode(mdns.RcodeServerFailure)},
		{Fault{Kind: Refused}, "tcp", hasRcode(mdns.RcodeRefused)},
		{Fault{Kind: FormErr}, "udp", hasRcode(mdns.RcodeFormatError)},
		{Fault{Kind: NoEDNS}, "udp", hasRcode(mdns.RcodeFormatError)},
		{Fault{Kind: NXDomain}, "udp", hasRcode(mdns.RcodeNameError)},
		{Fault{Kind: Timeout}, "udp", timedOut},
		{Fault{Kind: Timeout}, "tcp", timedOut},
		{Fault{Kind: Garbage}, "udp", failed},
		{Fault{Kind: Garbage}, "tcp", failed},
		{Fault{Kind: WrongID}, "udp", timedOut},
		{Fault{Kind: WrongID, Then: true}, "udp", answers(2)},
		{Fault{Kind: Truncated}, "udp", func(r *mdns.Msg, err error) bool { return err == nil && r.Truncated }},
		{Fault{Kind: Truncated}, "tcp", answers(2)},
		{Fault{Kind: TruncatedAlways}, "tcp", failed},
		{Fault{Kind: Slow, Delay: 10 * time.Millisecond}, "udp", answers(2)},
		{Fault{Kind: ServFail, Type: "A"}, "udp", answers(2)},
		{Fault{Kind: HeaderOnly}, "udp", func(r *mdns.Msg, err error) bool { return err == nil && len(r.Question) == 0 }},
		{Fault{Kind: Referral}, "udp", func(r *mdns.Msg, err error) bool {
			return err == nil && len(r.Answer) == 0 && r.Ns[0].Header().Rrtype == mdns.TypeNS
		}},
		{Fault{Kind: WrongName}, "udp", func(r *mdns.Msg, err error) bool {
			return err == nil && r.Question[0].Name == "forged.example.test."
		}},
	}
	for i, tt := range tests {
		t.Run(fmt.Sprint(i, tt.network), func(t *testing.T) {
			s := Start(t, testZone)
			s.Fault("example.test.", tt.fault)
			r, err := ask(t, s, tt.network, "example.test.", "MX")
			if !tt.want(r, err) {
				t.Errorf("fault %+v: got %v, %v", tt.fault, r, err)
			}
			s.Heal("example.test.")
			if r, err := ask(t, s, tt.network, "example.test.", "MX"); !answers(2)(r, err) {
				t.Errorf("after Heal: got %v, %v", r, err)
			}
		})
	}
}

func hasRcode(rcode int) func(*mdns.Msg, error) bool {
	return func(r *mdns.Msg, err error) bool { return err == nil && r.Rcode == rcode && len(r.Answer) == 0 }
}

func answers(n int) func(*mdns.Msg, error) bool {
	return func(r *mdns.Msg, err error) bool { return err == nil && len(r.Answer) == n }
}

func failed(_ *mdns.Msg, err error) bool { return err != nil }

func timedOut(_ *mdns.Msg, err error) bool {
	return err != nil && strings.Contains(err.Error(), "timeout")
}

func TestNoEDNSAnswersWithout(t *testing.T) {
	s := Start(t, testZone)
	s.Fault("*.", Fault{Kind: NoEDNS})
	m := new(mdns.Msg)
	m.SetQuestion("example.test.", mdns.TypeMX)
	if r, err := mdns.Exchange(m, s.Addr()); !answers(2)(r, err) {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestFaultTimesAndOrder(t *testing.T) {
	s := Start(t, testZone)
	s.Fault("*.test.", Fault{Kind: Refused})
	s.Fault("example.test.", Fault{Kind: ServFail, Times: 2})
	s.Fault("example.test.", Fault{Kind: NXDomain, Times: 1})
	want := []int{mdns.RcodeServerFailure, mdns.RcodeServerFailure, mdns.RcodeNameError, mdns.RcodeRefused}
	for i, rcode := range want {
		if r, err := ask(t, s, "udp", "example.test.", "MX"); !hasRcode(rcode)(r, err) {
			t.Errorf("query %d: got %v, %v", i, r, err)
		}
	}
}

func TestBareAlias(t *testing.T) {
	s := Start(t, testZone)
	s.Fault("alias.test.", Fault{Kind: Bare})
	r, err := ask(t, s, "udp", "alias.test.", "MX")
	if err != nil || len(r.Answer) != 1 || r.Answer[0].Header().Rrtype != mdns.TypeCNAME {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestBigAnswerIsTruncated(t *testing.T) {
	var zone strings.Builder
	for i := range 500 {
		fmt.Fprintf(&zone, "big.test. MX %d mx%d.big.test.\n", i, i)
	}
	s := Start(t, zone.String())
	r, err := ask(t, s, "udp", "big.test.", "MX")
	if err != nil || !r.Truncated {
		t.Errorf("udp: got %v, %v", r, err)
	}
	if r, err := ask(t, s, "tcp", "big.test.", "MX"); !answers(500)(r, err) {
		t.Errorf("tcp: got %v, %v", r, err)
	}
	if all, tcp := s.Total(); all != 2 || tcp != 1 {
		t.Errorf("counted %d queries, %d over TCP", all, tcp)
	}
}

func TestChangesAndCounts(t *testing.T) {
	s := Start(t, testZone)
	if err := s.Replace("example.test.", "example.test. MX 1 new.test."); err != nil {
		t.Fatal(err)
	}
	if r, err := ask(t, s, "udp", "example.test.", "MX"); !answers(1)(r, err) {
		t.Errorf("after Replace: %v, %v", r, err)
	}
	s.Remove("example.test.")
	if r, err := ask(t, s, "udp", "Example.test.", "A"); err != nil || len(r.Answer) != 0 {
		t.Errorf("after Remove: %v, %v", r, err)
	}
	if n := s.Count("example.TEST.", "MX"); n != 1 {
		t.Errorf("counted %d MX queries", n)
	}
	if n := s.Count("example.test", ""); n != 2 {
		t.Errorf("counted %d queries", n)
	}
}

func TestNewRefusesBadZone(t *testing.T) {
	if s, err := New("example.test. MX ten mx.example.test."); err == nil {
		s.Close()
		t.Error("no error")
	}
}

func TestCloseEndsDelays(t *testing.T) {
	s := Start(t, testZone)
	s.Fault("*.", Fault{Kind: Slow, Delay: time.Hour})
	var wg sync.WaitGroup
	wg.Go(func() { ask(t, s, "udp", "example.test.", "MX") })
	for s.Count("example.test.", "") == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
