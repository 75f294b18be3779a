package standin

import (
	"bytes"
	"strings"
)

// Message is what the SMTP client sends.
type Message struct {
	QueueID  string
	From     string   // without angle brackets
	MailArgs []string // parameters of MAIL
	SASLUser string   // "" when the client has not logged in
	Rcpts    []Recipient
	Header   []Field
	Body     []byte
	Macros   map[string]string // more macros, by name without braces; they win over the stand-in's own
	StopAt   byte              // the client goes away before this command: Rcpt, Header, Body or EndOfBody
}

// Recipient is one RCPT.
type Recipient struct {
	Addr   string // without angle brackets
	Args   []string
	Mailer string // {rcpt_mailer}
	Raw    string // when not "", the first string of the frame instead of <Addr>
}

// Field is one header field: everything behind the colon, lines joined by LF.
type Field struct{ Name, Value string }

// Parse takes an RFC 5322 message apart: the header's fields byte for byte, and the body.
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

// To makes recipients that the MTA would send by SMTP.
func To(addrs ...string) []Recipient {
	rcpts := make([]Recipient, len(addrs))
	for i, a := range addrs {
		rcpts[i] = Recipient{Addr: a, Mailer: "smtp"}
	}
	return rcpts
}

// Verdict is what the filter made of a message.
type Verdict struct {
	Action   byte     // the reply that decided: Continue when the filter let all of it pass without one
	Stage    byte     // the command it answered
	Text     string   // of ReplyCode: "451 4.3.2 text"
	Deleted  []string // recipients, with their angle brackets
	Changed  []byte   // codes of all other changes the filter asked for
	Progress int      // times it said that it is still there
	Rejected []int    // indices of recipients that got a 4xx or 5xx of their own
	Sent     int      // bytes of the body it was sent
}

// Taken reports whether the filter has taken the whole message.
func (v Verdict) Taken() bool { return v.Action == Discard }
