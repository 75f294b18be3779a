package mta

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	netsmtp "net/smtp"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// proper is the reply in order at each stage.
var proper = map[string]string{"banner": "220", "EHLO": "250", "MAIL": "250", "RCPT": "250", "DATA": "354", "dot": "250"}

// oddities are ways to answer; %[1]s is the proper code. At RCPT only the recipient "odd" is answered so.
var oddities = map[string]string{
	"first code 200":      "200-x\r\n%[1]s y\r\n",
	"first code 450":      "450-x\r\n%[1]s y\r\n",
	"first code 550":      "550-x\r\n%[1]s y\r\n",
	"last code 451":       "%[1]s-x\r\n451 4.2.0 y\r\n",
	"last code 550":       "%[1]s-x\r\n550 5.1.1 y\r\n",
	"450 and 451":         "450-4.2.0 see\r\n451 4.2.0 later\r\n",
	"noise before":        "what?\r\n%[1]s y\r\n",
	"noise within":        "%[1]s-x\r\nwhat?\r\n%[1]s y\r\n",
	"empty line before":   "\r\n%[1]s y\r\n",
	"two digits before":   "25 x\r\n%[1]s y\r\n",
	"no blank before":     "%[1]sx\r\n%[1]s y\r\n",
	"tab before":          "%[1]s\tx\r\n%[1]s y\r\n",
	"code 099 before":     "099 x\r\n%[1]s y\r\n",
	"noise and 550":       "what?\r\n550 5.1.1 y\r\n",
	"code alone":          "%[1]s\r\n",
	"bare LF":             "%[1]s-x\n%[1]s y\n",
	"CR CR LF":            "%[1]s y\r\r\n",
	"NUL":                 "%[1]s x\x00y\r\n",
	"long line":           "%[1]s " + strings.Repeat("x", 9000) + "\r\n",
	"long first line":     "%[1]s-" + strings.Repeat("x", 9000) + "\r\n%[1]s y\r\n",
	"long noise":          strings.Repeat("x", 9000) + "\r\n%[1]s y\r\n",
	"many lines":          strings.Repeat("%[1]s-x\r\n", 500) + "%[1]s y\r\n",
	"many long lines":     strings.Repeat("%[1]s-"+strings.Repeat("x", 1000)+"\r\n", 50) + "%[1]s y\r\n",
	"many lines, then no": strings.Repeat("%[1]s-x\r\n", 500) + "550 5.1.1 y\r\n",
	"code 199":            "199 x\r\n",
	"code 354 or 250":     "",
	"code 699":            "699 x\r\n",
	"code 999":            "999 x\r\n",
	"code 250 for all":    "250 x\r\n",
	"only noise":          "what?\r\n",
	"half a reply":        "%[1]s-x\r\n",
}

// oddReceiver is a receiver that answers oddly at one stage.
type oddReceiver struct {
	stage, reply string
	pipelining   bool
	copies       atomic.Int64 // messages taken in the receiver's own view
}

// says writes the reply of a stage and reports whether its last line is the proper yes. A yes to the body is counted
// before the client can know of it.
func (o *oddReceiver) says(nc net.Conn, stage, text string, odd bool) bool {
	yes := true
	if stage == o.stage && odd {
		text = o.reply
		lines := strings.Split(strings.TrimRight(o.reply, "\r\n"), "\n")
		yes = strings.HasPrefix(lines[len(lines)-1], proper[stage])
	}
	if yes && stage == "dot" {
		o.copies.Add(1)
	}
	fmt.Fprint(nc, text)
	return yes
}

func (o *oddReceiver) serve(nc net.Conn) {
	defer nc.Close()
	o.says(nc, "banner", "220 mx\r\n", true)
	accepted := 0
	for in := bufio.NewReader(nc); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		switch word, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " "); strings.ToUpper(word) {
		case "EHLO":
			text := "250 mx\r\n"
			if o.pipelining {
				text = "250-mx\r\n250 PIPELINING\r\n"
			}
			o.says(nc, "EHLO", text, true)
		case "MAIL":
			accepted = 0
			o.says(nc, "MAIL", "250 ok\r\n", true)
		case "RCPT":
			if o.says(nc, "RCPT", "250 ok\r\n", strings.Contains(line, "<odd@")) {
				accepted++
			}
		case "DATA":
			if accepted == 0 {
				fmt.Fprint(nc, "554 no recipients\r\n")
				continue
			}
			if !o.says(nc, "DATA", "354 go\r\n", true) {
				continue
			}
			for line != ".\r\n" {
				if line, err = in.ReadString('\n'); err != nil {
					return
				}
			}
			o.says(nc, "dot", "250 taken\r\n", true)
		case "QUIT":
			fmt.Fprint(nc, "221 bye\r\n")
			return
		default:
			fmt.Fprint(nc, "250 ok\r\n")
		}
	}
}

func (o *oddReceiver) listen(t *testing.T) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with the listener
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go o.serve(nc) // ends with its connection
		}
	}()
	return ln.Addr().String()
}

// oddCase is one oddity at one stage, before both clients.
type oddCase struct {
	name, domain, addr string
	receiver           *oddReceiver
}

func oddCases(t *testing.T) []*oddCase {
	var list []*oddCase
	for _, stage := range []string{"banner", "EHLO", "MAIL", "RCPT", "DATA", "dot"} {
		for _, name := range slices.Sorted(maps.Keys(oddities)) {
			reply := strings.ReplaceAll(oddities[name], "%[1]s", proper[stage])
			if name == "code 354 or 250" {
				reply = map[string]string{"354": "250 x\r\n"}[proper[stage]]
				if reply == "" {
					reply = "354 x\r\n"
				}
			}
			c := &oddCase{name: stage + "/" + name, domain: fmt.Sprintf("c%d.test", len(list)),
				receiver: &oddReceiver{stage: stage, reply: reply, pipelining: true}}
			c.addr = c.receiver.listen(t)
			list = append(list, c)
		}
	}
	return list
}

