package sink

import (
	"bytes"
	"crypto/sha256"
)

// traceFields are the header fields that hops and their signing filters add at the top of a message.
var traceFields = map[string]bool{
	"received":                   true,
	"return-path":                true,
	"delivered-to":               true,
	"x-original-to":              true,
	"dkim-signature":             true,
	"dkim-filter":                true,
	"authentication-results":     true,
	"arc-seal":                   true,
	"arc-message-signature":      true,
	"arc-authentication-results": true,
}

// Core returns msg without the trace fields at its beginning: Received, Return-Path, signatures and the like, of all
// hops. The rest is the message as the author wrote it, provided that the author's first field is no trace field. The
// result shares msg's memory.
func Core(msg []byte) []byte {
	for {
		name, n := field(msg)
		if n == 0 || !isTrace(name) {
			return msg
		}
		msg = msg[n:]
	}
}

// isTrace reports whether name is a trace field. It does not allocate.
func isTrace(name []byte) bool {
	var lower [32]byte
	if len(name) > len(lower) {
		return false
	}
	for i, c := range name {
		lower[i] = toLower(c)
	}
	return traceFields[string(lower[:len(name)])]
}

func toLower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// withoutReceived returns msg without its first field when that is a Received field: the message that the last hop was
// given.
func withoutReceived(msg []byte) []byte {
	if name, n := field(msg); n > 0 && bytes.EqualFold(name, []byte("Received")) {
		return msg[n:]
	}
	return msg
}

// field returns the name of the header field msg begins with and the length of the whole field with its folded lines
// and line end. The length is 0 when msg does not begin with a field.
func field(msg []byte) (name []byte, n int) {
	colon := bytes.IndexByte(msg[:lineLen(msg)], ':')
	if colon <= 0 {
		return nil, 0
	}
	name = bytes.TrimRight(msg[:colon], " \t")
	if len(name) == 0 || bytes.ContainsAny(name, " \t\r\n") {
		return nil, 0
	}
	n = lineLen(msg)
	for n < len(msg) && (msg[n] == ' ' || msg[n] == '\t') {
		n += lineLen(msg[n:])
	}
	return name, n
}

// lineLen returns the length of the first line of b with its end.
func lineLen(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

// messageID returns the value of the X-Ledger field, else of the Message-ID field, else "". It shares msg's memory.
func messageID(msg []byte) []byte {
	var id []byte
	for {
		name, n := field(msg)
		switch {
		case n == 0:
			return id
		case bytes.EqualFold(name, []byte("X-Ledger")):
			return value(msg[:n])
		case id == nil && bytes.EqualFold(name, []byte("Message-ID")):
			id = value(msg[:n])
		}
		msg = msg[n:]
	}
}

func value(field []byte) []byte {
	_, v, _ := bytes.Cut(field, []byte(":"))
	return bytes.TrimSpace(v)
}

// sums returns Delivery.Sum and Delivery.Core. The second costs nothing when both cover the same bytes.
func sums(msg []byte) (sum, core [sha256.Size]byte) {
	given, inner := withoutReceived(msg), Core(msg)
	sum = sha256.Sum256(given)
	if len(given) == len(inner) {
		return sum, sum
	}
	return sum, sha256.Sum256(inner)
}
