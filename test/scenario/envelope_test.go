package scenario

import (
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// odd are envelopes that real programs write and that no receiver should see so. Postfix mends some and refuses others.
var odd = []struct{ from, rcpt string }{
	{"<newsletter>", "<a@far.test>"},
	{"<a..b@sender.test>", "<b@far.test>"},
	{"<.a@sender.test>", "<c@far.test>"},
	{"<a.@sender.test>", "<d@far.test>"},
	{`<"news"@sender.test>`, "<e@far.test>"},
	{"<news@sender.test.>", "<f@far.test>"},
	{"<joe(x)@sender.test>", "<g@far.test>"},
	{"<a@b@sender.test>", "<h@far.test>"},
	{"<" + strings.Repeat("x", 80) + "@sender.test>", "<i@far.test>"},
	{"<news@sender.test> SMTPUTF8", "<j@far.test>"},
	{"<news@sender.test>", "< k@far.test >"},
	{"<news@sender.test>", `<"l"@far.test>`},
	{"<news@sender.test>", "<m@far.test.>"},
	{"<news@sender.test>", "<n(x)@far.test>"},
	{"<news@sender.test>", "<o..p@far.test>"},
	{"<news@sender.test>", "<q@r@far.test>"},
	{"<news@sender.test>", "<" + strings.Repeat("s", 80) + "@far.test>"},
	{"<news@sender.test>", "<T@FAR.test>"},
	{"<news@sender.test>", `<"u v"@far.test>`},
}

// TestOddEnvelopes: whatever spelling the client has for an address, the receiver sees the envelope that Postfix alone
// would have sent.
func TestOddEnvelopes(t *testing.T) {
	s := beside(t, Options{Keep: true, Main: map[string]string{"smtputf8_enable": "yes", "strict_rfc821_envelopes": "no"}})
	sent := make(map[string]bool) // by id: Postfix took it on both listeners
	for i, o := range odd {
		var codes []int
		for _, side := range []struct{ name, addr string }{{"ours", s.Addr()}, {"alone", s.Millrace.inject}} {
			codes = append(codes, offer(t, side.addr, o.from, o.rcpt, bulkMessage(fmt.Sprintf("%d-%s", i, side.name))))
		}
		if codes[0] != codes[1] {
			t.Errorf("%s to %s: %d with Millrace, %d without", o.from, o.rcpt, codes[0], codes[1])
		}
		sent[fmt.Sprint(i)] = codes[0] == 250
	}
	arrived := make(map[string]map[string]string) // by number and side
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
		waiting := 0
		for _, d := range s.Sink.Deliveries() {
			number, side, _ := strings.Cut(d.ID, "-")
			if arrived[number] == nil {
				arrived[number] = make(map[string]string)
			}
			arrived[number][side] = fmt.Sprintf("<%s> to <%s> by %s", d.From, d.Rcpt, d.Listener)
		}
		for number, ok := range sent {
			if ok && len(arrived[number]) < 2 {
				waiting++
			}
		}
		if waiting == 0 {
			break
		}
	}
	for i, o := range odd {
		ours, alone := arrived[fmt.Sprint(i)]["ours"], arrived[fmt.Sprint(i)]["alone"]
		t.Logf("%s to %s: taken by Postfix %v; %q, alone %q", o.from, o.rcpt, sent[fmt.Sprint(i)], ours, alone)
		a, _, _ := strings.Cut(ours, " by ")
		b, _, _ := strings.Cut(alone, " by ")
		if a != b {
			t.Errorf("%s to %s: %q, alone %q", o.from, o.rcpt, ours, alone)
		}
	}
}

// offer hands in a message whatever is answered, and returns the code of the last reply.
func offer(t *testing.T, addr, from, rcpt, text string) int {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(patience))
	c := textproto.NewConn(nc)
	code, _, err := c.ReadResponse(0)
	for _, line := range []string{"EHLO app.test", "MAIL FROM:" + from, "RCPT TO:" + rcpt, "DATA", text + "."} {
		if err != nil || code >= 400 {
			break
		}
		if err = c.PrintfLine("%s", line); err == nil {
			code, _, err = c.ReadResponse(0)
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return code
}
