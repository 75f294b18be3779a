package smtp

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"
)

// maxRcpts is how many recipients one transaction offers: as many as every server
// must take (RFC 5321, 4.5.3.1.8).
const maxRcpts = 100

// Transaction is one message with some of its recipients, all over the same
// connection. The caller fills in the first part. Between handing the Transaction
// out and getting it back the caller must not touch it; [Conn.Deliver] fills in
// the rest.
type Transaction struct {
	From     string // sender address without brackets; "" is the null sender
	Size     int64  // bytes to announce with SIZE; 0 for the length of Content
	EightBit bool   // Content has bytes over 127
	UTF8     bool   // the message needs SMTPUTF8 (RFC 6531)
	Ret      string // RET as received: "FULL", "HDRS" or ""
	EnvID    string // ENVID as received, in xtext
	Rcpts    []Rcpt
	Content  [][]byte // header and body in CRLF lines, not dot-stuffed, cut anywhere; never modified
	Form     Form     // of Content, if the caller knows it; else it is found by a walk over the bytes
	Tag      any      // the caller's own

	// Cleared is called when the peer waits for the body, before any of it goes out. It may block. Its error closes the
	// connection with nothing of the body sent, and every recipient not refused by then is Again. It may be nil.
	Cleared func() error

	Results  []Result  // one for each of Rcpts
	Reply    Reply     // the reply to the body when it was taken
	Full     int       // recipients that the peer had taken when it refused the next one as one too many, or closed; 0: it did neither
	Ended    *Error    // the 421 with which the peer ended a connection that had carried others, in reply to MAIL: all are Again; else nil
	Started  time.Time // when the peer was free to begin with it; zero if it never was
	Accepted time.Time // when the last reply to RCPT was in
	Done     time.Time // when the last reply was in, or the failure
	ConnUse  int       // 1 for the first message on its connection; 0 if the peer never got to it
	Batch    int       // messages that left with it before the first reply, itself included; 0: it went by DATA
}

// Rcpt is one recipient.
type Rcpt struct {
	Addr   string // address without brackets
	Notify string // NOTIFY as received; passed on only to a peer with DSN
	ORcpt  string // ORCPT as received, in xtext; likewise
}

// Result is the end of one recipient: sent, failed, or to be tried again at once.
type Result struct {
	Err   *Error // the failure; nil if the recipient was sent to or is Again
	Reply Reply  // the reply that decided it; zero if there was none
	Again bool   // no failure, and not counted as one: try it at once in another transaction

	// Bystander: with Err, which is another recipient's answer that broke the dialogue. Try this one at once without the
	// other, but not for ever: the next one may be no better.
	Bystander bool

	// Unknown: the peer may have taken the message for this recipient, who may get it twice if it is sent again. The body
	// is with the peer, and the reply to it did not come or says neither yes nor no. Err says what came.
	Unknown bool
}

// Sent reports whether the peer has taken the message for this recipient.
func (r *Result) Sent() bool { return r.Err == nil && !r.Again }

// clear empties the part of t that Deliver fills in.
func (t *Transaction) clear() {
	t.Results = slices.Grow(t.Results[:0], len(t.Rcpts))[:len(t.Rcpts)]
	clear(t.Results)
	t.Reply, t.ConnUse, t.Full, t.Ended, t.Batch = Reply{}, 0, 0, nil, 0
	t.Started, t.Accepted, t.Done = time.Time{}, time.Time{}, time.Time{}
}

// form is the form of the content: the caller's, if it can be that of these bytes, else what a walk over them finds. A message whose
// last line seems to be whole and is not would have its dot at the end of that line: the peer would wait for the end of data, and we
// for its reply.
func (t *Transaction) form() Form {
	var size int64
	end := byte('\n')
	for _, b := range t.Content {
		size += int64(len(b))
		if len(b) > 0 {
			end = b[len(b)-1]
		}
	}
	if size == t.Form.Size && t.Form.Traits.Has(Unfinished) == (end != '\n') {
		return t.Form
	}
	return FormOf(t.Content)
}

// refuse returns why c cannot carry f's message for any recipient, and fills in
// f's form. It is decided before a byte is written, so others go on unhurt.
func (c *Conn) refuse(f *flight) *Error {
	tx := f.tx
	if e := refuseSender(tx); e != nil {
		return e
	}
	if tx.UTF8 && !c.ext.SMTPUTF8 {
		return local("5.6.7", "message needs SMTPUTF8, which the receiver does not offer")
	}
	if tx.EightBit && !c.ext.EightBitMIME {
		return local("5.6.3", "message needs 8BITMIME, which the receiver does not offer")
	}
	f.form = tx.form()
	if err := f.form.smuggles(); err != nil {
		return &Error{Permanent: true, Local: true, Enhanced: "5.6.0", Err: err}
	}
	f.size = cmp.Or(tx.Size, f.form.Size)
	if c.ext.Size > 0 && f.size > c.ext.Size {
		return local("5.3.4", "message is larger than the receiver's limit")
	}
	return nil
}

func refuseSender(tx *Transaction) *Error {
	if err := checkPath(tx.From, tx.UTF8); err != nil {
		return badPath("5.1.7", err)
	}
	if !isParam(tx.EnvID, false) || tx.Ret != "" && tx.Ret != "FULL" && tx.Ret != "HDRS" {
		return local("5.5.4", "RET or ENVID cannot be sent in a command")
	}
	return nil
}

func refuseRcpt(r *Rcpt, international bool) *Error {
	if r.Addr == "" {
		return badPath("5.1.3", errPath)
	}
	if err := checkPath(r.Addr, international); err != nil {
		return badPath("5.1.3", err)
	}
	if !isParam(r.Notify, false) || !isParam(r.ORcpt, international) {
		return local("5.5.4", "NOTIFY or ORCPT cannot be sent in a command")
	}
	return nil
}

func badPath(enhanced string, err error) *Error {
	if errors.Is(err, errUnicode) {
		enhanced = "5.6.7"
	}
	return &Error{Permanent: true, Local: true, Enhanced: enhanced, Err: err}
}

// offer chooses the recipients that are named to the peer. The others get their
// result now: an error if their address cannot be sent, Again if the peer takes
// no more at a time.
func (c *Conn) offer(f *flight) {
	limit := maxRcpts
	if m := c.ext.Limits.RcptMax; m > 0 {
		limit = min(limit, m)
	}
	if c.rcptLimit > 0 {
		limit = min(limit, c.rcptLimit)
	}
	domains := domainLimit{max: c.ext.Limits.RcptDomainMax}
	if c.oneDomain {
		domains.max = 1
	}
	for i := range f.tx.Rcpts {
		r := &f.tx.Rcpts[i]
		if e := refuseRcpt(r, f.tx.UTF8); e != nil {
			f.tx.Results[i].Err = e
			continue
		}
		if len(f.offered) >= limit || !domains.admit(r.Addr) {
			f.tx.Results[i].Again = true
			continue
		}
		f.offered = append(f.offered, i)
	}
}

// domainLimit counts different recipient domains (RFC 9422, RCPTDOMAINMAX).
type domainLimit struct {
	max  int // 0 for no limit
	seen []string
}

func (d *domainLimit) admit(addr string) bool {
	if d.max == 0 {
		return true
	}
	domain := domainOf(addr)
	for _, s := range d.seen {
		if strings.EqualFold(s, domain) {
			return true
		}
	}
	if len(d.seen) >= d.max {
		return false
	}
	d.seen = append(d.seen, domain)
	return true
}
