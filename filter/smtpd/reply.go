package smtpd

import (
	"strconv"
	"strings"
)

// reply is an answer to a command. A text of several lines has them separated by LF; enhanced stands before each of them.
type reply struct {
	code     int    // 0: no reply at all
	enhanced string // RFC 3463; "" where none belongs: to EHLO, to DATA
	text     string
}

// ok reports a positive reply.
func (r reply) ok() bool { return r.code/100 == 2 }

// temporary reports a reply after which the client may try again.
func (r reply) temporary() bool { return r.code/100 == 4 }

// blames reports a reply about what the client does wrong, in the protocol or at a login. A message or a recipient that is refused is no
// such error: an MTA may bring hundreds of them.
func (r reply) blames() bool { return r.code >= 500 && r.code < 540 || r.code == 555 }

// handedOn is a reply of the MTA as our client hears it. 421 would say that our own connection ends, and Postfix would call this door
// dead for it.
func (r reply) handedOn() reply {
	if r.code == 421 || !r.ok() && !r.temporary() && r.code/100 != 5 {
		r.code, r.enhanced = 451, "4.3.0"
	}
	return r
}

// String is the reply on one line, for the log.
func (r reply) String() string { return strings.TrimSpace(string(r.append(nil))) }

// maxText bounds the text of a line, in bytes, so that no line of a reply is longer than 512 (RFC 5321 section 4.5.3.1.5): a part of the text
// may be the client's.
const maxText = 480

// append writes the reply as it goes over the wire (RFC 5321 section 4.2.1).
func (r reply) append(b []byte) []byte {
	for {
		line, rest, more := strings.Cut(r.text, "\n")
		if len(line) > maxText {
			line = strings.ToValidUTF8(line[:maxText], "")
		}
		b = strconv.AppendInt(b, int64(r.code), 10)
		if more {
			b = append(b, '-')
		} else {
			b = append(b, ' ')
		}
		if r.enhanced != "" {
			b = append(append(b, r.enhanced...), ' ')
		}
		b = append(append(b, line...), '\r', '\n')
		if !more {
			return b
		}
		r.text = rest
	}
}
