package smtp

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stages of a dialogue at which a fault is put, in order. At "next" it is the
// reply to the second MAIL of the connection; at "idle" it comes while nothing
// was asked, before the second message.
var stages = []string{"banner", "EHLO", "MAIL", "RCPT", "DATA", "dot", "next", "idle"}

// faults and, for every stage above, the fate of the message that meets the fault:
// its result, "unknown" if it may be delivered twice, and "closed" if the
// connection is lost with it. Before there is a message, Dial fails.
var faults = []struct {
	name string
	do   func(*peer)
	want [8]string
	mode string // the only one it is for, if set
}{
	{"421", func(p *peer) { p.say("421 4.3.2 closing"); p.nc.Close() }, [8]string{
		"temp 421 banner", "temp 421 EHLO", "temp 421 MAIL closed", "temp 421 RCPT closed", "temp 421 DATA closed", "temp 421 end of data closed", "again closed", "again closed"}, ""},
	{"451", func(p *peer) { p.say("451 4.3.0 later") }, [8]string{
		"temp 451 banner", "sent 250", "temp 451 MAIL", "temp 451 RCPT", "temp 451 DATA", "temp 451 end of data", "temp 451 MAIL", "again closed"}, ""},
	{"550", func(p *peer) { p.say("550 5.7.1 no") }, [8]string{
		"temp 550 banner", "sent 250", "perm 550 MAIL", "perm 550 RCPT", "perm 550 DATA", "perm 550 end of data", "perm 550 MAIL", "again closed"}, ""},
	// Garbage in place of a reply leaves the next replies one place too early, which the 354 shows.
	{"garbage", garbage, [8]string{
		"temp banner", "temp EHLO", "temp MAIL closed", "temp RCPT closed", "temp DATA closed", "temp end of data unknown closed", "again closed", "sent 250"}, "lockstep"},
	{"garbage", garbage, [8]string{
		"temp banner", "temp EHLO", "temp 354 RCPT closed", "temp 354 RCPT closed", "temp DATA closed", "temp end of data unknown closed", "again closed", "sent 250"}, "pipelining"},
	{"endless lines", func(p *peer) { endless(p, "250-more\r\n") }, [8]string{
		"temp banner", "temp EHLO", "temp MAIL closed", "temp RCPT closed", "temp DATA closed", "temp end of data unknown closed", "again closed", "again closed"}, ""},
	{"endless line", func(p *peer) { endless(p, "250 more and more") }, [8]string{
		"temp banner", "temp EHLO", "temp MAIL closed", "temp RCPT closed", "temp DATA closed", "temp end of data unknown closed", "again closed", "again closed"}, ""},
	{"disconnect", func(p *peer) { p.nc.Close() }, [8]string{
		"temp banner", "temp EHLO", "temp MAIL closed", "temp RCPT closed", "temp DATA closed", "temp end of data unknown closed", "again closed", "again closed"}, ""},
	{"silence", silence, [8]string{
		"temp banner", "temp EHLO", "temp MAIL closed", "temp RCPT closed", "temp DATA closed", "temp end of data unknown closed", "again closed", "again closed"}, ""},
	{"drip", drip, [8]string{
		"temp banner", "temp EHLO", "temp MAIL closed", "temp RCPT closed", "temp DATA closed", "temp end of data unknown closed", "again closed", "again closed"}, ""},
}

func garbage(p *peer) { p.say("\x16\x03\x01\x00garbage") }

func endless(p *peer, s string) {
	for {
		if _, err := p.nc.Write([]byte(s)); err != nil {
			return
		}
	}
}

// silence lasts until the client has closed.
func silence(p *peer) { _, _ = io.Copy(io.Discard, p.br) }

// drip says a byte every ten seconds, which no timeout for a byte would notice.
func drip(p *peer) {
	for _, b := range []byte(strings.Repeat("250-a long story\r\n", 80)) {
		if _, err := p.nc.Write([]byte{b}); err != nil {
			return
		}
		time.Sleep(10 * time.Second)
	}
}

func TestFaults(t *testing.T) {
	for _, mode := range []string{"lockstep", "pipelining"} {
		for i, stage := range stages {
			for _, fault := range faults {
				if fault.mode != "" && fault.mode != mode {
					continue
				}
				if mode == "lockstep" && stage == "idle" && fault.name[0] <= '9' && fault.name != "421" {
					continue // with no more replies due it looks like the reply to MAIL; Alive is there to see it
				}
				t.Run(fmt.Sprintf("%s/%s/%s", mode, stage, fault.name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						start := time.Now()
						got := meet(t, mode == "pipelining", stage, fault.do)
						if want := fault.want[i]; got != want {
							t.Errorf("got %q, want %q", got, want)
						}
						if d := time.Since(start); d > 11*time.Minute {
							t.Errorf("took %v", d)
						}
					})
				})
			}
		}
	}
}

// meet runs one or two messages against a server with a fault and describes the
// fate of the last.
func meet(t *testing.T, pipelining bool, stage string, fault func(*peer)) string {
	c, err := serve(t, testConfig(), func(p *peer) { faulty(p, pipelining, stage, fault) })
	var e *Error
	if errors.As(err, &e) {
		return failure(e)
	}
	tx := message("b@b.example")
	if stage == "next" || stage == "idle" {
		if back, err := deliver(c, message("b@b.example")); err != nil || !back[0].Results[0].Sent() {
			t.Fatal("first message", err)
		}
		time.Sleep(2 * time.Second)
	}
	back, err := deliver(c, tx)
	if len(back) != 1 || back[0] != tx {
		t.Fatalf("handed back %v", back)
	}
	words := []string{outcome(tx.Results[0])}
	if tx.Results[0].Unknown {
		words = append(words, "unknown")
	}
	if err != nil {
		words = append(words, "closed")
	}
	if alive := c.Alive(); alive != (err == nil) {
		t.Errorf("Alive is %v after %v", alive, err)
	}
	return strings.Join(words, " ")
}

