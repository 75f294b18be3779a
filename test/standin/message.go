package standin

import (
	"bytes"
	"slices"
	"strings"
)

// Message is a message with its envelope, as the SMTP client sends it.
type Message struct {
	QueueID  string
	From     string   // without angle brackets
	MailArgs []string // parameters of MAIL
	SASLUser string   // "" when the client has not logged in
	Rcpts    []Recipient
	Header   []Field
	Body     []byte
	Macros   map[string]string // macros by name without braces, in addition to the stand-in's own or in place of them
	StopAt   byte              // the client goes away before this command: Rcpt, Header, Body or EndOfBody
}

// Recipient is one RCPT.
type Recipient struct {
	Addr      string // without angle brackets
	Args      []string
	Mailer    string // {rcpt_mailer}
	Host      string // {rcpt_host}; "" is the domain of Addr
	Rewritten string // {rcpt_addr}; "" is Addr
	Raw       string // when not "", the first string of the frame instead of <Addr>
}

// Field is one header field. Value is all text after the colon; folded lines are joined by LF.
type Field struct{ Name, Value string }

// Parse splits an RFC 5322 message into the fields of its header, byte for byte, and the body.
func Parse(raw []byte) (header []Field, body []byte) {
	head, body, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if n := len(header); n > 0 && strings.HasPrefix(line, " ") || n > 0 && strings.HasPrefix(line, "\t") {
			header[n-1].Value += "\n" + line
			continue
		}
		name, value, _ := strings.Cut(line, ":")
		header = append(header, Field{name, value})
	}
	return header, body
}

// path is the recipient as RCPT names it.
func (r *Recipient) path() string {
	if r.Raw != "" {
		return r.Raw
	}
	return "<" + r.Addr + ">"
}

// To makes recipients with the mailer "smtp".
func To(addrs ...string) []Recipient {
	rcpts := make([]Recipient, len(addrs))
	for i, a := range addrs {
		rcpts[i] = Recipient{Addr: a, Mailer: "smtp"}
	}
	return rcpts
}

// Verdict is the filter's decision about a message, with the changes it asked for.
type Verdict struct {
	Action   byte     // the reply that decided; Continue when the filter let the message pass without a decision
	Stage    byte     // the command that Action answered
	Text     string   // of ReplyCode: "451 4.3.2 text"
	Deleted  []string // recipients, with their angle brackets
	Changed  []byte   // codes of all other changes the filter asked for
	Progress int      // number of Progress replies
	Rejected []int    // indices of the recipients that the filter refused one by one
	Sent     int      // bytes of the body that the filter was sent

	emptied bool // no recipient is left
}

// Taken reports whether the filter has taken the whole message, in one of two ways: it ended the message, or it deleted all
// recipients.
func (v Verdict) Taken() bool { return v.Action == Discard || v.Action == Accept && v.emptied }

// noteEmptied finds out whether a recipient is left.
func (v *Verdict) noteEmptied(m *Message) {
	v.emptied = len(v.Deleted) > 0
	for i := range m.Rcpts {
		if !slices.Contains(v.Rejected, i) && !slices.Contains(v.Deleted, m.Rcpts[i].path()) {
			v.emptied = false
		}
	}
}
