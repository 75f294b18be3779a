package sink

import (
	"fmt"
	"hash/fnv"
	"path"
	"strings"
	"time"
)

// Character is how one listener behaves. The zero value is a fast, friendly receiver. Every field makes it worse in one
// way; the fields may be combined.
type Character struct {
	// Name stands in the banner and in Delivery.Listener. Default: the address.
	Name string
	// LMTP expects LHLO and answers the dot once per accepted recipient (RFC 2033 section 4.2).
	LMTP bool
	// TLS offers STARTTLS with a certificate the Sink made itself; see Sink.Roots.
	TLS bool
	// Extensions are announced in the EHLO reply, one per line. Nil means DefaultExtensions; BDAT works when
	// "CHUNKING" is among them. STARTTLS is added by TLS.
	Extensions []string

	// Delay is waited before every reply.
	Delay time.Duration
	// DotDelay is waited before the reply to a message, in addition.
	DotDelay time.Duration
	// Dribble is the time between two bytes of a reply.
	Dribble time.Duration
	// Greylist answers 451 4.7.1 at RCPT until so long after the first attempt of this sender for this recipient.
	Greylist time.Duration
	// Refuse names the recipients that get 550 5.1.1; see Share and Matching.
	Refuse func(rcpt string) bool
	// MaxRecipients is the most one message may have; the others get 452 4.5.3. Zero: 1,000.
	MaxRecipients int
	// MessagesPerConn is how many messages a connection may bring; the next MAIL gets 421 4.7.0 and the connection
	// is closed. Zero: no limit.
	MessagesPerConn int
	// MaxConns is how many connections may be open that were greeted; more get the banner 421 4.7.0. Zero: 10,000.
	MaxConns int
	// PerSecond is how many messages the listener takes a second in all; the next MAIL gets 451 4.7.28. Zero: no limit.
	PerSecond int
	// HangUp answers 421 and closes the connection where MaxRecipients or PerSecond is exceeded.
	HangUp bool
	// Transaction is told of the begin and of the end of each transaction of a sender, if set. It must not block.
	Transaction func(from string, begun bool)
	// Faults are played in addition. Of several that are due at a stage, the first one acts.
	Faults []Fault
}

// DefaultExtensions returns the extensions of a usual receiver, which a listener announces unless its Character names
// others. It announces SIZE as well.
func DefaultExtensions() []string {
	return []string{"PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"}
}

func (c Character) withDefaults(maxSize int) Character {
	if c.Extensions == nil {
		c.Extensions = append(DefaultExtensions(), fmt.Sprintf("SIZE %d", maxSize))
	}
	if c.MaxRecipients <= 0 {
		c.MaxRecipients = 1000
	}
	if c.MaxConns <= 0 {
		c.MaxConns = 10_000
	}
	return c
}

func (c Character) announces(keyword string) bool {
	for _, e := range c.Extensions {
		name, _, _ := strings.Cut(e, " ")
		if strings.EqualFold(name, keyword) {
			return true
		}
	}
	return false
}

// Share returns a function for Character.Refuse that refuses this share (0 to 1) of all addresses. It chooses by a hash
// of the address, so a test can ask the same function which addresses it refuses.
func Share(share float64) func(string) bool {
	limit := uint64(share * (1 << 32))
	return func(rcpt string) bool {
		h := fnv.New32a()
		_, _ = h.Write([]byte(strings.ToLower(rcpt)))
		return scatter(uint64(h.Sum32()))>>32 < limit
	}
}

// scatter spreads the hash of near-equal addresses (user1, user2, ...) over all bits, which FNV alone does not.
func scatter(x uint64) uint64 {
	x ^= x >> 16
	x *= 0x9e3779b97f4a7c15
	x ^= x >> 29
	x *= 0xbf58476d1ce4e5b9
	return x ^ x>>32
}

// Matching returns a function for Character.Refuse that refuses the addresses that a pattern of path.Match matches, for
// instance "gone-*@*". A malformed pattern matches nothing.
func Matching(pattern string) func(string) bool {
	return func(rcpt string) bool {
		ok, err := path.Match(pattern, rcpt)
		return err == nil && ok
	}
}
