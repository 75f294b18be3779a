package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/millrace/millrace/test/letters"
	"github.com/millrace/millrace/test/standin"
)

// mail is one message as its author wrote it.
type mail struct {
	id    string
	rcpts []string
	local string // a recipient whose mail stays with the MTA, or ""
	raw   []byte
}

const (
	senderPrefix = "news+"
	senderDomain = "@sender.test"
	// refused begins the address of a recipient that the receiver does not know.
	refused = "bad"
)

// domains are the recipients' domains. Each has a listener of its own.
var domains = []string{"near.test", "slow.test", "grey.test"}

// sender is the envelope sender of a message. Each message has its own, so that the address of a notification says
// which message it reports on.
func sender(id string) string { return senderPrefix + id + senderDomain }

// idOfSender undoes sender.
func idOfSender(addr string) (string, bool) {
	id, ok := strings.CutPrefix(addr, senderPrefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(id, senderDomain)
}

// isRefused reports whether the receiver refuses mail for addr.
func isRefused(addr string) bool { return strings.HasPrefix(addr, refused) }

// newMail writes the message with this id. Most messages have one of a few bodies, as in a campaign; a fifth is personalised; some have
// a body of their own, and some are large. All hold what software on the way tends to damage: dots, 8-bit text, folded fields.
// The recipients of a plain message get it at the first attempt.
func newMail(rng *rand.Rand, id string, plain bool) *mail {
	m := &mail{id: id, rcpts: recipients(rng, id, plain)}
	if !plain && rng.IntN(12) == 0 {
		m.local = "staff-" + id + "@local.test"
	}
	if rng.IntN(5) == 0 {
		m.raw = personal(rng, id)
		return m
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "X-Ledger: %s\r\nFrom: News <news@sender.test>\r\nTo: Reader %s\r\n\t<%s>\r\n", id, id, m.rcpts[0])
	fmt.Fprintf(&b, "Subject: =?utf-8?q?N=C2=B0?= %s\r\nMessage-ID: <%s@sender.test>\r\n", id, id)
	b.WriteString("List-Unsubscribe: <https://sender.test/u>\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n")
	b.WriteString(body(rng, id))
	m.raw = b.Bytes()
	return m
}

// shapes are the campaigns whose messages are personalised.
var shapes = append(letters.Shapes(15), letters.Variants(15)...)

// personal is a message of one of these.
func personal(rng *rand.Rand, id string) []byte {
	head := fmt.Sprintf("X-Ledger: %s\r\nPrecedence: bulk\r\n", id)
	return append([]byte(head), shapes[rng.IntN(len(shapes))].Message(rng.IntN(1_000_000))...)
}

func recipients(rng *rand.Rand, id string, plain bool) []string {
	n := 1
	if rng.IntN(4) == 0 {
		n += rng.IntN(5)
	}
	rcpts := make([]string, n)
	for i := range rcpts {
		user, domain := "u", domains[0]
		switch k := rng.IntN(12); {
		case k >= 9:
			domain = domains[1]
		case plain:
		case k == 0:
			user = refused
		case k == 1:
			domain = domains[2]
		}
		rcpts[i] = fmt.Sprintf("%s-%s-%d@%s", user, id, i, domain)
	}
	return rcpts
}

// body is the text of the message: that of one of three campaigns, or one of its own.
func body(rng *rand.Rand, id string) string {
	const line = ".\r\n..a dot begins this line, and grüße end it\r\n.\r\n\r\n"
	switch k := rng.IntN(20); {
	case k < 12:
		return fmt.Sprintf("campaign %d\r\n", k%3) + strings.Repeat(line, 20+100*(k%3))
	case k == 19:
		return id + "\r\n" + strings.Repeat(line, 1000+rng.IntN(2000))
	}
	return id + "\r\n" + strings.Repeat(line, 1+rng.IntN(40)) + strings.Repeat("x", rng.IntN(990)) + "\r\n"
}

// sum is what the ledger keeps of the content; it compares with sink.Delivery.Sum.
func (m *mail) sum() [sha256.Size]byte { return sha256.Sum256(m.raw) }

// offer is the message in the form in which the MTA offers it.
func (m *mail) offer() *standin.Message {
	d := &standin.Message{QueueID: strings.ToUpper(m.id), From: sender(m.id), Rcpts: standin.To(m.rcpts...)}
	if m.local != "" {
		d.Rcpts = append(d.Rcpts, standin.Recipient{Addr: m.local, Mailer: "local"})
	}
	d.Header, d.Body = standin.Parse(m.raw)
	return d
}
