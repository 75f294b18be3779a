package setup

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/filter"
)

// notAsked finds an MTA that offers nothing.
func notAsked(e *exam) []Place {
	if e.asked || e.Config.SMTPD.On() { // another door may bring the mail
		return nil
	}
	return []Place{{Setting: "main.cf: smtpd_milters", Value: e.MTA.Postfix.Main["smtpd_milters"]}}
}

// elsewhere finds a milter that is meant to be Millrace and is at none of its addresses.
func elsewhere(e *exam) []Place {
	p := e.MTA.Postfix
	var found places
	for i := range p.Services {
		s := &p.Services[i]
		for _, name := range []string{"smtpd_milters", "non_smtpd_milters"} {
			if (s.Command == "smtpd") != (name == "smtpd_milters") || s.Command != "smtpd" && s.Command != "cleanup" {
				continue
			}
			e.astray(p.milters(s, name), &found)
		}
	}
	return found
}

// astray notes the milters of a list that are meant to be Millrace and are not.
func (e *exam) astray(list []milterRef, found *places) {
	for _, m := range list {
		if e.meant(m) && !m.meets(e.Config.Milter.Listen) {
			found.note(setting{m.place, m.text}, fmt.Sprintf("the socket is %s; milter.listen is %s", m.address, strings.Join(e.Config.Milter.Listen, ", ")))
		}
	}
}

// meant reports whether an administrator means Millrace by a milter: it has the name, or is the $millrace_milter of
// contrib/postfix.
func (e *exam) meant(m milterRef) bool {
	if strings.Contains(strings.ToLower(m.text+m.address), "millrace") {
		return true
	}
	p := e.MTA.Postfix
	return p != nil && m.text == p.Main["millrace_milter"]
}

// closedSocket finds a socket of Millrace that Postfix may not open.
func closedSocket(e *exam) []Place {
	var found places
	if e.MTA.Connect == nil {
		return nil
	}
	for _, list := range e.lists() {
		i := e.ours(list)
		if i < 0 {
			continue
		}
		if path, ok := strings.CutPrefix(list[i].address, "unix:"); ok {
			if err := e.MTA.Connect(path); err != nil {
				found.note(setting{list[i].place, list[i].text}, err.Error())
			}
		}
	}
	return found
}

// overTCP finds listeners that ask Millrace on this host by TCP.
func overTCP(e *exam) []Place {
	var found places
	for _, l := range e.offering {
		list := l.milters()
		if i := e.ours(list); i >= 0 && onLoopback(list[i].address) {
			found.note(setting{list[i].place, list[i].text}, "")
		}
	}
	return found
}

// onLoopback reports whether an address of a milter is a port of this host alone.
func onLoopback(address string) bool {
	network, address, err := filter.ParseListen(address)
	return err == nil && network != "unix" && !filter.Open(network, address)
}

// milterOption returns a look at an option of Millrace in smtpd_milters, or at the setting of main.cf that holds without it.
func milterOption(option, main string, wrong func(value string) bool) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for _, l := range e.offering {
			list := l.milters()
			i := e.ours(list)
			if i < 0 {
				continue
			}
			s := l.postfix.of(l.smtpd, main)
			if own, ok := list[i].options[option]; ok {
				s = setting{list[i].place + ": " + option, own}
			}
			if wrong(s.value) {
				found.note(s, "")
			}
		}
		return found
	}
}

func longer(limit time.Duration) func(string) bool {
	return func(value string) bool {
		d, ok := duration(value)
		return ok && d > limit
	}
}

func shorter(limit time.Duration) func(string) bool {
	return func(value string) bool {
		d, ok := duration(value)
		return ok && d < limit
	}
}

// notOffered finds listeners that do not offer their mail although others do. That of bounce.inject must not.
func notOffered(e *exam) []Place {
	var found places
	if !e.asked {
		return nil
	}
	for _, l := range e.MTA.Postfix.listeners() {
		if e.ours(l.milters()) >= 0 || l.port() == e.injectPort() {
			continue
		}
		s := l.postfix.of(l.smtpd, "smtpd_milters")
		if l.overrides("no_milters") {
			s = l.postfix.of(l.smtpd, "receive_override_options")
		}
		found.note(s, "")
	}
	return found
}

