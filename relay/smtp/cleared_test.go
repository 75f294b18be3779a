package smtp

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// witness is a server that notes the first word of each line it reads; the client's side notes its steps in the same log.
// The server refuses recipients called "no", and wants a body even when it has refused everybody.
type witness struct {
	c   *Conn
	log []string
}

func newWitness(t *testing.T, ehlo string) *witness {
	t.Helper()
	w := &witness{}
	c, err := serve(t, testConfig(), func(p *peer) {
		p.say("220 mx.example")
		w.hear(p, ehlo)
	})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	w.c, w.log = c, nil
	return w
}

func (w *witness) hear(p *peer, ehlo string) {
	inBody := false
	for {
		l, ok := p.line()
		if !ok {
			w.log = append(w.log, "end")
			return
		}
		word, _, _ := strings.Cut(l, " ")
		w.log = append(w.log, word)
		switch {
		case inBody:
			if inBody = l != "."; !inBody {
				p.say("250 taken")
			}
		case word == "EHLO":
			p.say("%s", ehlo)
		case word == "DATA":
			inBody = true
			p.say("354 go")
		case word == "BDAT": // of one line
			l, _ = p.line()
			w.log = append(w.log, l)
			p.say("250 taken")
		case strings.HasPrefix(l, "RCPT TO:<no@"):
			p.say("550 5.1.1 no")
		default:
			p.say("250 ok")
		}
	}
}

// message is one whose Cleared, once the server has read all that was written, notes itself and returns err.
func (w *witness) message(err error, rcpts ...string) *Transaction {
	tx := message(rcpts...)
	tx.Content = [][]byte{[]byte("hello\r\n")}
	tx.Cleared = func() error {
		synctest.Wait()
		w.log = append(w.log, "cleared:"+rcpts[0])
		return err
	}
	return tx
}

// story is the log so far.
func (w *witness) story() string {
	synctest.Wait()
	return strings.Join(w.log, " ")
}

// inBothModes runs f in a bubble with a server that has PIPELINING and with one that has not.
func inBothModes(t *testing.T, name string, f func(t *testing.T, ehlo string)) {
	for mode, ehlo := range map[string]string{"pipelining": pipelining, "lockstep": "250 mx.example"} {
		t.Run(name+"/"+mode, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, ehlo) })
		})
	}
}

