package bounce

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// heapInUse is the bytes of all that can be reached.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// weighed is a server that tells nobody, and messages of so many recipients each.
func weighed(messages, rcpts int) (*Server, []*relay.Message) {
	s := NewServer(DefaultConfig(), Deps{
		Hostname: "mx.example.org", Budget: relay.NewBudget(0), NewID: func() relay.ID { return 1 },
		Accept: func(*relay.Message) error { return nil }, Emit: func(*relay.Event) {}, Release: func(*relay.Message) {},
	})
	list := make([]*relay.Message, messages)
	for i := range list {
		all := make([]relay.Rcpt, rcpts)
		for k := range all {
			all[k].Addr = fmt.Sprintf("user%d@strict.example", i*rcpts+k)
		}
		slip := &relay.Slip{Envelope: relay.Envelope{From: "news@lists.example", Rcpts: all}}
		list[i] = &relay.Message{ID: relay.ID(i + 1), Slip: slip}
	}
	return s, list
}

// refuse tells s that all recipients of the messages are refused with a reply that begins with text.
func refuse(s *Server, list []*relay.Message, text func(m *relay.Message, rcpt int) string) {
	for _, m := range list {
		for k := range m.RcptCount() {
			s.Event(&relay.Event{
				Kind: relay.EventSettled, Time: time.Now(), Message: m, Node: m.Node(0), Rcpt: k,
				Outcome: relay.Bounced, Relay: strings.Clone("mx.strict.example[192.0.2.1]:25"),
				Reply: smtp.Reply{Code: 550, Enhanced: "5.7.1", Lines: []string{text(m, k)}},
			})
		}
	}
}

// retireAll is Flush without the notifications, which would take their time.
func retireAll(s *Server) {
	for due := s.removeDue(s.now(), true); len(due) > 0; due = s.removeDue(s.now(), true) {
		s.putBack(due, slices.Repeat([]bool{true}, len(due)))
		for _, n := range due {
			s.retire(n, "")
		}
	}
}

// same gives all recipients the same text.
func same(*relay.Message, int) string { return strings.Repeat("message refused by policy ", 20) }

// address gives all recipients the same text but for their address.
func address(m *relay.Message, rcpt int) string { return "<" + m.Rcpt(rcpt).Addr + ">: User unknown" }

// unique gives each recipient a text of its own, of so many bytes.
func unique(size int) func(*relay.Message, int) string {
	return func(m *relay.Message, rcpt int) string {
		return fmt.Sprintf("%9d %s", int(m.ID)*1000+rcpt, strings.Repeat("x", size-10))
	}
}

// TestNoticesWeighed compares what the budget is charged for the failures that wait with what the heap holds of them. When all are told
// nothing is charged, and nothing held.
func TestNoticesWeighed(t *testing.T) {
	for _, tt := range []struct {
		name            string
		messages, rcpts int
		text            func(*relay.Message, int) string
	}{
		{"the same words", 30_000, 1, same},
		{"words with the address", 30_000, 1, address},
		{"words of their own", 30_000, 1, unique(120)},
		{"long words of their own", 10_000, 1, unique(1500)},
		{"two recipients", 30_000, 2, same},
		{"two recipients with words of their own", 20_000, 2, unique(120)},
		{"fifty recipients", 1000, 50, same},
		{"fifty recipients with words of their own", 1000, 50, unique(120)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, list := weighed(tt.messages, tt.rcpts)
			before := heapInUse()
			refuse(s, list, tt.text)
			held, charged := heapInUse()-before, s.deps.Budget.Used(relay.AccountMail)
			ratio := float64(charged) / float64(held)
			n := int64(tt.messages * tt.rcpts)
			t.Logf("heap %d B a recipient, charged %d B: %.2f", held/n, charged/n, ratio)
			if ratio < 0.85 || ratio > 1.15 {
				t.Errorf("%.2f of the heap is charged", ratio)
			}
			retireAll(s)
			if left := s.deps.Budget.Used(relay.AccountMail); left != 0 {
				t.Errorf("%d bytes are charged when all are told", left)
			}
			if left := heapInUse() - before; left > held/20 {
				t.Errorf("%d of %d bytes are held when all are told", left, held)
			}
			runtime.KeepAlive(list)
			runtime.KeepAlive(s)
		})
	}
}