// faulty is a server that is in order but for its reply at one stage.
func faulty(p *peer, pipelining bool, stage string, fault func(*peer)) {
	reply := func(at, text string) {
		if at == stage {
			fault(p)
			stage = ""
			return
		}
		p.say("%s", text)
	}
	ehlo := "250 mx.example"
	if pipelining {
		ehlo = "250-mx.example\r\n250 PIPELINING"
	}
	mail := "MAIL"
	reply("banner", "220 mx.example")
	for {
		l, ok := p.line()
		if !ok {
			return
		}
		switch word, _, _ := strings.Cut(l, " "); word {
		case "EHLO":
			reply("EHLO", ehlo)
		case "MAIL":
			reply(mail, "250 ok")
		case "RCPT":
			reply("RCPT", "250 ok")
		case "DATA":
			reply("DATA", "354 go")
		case "Subject:":
			p.skip()
			reply("dot", "250 taken")
			mail = "next"
			if stage == "idle" {
				time.Sleep(time.Second) // the client has gone
				reply("idle", "")
			}
		default:
			p.say("250 ok")
		}
	}
}

// Each wait is bounded by its own timeout, and the wait for the last reply is
// not cut short by the bound on the transaction.
func TestTimeouts(t *testing.T) {
	cfg := testConfig()
	cfg.Timeouts = Timeouts{Banner: 1 * time.Second, EHLO: 2 * time.Second, Mail: 3 * time.Second,
		Rcpt: 4 * time.Second, Data: 5 * time.Second, Dot: 600 * time.Second}
	for _, tt := range []struct {
		stage string
		want  time.Duration
	}{{"banner", 1}, {"EHLO", 2}, {"MAIL", 3}, {"RCPT", 4}, {"DATA", 5}, {"dot", 600}} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			c, err := serve(t, cfg, func(p *peer) { faulty(p, false, tt.stage, silence) })
			if err == nil {
				_, err = deliver(c, message("b@b.example"))
			}
			if err == nil || !strings.Contains(err.Error(), "timed out") {
				t.Errorf("%s: %v", tt.stage, err)
			}
			if got := time.Since(start); got != tt.want*time.Second {
				t.Errorf("%s: took %v, want %v s", tt.stage, got, int(tt.want))
			}
		})
	}
}

// A receiver that takes every recipient only just in time is left when the
// whole transaction has taken too long.
func TestTransactionTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := serve(t, testConfig(), func(p *peer) {
			p.say("220 mx.example")
			for {
				l, ok := p.line()
				if !ok {
					return
				}
				if strings.HasPrefix(l, "RCPT") {
					time.Sleep(200 * time.Second)
				}
				p.say("250 ok")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		var rcpts []string
		for i := range 20 {
			rcpts = append(rcpts, fmt.Sprintf("r%d@b.example", i))
		}
		if _, err = deliver(c, message(rcpts...)); err == nil {
			t.Fatal("no error")
		}
		if d := time.Since(start); d < 890*time.Second || d > 910*time.Second {
			t.Errorf("took %v, want about 900s", d)
		}
	})
}

// A receiver that reads the body too slowly, or not at all, is left after the
// time for a block, and nothing is in doubt.
func TestSlowBody(t *testing.T) {
	for _, rate := range []int{0, 100} {
		synctest.Test(t, func(t *testing.T) {
			c, err := serve(t, testConfig(), func(p *peer) {
				p.say("220 mx.example")
				for _, reply := range []string{"250 mx.example", "250 ok", "250 ok", "354 go"} {
					p.line()
					p.say("%s", reply)
				}
				for rate > 0 {
					if _, err := io.CopyN(io.Discard, p.nc, int64(rate)); err != nil {
						return
					}
					time.Sleep(time.Second)
				}
				time.Sleep(time.Hour)
			})
			if err != nil {
				t.Fatal(err)
			}
			tx := message("b@b.example")
			for range 100 {
				tx.Content = append(tx.Content, []byte(strings.Repeat("0123456789\r\n", 1000)))
			}
			start := time.Now()
			if _, err := deliver(c, tx); err == nil {
				t.Fatal("no error")
			}
			if got := outcome(tx.Results[0]); got != "temp message body" || tx.Results[0].Unknown {
				t.Errorf("got %q, unknown %v", got, tx.Results[0].Unknown)
			}
			if d := time.Since(start); d > 600*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
}

// TestEnded: a 421 in place of a later message of a connection is no failure of that message, and is told; other ends are not.
func TestEnded(t *testing.T) {
	for says, want := range map[string]string{
		"421 4.7.28 too fast": "421 4.7.28 too fast", "421 closing": "421 closing", "451 4.7.28 too fast": "", "250 ok": "", "": "",
	} {
		for _, pipelining := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				c, err := serve(t, testConfig(), func(p *peer) {
					faulty(p, pipelining, "next", func(p *peer) {
						if says != "" {
							p.say("%s", says)
						}
						p.nc.Close()
					})
				})
				if err != nil {
					t.Fatal(err)
				}
				back, _ := deliver(c, message("a@b.example"), message("b@b.example"))
				got := ""
				if e := back[1].Ended; e != nil {
					got = e.Reply().String()
				}
				if got != want || back[0].Ended != nil || want != "" && !back[1].Results[0].Again {
					t.Errorf("%q: got %q, %+v", says, got, back[1].Results[0])
				}
			})
		}
	}
}
