package stream

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/relay"
)

// Query says which records a reader wants.
type Query struct {
	Since  uint64 // only records behind this position
	Resume bool   // Since was given
	Follow bool   // wait for records to come

	kinds      kindSet
	conditions []condition
}

// condition is one field that must have a value.
type condition struct{ field, value string }

// maxValue bounds each value of a query, in bytes, and maxValues how many there are.
const (
	maxValue  = 1 << 10
	maxValues = 64
)

// ParseQuery reads the parameters of GET /v1/events: since, follow, kind (several, or with commas), tenant, campaign, domain, sender,
// recipient, id. It is strict: a parameter that is not known or empty may have been meant to narrow the answer.
func ParseQuery(values url.Values) (q Query, err error) {
	q.Follow = true
	for _, key := range sorted(values) {
		if len(values[key]) > maxValues {
			return Query{}, fmt.Errorf("%s: is given more than %d times", cut(key), maxValues)
		}
		for _, value := range values[key] {
			if err := q.set(key, value); err != nil {
				return Query{}, fmt.Errorf("%s: %w", cut(key), err)
			}
		}
	}
	return q, nil
}

func sorted(values url.Values) []string {
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// set takes in one parameter.
func (q *Query) set(key, value string) (err error) {
	switch {
	case value == "":
		return fmt.Errorf("is empty; give a value, or leave it out")
	case len(value) > maxValue || !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl):
		return fmt.Errorf("is longer than %d bytes, or no text", maxValue)
	}
	switch key {
	case "since":
		q.Resume = true
		q.Since, err = ParsePosition(value)
	case "follow":
		q.Follow, err = strconv.ParseBool(value)
	case "kind":
		var more kindSet
		more, err = newKindSet(strings.Split(value, ","))
		q.kinds |= more
	case "tenant", "campaign", "domain", "sender", "recipient", "id":
		if slices.ContainsFunc(q.conditions, func(c condition) bool { return c.field == key }) {
			return fmt.Errorf("is given twice")
		}
		q.conditions = append(q.conditions, condition{key, value})
	default:
		return fmt.Errorf("is not known; there are since, follow, kind, tenant, campaign, domain, sender, recipient and id")
	}
	return err
}

// ParsePosition reads a position as records have it.
func ParsePosition(s string) (uint64, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		return 0, fmt.Errorf(`%q is no position: a record has it as "position"`, cut(s))
	}
	return n, nil
}

// selected is what a query asks a record for.
type selected struct {
	ID         string   `json:"id"`
	QueueID    string   `json:"queue_id"`
	Sender     *string  `json:"sender"`
	Recipient  string   `json:"recipient"`
	Recipients []string `json:"recipients"`
	Domain     string   `json:"domain"`
	Tenant     string   `json:"tenant"`
	Campaign   string   `json:"campaign"`
}

// matches reports whether a reader wants a record. Gaps it wants in any case.
func (q *Query) matches(k Kind, text []byte) bool {
	switch {
	case k == Gap:
		return true
	case !q.kinds.has(k):
		return false
	case len(q.conditions) == 0:
		return true
	}
	var r selected
	if json.Unmarshal(text, &r) != nil {
		return false
	}
	for _, c := range q.conditions {
		if !r.has(c) {
			return false
		}
	}
	return true
}

// has reports whether a record meets a condition. Case does not matter in addresses: whoever asks types them as they were shown
// somewhere.
func (r *selected) has(c condition) bool {
	switch c.field {
	case "tenant":
		return r.Tenant == c.value
	case "campaign":
		return r.Campaign == c.value
	case "id":
		return strings.EqualFold(r.ID, c.value) || r.QueueID == c.value
	case "sender":
		return r.Sender != nil && isAddress(*r.Sender, c.value)
	case "domain":
		return strings.EqualFold(r.Domain, c.value) || slices.ContainsFunc(r.Recipients, func(a string) bool { return strings.EqualFold(relay.Domain(a), c.value) })
	}
	return r.Recipient != "" && isAddress(r.Recipient, c.value) || slices.ContainsFunc(r.Recipients, func(a string) bool { return isAddress(a, c.value) })
}

// isAddress reports whether an address is the wanted one: "<>" is the null sender, and "@example.com" a whole domain.
func isAddress(address, wanted string) bool {
	switch {
	case wanted == "<>":
		return address == ""
	case wanted[0] == '@':
		return strings.EqualFold(relay.Domain(address), wanted[1:])
	}
	return strings.EqualFold(address, wanted)
}
