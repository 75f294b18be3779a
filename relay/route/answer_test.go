package route

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// message makes a reply to a question out of records in text form; those of
// type SOA and NS go to the authority section.
func message(t testing.TB, q question, rcode int, records ...string) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(q.name), q.qtype)
	m.Response, m.Rcode = true, rcode
	for _, text := range records {
		rr, err := dns.NewRR(text)
		if err != nil {
			t.Fatal(err)
		}
		if h := rr.Header().Rrtype; h == dns.TypeSOA || h == dns.TypeNS {
			m.Ns = append(m.Ns, rr)
		} else {
			m.Answer = append(m.Answer, rr)
		}
	}
	return m
}

const soaLine = "test. 100 SOA ns.test. root.test. 1 2 3 4 50"

func TestRead(t *testing.T) {
	mx, a := question{"x.test", dns.TypeMX}, question{"x.test", dns.TypeA}
	tests := []struct {
		name    string
		q       question
		rcode   int
		records []string
		kind    kind
		want    string // records found
		ttl     time.Duration
	}{
		{"mx sorted", mx, 0, []string{"x.test. 60 MX 20 b.test.", "x.test. 90 MX 10 a.test.", "X.TEST. 70 MX 20 A2.test."}, found, "10 a.test 20 a2.test 20 b.test", 60},
		{"repeated host keeps the better", mx, 0, []string{"x.test. 60 MX 20 a.test.", "x.test. 60 MX 10 A.test."}, found, "10 a.test", 60},
		{"null mx", mx, 0, []string{"x.test. 60 MX 0 ."}, found, "null", 60},
		{"null mx among others", mx, 0, []string{"x.test. 60 MX 0 .", "x.test. 60 MX 5 a.test."}, found, "5 a.test", 60},
		{"unusable targets", mx, 0, []string{`x.test. 60 MX 0 a\032b.test.`, `x.test. 60 MX 0 a\.b@c.`}, found, "", 60},
		{"odd targets", mx, 0, []string{"x.test. 60 MX 1 192.0.2.1.", "x.test. 60 MX 2 _a.test.", "x.test. 60 MX 3 host."}, found, "1 192.0.2.1 2 _a.test 3 host", 60},
		{"addresses", a, 0, []string{"x.test. 60 A 192.0.2.1", "x.test. 50 A 192.0.2.2", "y.test. 1 A 192.0.2.3", "x.test. 1 AAAA ::1"}, found, "192.0.2.1 192.0.2.2", 50},
		{"through an alias", a, 0, []string{"x.test. 30 CNAME Y.test.", "y.test. 60 A 192.0.2.1"}, found, "192.0.2.1", 30},
		{"records out of order", a, 0, []string{"y.test. 60 A 192.0.2.1", "x.test. 30 CNAME y.test."}, found, "192.0.2.1", 30},
		{"alias to nowhere", a, dns.RcodeNameError, []string{"x.test. 30 CNAME y.test.", soaLine}, noName, "", 30},
		{"alias left open", a, 0, []string{"x.test. 30 CNAME y.test."}, alias, "", 0},
		{"alias to no records", a, 0, []string{"x.test. 99 CNAME y.test.", soaLine}, noData, "", 50},
		{"alias to no name", a, 0, []string{`x.test. 99 CNAME a\032b.test.`}, broken, "", 0},
		{"alias to itself", a, 0, []string{"x.test. 9 CNAME x.test."}, broken, "", 0},
		{"loop", a, 0, []string{"x.test. 9 CNAME y.test.", "y.test. 9 CNAME x.test."}, broken, "", 0},
		{"no data", mx, 0, []string{soaLine}, noData, "", 50},
		{"no data, minimum larger", mx, 0, []string{"test. 7 SOA ns.test. root.test. 1 2 3 4 50"}, noData, "", 7},
		{"no data and no soa", mx, 0, nil, noData, "", 0},
		{"no name", mx, dns.RcodeNameError, []string{soaLine}, noName, "", 50},
		{"referral", mx, 0, []string{"test. 9 NS ns.test."}, failing, "", 0},
		{"no data with ns and soa", mx, 0, []string{"test. 9 NS ns.test.", soaLine}, noData, "", 50},
		{"servfail", mx, dns.RcodeServerFailure, nil, failing, "", 0},
		{"refused", mx, dns.RcodeRefused, []string{"x.test. 60 MX 10 a.test."}, failing, "", 0},
		{"unknown code", mx, 3841, nil, failing, "", 0},
		{"ttl with the top bit", a, 0, []string{"x.test. 2147483648 A 192.0.2.1"}, found, "192.0.2.1", 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.q.read(message(t, tt.q, tt.rcode, tt.records...))
			if got.kind != tt.kind || recordText(got) != tt.want {
				t.Errorf("got %+v", got)
			}
			if !got.kind.soft() && got.ttl != tt.ttl*time.Second {
				t.Errorf("TTL %v", got.ttl)
			}
			if got.kind.soft() == (got.why == "") {
				t.Errorf("reason %q", got.why)
			}
		})
	}
}