var oddRcpts = []string{"a", "odd", "b"}

// statuses of a delivery, as Postfix calls them. unknown is ours: deferred, and may be delivered twice.
const (
	isSent, isBounced, isDeferred, isUnknown = "sent", "bounced", "deferred", "deferred, maybe twice"
)

// TestRepliesAsPostfix sends to receivers that answer oddly, by Postfix and by our wire, and compares what becomes of each
// recipient: sent where Postfix says sent, never bounced where Postfix does not bounce, and never sent where the receiver
// has not taken the message.
func TestRepliesAsPostfix(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for timeouts")
	}
	cases := oddCases(t)
	theirs := throughPostfix(t, cases)
	for _, c := range cases {
		for _, pipelining := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/pipelining=%v", c.name, pipelining), func(t *testing.T) {
				t.Parallel()
				o := &oddReceiver{stage: c.receiver.stage, reply: c.receiver.reply, pipelining: pipelining}
				ours := overOurWire(t, o.listen(t), c.domain, oddRcpts)
				taken := o.copies.Load() > 0
				for _, rcpt := range oddRcpts {
					their, our := theirs[rcpt+"@"+c.domain], ours[rcpt]
					t.Logf("%-4s Postfix: %s; we: %s", rcpt, their, our)
					switch {
					case our == isUnknown && !answered(c):
						// Postfix takes the reply to its QUIT for the reply to the body.
					case their == isSent && our != isSent:
						t.Errorf("%s: Postfix delivers, we say %s", rcpt, our)
					case our == isBounced && their != isBounced:
						t.Errorf("%s: we bounce, Postfix says %s", rcpt, their)
					case our == isSent && !taken:
						t.Errorf("%s: we say sent, the receiver has taken nothing", rcpt)
					}
				}
			})
		}
	}
}

// answered reports whether the receiver's reply has an end.
func answered(c *oddCase) bool {
	return !strings.HasSuffix(c.name, "/only noise") && !strings.HasSuffix(c.name, "/half a reply")
}

// overOurWire delivers one message, again as long as the wire asks for it at once, and says what became of each recipient.
func overOurWire(t *testing.T, addr, domain string, rcpts []string) map[string]string {
	cfg := &smtp.Config{Hostname: "client.test", TLS: smtp.TLSNone}
	for _, d := range []*time.Duration{&cfg.Timeouts.Banner, &cfg.Timeouts.EHLO, &cfg.Timeouts.Mail, &cfg.Timeouts.Rcpt, &cfg.Timeouts.Data, &cfg.Timeouts.Dot} {
		*d = 2 * time.Second
	}
	out := make(map[string]string)
	left := slices.Clone(rcpts)
	for range 3 {
		tx := &smtp.Transaction{From: "s@sender.test", Content: [][]byte{[]byte("Subject: x\r\n\r\nhello\r\n")}}
		for _, r := range left {
			out[r] = isDeferred
			tx.Rcpts = append(tx.Rcpts, smtp.Rcpt{Addr: r + "@" + domain})
		}
		conn, err := smtp.Dial(context.Background(), smtp.Addr{Host: "localhost", AddrPort: netip.MustParseAddrPort(addr)}, cfg)
		if err != nil || len(left) == 0 {
			return out
		}
		next := tx
		_ = conn.Deliver(func() *smtp.Transaction {
			tx := next
			next = nil
			return tx
		}, func(*smtp.Transaction) {})
		conn.Quit()
		var again []string
		for i, r := range tx.Results {
			switch {
			case r.Again || r.Bystander:
				again = append(again, left[i])
			case r.Sent():
				out[left[i]] = isSent
			case r.Unknown:
				out[left[i]] = isUnknown
			case r.Err.Permanent:
				out[left[i]] = isBounced
			}
		}
		left = again
	}
	return out
}

var statusLine = regexp.MustCompile(`to=<([a-z]+@c[0-9]+\.test)>.* status=(sent|deferred|bounced)`)

// throughPostfix sends one message for each case through a Postfix and reads from its log what became of each recipient.
func throughPostfix(t *testing.T, cases []*oddCase) map[string]string {
	transports := []string{"{ sender.test = discard: }"}
	for _, c := range cases {
		transports = append(transports, fmt.Sprintf("{ %s = smtp:%s }", c.domain, bracketed(c.addr)))
	}
	main := map[string]string{"transport_maps": "inline:{ " + strings.Join(transports, ", ") + " }", "smtp_tls_security_level": "none"}
	for _, key := range []string{"connect", "helo", "mail", "rcpt", "data_init", "data_xfer", "data_done", "rset", "quit"} {
		main["smtp_"+key+"_timeout"] = "2s"
	}
	p := startPostfix(t, PostfixConfig{Main: main})
	for _, c := range cases {
		var to []string
		for _, r := range oddRcpts {
			to = append(to, r+"@"+c.domain)
		}
		if err := netsmtp.SendMail(p.Addr, nil, "s@sender.test", to, []byte("Subject: x\r\n\r\nhello\r\n")); err != nil {
			t.Fatal(err)
		}
	}
	found := make(map[string]string)
	for end := time.Now().Add(2 * time.Minute); len(found) < len(cases)*len(oddRcpts); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("Postfix told of %d of %d recipients", len(found), len(cases)*len(oddRcpts))
		}
		log, err := p.Log()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range statusLine.FindAllStringSubmatch(log, -1) {
			if found[m[1]] == "" {
				found[m[1]] = m[2]
			}
		}
	}
	return found
}
