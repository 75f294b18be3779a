package pool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/millrace/millrace/relay/smtp"
)

// doing says in Postfix's words what was being done at each place of the dialogue: tools and people look for these words.
var doing = map[string]string{
	smtp.AtBanner:   "receiving the initial server greeting",
	smtp.AtEHLO:     "performing the EHLO handshake",
	smtp.AtHELO:     "performing the HELO handshake",
	smtp.AtSTARTTLS: "performing the TLS handshake",
	smtp.AtRSET:     "sending RSET",
	smtp.AtMAIL:     "sending MAIL FROM",
	smtp.AtRCPT:     "sending RCPT TO",
	smtp.AtDATA:     "sending DATA command",
	smtp.AtBody:     "sending message body",
	smtp.AtDot:      "sending end of data -- message may be sent more than once",
}

// words tells of a failure without a reply in the form that everything shows which tells of failures, log, listing and
// notification: with whom ("host[address]:port"), what was being done, and what happened.
func words(peer string, e *smtp.Error) string {
	if e.Local || peer == "" {
		return e.Error()
	}
	switch place := doing[e.Command]; {
	case e.Command == smtp.AtConnect:
		return fmt.Sprintf("connect to %s: %s", peer, happened(e.Err))
	case place == "":
		return peer + ": " + e.Error()
	case timedOut(e.Err):
		return fmt.Sprintf("conversation with %s timed out while %s", peer, place)
	case isAny(e.Err, []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.EPIPE}):
		return fmt.Sprintf("lost connection with %s while %s", peer, place)
	default:
		return fmt.Sprintf("conversation with %s failed while %s: %s", peer, place, happened(e.Err))
	}
}

// happened is an error of the network without Go's names of calls and addresses.
func happened(err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "unknown error"
	case errors.As(err, &errno):
		return errno.Error()
	case timedOut(err):
		return "connection timed out"
	case isAny(err, []error{io.EOF, io.ErrUnexpectedEOF}):
		return "connection closed by the receiver"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, err.Error())
}

func timedOut(err error) bool {
	return isAny(err, []error{os.ErrDeadlineExceeded, context.DeadlineExceeded, syscall.ETIMEDOUT})
}
