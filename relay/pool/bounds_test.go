package pool

import (
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// TestBounds: what a receiver takes at a time is learned from refusals that name no number.
func TestBounds(t *testing.T) {
	now := time.Now()
	t.Run("messages of a connection", func(t *testing.T) {
		for _, test := range []struct {
			name    string
			carried int
			ends    []int
			want    []bool
		}{
			{"a limit", 7, []int{8, 8, 8, 8, 8}, []bool{false, false, false, false, false}},
			{"a rate", 12, []int{9, 12, 3, 3, 13, 2}, []bool{true, true, true, true, false, true}},
			{"a limit that falls", 20, []int{11, 11, 11, 11, 11, 11}, []bool{true, true, true, false, false, false}},
		} {
			var b bounds
			for use := range test.carried {
				b.learn(&smtp.Transaction{ConnUse: use + 1, Reply: smtp.Reply{Code: 250}}, now)
			}
			for i, use := range test.ends {
				if got := b.overrun(use); got != test.want[i] {
					t.Errorf("%s: end %d, at message %d: %t", test.name, i+1, use, got)
				}
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
			b.learn(&test.t, now)
			if n := b.perTransaction(100, now); n != test.want {
				t.Errorf("%s: %d recipients, want %d", test.name, n, test.want)
			}
		}
	})
}

// TestEndOfAConnectionSlowsDown: a receiver that ends connections with words about a rate is asking us to slow down, unless it may be
// about the messages of a connection.
func TestEndOfAConnectionSlowsDown(t *testing.T) {
	for _, test := range []struct {
		says string
		use  int
		want bool
	}{
		{"421 4.7.28 rate limit exceeded, slow down", 9, true},
		{"421 4.7.28 rate limit exceeded, slow down", 13, false}, // no connection has carried as many
		{"421 4.4.2 timeout exceeded", 9, false},
		{"421 4.3.2 closing transmission channel", 9, false},
		{"421 4.7.1 greylisted", 9, false},
	} {
		s := newWaiting(t)
		s.bounds.carried = 12
		e := s.throttled(&smtp.Transaction{ConnUse: test.use, Ended: refusedWith(test.says), Results: []smtp.Result{{Again: true}}})
		if (e != nil) != test.want {
			t.Errorf("%q in place of message %d: %v", test.says, test.use, e)
		}
	}
}
