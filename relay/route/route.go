package route

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unique"
)

// Route is where the mail of a domain goes, or why it can go nowhere. It is
// immutable: a refresh makes another one.
type Route struct {
	// Domain is the name that was asked for.
	Domain string
	// Site is the key under which limits, pace and connections are shared: the
	// sorted names of the MX hosts and the port, or the static next hop. It is
	// empty when Err is set.
	Site string
	// Hosts are the receivers, best preference first, at most MaxHosts. Each has
	// at least one address.
	Hosts []Host
	// Port is where they listen.
	Port uint16
	// Static says that the table decided and not DNS.
	Static bool
	// Stale says that the answer has expired and no new one can be had
	// (RFC 8767).
	Stale bool
	// Err, when not nil, is why there are no Hosts.
	Err *Error
	// Expires is the time when the Route ends.
	Expires time.Time

	chance func(n int) int // Config.Chance; nil: math/rand's
}

// MaxHosts bounds Route.Hosts: of more MX records the best ones are kept.
const MaxHosts = 10

// MaxAddrs bounds Host.Addrs, for each address family.
const MaxAddrs = 16

// Host is one receiver of a Route.
type Host struct {
	Name  string
	Pref  uint16
	Addrs []netip.Addr
}

// Error is why a domain has no receivers.
type Error struct {
	// Permanent says that another try is of no use.
	Permanent bool
	// Code is the SMTP reply code that says the same (451, 550, 556).
	Code int
	// Enhanced is the status code of RFC 3463.
	Enhanced string
	// Text is for people.
	Text string
	// Cause says whether our own MTA has to decide instead, or this machine is
	// at fault.
	Cause Cause
}

// Cause is the sort of an Error.
type Cause uint8

const (
	// Unreachable: the domain has no receivers, now or at all.
	Unreachable Cause = iota
	// Ourselves: the mail leads to this host or into its local network. Millrace
	// sends nothing there, and only our own MTA knows what becomes of such mail:
	// it may be the domain's mailbox host, its backup, or have a transport for it.
	// So the mail neither bounces nor waits: the MTA gets it back.
	Ourselves
	// Shortage: this machine lacks something that every socket needs, so that no
	// name server could be asked. Nothing is known about the domain.
	Shortage
)

// Error gives the code and the text, as in an SMTP reply.
func (e *Error) Error() string {
	return strconv.Itoa(e.Code) + " " + e.Enhanced + " " + e.Text
}

// temporary makes an Error that another try may mend.
func temporary(enhanced, text string) *Error {
	return &Error{Code: 451, Enhanced: enhanced, Text: text}
}

// ourselves makes an Error of mail that our own MTA must have back.
func ourselves(enhanced, text string) *Error {
	return &Error{Code: 451, Enhanced: enhanced, Text: text, Cause: Ourselves}
}

// permanent makes an Error that bounces mail.
func permanent(code int, enhanced, text string) *Error {
	return &Error{Permanent: true, Code: code, Enhanced: enhanced, Text: text}
}

// softened is the error in a temporary form. It is told while a permanent error
// must not be: the resolver is in trouble, or the answer is not confirmed yet.
func (e *Error) softened(why string) *Error {
	if !e.Permanent {
		return e
	}
	return temporary("4.4.3", e.Text+" ("+why+")")
}

// failed makes the Route of a domain that has no receivers.
func failed(domain string, err *Error) *Route {
	return &Route{Domain: domain, Err: err}
}

// siteKey names the set of MX hosts. Preferences are left out: whether a host
// is first or second, its limits are the same.
func siteKey(names []string, port uint16) string {
	names = slices.Clone(names)
	slices.Sort(names)
	key := strings.Join(names, ",") + ":" + strconv.Itoa(int(port))
	// Thousands of domains share a site, so the text is kept once.
	return unique.Make(key).Value()
}
