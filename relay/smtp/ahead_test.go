package smtp

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// forgetful is a server that throws away what it has read already when a body ends. After patience it gives up.
func forgetful(p *peer, patience time.Duration) {
	p.say("220 mx.example")
	for {
		l, ok := p.line()
		if !ok {
			return
		}
		switch word, _, _ := strings.Cut(l, " "); word {
		case "EHLO":
			p.say("250-mx.example\r\n250 PIPELINING")
		case "DATA":
			p.say("354 go")
			p.skip()
			_, _ = p.br.Discard(p.br.Buffered())
			p.say("250 taken")
			time.AfterFunc(patience, func() {
				p.say("421 4.4.2 timeout")
				p.nc.Close()
			})
		default:
			p.say("250 ok")
		}
	}
}

// A peer that loses the envelope behind a body is not waited for as long as a MAIL that it has seen, nobody is charged,
// and the connection tells that the next one must do without look-ahead. Such a connection carries both messages.
func TestAheadLost(t *testing.T) {
	for name, patience := range map[string]time.Duration{"silence": time.Hour, "421 after a while": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				cfg := testConfig()
				c, err := serve(t, cfg, func(p *peer) { forgetful(p, patience) })
				if err != nil {
					t.Fatal(err)
				}
				back, err := deliver(c, message("a@b.example"), message("b@b.example"))
				if got := outcome(back[0].Results[0]) + ", " + outcome(back[1].Results[0]); got != "sent 250, again" || err == nil {
					t.Errorf("got %s, %v", got, err)
				}
				if d := time.Since(begin); !c.AheadLost() || d > aheadPatience {
					t.Errorf("took %v, AheadLost %v", d, c.AheadLost())
				}
				cfg.NoLookAhead = true
				if c, err = serve(t, cfg, func(p *peer) { forgetful(p, 2*time.Hour) }); err != nil {
					t.Fatal(err)
				}
				back, err = deliver(c, message("a@b.example"), message("b@b.example"))
				if got := outcome(back[0].Results[0]) + ", " + outcome(back[1].Results[0]); got != "sent 250, sent 250" || err != nil || c.AheadLost() {
					t.Errorf("without look-ahead: got %s, %v", got, err)
				}
			})
		})
	}
}

// A connection that ends soon, or at another command, does not show that the envelope was lost.
func TestAheadNotLost(t *testing.T) {
	for _, stage := range []string{"next", "MAIL", "RCPT", "dot"} {
		synctest.Test(t, func(t *testing.T) {
			c, err := serve(t, testConfig(), func(p *peer) {
				faulty(p, true, stage, func(p *peer) { p.say("421 4.3.2 closing"); p.nc.Close() })
			})
			if err != nil {
				t.Fatal(err)
			}
			if _, err = deliver(c, message("a@b.example"), message("b@b.example")); err == nil || c.AheadLost() {
				t.Errorf("%s: AheadLost %v, %v", stage, c.AheadLost(), err)
			}
		})
	}
}
