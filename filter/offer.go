package filter

import (
	"net/netip"
	"strings"
)

// Offer is one message as the MTA offers it: what is known before its header. A door fills in what belongs to the
// client; Mail adds Sender and Size.
type Offer struct {
	Barred     string // why the door takes no message of this client, or ""
	Direct     bool   // no MTA stands behind the door: all its mail must be taken, whatever the rules say
	Rescue     bool   // the MTA brings mail that it could not deliver: what can be taken must be, whatever the rules say, and the MTA keeps the rest
	Listener   string // name of the MTA's listener: {daemon_name} of a milter
	Port       string // where the client connected to: {daemon_port} of a milter
	ClientName string // verified by the MTA; "" or "unknown" when it could not be
	ClientAddr netip.Addr
	Helo       string
	SASLUser   string
	Sender     string                   // reverse-path without angle brackets; "" is the null sender
	Size       int64                    // SIZE parameter of MAIL (RFC 1870); 0 when not given
	Macro      func(name string) string // macros by name without braces; may be nil
}

// Client is how the log calls the client: "name[address]".
func (o *Offer) Client() string {
	name, addr := o.ClientName, "unknown"
	if name == "" {
		name = "unknown"
	}
	if o.ClientAddr.IsValid() {
		addr = o.ClientAddr.String()
	}
	return name + "[" + addr + "]"
}

func (o *Offer) macro(name string) string {
	if o.Macro == nil {
		return ""
	}
	return o.Macro(name)
}

// ParseAddr reads a client's address as MTAs write it, with or without "IPv6:". It returns the zero Addr for anything
// else.
func ParseAddr(s string) netip.Addr {
	if s == "" { // of most messages, and the error would be made for nobody
		return netip.Addr{}
	}
	const prefix = "IPv6:"
	if len(s) > len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		s = s[len(prefix):]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap()
}

// Decision is the core of a Verdict.
type Decision uint8

const (
	// Unknown is returned by Early when the header will decide.
	Unknown Decision = iota
	// Pass leaves the message with the MTA.
	Pass
	// Take takes the message, for those recipients that Takes allows.
	Take
)

// String names the decision for the log.
func (d Decision) String() string {
	switch d {
	case Pass:
		return "pass"
	case Take:
		return "take"
	default:
		return "unknown"
	}
}

// Verdict is a decision, the name of the rule that made it ("" when none did), and for Pass the reason.
type Verdict struct {
	Decision Decision
	Rule     string
	Reason   string

	rule *rule
}

func pass(reason string) Verdict { return Verdict{Decision: Pass, Reason: reason} }
