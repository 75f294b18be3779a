package smtp

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestGiveUp: a connection that is given up ends at once and charges nobody, unless the peer has a whole message; then the reply
// to it counts.
func TestGiveUp(t *testing.T) {
	for _, tt := range []struct {
		silent string // where the peer is silent for a minute
		body   int    // bytes; the wire holds less than a large one
		want   string
		waits  bool
	}{
		{silent: "MAIL", want: "again, again"},
		{silent: "RCPT", want: "again, again"},
		{silent: "DATA", want: "again, again"},
		{silent: "hello", body: 1 << 20, want: "again, again"}, // it does not read
		{silent: ".", want: "sent 250, again", waits: true},
	} {
		for mode, ehlo := range map[string]string{"pipelining": pipelining, "lockstep": "250 mx.example"} {
			t.Run(tt.silent+" "+mode, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c, err := serve(t, testConfig(), func(p *peer) { dawdle(p, ehlo, tt.silent) })
					if err != nil {
						t.Fatal(err)
					}
					begin := time.Now()
					time.AfterFunc(time.Second, c.GiveUp)
					first, second := message("a@x"), message("b@x")
					first.Content = [][]byte{[]byte(strings.Repeat("hello\r\n", 1+tt.body/7))}
					given, returned := 0, []string{}
					err = c.Deliver(func() *Transaction {
						given++
						if given > 2 || given == 2 && time.Since(begin) >= time.Second { // as an agent that must end
							return nil
						}
						return []*Transaction{first, second}[given-1]
					}, func(tx *Transaction) { returned = append(returned, outcome(tx.Results[0])) })
					if err == nil || !errors.Is(err, errGivenUp) {
						t.Errorf("Deliver: %v", err)
					}
					if got := strings.Join(returned, ", "); !strings.HasPrefix(tt.want, got) || got == "" {
						t.Errorf("got %q, want %q", got, tt.want)
					}
					if waited := time.Since(begin) > 30*time.Second; waited != tt.waits {
						t.Errorf("ended after %s", time.Since(begin))
					}
				})
			})
		}
	}
}

// dawdle is a peer that is silent for a minute once it has read a line that begins with the given word.
func dawdle(p *peer, ehlo, silent string) {
	p.say("220 mx.example")
	for inBody := false; ; {
		l, ok := p.line()
		if !ok {
			return
		}
		if strings.HasPrefix(l, silent) {
			time.Sleep(time.Minute)
			silent = "none"
		}
		switch {
		case inBody:
			if inBody = l != "."; !inBody {
				p.say("250 taken")
			}
		case strings.HasPrefix(l, "EHLO"):
			p.say("%s", ehlo)
		case l == "DATA":
			inBody = true
			p.say("354 go")
		default:
			p.say("250 ok")
		}
	}
}
