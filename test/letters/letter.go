package letters

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"mime"
	"strings"
	"time"
)

// letter is one message while it is written.
type letter struct {
	out []byte
	rng *rand.Rand
	n   int
	to  reader
}

func (l *letter) add(format string, args ...any) { l.out = fmt.Appendf(l.out, format, args...) }

// date is when the message was made: fifty a second.
func (l *letter) date() time.Time {
	return time.Date(2025, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600)).Add(time.Duration(l.n/50) * time.Second)
}

const dateForm = "Mon, 2 Jan 2006 15:04:05 -0700"

const queueDigits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz"

// queueID has the form of Postfix's long ids: the time, and behind it what is random here.
func (l *letter) queueID() string {
	b := []byte("4bXy")
	for range 9 {
		b = append(b, queueDigits[l.rng.IntN(len(queueDigits))])
	}
	return string(b)
}

// received is our own field.
func (l *letter) received() {
	l.add("Received: from app.shop.example (app.shop.example [192.0.2.9])\r\n\tby mx.shop.example (Millrace %s) with ESMTPSA id %s\r\n"+
		"\tfor <%s>;\r\n\t%s\r\n", hexes(l.rng, 16), l.queueID(), l.to.address, l.date().Format(dateForm))
}

// sign adds a signature as opendkim folds it. A body differs from reader to reader, and so does its hash.
func (l *letter) sign(domain, fields string) {
	hash := base64.StdEncoding.EncodeToString(random(l.rng, 32))
	l.add("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/simple; d=%s;\r\n\ts=mail2024; t=%d; bh=%s;\r\n\th=%s;\r\n\tb=",
		domain, l.date().Unix(), hash, fields)
	sum := base64.StdEncoding.EncodeToString(random(l.rng, 256))
	for width := 70; len(sum) > width; width = 71 {
		l.add("%s\r\n\t ", sum[:width])
		sum = sum[width:]
	}
	l.add("%s\r\n", sum)
}

// name is the reader's name as a word in a header.
func (l *letter) name() string {
	name := l.to.first + " " + l.to.last
	if ascii(name) != strings.ToLower(name) {
		return mime.QEncoding.Encode("utf-8", name)
	}
	return `"` + name + `"`
}

// part begins a part of a multipart.
func (l *letter) part(boundary, kind, encoding, more string) {
	l.add("--%s\r\nContent-Type: %s\r\nContent-Transfer-Encoding: %s\r\n%s\r\n", boundary, kind, encoding, more)
}

// close ends a multipart.
func (l *letter) close(boundary string) { l.add("--%s--\r\n", boundary) }
