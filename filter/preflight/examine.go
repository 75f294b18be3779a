package preflight

import (
	"mime"
	"net/mail"
	"strings"
	"time"
)

// Letter is what is known of a message.
type Letter struct {
	Header []byte    // its fields, each ended by CRLF or LF; what follows an empty line is not looked at
	Size   int64     // bytes of the whole message; 0: not known
	UTF8   bool      // it goes with SMTPUTF8, so that its header may have UTF-8
	Urgent bool      // it is no mail to unsubscribe from, as a password reset
	Time   time.Time // now
}

// SizeHint is the size, in bytes, over which a message gets the fault "large".
const SizeHint = 100 << 10

// How far Date may be from now: mail waits in queues before it comes here, and clocks differ.
const (
	maxAge   = 72 * time.Hour
	maxAhead = 2 * time.Hour
)

// Examine returns the faults of a message, in the order of its parts: the header's form, the signature, unsubscribing.
func Examine(l Letter) []Fault {
	var found faults
	header := untilBody(l.Header)
	f := parse(header)
	author := found.from(f)
	found.date(f, l.Time)
	found.single(f)
	if !l.UTF8 && eightBit(header) {
		found.add("header-8bit", "the header has bytes that are not ASCII")
	}
	found.size(l.Size)
	found.signatures(f, author, l.Time)
	if !l.Urgent {
		found.unsubscribe(f)
	}
	return found
}

// ExamineSize returns the faults of a message of this size, in bytes.
func ExamineSize(size int64) []Fault {
	var found faults
	found.size(size)
	return found
}

func (f *faults) size(size int64) {
	if size > SizeHint {
		f.add("large", "the message has %d KB", size>>10)
	}
}

// from judges From, and returns the domain of its address, "" if there is none.
func (f *faults) from(h fields) string {
	switch n := len(h["from"]); {
	case n == 0:
		f.add("from-missing", "there is no From")
		return ""
	case n > 1:
		f.add("from-repeated", "there are %d From fields", n)
	}
	// A charset that is not known here is no fault: the name before the address is for people.
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{CharsetReader: asIs}}
	list, err := parser.ParseList(h.first("from"))
	if err != nil || len(list) == 0 {
		f.add("from-unreadable", "From cannot be read: %q", short(h.first("from")))
		return ""
	}
	if len(list) > 1 {
		f.add("from-several", "From has %d addresses", len(list))
	}
	addr := list[0].Address
	return asASCII(addr[strings.LastIndexByte(addr, '@')+1:])
}

// date judges Date.
func (f *faults) date(h fields, now time.Time) {
	switch n := len(h["date"]); {
	case n == 0:
		f.add("date-missing", "there is no Date")
		return
	case n > 1:
		f.add("date-repeated", "there are %d Date fields", n)
	}
	date, err := mail.ParseDate(h.first("date"))
	switch off := now.Sub(date); {
	case err != nil:
		f.add("date-unreadable", "Date cannot be read: %q", short(h.first("date")))
	case off > maxAge:
		f.add("date-far", "Date is %s ago", off.Round(time.Hour))
	case off < -maxAhead:
		f.add("date-far", "Date is %s ahead", (-off).Round(time.Minute))
	}
}

// single judges the other fields that may be there once.
func (f *faults) single(h fields) {
	switch n := len(h["message-id"]); {
	case n == 0 || n == 1 && h.first("message-id") == "":
		f.add("message-id-missing", "there is no Message-ID")
	case n > 1:
		f.add("message-id-repeated", "there are %d Message-ID fields", n)
	}
	if n := len(h["subject"]); n > 1 {
		f.add("subject-repeated", "there are %d Subject fields", n)
	}
}