// injectOffers finds a listener of bounce.inject that offers its mail to Millrace.
func injectOffers(e *exam) []Place {
	var found places
	for _, l := range e.MTA.Postfix.listeners() {
		if l.port() == e.injectPort() && e.ours(l.milters()) >= 0 {
			found.note(l.postfix.of(l.smtpd, "smtpd_milters"), "bounce.inject is "+e.Config.Bounce.Inject)
		}
	}
	return found
}

// injectRefuses passes the try of bounce.inject on.
func injectRefuses(e *exam) []Place {
	if e.Inject == nil {
		return nil
	}
	return []Place{{Setting: "bounce.inject", Value: e.Config.Bounce.Inject, Detail: e.Inject.Error()}}
}

// noHandback finds an MTA for which nothing is meant.
func noHandback(e *exam) []Place {
	if !e.Config.Bounce.IsDirect() {
		return nil
	}
	return []Place{{Setting: "bounce.inject", Value: e.Config.Bounce.Inject}}
}

// localOffered finds Millrace among the milters of mail that does not come by SMTP.
func localOffered(e *exam) []Place {
	p := e.MTA.Postfix
	var found places
	for i := range p.Services {
		s := &p.Services[i]
		if s.Command == "cleanup" && e.ours(p.milters(s, "non_smtpd_milters")) >= 0 {
			found.note(p.of(s, "non_smtpd_milters"), "")
		}
	}
	return found
}

// crowded finds a listener most of whose processes could wait with replies that Millrace holds, or that has fewer than the
// configuration says.
func crowded(e *exam) []Place {
	var found places
	gate := e.Config.Gate
	for _, l := range e.offering {
		switch n, at := l.postfix.processes(l.smtpd); {
		case n == 0 || gate.Hold == 0:
		case gate.MTAProcesses > n:
			found.note(at, fmt.Sprintf("gate.mta_processes is %d", gate.MTAProcesses))
		case gate.MTAProcesses == 0 && n < 3*gate.MaxHeld:
			found.note(at, fmt.Sprintf("gate.max_held is %d, and gate.mta_processes is not given", gate.MaxHeld))
		}
	}
	return found
}

// brake finds the delay of a Postfix that spends a token for each message. While milter.drip is on, Millrace has it make new ones.
func brake(e *exam) []Place {
	if e.Config.Milter.Drip {
		return nil
	}
	return cleaned(func(value string) (string, bool) {
		d, ok := duration(value)
		return "milter.drip is false", !ok || d > 0
	}, "in_flow_delay")(e)
}

// aliases finds virtual aliases of recipients whose domain is not the MTA's own. Recipients of its own domains are left with
// the MTA anyway.
func aliases(e *exam) []Place {
	var found places
	for _, l := range e.offering {
		s := l.postfix.of(l.cleanup, "virtual_alias_maps")
		e.tables(s, tablesIn(s.value, e.defaultTable()), &found, e.aliasesElsewhere)
	}
	return found
}

// ownDomains are the settings that list domains of which Postfix has the mailboxes.
var ownDomains = []string{"mydestination", "virtual_alias_domains", "virtual_mailbox_domains"}

// keeps reports whether mail for a domain stays with the MTA anyway.
func (e *exam) keeps(domain string) bool {
	in := func(list string) bool {
		return domainIn(domain, e.MTA.Postfix.Main[list], e.defaultTable(), e.MTA.ReadFile)
	}
	return !e.filter.Takes("", domain) || slices.ContainsFunc(ownDomains, in) ||
		!slices.Contains(e.Config.Bulk.Mailers, "relay") && in("relay_domains")
}

