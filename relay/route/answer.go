package route

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unique"

	"github.com/miekg/dns"
)

// maxChain bounds the CNAME records followed for one question.
const maxChain = 10

// question is one name and record type; the name has no trailing dot.
type question struct {
	name  string
	qtype uint16
}

// kind is the sort of an answer.
type kind uint8

const (
	silent  kind = iota // nobody answered in time
	failing             // an answer that is no answer: SERVFAIL, REFUSED, a referral
	broken              // the data cannot be used: a CNAME loop
	unasked             // this machine could not ask: it lacks descriptors or memory
	alias               // a CNAME without its target's records; answer.next must be asked for
	noName              // NXDOMAIN
	noData              // the name has no records of that type
	found
)

// soft reports whether the answer says nothing about the name.
func (k kind) soft() bool { return k <= unasked }

// answer is DNS's answer to one question, bounded in size: a name server that anybody can own fills the cache.
type answer struct {
	kind  kind
	mx    []mxRecord   // of an MX question: at most MaxHosts, best first
	null  bool         // of an MX question: the null MX of RFC 7505
	addrs []netip.Addr // of an A or AAAA question: at most MaxAddrs
	names []string     // of a PTR question: at most maxNames
	ttl   time.Duration
	chain []string       // names that turned out to be aliases
	next  string         // where the chain goes on, for kind alias
	of    question       // what was asked
	from  netip.AddrPort // of whom
	why   string         // what happened, when kind is soft
}

// mxRecord is one usable MX record: the host is normalised.
type mxRecord struct {
	host string
	pref uint16
}

// softAnswer makes an answer that says nothing about the name; why is for people.
func softAnswer(k kind, why string) answer { return answer{kind: k, why: why} }

// matches reports whether a message is a reply to q. A server that refuses may
// leave the question out.
func (q question) matches(m *dns.Msg) bool {
	if !m.Response || m.Opcode != dns.OpcodeQuery {
		return false
	}
	if len(m.Question) == 0 {
		return m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError
	}
	got := m.Question[0]
	return len(m.Question) == 1 && got.Qtype == q.qtype && got.Qclass == dns.ClassINET &&
		strings.EqualFold(strings.TrimSuffix(got.Name, "."), q.name)
}

// read takes the records that answer q from a reply.
func (q question) read(m *dns.Msg) answer {
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return softAnswer(failing, rcodeText(m.Rcode))
	}
	a := answer{ttl: maxTTL}
	owner, ok := a.follow(q.name, m.Answer)
	if !ok {
		return softAnswer(broken, "CNAME loop or chain of more than 10")
	}
	if a.records(owner, q.qtype, m.Answer) {
		a.kind = found
		return a
	}
	return a.negative(owner, m)
}

// rcodeText names a response code.
func rcodeText(rcode int) string {
	if s, ok := dns.RcodeToString[rcode]; ok {
		return s
	}
	return "an unknown code"
}

// follow walks the CNAME records of a message and returns the name at the end. It
// is false for too long a chain; a loop is one.
func (a *answer) follow(name string, rrs []dns.RR) (string, bool) {
	for {
		target, ttl, ok := aliasOf(name, rrs)
		if !ok {
			return name, true
		}
		if len(a.chain) >= maxChain {
			return "", false
		}
		a.chain = append(a.chain, name)
		a.ttl = min(a.ttl, ttl)
		name = target
	}
}

// aliasOf finds the CNAME record of a name.
func aliasOf(name string, rrs []dns.RR) (string, time.Duration, bool) {
	for _, rr := range rrs {
		if c, ok := rr.(*dns.CNAME); ok && owns(rr, name) {
			return strings.ToLower(strings.TrimSuffix(c.Target, ".")), ttlOf(rr), true
		}
	}
	return "", 0, false
}

// owns reports whether a record belongs to a name.
func owns(rr dns.RR, name string) bool {
	h := rr.Header()
	return h.Class == dns.ClassINET && strings.EqualFold(strings.TrimSuffix(h.Name, "."), name)
}

// maxTTL is the largest TTL there is (RFC 2181 §8).
const maxTTL = (1<<31 - 1) * time.Second

// ttlOf is a record's TTL; one with the top bit set counts as zero.
func ttlOf(rr dns.RR) time.Duration { return seconds(rr.Header().Ttl) }

