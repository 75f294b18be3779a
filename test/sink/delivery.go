package sink

import (
	"crypto/sha256"
	"strings"
	"time"
)

// Delivery is one accepted recipient of one accepted message.
type Delivery struct {
	Listener string // name of the listener's Character
	From     string // reverse-path without angle brackets; "" is the null sender
	Rcpt     string // forward-path without angle brackets
	ID       string // value of the X-Ledger field, else of Message-ID
	// Sum is the SHA-256 of the message without its first field when that is a Received field. That field is the last
	// hop's own, so Sum covers the message that was given to the last hop.
	Sum [sha256.Size]byte
	// Core is the SHA-256 of Core(message): of the message as the author wrote it, without the trace fields of hops.
	Core   [sha256.Size]byte
	Size   int // bytes of the message as received, dots unstuffed
	Params Params
	Time   time.Time // when it was accepted
	TLS    bool
	Raw    []byte // the whole message when Config.Keep is set; shared between its recipients, not to be changed
}

// Params are the ESMTP arguments of a transaction as they stood on the wire, separated by spaces.
type Params struct {
	Mail string // for instance "SIZE=1000 BODY=8BITMIME"
	Rcpt string // for instance "NOTIFY=FAILURE ORCPT=rfc822;a@b"
}

// Value returns the value of the argument key, from RCPT or MAIL, and whether it was given at all.
func (p Params) Value(key string) (string, bool) {
	for _, args := range []string{p.Rcpt, p.Mail} {
		for arg := range strings.FieldsSeq(args) {
			k, v, _ := strings.Cut(arg, "=")
			if strings.EqualFold(k, key) {
				return v, true
			}
		}
	}
	return "", false
}
