package bounce

import (
	"bytes"
	"errors"
	"fmt"
	"net/mail"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// Action is the fate of a recipient (RFC 3464 section 2.3.3).
type Action uint8

const (
	// Failed: the message will not be delivered.
	Failed Action = iota
	// Expired: likewise, because the message waited too long. RFC 3464 has no word for it: the Action field says "failed".
	Expired
	// Delayed: the message was not delivered yet.
	Delayed
	// Relayed: the message went on to a server that sends no notifications of success.
	Relayed
	// Delivered: the message is in the mailbox.
	Delivered
)

var actionNames = [...]string{"failed", "failed", "delayed", "relayed", "delivered"}

// String gives the word of the Action field.
func (a Action) String() string { return actionNames[a] }

// Failure is one recipient's fate, mostly bad, and the words for it.
type Failure struct {
	Rcpt   int // index of a recipient of Message
	Action Action
	Reply  smtp.Reply
	Relay  string    // the server of the last attempt, "name[address]:port", or "none"
	Time   time.Time // of the last attempt
	Until  time.Time // Delayed: when it will be given up; zero when not known
}

// Report is the matter of one notification.
type Report struct {
	Name       string // of the notification itself: for its Message-ID
	Hostname   string // the reporting MTA
	From       string // its author's address; MAILER-DAEMON at Hostname when empty
	Postmaster string // address for questions; postmaster at Hostname when empty
	Date       time.Time
	Message    *relay.Message
	MaxHeader  int // bytes of the message that are returned; 50 KB when 0
	Failures   []Failure
}

// ErrNoSender is returned for a message with the null sender: nobody may be told, or two mail systems would answer each
// other's notifications for ever (RFC 5321 section 4.5.5).
var ErrNoSender = errors.New("message has the null sender")

// ErrNoFailure is returned for a report about nobody.
var ErrNoFailure = errors.New("report names no recipient")

// Compose writes a notification to the message's sender, to be sent from the null sender. It returns the header, without
// the empty line after it, and the body. Lines end with CRLF and have at most 998 bytes; every byte is ASCII unless the
// message was internationalised or its own header, which is returned, has other bytes.
//
//	multipart/report
//	  text/plain                what happened, for people
//	  message/delivery-status   the same for programs (RFC 3464); message/global-delivery-status (RFC 6533) only if some
//	                            recipient has no address in ASCII, because few programs know it
//	  text/rfc822-headers       the message's header, or
//	  message/rfc822            all of it, when RET=FULL asked for it and it is small
func Compose(r Report) (header, body []byte, err error) {
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	s, forPrograms := r.script()
	parts := []part{r.human(s), r.status(forPrograms), r.original(s)}
	limit := boundary(parts)
	return r.header(s, forPrograms, limit), assemble(parts, limit), nil
}

// check returns the mistake that makes the report impossible, and fills in the fields that may be left out.
func (r *Report) check() error {
	if r.Message.From() == "" {
		return ErrNoSender
	}
	if len(r.Failures) == 0 {
		return ErrNoFailure
	}
	for _, f := range r.Failures {
		if f.Rcpt < 0 || f.Rcpt >= r.Message.RcptCount() || int(f.Action) >= len(actionNames) {
			return fmt.Errorf("recipient %d of %d, action %d", f.Rcpt, r.Message.RcptCount(), f.Action)
		}
	}
	r.Hostname = asciiOnly.clean(r.Hostname)
	r.From = complete(orElse(r.From, "MAILER-DAEMON"), r.Hostname)
	r.Postmaster = complete(orElse(r.Postmaster, "postmaster"), r.Hostname)
	if r.MaxHeader <= 0 {
		r.MaxHeader = DefaultConfig().MaxHeader
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// script is RFC 6533's when an address or, in an internationalised message, the header needs it. Its sender then reads
// such notifications; everybody else gets the old form, which more programs know. The part for programs needs it for a
// recipient only. A domain needs it nowhere: it has a form in ASCII.
func (r *Report) script() (s, forPrograms script) {
	m := r.Message
	forPrograms = script(slices.ContainsFunc(r.Failures, func(f Failure) bool { return !hasASCII(m.Rcpt(f.Rcpt).Addr) }))
	return forPrograms || script(!hasASCII(m.From()) || m.UTF8() && !isASCII(m.Content.Head())), forPrograms
}

func hasASCII(addr string) bool {
	_, ok := smtp.ASCIIAddress(addr)
	return ok
}

// header writes the notification's own header. Auto-Submitted keeps vacation programs from answering it (RFC 3834
// section 2).
func (r *Report) header(s, forPrograms script, limit string) []byte {
	var b bytes.Buffer
	field(&b, "Date", r.Date.Format(rfc5322Date))
	field(&b, "From", "Mail Delivery System <"+s.clean(r.From)+">")
	field(&b, "To", addressee(s, r.Message.From()))
	field(&b, "Subject", subjects[r.Failures[0].Action])
	field(&b, "Message-ID", fmt.Sprintf("<%s.%d@%s>", asciiOnly.clean(r.Name), r.Date.Unix(), r.Hostname))
	field(&b, "Auto-Submitted", "auto-replied")
	field(&b, "MIME-Version", "1.0")
	field(&b, "Content-Type", `multipart/report; report-type=`+forPrograms.global("delivery-status")+`; boundary="`+limit+`"`)
	return b.Bytes()
}

const rfc5322Date = "Mon, 02 Jan 2006 15:04:05 -0700"

// subjects are those of Postfix: people and programs sort notifications by them.
var subjects = [...]string{
	Failed:    "Undelivered Mail Returned to Sender",
	Expired:   "Undelivered Mail Returned to Sender",
	Delayed:   "Delayed Mail (still being retried)",
	Relayed:   "Successful Mail Delivery Report",
	Delivered: "Successful Mail Delivery Report",
}

// addressee is the sender's address for the To field. The envelope may hold an address that is none in a header; the field
// then names nobody (RFC 5322 section 3.4).
func addressee(s script, addr string) string {
	if ascii, ok := smtp.ASCIIAddress(addr); ok {
		addr = ascii // then the notification needs no SMTPUTF8
	}
	addr = "<" + s.clean(addr) + ">"
	if len(addr) > maxWord {
		return "undisclosed-recipients:;"
	}
	if _, err := mail.ParseAddress(addr); err != nil {
		return "undisclosed-recipients:;"
	}
	return addr
}

func isASCII[T string | []byte](s T) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}
