package filter

import (
	"strings"

	"github.com/millrace/millrace/relay"
)

// recipient is one RCPT.
type recipient struct {
	relay.Rcpt
	path string // as received: the MTA knows the recipient by it
	ours bool   // may be taken
}

// plain reports that the recipient goes out as it came, and has only letters, digits and characters without a meaning of
// their own. "%" and "!" have one to old programs.
func (r recipient) plain() bool {
	return r.Addr == r.path && strings.Count(r.path, "@") == 1 && !strings.ContainsFunc(r.path, func(c rune) bool {
		return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("@.-_+=#$&'*/?^`{|}~", c))
	})
}

// recipients are those of one message, as received and in order.
type recipients []recipient

// ours returns how many may be taken.
func (rs recipients) ours() int {
	n := 0
	for i := range rs {
		if rs[i].ours {
			n++
		}
	}
	return n
}

// envelope returns those that may be taken.
func (rs recipients) envelope() []relay.Rcpt {
	kept := make([]relay.Rcpt, 0, rs.ours())
	for i := range rs {
		if rs[i].ours {
			kept = append(kept, rs[i].Rcpt)
		}
	}
	return kept
}
