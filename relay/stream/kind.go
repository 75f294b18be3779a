package stream

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is the type of a record.
type Kind uint8

// Kinds. A recipient has one record for each of its outcomes. Gap, Counts and Recovery are about the stream itself.
const (
	Reception        Kind = iota // a message is taken
	Delivery                     // a receiver has the message for this recipient
	TransientFailure             // a recipient failed, and is tried again
	Deferral                     // a visit ended with recipients that wait, or go back to the MTA
	Bounce                       // a recipient failed for good
	Expiration                   // a recipient waited too long
	HandedBack                   // the MTA has the recipient again
	Deleted                      // an admin has deleted the recipient
	Reported                     // the sender knows that the recipient failed, or need not know
	Suppressed                   // the recipient is on the list of those that are sent nothing
	Held                         // a reply to the MTA has waited for room
	Overflow                     // a message, or some of its recipients, stays with the MTA for want of room
	Doubt                        // the recipient may get the message twice
	Act                          // an admin has given an order
	Allowance                    // the count against an allowance has reached a mark
	Gap                          // the reader has missed records
	Counts                       // the running totals, in files alone
	Recovery                     // what the totals gained or lost by a crash
	kinds            = iota
)

var kindNames = [kinds]string{
	"reception", "delivery", "transient_failure", "deferral", "bounce", "expiration", "handed_back", "deleted", "reported", "suppressed",
	"held", "overflow", "doubt", "act", "allowance", "gap", "totals", "recovery",
}

// String is the value of "type" in a record.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// ParseKind reads what String writes. Its error names all kinds.
func ParseKind(s string) (Kind, error) {
	if i := slices.Index(kindNames[:], s); i >= 0 {
		return Kind(i), nil
	}
	return 0, fmt.Errorf("%q is no type of event; there are %s", cut(s), strings.Join(kindNames[:], ", "))
}

// maxQuoted bounds what an error quotes of its input, in bytes.
const maxQuoted = 60

func cut(s string) string {
	if len(s) > maxQuoted {
		return s[:maxQuoted] + "..."
	}
	return s
}

// kindSet is a set of kinds; the zero kindSet has all.
type kindSet uint32

// newKindSet makes a set of the names. Gaps belong to every set: no reader may take what it has for all there was.
func newKindSet(names []string) (set kindSet, err error) {
	for _, name := range names {
		k, err := ParseKind(name)
		if err != nil {
			return 0, err
		}
		set |= 1 << k
	}
	if set != 0 {
		set |= 1 << Gap
	}
	return set, nil
}

func (s kindSet) has(k Kind) bool { return s == 0 || s&(1<<k) != 0 }
