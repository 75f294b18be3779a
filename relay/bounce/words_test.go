package bounce

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// TestWordsAreShared: failures with the same words hold them once, and the last of them frees them.
func TestWordsAreShared(t *testing.T) {
	s, list := weighed(4, 1)
	refuse(s, list[:2], same)
	one := s.deps.Budget.Used(relay.AccountMail) - 2*noticeCost
	refuse(s, list[2:3], same)
	if more := s.deps.Budget.Used(relay.AccountMail) - 3*noticeCost - one; more != 0 {
		t.Errorf("the third failure with the same words is charged %d bytes for them", more)
	}
	refuse(s, list[3:], unique(100))
	if len(s.lexicon.known) != 2 || s.order.first.entry.words.refs != 3 || s.order.last.entry.words.refs != 1 {
		t.Errorf("%d words are known, want those of three entries and those of one", len(s.lexicon.known))
	}
	first := s.order.first.entry.words
	for n := s.order.pop(); n != nil; n = s.order.pop() {
		s.retire(n, "")
		known := s.lexicon.known[first.text] == first
		if want := n.message.ID < 3; known != want {
			t.Errorf("after %s the words are known: %v, want %v", n.message.Name(), known, want)
		}
	}
	if left := s.deps.Budget.Used(relay.AccountMail); len(s.lexicon.known) != 0 || left != 0 {
		t.Errorf("%d words are known and %d bytes are charged when all are told", len(s.lexicon.known), left)
	}
}

// TestWordsOfTheCrowded: with more memory in use than may be, what is known already costs nothing and stays whole. A new text is
// cut, and one of very many is kept as its codes alone.
func TestWordsOfTheCrowded(t *testing.T) {
	s, list := weighed(mostWords+2, 1)
	refuse(s, list[:1], same)
	s.deps.Budget.SetLimit(1)
	refuse(s, list[1:mostWords], unique(200))
	s.lexicon.keep(event(smtp.Reply{Lines: []string{"connect to mx: " + strings.Repeat("x", 100)}}))
	for _, tt := range []struct {
		name  string
		reply smtp.Reply
		want  string
	}{
		{"known", refusal(same(nil, 0)), "550 5.7.1 " + same(nil, 0)},
		{"known when it is cut", refusal(unique(200)(list[1], 0)[:80] + "more"), "550 5.7.1 " + unique(80)(list[1], 0)},
		{"new", refusal("x of its own", "y"), "550 5.7.1"},
		{"new without a code", smtp.Reply{Lines: []string{strings.Repeat("z", 100)}}, strings.Repeat("z", 80)},
	} {
		if got := s.lexicon.keep(event(tt.reply)).parse("a@b.example").Reply.String(); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// TestWordsWithTheAddress: a reply that repeats the recipient's address has words in common with those to others, and each recipient
// reads its own.
func TestWordsWithTheAddress(t *testing.T) {
	s, list := weighed(100, 2)
	refuse(s, list, func(m *relay.Message, rcpt int) string {
		a := m.Rcpt(rcpt).Addr
		return "<" + a + ">: there is no " + a + " \x01 here"
	})
	if len(s.lexicon.known) != 1 {
		t.Errorf("%d words are known", len(s.lexicon.known))
	}
	for n := s.order.pop(); n != nil; n = s.order.pop() {
		for _, f := range n.failures() {
			a := n.message.Rcpt(f.Rcpt).Addr
			if want := "550 5.7.1 <" + a + ">: there is no " + a + " ? here"; f.Reply.String() != want {
				t.Errorf("%q, want %q", f.Reply.String(), want)
			}
		}
	}
}

func refusal(lines ...string) smtp.Reply {
	return smtp.Reply{Code: 550, Enhanced: "5.7.1", Lines: lines}
}

func event(r smtp.Reply) *relay.Event {
	m := &relay.Message{Slip: &relay.Slip{Envelope: relay.Envelope{Rcpts: []relay.Rcpt{{Addr: "a@b.example"}}}}}
	return &relay.Event{Message: m, Outcome: relay.Bounced, Reply: r, Relay: "mx.strict.example[192.0.2.1]:25"}
}

// FuzzWords: what was said comes back as a notification shows it.
func FuzzWords(f *testing.F) {
	f.Add(550, "5.1.1", "mx.example[192.0.2.1]:25", "<c@d>: no such user", "here", "c@d", uint8(relay.Bounced))
	f.Add(0, "", "none", "", "\x00\x01\x00", "", uint8(relay.Expired))
	f.Add(-1, "\x00", "\x00[", "\n", "", "\x01", uint8(relay.Sent))
	f.Add(550, "", "", "aaaa", "a?a", "aa", uint8(relay.Bounced))
	f.Fuzz(func(t *testing.T, code int, enhanced, host, first, second, addr string, outcome uint8) {
		e := event(smtp.Reply{Code: code, Enhanced: enhanced, Lines: []string{first, second}})
		e.Outcome, e.Relay, e.Message.Slip.Rcpts[0].Addr = relay.Outcome(outcome), host, addr
		got := newLexicon(relay.NewBudget(0)).keep(e).parse(addr)
		clean := func(s string) string { return strings.ReplaceAll(s, "\x00", "?") }
		if e.Reply.Enhanced = clean(enhanced); len(first)+len(second) <= mostReply && got.Reply.String() != e.Reply.String() {
			t.Errorf("%q came back as %q", e.Reply, got.Reply)
		}
		if got.Action != actionOf(e.Outcome) || got.Relay != clean(host) {
			t.Errorf("%v by %q came back as %v by %q", actionOf(e.Outcome), host, got.Action, got.Relay)
		}
	})
}
