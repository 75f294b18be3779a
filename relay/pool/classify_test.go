package pool

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// TestUnfitIsHandedBack: what only our own MTA can convert or answer for goes back to it, and bounces where it came from
// there.
func TestUnfitIsHandedBack(t *testing.T) {
	ours := func(enhanced string) *smtp.Error {
		return &smtp.Error{Permanent: true, Local: true, Enhanced: enhanced}
	}
	for _, tt := range []struct {
		name  string
		class string
		err   *smtp.Error
		want  relay.Outcome
		unfit bool
	}{
		{"8-bit content", relay.ClassRemote, ours("5.6.3"), relay.Deferred, true},
		{"UTF-8 in header or address", relay.ClassRemote, ours("5.6.7"), relay.Deferred, true},
		{"UTF-8, and our MTA does not take it", relay.ClassInject, ours("5.6.7"), relay.Bounced, false},
		{"an address that cannot be sent", relay.ClassRemote, ours("5.1.3"), relay.Bounced, false},
		{"the receiver's own word", relay.ClassRemote, &smtp.Error{Permanent: true, Code: 553, Enhanced: "5.6.7"}, relay.Bounced, false},
	} {
		m := &relay.Message{Slip: &relay.Slip{Class: tt.class, Envelope: relay.Envelope{Rcpts: make([]relay.Rcpt, 1)}}}
		m.Address(strings.Clone)
		c := classifier{node: m.Node(0)}
		if f := c.fate(0, smtp.Result{Err: tt.err}); f.Outcome != tt.want || f.Unfit != tt.unfit {
			t.Errorf("%s: %v, unfit %v", tt.name, f.Outcome, f.Unfit)
		}
	}
}
