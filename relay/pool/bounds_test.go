package pool

import (
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// TestBounds: what a receiver takes at a time is learned from refusals that name no number.
func TestBounds(t *testing.T) {
	now := time.Now()
	closing := &smtp.Error{Code: 421, Command: smtp.AtMAIL}
	turned := func(use int) *smtp.Transaction {
		return &smtp.Transaction{ConnUse: use, Results: []smtp.Result{{Err: closing}}}
	}
	t.Run("messages of a connection", func(t *testing.T) {
		var b bounds
		for i, use := range []int{8, 8, 8, 8} {
			if got, want := b.learn(turned(use), closing, now), i == 3; got != want {
				t.Errorf("time %d: %t, want %t", i+1, got, want)
			}
		}
		if n := b.perConnection(100, now); n != 7 {
			t.Errorf("%d messages a connection, want 7", n)
		}
		if n := b.perConnection(100, now.Add(25*time.Hour)); n != 100 {
			t.Errorf("%d messages a connection a day later, want 100", n)
		}
		b.learn(turned(3), closing, now)
		if n := b.perConnection(100, now); n != 100 {
			t.Errorf("%d messages a connection behind a refusal at the third, want 100", n)
		}
	})
	t.Run("a busy receiver ends connections anywhere", func(t *testing.T) {
		var b bounds
		for _, use := range []int{1, 1, 1, 1, 5, 5, 5, 4, 5, 5} {
			if b.learn(turned(use), closing, now) {
				t.Errorf("message %d counts as a limit", use)
			}
		}
	})
	t.Run("recipients of a transaction", func(t *testing.T) {
		var b bounds
		late := &smtp.Error{Code: 421, Command: smtp.AtRCPT}
		for _, test := range []struct {
			name string
			t    smtp.Transaction
			want int
		}{
			{"the peer went on and took the message for others", smtp.Transaction{Full: 2, Results: []smtp.Result{{}, {}, {Err: late}}}, 100},
			{"it closed", smtp.Transaction{Full: 2, Results: []smtp.Result{{Err: late}, {Err: late}, {Err: late}}}, 2},
			{"it took as many as it takes", smtp.Transaction{Full: 1, Results: []smtp.Result{{}, {Again: true, Reply: smtp.Reply{Code: 452}}}}, 1},
		} {
			b.learn(&test.t, nil, now)
			if n := b.perTransaction(100, now); n != test.want {
				t.Errorf("%s: %d recipients, want %d", test.name, n, test.want)
			}
		}
	})
}
