package milter

import (
	"bytes"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// Why a message stays with the MTA, where the filter did not say it.
const (
	leftBody        = "over size_limit"
	leftHeader      = "over max_header_bytes"
	leftRcpts       = "over max_rcpts"
	leftMemory      = "over max_buffered"
	leftField       = "malformed header field"
	leftOrder       = "commands out of order"
	leftParameter   = "unknown parameter "
	leftNobody      = "no recipient may be taken"
	leftSome        = "some recipients stay and the MTA lets us delete none"
	leftHidden      = "the MTA adds a header field that it does not show"
	leftRemoved     = "the MTA removes a header field on delivery"
	leftUnsendable  = "not sendable byte for byte"
	leftNotAccepted = "not accepted"
)

// transaction is one message from MAIL to its verdict.
type transaction struct {
	filter   *filter.Filter
	offer    filter.Offer
	arrived  time.Time
	envelope relay.Envelope // all but the recipients
	rcpts    []recipient
	queueID  string // as last seen

	header  []byte // lent by the session
	body    []byte // becomes the message's own
	budget  *budget
	charged int64

	verdict filter.Verdict // of the header; Take from then on
	left    string         // why the MTA keeps the message, "" while it may still be taken
	final   *reply         // set before Accept is asked: the only answer once it has returned nil
	taken   bool           // Accept has returned nil
}

// recipient is one RCPT.
type recipient struct {
	relay.Rcpt
	take bool
}

// budget bounds the bytes of messages not yet taken, over all sessions.
type budget struct {
	used atomic.Int64
	max  int64
}

// leave notes why the MTA keeps the message and drops what was collected. The first reason counts.
func (t *transaction) leave(reason string) {
	if t.left == "" {
		t.left = reason
	}
	t.header, t.body = t.header[:0], nil
	t.refund()
}

// refund gives back what the transaction was charged.
func (t *transaction) refund() {
	t.budget.used.Add(-t.charged)
	t.charged = 0
}

// charge asks for n bytes and leaves the message when there are none.
func (t *transaction) charge(n int) bool {
	if t.left != "" {
		return false
	}
	t.charged += int64(n)
	if t.budget.used.Add(int64(n)) > t.budget.max {
		t.leave(leftMemory)
		return false
	}
	return true
}

// setMail takes the parameters of MAIL. A parameter we do not know changes what the sender is promised, so the MTA
// keeps the message.
func (t *transaction) setMail(c command) {
	for _, p := range c.params {
		if !t.setMailParam(p) {
			t.leave(leftParameter + strconv.Quote(p))
			return
		}
	}
	if fault := c.fault(t.envelope.UTF8); fault != "" {
		t.leave("sender: " + fault)
		return
	}
	t.envelope.From = c.path
}

func (t *transaction) setMailParam(p string) bool {
	key, value, _ := strings.Cut(p, "=")
	if !printable(value) {
		return false
	}
	switch strings.ToUpper(key) {
	case "SIZE": // RFC 1870
		n, err := strconv.ParseInt(value, 10, 64)
		t.offer.Size = n
		return err == nil && n >= 0
	case "BODY": // RFC 6152; BINARYMIME cannot be sent by DATA
		return strings.EqualFold(value, "7BIT") || strings.EqualFold(value, "8BITMIME")
	case "RET": // RFC 3461 section 4.3
		t.envelope.Ret = strings.ToUpper(value)
		return t.envelope.Ret == "FULL" || t.envelope.Ret == "HDRS"
	case "ENVID": // RFC 3461 section 4.4
		t.envelope.EnvID = value
		return true
	case "SMTPUTF8": // RFC 6531 section 3.4
		t.envelope.UTF8 = true
		return value == ""
	case "AUTH": // RFC 4954 section 5: we are trusted with it no further
		return true
	}
	return false
}

// addRcpt takes one recipient; mailer is what the MTA would deliver to it with.
func (t *transaction) addRcpt(c command, mailer string, maxRcpts int) {
	r := recipient{Rcpt: relay.Rcpt{Addr: c.path}}
	for _, p := range c.params {
		if !r.setParam(p) {
			t.leave(leftParameter + strconv.Quote(p))
			return
		}
	}
	if fault := c.fault(t.envelope.UTF8); fault != "" {
		t.leave("recipient: " + fault)
		return
	}
	if len(t.rcpts) >= maxRcpts {
		t.leave(leftRcpts)
		return
	}
	r.take = t.filter.Takes(mailer, relay.Domain(c.path))
	if t.charge(len(c.path) + rcptOverhead) {
		t.rcpts = append(t.rcpts, r)
	}
}

// rcptOverhead is what a recipient costs beside its address.
const rcptOverhead = 64

func (r *recipient) setParam(p string) bool {
	key, value, _ := strings.Cut(p, "=")
	if !printable(value) {
		return false
	}
	switch strings.ToUpper(key) {
	case "NOTIFY": // RFC 3461 section 4.1
		r.Notify = value
		return true
	case "ORCPT": // RFC 3461 section 4.2
		r.ORcpt = value
		return true
	}
	return false
}

// addField appends a header field byte for byte: the MTA has the lines of a folded value joined by LF, and the value
// begins right behind the colon.
func (t *transaction) addField(name, value []byte, maxHeader int) {
	if t.left != "" {
		return
	}
	if !fieldName(name) {
		t.leave(leftField)
		return
	}
	if len(t.header)+len(name)+len(value)+len(":\r\n") > maxHeader {
		t.leave(leftHeader)
		return
	}
	before := len(t.header)
	t.header = append(append(t.header, name...), ':')
	for {
		line, rest, more := bytes.Cut(value, []byte("\n"))
		t.header = append(append(t.header, bytes.TrimSuffix(line, []byte("\r"))...), '\r', '\n')
		if !more {
			break
		}
		// A line that does not begin with a blank would be a field of its own, or the end of the header.
		if len(rest) == 0 || rest[0] != ' ' && rest[0] != '\t' {
			t.leave(leftField)
			return
		}
		value = rest
	}
	t.charge(len(t.header) - before)
}

// fieldName reports whether name can be one (RFC 5322 section 2.2).
func fieldName(name []byte) bool {
	for _, c := range name {
		if c <= ' ' || c >= 0x7f || c == ':' {
			return false
		}
	}
	return len(name) > 0
}

// countTaken returns how many of the recipients may be taken.
func (t *transaction) countTaken() int {
	n := 0
	for i := range t.rcpts {
		if t.rcpts[i].take {
			n++
		}
	}
	return n
}

// hidden says why what the MTA shows is not what it would send, or returns "". It is for Sendmail.
func hidden(header []byte) string {
	var date, from, id bool
	for name := range filter.Fields(header) {
		switch {
		case filter.FieldIs(name, "date"):
			date = true
		case filter.FieldIs(name, "from"):
			from = true
		case filter.FieldIs(name, "message-id"):
			id = true
		case filter.FieldIs(name, "bcc"), filter.FieldIs(name, "resent-bcc"), filter.FieldIs(name, "return-path"):
			return leftRemoved
		}
	}
	if !date || !from || !id {
		return leftHidden
	}
	return ""
}
