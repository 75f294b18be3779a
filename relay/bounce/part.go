package bounce

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// part is one body part of the report.
type part struct {
	contentType string
	description string
	body        []byte
}

// boundary returns a delimiter that occurs in none of the parts (RFC 2046 section 5.1.1). It is a hash of the parts. A
// counter or a clock would not do: the author of the returned message could guess it and close the part early. Nobody can
// write a text that has its own hash in it. And the same parts always give the same bytes, which golden tests need.
func boundary(parts []part) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p.body)
	}
	return "=_" + hex.EncodeToString(h.Sum(nil)[:20])
}

// assemble writes the multipart body.
func assemble(parts []part, limit string) []byte {
	var b bytes.Buffer
	b.WriteString("This is a MIME-encapsulated message.\r\n")
	for _, p := range parts {
		b.WriteString("\r\n--" + limit + "\r\n")
		field(&b, "Content-Description", p.description)
		field(&b, "Content-Type", p.contentType)
		field(&b, "Content-Transfer-Encoding", encoding(p.body))
		b.WriteString("\r\n")
		b.Write(p.body)
	}
	b.WriteString("\r\n--" + limit + "--\r\n")
	return b.Bytes()
}

// encoding names the kind of the part's bytes. Nothing is ever encoded: simple programs must be able to read the report.
func encoding(body []byte) string {
	if isASCII(body) {
		return "7bit"
	}
	return "8bit"
}

// global gives a subtype its name in the script: RFC 6533 has a second name for each.
func (s script) global(subtype string) string {
	if s == withUTF8 {
		return "global-" + subtype
	}
	return subtype
}