func (e *exam) aliasesElsewhere(entries []entry) string {
	n := 0
	for _, x := range entries {
		i := strings.LastIndexByte(x.key, '@')
		switch {
		case x.pattern:
			n++
		case i >= 0 && !e.keeps(x.key[i+1:]): // without "@" it is a domain, or a user of this host
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return count(n, "alias", "aliases") + " for recipients of other hosts"
}

// srsMarks are the addresses of postsrsd's tables.
var srsMarks = []string{"tcp:localhost:10001", "tcp:127.0.0.1:10001", "tcp:localhost:10002", "tcp:127.0.0.1:10002", "srs"}

func isSRS(table string) bool {
	return slices.ContainsFunc(srsMarks, func(mark string) bool { return strings.Contains(strings.ToLower(table), mark) })
}

// canonical returns a look at the maps that rewrite addresses, those of postsrsd or all others.
func canonical(srs bool) func(*exam) []Place {
	return cleaned(func(value string) (string, bool) { return "", value != "" && isSRS(value) == srs },
		"canonical_maps", "sender_canonical_maps", "recipient_canonical_maps")
}

// copies finds bcc settings. With bulk.keep_added Postfix makes the copies.
func copies(e *exam) []Place {
	if e.Config.Bulk.KeepAdded {
		return nil
	}
	return cleaned(nil, "always_bcc", "sender_bcc_maps", "recipient_bcc_maps")(e)
}

// unreadTables is the last look: what others could not read.
func unreadTables(e *exam) []Place { return e.silent }

// strictTLS finds more than TLS where it is offered.
func strictTLS(value string) (string, bool) {
	switch strings.ToLower(value) {
	case "", "none", "may", "no":
		return "", false
	}
	return "", true
}

// deferred finds transports that Postfix holds back and Millrace does not.
func deferredTransports(e *exam) []Place {
	var found places
	s := setting{"main.cf: defer_transports", e.MTA.Postfix.Main["defer_transports"]}
	for _, word := range words(s.value) {
		if slices.Contains(e.Config.Bulk.Mailers, word) {
			found.note(s, "")
		}
	}
	return found
}

// sourceAddress finds a source address of Postfix that is not Millrace's.
func sourceAddress(e *exam) []Place {
	found := places(sent(differs(e.Config.SMTP.Local4), "smtp_bind_address")(e))
	return append(found, sent(differs(e.Config.SMTP.Local6), "smtp_bind_address6")(e)...)
}

func differs(ours netip.Addr) func(string) (string, bool) {
	return func(value string) (string, bool) {
		a, err := netip.ParseAddr(strings.Trim(value, "[]"))
		return "", err == nil && a != ours
	}
}

// ipv4Alone finds a Postfix that does not use IPv6 beside a Millrace that does.
func ipv4Alone(e *exam) []Place {
	if e.Config.DNS.IPv4Only {
		return nil
	}
	return sent(is("ipv4"), "inet_protocols")(e)
}

// otherGreeting finds a name in EHLO that is not Millrace's.
func otherGreeting(e *exam) []Place {
	wire := e.Config.Wire()
	return sent(func(value string) (string, bool) {
		return "Millrace's is " + wire.Hostname, !strings.EqualFold(value, wire.Hostname)
	}, "smtp_helo_name")(e)
}

// tooLarge finds a Postfix that accepts more than Millrace takes. 0 is without limit.
func tooLarge(e *exam) []Place {
	return received(func(value string) (string, bool) {
		n, err := strconv.ParseInt(value, 10, 64)
		return fmt.Sprintf("bulk.size_limit is %d", e.Config.Bulk.SizeLimit), err == nil && (n == 0 || n > e.Config.Bulk.SizeLimit)
	}, "message_size_limit")(e)
}

// slowed finds a delay that Postfix keeps between deliveries.
func slowed(e *exam) []Place {
	var found places
	for _, mailer := range e.Config.Bulk.Mailers {
		for _, name := range []string{mailer + "_destination_rate_delay", mailer + "_transport_rate_delay"} {
			s := setting{"main.cf: " + name, e.MTA.Postfix.Main[name]}
			if d, ok := duration(s.value); ok && d > 0 {
				found.note(s, "")
			}
		}
	}
	return found
}

// withoutMailer finds the key that takes mail without asking where the MTA would send it.
func withoutMailer(e *exam) []Place {
	if !e.Config.Bulk.WithoutMailer {
		return nil
	}
	return []Place{{Setting: "bulk.without_mailer", Value: "true"}}
}
