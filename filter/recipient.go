package filter

import "github.com/millrace/millrace/relay"

// recipient is one RCPT.
type recipient struct {
	relay.Rcpt
	path string // as received: the MTA knows the recipient by it
	ours bool   // may be taken
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
