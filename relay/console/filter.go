package console

import (
	"net/url"
	"strings"

	"github.com/millrace/millrace/relay"
)

// Filter narrows a list of messages. Empty fields let everything through.
type Filter struct {
	Domain string // destination domain of at least one recipient
	Sender string // envelope sender, whole
}

func newFilter(q url.Values) Filter {
	return Filter{Domain: q.Get("domain"), Sender: q.Get("sender")}
}

// match compares without regard to case, as everything that shows mail does.
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
