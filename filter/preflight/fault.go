package preflight

import (
	"fmt"
	"maps"
	"slices"
)

// Fault is one thing that receivers refuse or distrust.
type Fault struct {
	Code   string `json:"code"`   // stable, as "dkim-not-aligned"
	Text   string `json:"text"`   // what was found
	Repair string `json:"repair"` // what helps
}

// repairs says, for every code there is, what helps.
var repairs = map[string]string{
	"from-missing":    "write one From field with one address",
	"from-repeated":   "write one From field; receivers refuse mail with several",
	"from-unreadable": "write From as: Name <user@example.org>",
	"from-several":    "write one address in From; receivers cannot tell which of several is responsible",

	"date-missing":    "write a Date field",
	"date-repeated":   "write one Date field",
	"date-unreadable": "write Date as: Mon, 2 Jan 2026 15:04:05 +0000",
	"date-far":        "set the clock of the program that writes the mail, or send the mail when it is written",

	"message-id-missing":  "write a Message-ID of its own into each message, as <unique@example.org>",
	"message-id-repeated": "write one Message-ID field",
	"subject-repeated":    "write one Subject field",
	"header-8bit":         "encode what is not ASCII in the header (RFC 2047), as =?utf-8?q?...?=, or send with SMTPUTF8",
	"large":               "send less than 100 KB, and link to pictures: Gmail cuts larger messages off",

	"dkim-missing":     "sign the mail before Millrace gets it: put the signer's milter before Millrace's, or have the program sign",
	"dkim-unreadable":  "repair the signer: its field cannot be read, so the message counts as not signed",
	"dkim-not-aligned": "sign with d= of the domain in From or of the same organisation, or write From with the domain that signs",
	"dkim-expired":     "sign just before the mail is sent, or leave x= out",
	"dkim-future":      "set the clock of the signer",
	"dkim-length":      "leave l= out: what is appended behind it is not signed, and some receivers then take the whole for not signed",
	"dkim-fields":      "have the signer cover From, To, Subject and Date in h=",

	"unsubscribe-missing":    "write List-Unsubscribe with an https address, and List-Unsubscribe-Post (RFC 8058); Gmail and Yahoo ask for both in bulk mail",
	"unsubscribe-repeated":   "write one List-Unsubscribe field, with all addresses",
	"unsubscribe-unreadable": "write List-Unsubscribe as: <https://example.org/off/TOKEN>, <mailto:off@example.org>",
	"unsubscribe-not-https":  "add an https address to List-Unsubscribe: one click works with no other",
	"unsubscribe-unsigned":   "have the signer cover List-Unsubscribe and List-Unsubscribe-Post in h= (RFC 8058 section 4); in OpenDKIM that is OverSignHeaders or SignHeaders",
	"one-click-missing":      "write the field List-Unsubscribe-Post: List-Unsubscribe=One-Click, and answer the POST",
	"one-click-wrong":        "write the field exactly so: List-Unsubscribe-Post: List-Unsubscribe=One-Click",

	"ptr-missing":  "have the owner of the network enter a PTR record for the address; Gmail and Yahoo refuse mail from an address without one",
	"ptr-not-back": "let the name in the PTR record have an A or AAAA record with the address",
	"ptr-not-helo": "set helo_name of [smtp] or [[source]] to the name in the PTR record, or the record to that name",
	"tls-off":      `set pool.tls to "opportunistic": Gmail refuses bulk mail in clear`,
}

// Codes lists the codes of all faults, sorted.
func Codes() []string { return slices.Sorted(maps.Keys(repairs)) }

// faults is a list in the making.
type faults []Fault

// add notes a fault.
func (f *faults) add(code, format string, args ...any) {
	*f = append(*f, Fault{Code: code, Text: fmt.Sprintf(format, args...), Repair: repairs[code]})
}
