package route

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// maxNames bounds the PTR records of one address that are looked at.
const maxNames = 8

// Reverse is what DNS says of the name of an address.
type Reverse struct {
	Names []string // of its PTR records, lower case, at most maxNames
	Back  []string // those of Names that have the address
}

// Reverse looks up the names of an address, and whether they lead back to it. It waits for the name servers, so it is for a goroutine that
// no mail waits for. An error says that nobody knows: a name server did not answer, or gave an answer that is none.
func (r *Resolver) Reverse(ctx context.Context, addr netip.Addr) (rev Reverse, err error) {
	addr = addr.Unmap()
	name, err := dns.ReverseAddr(addr.String())
	if err != nil {
		return rev, err
	}
	a, err := r.askFor(ctx, question{strings.TrimSuffix(name, "."), dns.TypePTR})
	if err != nil {
		return rev, err
	}
	rev.Names = a.names
	qtype := dns.TypeA
	if addr.Is6() {
		qtype = dns.TypeAAAA
	}
	for _, host := range rev.Names {
		forward, err := r.askFor(ctx, question{host, qtype})
		if err != nil {
			return rev, err
		}
		if slices.Contains(forward.addrs, addr) {
			rev.Back = append(rev.Back, host)
		}
	}
	return rev, nil
}

// askFor asks one question and follows aliases, beside the lookups of domains. The error is that nobody knows.
func (r *Resolver) askFor(ctx context.Context, q question) (a answer, err error) {
	wait := r.searcher.rules.Load().Timeout
	for range maxChain {
		a = r.ex.exchange(ctx, []question{q}, patience{total: 2 * wait, try: wait, tries: 2})[0]
		if a.kind != alias {
			break
		}
		q.name = a.next // the zone below another one, as RFC 2317 has it for parts of a network
	}
	if a.kind.soft() {
		return a, fmt.Errorf("%s: %s", q.name, a.why)
	}
	return a, ctx.Err()
}