// recordText writes the records of an answer down.
func recordText(a answer) string {
	var out []string
	if a.null {
		out = append(out, "null")
	}
	for _, r := range a.mx {
		out = append(out, fmt.Sprint(r.pref, " ", r.host))
	}
	for _, addr := range a.addrs {
		out = append(out, addr.String())
	}
	return strings.Join(out, " ")
}

func TestReadLongChain(t *testing.T) {
	for links := maxChain - 1; links <= maxChain+1; links++ {
		q := question{"n0.test", dns.TypeA}
		records := []string{fmt.Sprintf("n%d.test. 60 A 192.0.2.1", links)}
		for i := range links {
			records = append(records, fmt.Sprintf("n%d.test. 60 CNAME n%d.test.", i, i+1))
		}
		want := found
		if links > maxChain {
			want = broken
		}
		if got := q.read(message(t, q, 0, records...)); got.kind != want {
			t.Errorf("%d links: %+v", links, got)
		}
	}
}

func TestReadBounds(t *testing.T) {
	mx, a := question{"x.test", dns.TypeMX}, question{"x.test", dns.TypeA}
	var mxs, addrs []string
	for i := range 500 {
		mxs = append(mxs, fmt.Sprintf("x.test. 60 MX %d mx%03d.test.", 500-i, i))
		addrs = append(addrs, fmt.Sprintf("x.test. 60 A 192.0.%d.%d", i/256, i%256))
	}
	got := mx.read(message(t, mx, 0, mxs...))
	if len(got.mx) != MaxHosts || got.mx[0].host != "mx499.test" || got.mx[9].pref != 10 {
		t.Errorf("of 500 MX records kept %v", got.mx)
	}
	if got := a.read(message(t, a, 0, addrs...)); len(got.addrs) != MaxAddrs {
		t.Errorf("of 500 addresses kept %d", len(got.addrs))
	}
}

func TestMatches(t *testing.T) {
	q := question{"x.test", dns.TypeMX}
	change := func(f func(*dns.Msg)) *dns.Msg {
		m := message(t, q, 0)
		f(m)
		return m
	}
	tests := []struct {
		name string
		m    *dns.Msg
		want bool
	}{
		{"reply", change(func(m *dns.Msg) {}), true},
		{"other case", change(func(m *dns.Msg) { m.Question[0].Name = "X.tEsT." }), true},
		{"a query", change(func(m *dns.Msg) { m.Response = false }), false},
		{"an update", change(func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate }), false},
		{"other name", change(func(m *dns.Msg) { m.Question[0].Name = "y.test." }), false},
		{"other type", change(func(m *dns.Msg) { m.Question[0].Qtype = dns.TypeA }), false},
		{"other class", change(func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }), false},
		{"two questions", change(func(m *dns.Msg) { m.Question = append(m.Question, m.Question[0]) }), false},
		{"none", change(func(m *dns.Msg) { m.Question = nil }), false},
		{"none, denied", change(func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeNameError }), false},
		{"none, refused", change(func(m *dns.Msg) { m.Question, m.Rcode = nil, dns.RcodeRefused }), true},
	}
	for _, tt := range tests {
		if got := q.matches(tt.m); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}

