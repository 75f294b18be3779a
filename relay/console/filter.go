package console

import (
	"net/url"
	"strings"

	"github.com/millrace/millrace/relay"
)

// Filter narrows a list of messages. Empty fields let everything through. The daemon filters, not the client: a million
// messages need not cross the socket for the sake of three.
type Filter struct {
	Domain string // destination domain of at least one recipient
	Sender string // envelope sender, whole
}

func newFilter(q url.Values) Filter {
	return Filter{Domain: q.Get("domain"), Sender: q.Get("sender")}
}

// match ignores case also in the local part, where RFC 5321 section 2.4 does not: the reader types an address as it was
// shown somewhere.
func (f Filter) match(l *relay.Listing) bool {
	return (f.Sender == "" || strings.EqualFold(f.Sender, l.Sender)) && (f.Domain == "" || f.reaches(l))
}

func (f Filter) reaches(l *relay.Listing) bool {
	for i := range l.Recipients {
		if strings.EqualFold(f.Domain, l.Recipients[i].Domain) {
			return true
		}
	}
	return false
}

func (f Filter) query() string {
	return "?" + url.Values{"domain": {f.Domain}, "sender": {f.Sender}}.Encode()
}
