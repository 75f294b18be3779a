package console

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"github.com/millrace/millrace/relay"
)

// Filter narrows a list of messages. Empty fields let everything through. The daemon filters, not the client: a million
// messages need not cross the socket for the sake of three.
type Filter struct {
	Domain string // destination domain of at least one recipient
	Sender string // envelope sender, whole

	// A page is Most messages After one. The messages come in the order in which they were taken, so that pages one after the other
	// miss none that waits all the time, and have none twice.
	After string // our id of a message; it may be gone
	Most  int    // 0: all
}

// newFilter reads a query. after is Filter.After.
func newFilter(q url.Values) (f Filter, after relay.ID, err error) {
	f = Filter{Domain: q.Get("domain"), Sender: q.Get("sender"), After: q.Get("after")}
	if f.Most, err = number(q, "most", 0, 0, math.MaxInt32); err != nil || f.After == "" {
		return f, 0, err
	}
	after, ok := relay.ParseID(f.After)
	if !ok {
		return f, 0, fmt.Errorf("after: %q is no id of ours, as \"id\" in the list has it", f.After)
	}
	return f, after, nil
}

// number reads a parameter that is a number between least and most, or usual when it is left out.
func number(q url.Values, name string, usual, least, most int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		return 0, fmt.Errorf("%s: %q is not between %d and %d", name, text, least, most)
	}
	return n, nil
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
	q := url.Values{"domain": {f.Domain}, "sender": {f.Sender}}
	if f.After != "" {
		q.Set("after", f.After)
	}
	if f.Most > 0 {
		q.Set("most", strconv.Itoa(f.Most))
	}
	return "?" + q.Encode()
}