// packets answers every question with the same bytes, but for the id.
type packets struct {
	bytes   []byte
	queries int
}

func (p *packets) exchange(_ context.Context, qs []question, _ patience) []answer {
	p.queries += len(qs)
	b := newBatch(qs)
	b.begin(netip.AddrPort{}, time.Second)
	for i := range qs {
		raw := slices.Clone(p.bytes)
		if len(raw) >= 2 {
			raw[0], raw[1] = byte(b.ids[i]>>8), byte(b.ids[i])
		}
		b.receive(raw)
	}
	return b.answers
}

// FuzzPacket sends arbitrary bytes as replies to a whole search.
func FuzzPacket(f *testing.F) {
	q := question{"x.test", dns.TypeMX}
	for _, records := range [][]string{
		{"x.test. 60 MX 10 x.test.", "x.test. 60 A 192.0.2.1"}, {"x.test. 60 CNAME y.test."}, {soaLine}, {"x.test. 60 MX 0 ."},
	} {
		raw, err := message(f, q, 0, records...).Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
		f.Add(raw[:len(raw)-3])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkSearch(t, &packets{bytes: raw})
	})
}

// messages answers every question with the same records: a well-formed message of
// the fuzzer then also matches.
type messages struct {
	msg     dns.Msg
	queries int
}

func (p *messages) exchange(_ context.Context, qs []question, _ patience) []answer {
	p.queries += len(qs)
	answers := make([]answer, len(qs))
	for i, q := range qs {
		answers[i] = q.read(&p.msg)
	}
	return answers
}

// FuzzMessage searches among arbitrary well-formed messages.
func FuzzMessage(f *testing.F) {
	q := question{"x.test", dns.TypeMX}
	m := message(f, q, 0, "x.test. 60 MX 10 x.test.", "x.test. 60 A 192.0.2.1", "y.test. 1 CNAME x.test.", soaLine)
	raw, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := &messages{}
		if p.msg.Unpack(raw) == nil {
			checkSearch(t, p)
		}
	})
}

// checkSearch holds the Route that a search makes of any answers to its bounds.
func checkSearch(t *testing.T, ex exchanger) {
	cfg := Config{}.withDefaults()
	s := newSearcher(cfg, Table{})
	f := s.find(t.Context(), "x.test", patience{}, ex)
	if (f.route.Err == nil) != (f.verdict == good) || (f.route.Err == nil) != (len(f.route.Hosts) > 0) {
		t.Fatalf("verdict %d: %+v", f.verdict, f.route)
	}
	if len(f.route.Hosts) > MaxHosts || len(f.route.Plan()) > maxPlan {
		t.Fatalf("too much: %+v", f.route)
	}
	for _, h := range f.route.Hosts {
		if len(h.Addrs) == 0 || len(h.Addrs) > 2*MaxAddrs {
			t.Fatalf("host %+v", h)
		}
		for _, a := range h.Addrs {
			if s.guard.Load().prohibits(a) {
				t.Fatalf("prohibited %v", a)
			}
		}
	}
	switch ex := ex.(type) {
	case *packets:
		checkQueries(t, ex.queries)
	case *messages:
		checkQueries(t, ex.queries)
	}
}

// checkQueries: an MX question and its chain, two per host and their chains.
func checkQueries(t *testing.T, n int) {
	if n > (maxChain+1)*(1+2*MaxHosts) {
		t.Fatalf("%d queries", n)
	}
}
