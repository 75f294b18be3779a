package setup

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// nextHop is where an MTA sends mail by a route of its own.
type nextHop struct {
	transport string // "" for the default one
	host      string // "" for the recipient's domain
}

// parseNextHop reads "transport:nexthop", as it stands in transport_maps. A next hop in brackets may have colons.
func parseNextHop(text string) nextHop {
	transport, host, ok := strings.Cut(text, ":")
	if !ok || strings.ContainsAny(transport, "[.") {
		return nextHop{transport: text}
	}
	return nextHop{transport, host}
}

// fate is what Millrace does with mail of a next hop. It is what filter does with {rcpt_mailer} and {rcpt_host}.
type fate uint8

const (
	straight fate = iota // sends it to the recipient's domain, as the MTA would
	stays                // leaves it with the MTA
	routed               // takes it, and sends it to that next hop by [route]
	bypassed             // takes it, and sends it past that next hop
)

// fate decides for mail of one domain, "*" for any.
func (e *exam) fate(h nextHop, domain string) fate {
	transport := strings.ToLower(h.transport)
	switch {
	case transport != "" && !slices.ContainsFunc(e.Config.Bulk.Mailers, func(m string) bool { return strings.EqualFold(m, transport) }):
		return stays
	case h.host == "" || strings.EqualFold(h.host, domain):
		return straight
	case !e.filter.MayBypass(h.host):
		return stays
	case sameHop(e.route(domain), h.host):
		return routed
	}
	return bypassed
}

// route is the next hop that [route] gives a domain, "" for none: its own, that of the nearest parent, or that of "*".
func (e *exam) route(domain string) string {
	key := strings.ToLower(strings.TrimSuffix(domain, "."))
	if hop, ok := e.Config.Route[key]; ok {
		return hop
	}
	for i := strings.IndexByte(key, '.'); i >= 0; {
		if hop, ok := e.Config.Route[key[i:]]; ok {
			return hop
		}
		next := strings.IndexByte(key[i+1:], '.')
		if next < 0 {
			break
		}
		i += next + 1
	}
	return e.Config.Route["*"]
}

// sameHop compares next hops. Port 25 may be left out.
func sameHop(a, b string) bool {
	plain := func(s string) string {
		s = strings.TrimSuffix(strings.ToLower(s), ":smtp")
		if _, err := netip.ParseAddr(s); err != nil {
			s = strings.TrimSuffix(s, ":25")
		}
		return strings.TrimSuffix(s, ".")
	}
	return plain(a) == plain(b)
}

// routeSettings are the settings of main.cf that give all mail one next hop. "relayhost" names a host alone.
func (e *exam) routeSettings() map[string]nextHop {
	p := e.MTA.Postfix
	hops := make(map[string]nextHop)
	if host := p.Main["relayhost"]; host != "" {
		hops["relayhost"] = nextHop{host: host}
	}
	if t := p.Main["default_transport"]; t != "" {
		hops["default_transport"] = parseNextHop(t)
	}
	return hops
}

// everywhere returns a look for settings that give all mail a next hop with that fate. allowed asks for those, in addition,
// whose next hop [route] names, or does not.
func everywhere(want fate, allowed func(named bool) bool) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for name, hop := range e.routeSettings() {
			named := hop.host != "" && sameHop(e.route("*"), hop.host)
			if e.fate(hop, "*") == want && allowed(named) {
				found.note(setting{"main.cf: " + name, e.MTA.Postfix.Main[name]}, "")
			}
		}
		slices.SortFunc(found, func(a, b Place) int { return strings.Compare(a.Setting, b.Setting) })
		return found
	}
}

func either(bool) bool         { return true }
func named(is bool) bool       { return is }
func notNamed(isNot bool) bool { return !isNot }

// transports returns a look for entries of the tables in these settings with that fate. A table that cannot be read stands
// for mail that stays: Millrace is told the next hop of each recipient.
func transports(want fate, names ...string) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for _, name := range names {
			s := setting{"main.cf: " + name, e.MTA.Postfix.Main[name]}
			for _, t := range tablesIn(s.value, e.defaultTable()) {
				entries, err := t.entries(e.MTA.ReadFile)
				if err != nil && want == stays {
					found.note(s, fmt.Sprintf("%s: %v", t, err))
				}
				if n := e.countFates(entries, name, want); n > 0 {
					found.note(s, fmt.Sprintf("%s: %s of %d", t, count(n, "entry", "entries"), len(entries)))
				}
			}
		}
		return found
	}
}

func (e *exam) countFates(entries []entry, table string, want fate) int {
	n := 0
	for _, x := range entries {
		hop, domain := parseNextHop(x.value), x.key[strings.LastIndexByte(x.key, '@')+1:]
		if table == "sender_dependent_relayhost_maps" {
			hop = nextHop{host: x.value}
		}
		if x.pattern || strings.HasPrefix(table, "sender_") {
			domain = "*"
		}
		if x.value != "DUNNO" && e.fate(hop, domain) == want {
			n++
		}
	}
	return n
}

// loginsNeeded finds a relay host with a password to which Millrace would send: it never logs in anywhere.
func loginsNeeded(e *exam) []Place {
	var found places
	m := e.MTA.Postfix.Main
	if m["smtp_sasl_auth_enable"] != "yes" || m["smtp_sasl_password_maps"] == "" {
		return nil
	}
	for name, hop := range e.routeSettings() {
		if f := e.fate(hop, "*"); f == routed || f == bypassed {
			found.note(setting{"main.cf: smtp_sasl_password_maps", m["smtp_sasl_password_maps"]}, name+" = "+m[name])
		}
	}
	return found
}

// smartHost returns a look at the smart host of Sendmail. Sendmail's mailer for it is "relay", unless another is named.
func smartHost(want fate) func(*exam) []Place {
	return func(e *exam) []Place {
		text := e.MTA.Sendmail.Macros["S"]
		if text == "" {
			return nil
		}
		hop := parseNextHop(text)
		if hop.host == "" {
			hop = nextHop{"relay", text}
		}
		if e.fate(hop, "*") != want {
			return nil
		}
		return []Place{{Setting: "sendmail.cf: DS (SMART_HOST)", Value: text}}
	}
}
