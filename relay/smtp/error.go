package smtp

import (
	"errors"
	"fmt"
	"os"
	"strings"
)

// ErrLimit is returned by [Conn.Deliver] when the connection has carried as many
// messages as its limit allows. It is in good order: end it with [Conn.Quit].
var ErrLimit = errors.New("smtp: connection has carried its limit of messages")

// ErrClosed is wrapped by the error of [Conn.Deliver] when the connection was
// closed or given up before the call; nothing has been taken from the caller.
var ErrClosed = errors.New("connection is closed")

// Error is why a recipient, a message or a connection failed. One Error may
// stand in the results of many recipients; it is not changed after it was made.
type Error struct {
	Permanent bool     // trying again is of no use
	Code      int      // of the reply; 0 when there was none
	Enhanced  string   // of the reply, or our own for a failure without one; may be ""
	Command   string   // one of the At constants, or "" for a refusal of our own
	Lines     []string // the text of the reply
	Err       error    // the event in place of a reply, or the reason why the reply is not as it should be
	Local     bool     // we refused it ourselves, before a byte of it was sent
}

// Error returns the place of the failure and the reply, or the event that came
// in place of a reply.
func (e *Error) Error() string {
	parts := make([]string, 0, 3)
	if e.Command != "" {
		parts = append(parts, e.Command)
	}
	if e.Code != 0 {
		parts = append(parts, e.Reply().String())
	}
	if e.Err != nil {
		parts = append(parts, printable(e.Err.Error()))
	}
	return strings.Join(parts, ": ")
}

// Unwrap returns the error of the network or of our own checks, if that is the reason.
func (e *Error) Unwrap() error { return e.Err }

// Reply returns the reply that e is about; its Code is 0 when there was none.
func (e *Error) Reply() Reply {
	return Reply{Code: e.Code, Enhanced: e.Enhanced, Lines: e.Lines}
}

// Closing reports whether the peer said that it closes the connection (421,
// RFC 5321, 3.8). It says nothing about the message.
func (e *Error) Closing() bool { return e.Code == 421 }

// Throttle reports whether the peer wants us to slow down: a signal about the site, not about the message. It is the
// answer of [Verdict.SlowDown], and a 421 that gives no reason. A failure without a reply is none.
func (e *Error) Throttle() bool {
	if e.Code < 400 {
		return false
	}
	v := e.Verdict()
	return v.SlowDown() || e.Closing() && v.Class == Other
}

// Verdict gives the meaning of e. An error without a reply is a matter of the network or of TLS, or it is our own refusal.
func (e *Error) Verdict() Verdict {
	if e.Code == 0 {
		return e.silentVerdict()
	}
	v := Classify(e.Reply(), e.Command)
	v.Permanent = e.Permanent
	return v
}

// silentVerdict is for a failure without a reply. Its status code is one of ours, so no words need to be searched.
func (e *Error) silentVerdict() Verdict {
	v := Verdict{Network, ScopeSite, e.Permanent}
	switch subject, _, _ := strings.Cut(detailOf(e.Enhanced), "."); {
	case e.Command == AtSTARTTLS || subject == "7":
		v.Class = TLS
	case subject == "3" || subject == "5" || subject == "6":
		v.Class = Other
		if e.Local {
			v.Class, v.Scope = Content, ScopeMessage
		}
	}
	return v
}

// refusal makes an Error of a 4xx or 5xx reply.
func refusal(command string, r raw) *Error {
	p := r.reply()
	return &Error{
		Permanent: r.class() == 5,
		Code:      p.Code,
		Enhanced:  p.Enhanced,
		Command:   command,
		Lines:     p.Lines,
	}
}

// outOfStep makes an Error of a reply that cannot stand where it came. The Error
// is temporary even for a 5xx: the reply tells about the dialogue, not about the
// message.
func outOfStep(command string, r raw) *Error {
	e := refusal(command, r)
	e.Permanent = false
	e.Err = fmt.Errorf("%w: unexpected reply", errProtocol)
	return e
}

// lost makes an Error of a failed read or write: RFC 3463 has X.4.2 for a bad
// connection and X.5.0 for a protocol that went wrong.
func lost(command string, err error) *Error {
	e := &Error{Command: command, Enhanced: "4.4.2"}
	switch {
	case errors.Is(err, errProtocol):
		e.Enhanced, e.Err = "4.5.0", err
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Err = fmt.Errorf("timed out: %w", err)
	default:
		e.Err = fmt.Errorf("lost connection: %w", err)
	}
	return e
}

// local makes a permanent Error of our own: nothing was sent.
func local(enhanced, why string) *Error {
	return &Error{Permanent: true, Local: true, Enhanced: enhanced, Err: errors.New(why)}
}
