package relay

import "time"

// Selector says which of the mail that waits an Act is about: the mail for which every field that is set is true. The zero Selector is
// all mail.
type Selector struct {
	Domain   string        `json:"domain,omitempty"`   // of the recipients
	Site     string        `json:"site,omitempty"`     // that the domain's mail goes to, as "millrace sites" names it, or one of its hosts
	Sender   string        `json:"sender,omitempty"`   // envelope sender: an address, or a domain with or without "@"
	Tenant   string        `json:"tenant,omitempty"`   // name of a [[tenant]]
	Campaign string        `json:"campaign,omitempty"` // FlowName.Name
	ID       string        `json:"id,omitempty"`       // the MTA's queue id or our own
	Class    string        `json:"class,omitempty"`    // ClassInject, or "remote"
	Older    time.Duration `json:"older,omitempty"`    // arrived at least so long ago
	Lane     string        `json:"lane,omitempty"`     // "urgent" or "bulk"
}

// IsZero reports whether s selects all mail.
func (s Selector) IsZero() bool { return s == Selector{} }
