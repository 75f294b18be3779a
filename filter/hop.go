package filter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/relay"
)

// Hop is where the MTA would send the mail of one recipient, as far as the MTA says.
type Hop struct {
	Routed bool   // the MTA has routed the mail to this door already, so that taking it bypasses nothing
	Mailer string // transport or mailer: {rcpt_mailer} of a milter
	Host   string // next hop: {rcpt_host} of a milter
	Addr   string // the recipient after the MTA's rewriting: {rcpt_addr} of a milter
}

// detour is why mail must not go straight to the recipient's domain. The MTA's administrator has decided otherwise, in a
// transport map, with a relay host, a mailertable, a virtusertable. Taking the mail would undo that in silence.
type detour uint8

const (
	straight   detour = iota // the MTA would send it straight to the domain too
	unsaid                   // the MTA does not say where it would send it
	redirected               // to another recipient
	elsewhere                // to another host
	detours
)

// detourLines are what the log says, once for each Filter. An administrator who waits for bulk mail to be taken must
// find out why none is.
var detourLines = [detours]string{
	unsaid:     "bulk mail stays with the MTA, which does not say where it would send it; bulk.without_mailer = true takes such mail",
	redirected: "bulk mail stays with the MTA, which sends it to another address",
	elsewhere:  "bulk mail stays with the MTA, which does not send it to the recipient's domain; bulk.next_hops lists the next hops that may be bypassed",
}

// detour compares where the MTA would send mail for the recipient of this path with where Millrace would: to the
// domain. A host that is listed in next_hops may be bypassed.
func (f *Filter) detour(path string, hop Hop) detour {
	switch {
	case hop.Routed || hop.Mailer == "" && f.withoutMailer:
		return straight
	case hop.Mailer == "" || hop.Host == "":
		return unsaid
	case hop.Addr != "" && !sameAddress(hop.Addr, path):
		return redirected
	case strings.EqualFold(trimDot(hop.Host), trimDot(relay.Domain(path))), f.MayBypass(hop.Host):
		return straight
	}
	return elsewhere
}

// MayBypass reports whether next_hops lists a next hop of the MTA: mail that the MTA would send there is taken. The
// configuration's [route] has no part in that.
func (f *Filter) MayBypass(nextHop string) bool {
	return slices.Contains(f.nextHops, lower(trimDot(nextHop)))
}

// smartMailer is Sendmail's mailer for a smart host and Postfix's transport for relay domains. That mail for them stays is
// worth a line in the log; that mail for local mailboxes stays is not.
const smartMailer = "relay"

// goesStraight reports whether a recipient may be taken although the MTA has routes of its own, and keeps the first
// detour for the log.
func (m *Mail) goesStraight(path string, hop Hop, ours bool) bool {
	d := m.filter.detour(path, hop)
	if d != straight && m.detour == straight && (ours || lower(hop.Mailer) == smartMailer) {
		m.detour, m.hop = d, hop
	}
	return d == straight
}

// reportDetour logs the detour of a message that is bulk, unless the Filter has said as much before.
func (m *Mail) reportDetour() {
	if m.detour == straight || m.filter.told[m.detour].Swap(true) {
		return
	}
	m.intake.log.Warn(detourLines[m.detour], "id", m.queueID, "mailer", m.hop.Mailer, "host", m.hop.Host, "address", m.hop.Addr)
}

// sameAddress compares addresses as an MTA's rewriting leaves them: without superfluous quotes, dots at the end, or
// capitals.
func sameAddress(a, b string) bool {
	return strings.EqualFold(unquoted(trimDot(a)), unquoted(trimDot(b)))
}

// unquoted removes the quoting of a local part (RFC 5321 section 4.1.2). The result is for comparison only.
func unquoted(addr string) string {
	if !strings.ContainsAny(addr, `"\`) {
		return addr
	}
	var plain strings.Builder
	for i := 0; i < len(addr); i++ {
		if addr[i] == '\\' && i+1 < len(addr) {
			i++
		} else if addr[i] == '"' {
			continue
		}
		plain.WriteByte(addr[i])
	}
	return plain.String()
}

// trimDot removes the dot at the end of a name that is known to be complete. Sendmail writes it behind every next hop.
func trimDot(name string) string { return strings.TrimSuffix(name, ".") }

// validateNextHop wants a next hop as the MTA writes it.
func validateNextHop(hop string) error {
	switch i := strings.IndexByte(hop, '['); {
	case hop == "" || strings.ContainsAny(hop, " \t@"):
		return fmt.Errorf(`%q is not a next hop; write it as in the MTA's configuration, like "[smarthost.example.net]:25"`, hop)
	case i > 0:
		return fmt.Errorf("%q names a transport too, which belongs into mailers; write %q", hop, hop[i:])
	}
	return nil
}
