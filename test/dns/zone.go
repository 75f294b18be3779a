package dns

import (
	"fmt"
	"strings"

	mdns "github.com/miekg/dns"
)

// defaultTTL is the TTL of a record whose line has none, in seconds.
const defaultTTL = 300

// maxChain bounds how many CNAME records one answer follows, so that a loop in
// the zone does not become a loop in the server.
const maxChain = 16

// zone is the data a Server answers from: all records by owner name and type.
type zone struct {
	records map[string]map[uint16][]mdns.RR
}

// parseZone reads records in master-file form; names are absolute, a missing
// TTL is defaultTTL.
func parseZone(text string) ([]mdns.RR, error) {
	p := mdns.NewZoneParser(strings.NewReader(unindent(text)), ".", "zone")
	p.SetDefaultTTL(defaultTTL)
	var rrs []mdns.RR
	for rr, ok := p.Next(); ok; rr, ok = p.Next() {
		rrs = append(rrs, rr)
	}
	if err := p.Err(); err != nil {
		return nil, fmt.Errorf("parse zone: %w", err)
	}
	return rrs, nil
}

// unindent strips leading blanks, which come from the indentation of Go
// source. In a master file they would mean "the owner of the line above".
func unindent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimLeft(line, " \t")
	}
	return strings.Join(lines, "\n")
}

// add puts records into the zone, after those already there.
func (z *zone) add(rrs []mdns.RR) {
	if z.records == nil {
		z.records = make(map[string]map[uint16][]mdns.RR)
	}
	for _, rr := range rrs {
		name := mdns.CanonicalName(rr.Header().Name)
		if z.records[name] == nil {
			z.records[name] = make(map[uint16][]mdns.RR)
		}
		t := rr.Header().Rrtype
		z.records[name][t] = append(z.records[name][t], rr)
	}
}

// remove removes all records of a name.
func (z *zone) remove(name string) {
	delete(z.records, mdns.CanonicalName(name))
}

// node finds the records of a name: its own, or the records of the nearest
// wildcard. It reports whether the name exists.
func (z *zone) node(name string) (map[uint16][]mdns.RR, bool) {
	name = mdns.CanonicalName(name)
	if n, ok := z.records[name]; ok {
		return n, true
	}
	for _, wild := range wildcards(name) {
		if n, ok := z.records[wild]; ok {
			return n, true
		}
	}
	return nil, z.above(name)
}

// above reports whether the owner of a record lies below name. Then name
// exists although it has no records (an empty non-terminal, RFC 8020).
func (z *zone) above(name string) bool {
	for owner := range z.records {
		if mdns.IsSubDomain(name, owner) {
			return true
		}
	}
	return false
}

// wildcards lists the wildcard names that may cover a canonical name, nearest
// first, the last one being "*.".
func wildcards(name string) []string {
	var list []string
	for off, end := mdns.NextLabel(name, 0); !end; off, end = mdns.NextLabel(name, off) {
		list = append(list, "*."+name[off:])
	}
	return append(list, "*.")
}

// soa finds the SOA record that a negative answer about name carries.
func (z *zone) soa(name string) mdns.RR {
	for off, end := 0, false; !end; off, end = mdns.NextLabel(name, off) {
		if set := z.records[name[off:]][mdns.TypeSOA]; len(set) > 0 {
			return set[0]
		}
	}
	return &mdns.SOA{
		Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeSOA, Class: mdns.ClassINET, Ttl: defaultTTL},
		Ns:  "ns.invalid.", Mbox: "hostmaster.invalid.", Serial: 1,
		Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 60,
	}
}

// answer fills m with the zone's answer to m's question. With chase, it follows
// CNAME records as a recursive server does.
func (z *zone) answer(m *mdns.Msg, chase bool) {
	name, qtype := mdns.CanonicalName(m.Question[0].Name), m.Question[0].Qtype
	for range maxChain {
		set, exists := z.node(name)
		if rrs := set[qtype]; len(rrs) > 0 {
			m.Answer = append(m.Answer, owned(rrs, name)...)
			return
		}
		alias := set[mdns.TypeCNAME]
		if len(alias) == 0 {
			z.negative(m, name, exists)
			return
		}
		m.Answer = append(m.Answer, owned(alias, name)...)
		if !chase {
			return
		}
		name = mdns.CanonicalName(alias[0].(*mdns.CNAME).Target)
	}
}

// negative makes m say that name does not exist, or has nothing of that type.
func (z *zone) negative(m *mdns.Msg, name string, exists bool) {
	if !exists {
		m.Rcode = mdns.RcodeNameError
	}
	m.Ns = append(m.Ns, z.soa(name))
}

// owned copies records for an answer about name. Records of a wildcard get the
// name that was asked for.
func owned(rrs []mdns.RR, name string) []mdns.RR {
	list := make([]mdns.RR, len(rrs))
	for i, rr := range rrs {
		list[i] = mdns.Copy(rr)
		if strings.HasPrefix(rr.Header().Name, "*.") {
			list[i].Header().Name = name
		}
	}
	return list
}
