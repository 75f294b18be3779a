package filter

import "net/netip"

// Offer is one message as the MTA offers it: what is known before its header.
type Offer struct {
	Listener   string // {daemon_name}
	Port       string // {daemon_port}: where the client connected to
	ClientName string // verified by the MTA; "" or "unknown" when it could not be
	ClientAddr netip.Addr
	Helo       string
	SASLUser   string
	Sender     string                   // reverse-path without angle brackets; "" is the null sender
	Size       int64                    // SIZE parameter of MAIL (RFC 1870); 0 when not given
	Macro      func(name string) string // macros by name without braces; may be nil
}

func (o *Offer) macro(name string) string {
	if o.Macro == nil {
		return ""
	}
	return o.Macro(name)
}

// Decision is the core of a Verdict.
type Decision uint8

const (
	// Unknown is returned by Early when the header will decide.
	Unknown Decision = iota
	// Pass leaves the message with the MTA.
	Pass
	// Take takes it, as far as Takes allows for its recipients.
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

// Verdict is a decision, the rule that made it ("" when none did) and, for Pass, why.
type Verdict struct {
	Decision Decision
	Rule     string
	Reason   string

	rule *rule
}

func pass(reason string) Verdict { return Verdict{Decision: Pass, Reason: reason} }
