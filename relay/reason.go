package relay

import "time"

// ReasonKind is the kind of thing that holds mail up.
type ReasonKind uint8

const (
	// ReasonNone is the kind of the zero Reason: nothing holds the mail up.
	ReasonNone ReasonKind = iota
	// ReasonReply: the last visit failed for now; Text is what the receiver said, or what happened in its place.
	ReasonReply
	// ReasonDNS: the domain's route is not known yet, or DNS cannot tell it now.
	ReasonDNS
	// ReasonSite: the site is closed because it could not be reached or turned everything away.
	ReasonSite
	// ReasonConnection: the site has as many connections at work as it is given. Its mail is under way.
	ReasonConnection
	// ReasonAnswer: the site is being tried and has not answered yet.
	ReasonAnswer
	// ReasonJournal: nothing is sent because it could not be recorded that it is being sent.
	ReasonJournal
	// ReasonMachine: this machine lacks something that every connection needs, like file descriptors.
	ReasonMachine
	// ReasonMemory: the memory that mail may use is used.
	ReasonMemory
	// ReasonRation: more would be done at once than an admin could take back.
	ReasonRation
	// ReasonTenant: a tenant has as many transactions under way, or as many messages a second, as it is given.
	ReasonTenant
	// ReasonRate: the site gets as many messages a second as it takes, or as a rule allows.
	ReasonRate
	// ReasonHold: an admin holds the mail until its release.
	ReasonHold
	// ReasonPause: an admin lets nothing of the kind be sent for a time.
	ReasonPause
	// ReasonDrain: an admin lets nothing more be taken.
	ReasonDrain
	// ReasonAllowance: as much mail was sent, or is on its way, as an allowance or a licence has room for.
	ReasonAllowance
)

var reasonNames = [...]string{"", "reply", "dns", "site", "connection", "answer", "journal", "machine", "memory", "ration", "tenant", "rate", "hold", "pause", "drain", "allowance"}

// String is the kind's stable name, for JSON and metrics; "" for ReasonNone.
func (k ReasonKind) String() string { return reasonNames[k] }

// MarshalText implements encoding.TextMarshaler.
func (k ReasonKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. A kind of a newer daemon reads as ReasonNone.
func (k *ReasonKind) UnmarshalText(text []byte) error {
	*k = ReasonNone
	for i, name := range reasonNames {
		if name == string(text) {
			*k = ReasonKind(i)
		}
	}
	return nil
}

// Reason is why mail waits, or why a part of the daemon does not do its work: the one form in which gate, queue, node,
// pace, journal and DNS say it, and which console, log and metrics read. The zero Reason says that nothing is held up.
type Reason struct {
	Kind  ReasonKind
	Who   string    // whom it is about: a domain, a site, a host; "" for this machine
	Text  string    // what happened, in the words of the mail log
	Until time.Time // the next try; zero: as soon as what holds the mail up has ended, which is signalled and not timed
}

// WaitFor returns the Reason of mail that waits until a time, or, with the zero time, for a signal. Whatever keeps mail
// waiting takes a Reason, so that no mail waits in silence (promise P5).
func WaitFor(kind ReasonKind, who, text string, until time.Time) Reason {
	return Reason{Kind: kind, Who: who, Text: text, Until: until}
}

// Waits reports whether r holds anything up.
func (r Reason) Waits() bool { return r.Kind != ReasonNone }

// Holds reports whether r keeps mail from being sent, so that it must not be shown as active. Mail that waits for its turn at
// a site that works, or for that of its tenant, is not held.
func (r Reason) Holds() bool {
	return r.Waits() && r.Kind != ReasonConnection && r.Kind != ReasonTenant
}

// UnixNext is Until in Unix seconds; 0 when there is no such time.
func (r Reason) UnixNext() int64 { return unix(r.Until) }

// Status is r as JSON has it.
func (r Reason) Status() ReasonStatus {
	return ReasonStatus{Kind: r.Kind, Who: r.Who, Reason: r.Text, Next: r.UnixNext()}
}

// ReasonStatus is a Reason as JSON has it.
type ReasonStatus struct {
	Kind   ReasonKind `json:"kind,omitempty"`
	Who    string     `json:"who,omitempty"`    // whom it is about: a domain, a site, a host
	Reason string     `json:"reason,omitempty"` // what happened
	Next   int64      `json:"next,omitempty"`   // Unix seconds of the next try
}
