package smtp

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

// strict is a peer that takes one domain in a transaction. It says so at the given place with reply, and notes the recipients of
// each transaction that it takes.
func strict(p *peer, at, reply string, taken *[]string) {
	p.say("220 mx.example")
	var rcpts []string
	domains := make(map[string]bool)
	for {
		l, ok := p.line()
		if !ok {
			return
		}
		word, _, _ := strings.Cut(l, " ")
		if word == "RCPT" {
			addr := strings.ToLower(strings.Trim(strings.TrimPrefix(l, "RCPT TO:"), "<>"))
			if len(domains) > 0 && !domains[domainOf(addr)] && at == AtRCPT {
				p.say("%s", reply)
				continue
			}
			domains[domainOf(addr)] = true
			rcpts = append(rcpts, addr)
		}
		switch {
		case word == "EHLO":
			p.say("%s", pipelining)
			continue
		case word == "MAIL":
			rcpts, domains = nil, make(map[string]bool)
		case word == "DATA" && at == AtDATA && len(domains) > 1:
			p.say("%s", reply)
			continue
		case word == "DATA":
			p.say("354 go")
			p.skip()
			if at == AtDot && len(domains) > 1 {
				p.say("%s", reply)
				continue
			}
			*taken = append(*taken, strings.Join(rcpts, " "))
		}
		p.say("250 ok")
	}
}

// TestOneDomain: a peer that takes one domain in a transaction refuses nobody by that, whatever code it uses and wherever it says
// so. The connection is used as it wants from then on.
func TestOneDomain(t *testing.T) {
	for _, reply := range []string{
		"451-4.3.0 Multiple destination domains per transaction is unsupported. Please\r\n451 4.3.0 try again.",
		"550 5.7.1 Multiple destination domains per transaction is unsupported",
		"452 Only one domain per message, please",
	} {
		for at, want := range map[string][2]string{
			AtRCPT: {"sent 250, sent 250, again", "a@x b@x; c@x"},
			AtDATA: {"again, again, again", "c@x"},
			AtDot:  {"again, again, again", "c@x"},
		} {
			t.Run(fmt.Sprintf("%s %.3s", at, reply), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var taken []string
					c, err := serve(t, testConfig(), func(p *peer) { strict(p, at, reply, &taken) })
					if err != nil {
						t.Fatal(err)
					}
					back, err := deliver(c, message("a@x", "b@X", "d@y"))
					if err != nil || !c.OneDomain() {
						t.Errorf("%v; learned: %t", err, c.OneDomain())
					}
					var got []string
					for _, r := range back[0].Results {
						got = append(got, outcome(r))
					}
					if strings.Join(got, ", ") != want[0] {
						t.Errorf("got %q, want %q", got, want[0])
					}
					if back, err = deliver(c, message("c@x", "e@z")); err != nil {
						t.Error(err)
					}
					if got := outcome(back[0].Results[0]) + ", " + outcome(back[0].Results[1]); got != "sent 250, again" {
						t.Errorf("the next transaction: %s", got)
					}
					if got := strings.Join(taken, "; "); got != want[1] {
						t.Errorf("taken %q, want %q", got, want[1])
					}
				})
			})
		}
	}
}

// TestOneDomainIsNoExcuse: the same words about a transaction of one domain are a refusal like any other.
func TestOneDomainIsNoExcuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := serve(t, testConfig(), func(p *peer) {
			p.say("220 mx.example")
			for l, ok := p.line(); ok; l, ok = p.line() {
				switch {
				case strings.HasPrefix(l, "EHLO"):
					p.say("250 mx.example")
				case strings.HasPrefix(l, "RCPT TO:<b@"):
					p.say("451 4.3.0 Multiple destination domains per transaction is unsupported")
				case l == "DATA":
					p.say("550 5.7.1 Multiple destination domains per transaction is unsupported")
				default:
					p.say("250 ok")
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		back, err := deliver(c, message("a@x", "b@X"))
		if got := outcome(back[0].Results[0]) + ", " + outcome(back[0].Results[1]); err != nil || got != "perm 550 DATA, temp 451 RCPT" || c.OneDomain() {
			t.Errorf("%s, %v; learned: %t", got, err, c.OneDomain())
		}
	})
}
