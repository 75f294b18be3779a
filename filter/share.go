package filter

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"

	"github.com/millrace/millrace/relay"
)

// Share is a part of the mail that the rules would take, in tenths of a percent.
type Share uint16

// WholeShare is all of it.
const WholeShare Share = 1000

var errShare = errors.New(`a share is more than "0%" and at most "100%", with one decimal at most; write it like "10%" or "0.5%"`)

// UnmarshalText reads a share like "10%" or "0.5%".
func (s *Share) UnmarshalText(b []byte) error {
	percent, ok := strings.CutSuffix(string(b), "%")
	whole, tenth, decimal := strings.Cut(percent, ".")
	if !decimal {
		tenth = "0"
	}
	n, err := strconv.ParseUint(whole+tenth, 10, 16)
	if !ok || err != nil || whole == "" || len(tenth) != 1 || n < 1 || n > uint64(WholeShare) {
		return errShare
	}
	*s = Share(n)
	return nil
}

// MarshalText writes the share as UnmarshalText reads it.
func (s Share) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String is the share as a file has it.
func (s Share) String() string {
	if s%10 == 0 {
		return fmt.Sprintf("%d%%", s/10)
	}
	return fmt.Sprintf("%d.%d%%", s/10, s%10)
}

// What a share is counted in.
const (
	// ShareBySender takes all messages of a part of the envelope senders.
	ShareBySender = "sender"
	// ShareByDomain takes all recipients in a part of the domains.
	ShareByDomain = "domain"
)

func (c Config) validateShare() error {
	switch {
	case c.Share < 1 || c.Share > WholeShare:
		return fmt.Errorf("share: %w", errShare)
	case c.ShareBy != ShareBySender && c.ShareBy != ShareByDomain:
		return fmt.Errorf("share_by: %q is not known; use %q or %q", c.ShareBy, ShareBySender, ShareByDomain)
	}
	return nil
}

// has reports whether a sender's address or a domain is in the share. The answer is the same after a restart and on another host,
// and whoever is in a share is in each larger one: only the name decides, by its place among 1000.
func (s Share) has(name string) bool {
	return s >= WholeShare || place(name) < s
}

// shareSeed is the first number with which the domains of the largest mailbox providers have places above 500. With any other
// number a share of a few domains could be half of the mail.
const shareSeed = 19744

// place spreads names evenly over 0 to 999, whatever they have in common. Case does not matter.
func place(name string) Share {
	h := uint64(14695981039346656037 ^ shareSeed) // FNV-1a
	for i := range len(name) {
		h = (h ^ uint64(lowerByte(name[i]))) * 1099511628211
	}
	// FNV leaves the top bits of short names alike; these steps of MurmurHash3 make each bit depend on all others.
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	h ^= h >> 33
	top, _ := bits.Mul64(h, uint64(WholeShare))
	return Share(top)
}

// applyShare leaves what is outside of bulk.share with the MTA: the message, or by domain some of its recipients. It reports
// whether anybody is in.
func (m *Mail) applyShare() bool {
	f := m.filter
	if f.share == WholeShare {
		return true
	}
	if f.shareBy == ShareBySender {
		return f.share.has(m.offer.Sender)
	}
	for i := range m.rcpts {
		r := &m.rcpts[i]
		r.ours = r.ours && f.share.has(relay.Domain(r.Addr))
	}
	return m.rcpts.ours() > 0
}

// leaveOutside leaves a message that is outside of bulk.share. In observe mode the log says so for each message, as it does for
// those that would be taken.
func (m *Mail) leaveOutside() {
	m.leaveFor(CauseShare, leftShare)
	if m.intake.Observing() {
		m.logObserved("would stay, " + leftShare)
	}
}