// The caller is asked once for each body that somebody gets: behind the envelope, before the first byte of the body.
func TestClearedBeforeTheBody(t *testing.T) {
	for _, tt := range []struct {
		name            string
		txs             [][]string
		piped, lockstep string
	}{
		{"two taken", [][]string{{"a@x"}, {"b@x"}},
			"MAIL RCPT DATA cleared:a@x hello . MAIL RCPT DATA cleared:b@x hello .",
			"MAIL RCPT DATA cleared:a@x hello . MAIL RCPT DATA cleared:b@x hello ."},
		{"some refused", [][]string{{"a@x", "no@x", "b@x"}},
			"MAIL RCPT RCPT RCPT DATA cleared:a@x hello .", "MAIL RCPT RCPT RCPT DATA cleared:a@x hello ."},
		{"all refused", [][]string{{"no@x"}, {"b@x"}},
			"MAIL RCPT DATA . MAIL RCPT DATA cleared:b@x hello .", "MAIL RCPT RSET MAIL RCPT DATA cleared:b@x hello ."},
	} {
		inBothModes(t, tt.name, func(t *testing.T, ehlo string) {
			w := newWitness(t, ehlo)
			var txs []*Transaction
			for _, rcpts := range tt.txs {
				txs = append(txs, w.message(nil, rcpts...))
			}
			if _, err := deliver(w.c, txs...); err != nil {
				t.Error(err)
			}
			want := tt.lockstep
			if ehlo == pipelining {
				want = tt.piped
			}
			if got := w.story(); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// A message that is not cleared does not go out, and neither does the envelope that is ready behind it. Nobody is charged
// for it, a recipient that the server refused stays refused, and the connection ends.
func TestNotCleared(t *testing.T) {
	held := errors.New("disk full")
	for _, tt := range []struct {
		name     string
		txs      func(*witness) []*Transaction
		want     string // the story
		outcomes []string
		ahead    string // outcome of the message that only a pipelining client had taken
	}{
		{"the first", func(w *witness) []*Transaction {
			return []*Transaction{w.message(held, "a@x", "no@x"), w.message(nil, "b@x"), w.message(nil, "c@x")}
		}, "MAIL RCPT RCPT DATA cleared:a@x end", []string{"1 a@x again", "1 no@x perm 550 RCPT"}, "2 b@x again"},
		{"the second", func(w *witness) []*Transaction {
			return []*Transaction{w.message(nil, "a@x"), w.message(held, "b@x", "no@x"), w.message(nil, "c@x")}
		}, "MAIL RCPT DATA cleared:a@x hello . MAIL RCPT RCPT DATA cleared:b@x end",
			[]string{"1 a@x sent 250", "2 b@x again", "2 no@x perm 550 RCPT"}, "3 c@x again"},
	} {
		inBothModes(t, tt.name, func(t *testing.T, ehlo string) {
			w := newWitness(t, ehlo)
			back, err := deliver(w.c, tt.txs(w)...)
			if !errors.Is(err, held) || describeError(err) != "error local 4.3.0" || w.c.Alive() {
				t.Errorf("%v, alive %v", err, w.c.Alive())
			}
			want := slices.Clone(tt.outcomes)
			if ehlo == pipelining {
				want = append(want, tt.ahead)
			}
			if got := describe(back); !slices.Equal(got, want) { // "unknown" would stand there too
				t.Errorf("got %q, want %q", got, want)
			}
			for _, tx := range back {
				for _, r := range tx.Results {
					if r.Again && r.Reply.Code != 0 {
						t.Errorf("to be tried again with a reply: %+v", r.Reply)
					}
				}
			}
			if got := w.story(); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// As long as Cleared takes, nothing of the body is written; then the message goes on its way.
func TestClearedMayWait(t *testing.T) {
	inBothModes(t, "a minute", func(t *testing.T, ehlo string) {
		w := newWitness(t, ehlo)
		tx := w.message(nil, "a@x")
		recorded, ended := make(chan struct{}), make(chan error)
		tx.Cleared = func() error { <-recorded; return nil }
		go func() { // ends with the delivery
			_, err := deliver(w.c, tx)
			ended <- err
		}()
		time.Sleep(time.Minute)
		if got := w.story(); got != "MAIL RCPT DATA" {
			t.Errorf("before: %s", got)
		}
		close(recorded)
		if err := <-ended; err != nil || !tx.Results[0].Sent() {
			t.Errorf("%v, %s", err, outcome(tx.Results[0]))
		}
		if got := w.story(); got != "MAIL RCPT DATA hello ." {
			t.Errorf("after: %s", got)
		}
	})
}

// TestSpokenMeanwhile: a reply that comes before the message is cleared is no answer to its body.
func TestSpokenMeanwhile(t *testing.T) {
	for _, says := range []string{"250 2.0.0 taken", "421 4.3.2 closing", ""} {
		held, spoken := make(chan struct{}), make(chan struct{})
		to := listen(t, func(p *peer) {
			p.say("220 mx.example")
			for _, reply := range []string{"250 mx.example", "250 ok", "250 ok", "354 go"} {
				if _, ok := p.line(); !ok {
					return
				}
				p.say("%s", reply)
			}
			<-held
			if says != "" {
				p.say("%s", says)
			} else {
				p.nc.Close()
			}
			close(spoken)
			p.skip()
		})
		c := dial(t, to, testConfig())
		tx := message("a@x.example")
		tx.Cleared = func() error {
			close(held)
			<-spoken
			time.Sleep(20 * time.Millisecond) // until loopback has delivered it
			return nil
		}
		txs, err := deliver(c, tx)
		if err == nil || txs[0].Results[0].Sent() || says != "250 2.0.0 taken" && txs[0].Results[0].Unknown {
			t.Errorf("%q: %+v, unknown %v, %v", says, txs[0].Results[0], txs[0].Results[0].Unknown, err)
		}
	}
}