// seconds turns a TTL of the wire into a duration (RFC 2181 §8).
func seconds(ttl uint32) time.Duration {
	if ttl >= 1<<31 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

// records collects the records of owner and reports whether there are any.
func (a *answer) records(owner string, qtype uint16, rrs []dns.RR) bool {
	some := false
	for _, rr := range rrs {
		if rr.Header().Rrtype != qtype || !owns(rr, owner) {
			continue
		}
		some = true
		a.ttl = min(a.ttl, ttlOf(rr))
		a.record(rr)
	}
	a.mx = bestMX(a.mx)
	a.null = a.null && len(a.mx) == 0
	return some
}

// record adds one record, if there is room and it makes sense.
func (a *answer) record(rr dns.RR) {
	switch rr := rr.(type) {
	case *dns.MX:
		a.null = a.null || rr.Mx == "."
		if host, ok := hostName(rr.Mx); ok {
			a.mx = append(a.mx, mxRecord{host, rr.Preference})
		}
	case *dns.PTR:
		if name, ok := hostName(rr.Ptr); ok && len(a.names) < maxNames {
			a.names = append(a.names, name)
		}
	case *dns.A:
		a.address(rr.A)
	case *dns.AAAA:
		a.address(rr.AAAA)
	}
}

// address adds one address.
func (a *answer) address(ip []byte) {
	if addr, ok := netip.AddrFromSlice(ip); ok && len(a.addrs) < MaxAddrs {
		a.addrs = append(a.addrs, addr.Unmap())
	}
}

// hostName normalises the target of an MX record. It refuses every text, the root
// among them, that is neither a host name nor an address.
func hostName(s string) (string, bool) {
	name := strings.ToLower(strings.TrimSuffix(s, "."))
	if _, err := netip.ParseAddr(name); err != nil && checkName(name) != nil {
		return "", false
	}
	return unique.Make(name).Value(), true
}

// bestMX sorts by preference, then by name so that the choice is the same each
// time, drops repeated hosts and keeps the best MaxHosts.
func bestMX(list []mxRecord) []mxRecord {
	slices.SortFunc(list, func(a, b mxRecord) int {
		return cmp.Or(cmp.Compare(a.pref, b.pref), cmp.Compare(a.host, b.host))
	})
	best := make([]mxRecord, 0, min(len(list), MaxHosts))
	for _, r := range list {
		same := func(b mxRecord) bool { return b.host == r.host }
		if len(best) < MaxHosts && !slices.ContainsFunc(best, same) {
			best = append(best, r)
		}
	}
	return best
}

// negative completes an answer without records.
func (a answer) negative(owner string, m *dns.Msg) answer {
	soa, referred := authority(m.Ns)
	a.ttl = min(a.ttl, soaTTL(soa))
	switch {
	case m.Rcode == dns.RcodeNameError:
		a.kind = noName
	case soa == nil && referred:
		// If this were believed, mail would go to the domain's web server.
		return softAnswer(failing, "the name server does not recurse")
	case soa == nil && len(a.chain) > 0:
		if checkName(owner) != nil {
			return softAnswer(broken, "CNAME to something that is no host name")
		}
		a.kind, a.next = alias, owner
	default:
		a.kind = noData
	}
	return a
}

// authority looks for the SOA record of a negative answer and for the NS
// records of a referral (RFC 2308 §2.2).
func authority(rrs []dns.RR) (soa *dns.SOA, referred bool) {
	for _, rr := range rrs {
		switch rr := rr.(type) {
		case *dns.SOA:
			soa = rr
		case *dns.NS:
			referred = true
		}
	}
	return soa, referred
}

// soaTTL is how long a negative answer holds (RFC 2308 §5). Without a SOA
// record it should not be kept at all.
func soaTTL(soa *dns.SOA) time.Duration {
	if soa == nil {
		return 0
	}
	return min(ttlOf(soa), seconds(soa.Minttl))
}

// where says what was asked, and of whom.
func (a *answer) where() string {
	s := dns.TypeToString[a.of.qtype] + " lookup of " + a.of.name
	if a.from.IsValid() {
		s += " at name server " + serverText(a.from)
	}
	return s
}

// serverText names a name server, without the port that all have.
func serverText(a netip.AddrPort) string {
	if a.Port() == 53 {
		return a.Addr().String()
	}
	return a.String()
}

// join continues an alias with the answer about its target.
func (a answer) join(b answer) answer {
	if b.kind.soft() {
		return b
	}
	b.ttl = min(a.ttl, b.ttl)
	b.chain = append(slices.Clone(a.chain), b.chain...)
	if len(b.chain) > maxChain || slices.Contains(b.chain, b.next) && b.next != "" {
		return answer{kind: broken, why: "CNAME loop or chain of more than 10", of: a.of, from: b.from}
	}
	return b
}
