package scenario

import (
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// recipient is one RCPT of the mixed message, and where the message must arrive for it.
type recipient struct {
	rcpt string // the RCPT command's argument
	code int    // what Postfix must answer
	as   string // the address at the sink; "": no delivery of its own
	side string // "bulk" by Millrace, "local" or "remote" by the MTA
}

// mixed is every kind of recipient in one message. The same address, also in another spelling, is one person who gets
// one copy.
var mixed = []recipient{
	{"<ann@far.test>", 250, "ann@far.test", "bulk"},
	{"<ann@far.test>", 250, "", ""},
	{"<Ann@FAR.test>", 250, "", ""},
	{"<bob@other.test> NOTIFY=NEVER ORCPT=rfc822;bob@other.test", 250, "bob@other.test", "bulk"},
	{`<"c d"@far.test>`, 250, `"c d"@far.test`, "bulk"},
	{`<"e@f"@far.test>`, 250, `"e@f"@far.test`, "bulk"},
	{"<g+tag@far.test>", 250, "g+tag@far.test", "bulk"},
	{"<boss@" + LocalDomain + ">", 250, "boss@" + LocalDomain, "local"},
	{"<refused@nowhere>", 550, "", ""},
	{"<h@far.test>", 250, "h@far.test", "bulk"},
	{"<i(x)@far.test>", 250, "i@far.test", "remote"}, // its spelling is for Postfix to read; the others do not wait for it
}

// TestMixedRecipients: each recipient of the mixed message gets it once, from the right side.
func TestMixedRecipients(t *testing.T) {
	s := beside(t, Options{Keep: true, Main: map[string]string{
		"smtpd_recipient_restrictions": "reject_non_fqdn_recipient, permit_mynetworks, reject",
		"local_recipient_maps":         "",
	}})
	want := make(map[string]int)
	var rcpts []string
	var codes []int
	for _, r := range mixed {
		rcpts, codes = append(rcpts, r.rcpt), append(codes, r.code)
		if r.as != "" {
			want[r.side+" "+r.as]++
		}
	}
	submit(t, s.Addr(), "<news@sender.test> RET=HDRS ENVID=QQ314159", rcpts, codes, bulkMessage("mixed"))
	expect(t, s, want)
	for _, d := range s.Sink.Deliveries() {
		if d.Rcpt == "bob@other.test" {
			notify, _ := d.Params.Value("NOTIFY")
			envid, _ := d.Params.Value("ENVID")
			if notify != "NEVER" || envid != "QQ314159" {
				t.Errorf("DSN arguments did not pass: %+v", d.Params)
			}
		}
	}
}

// TestInternationalRecipients: SMTPUTF8 mail (RFC 6531) goes to receivers that announce SMTPUTF8.
func TestInternationalRecipients(t *testing.T) {
	s := beside(t, Options{Keep: true, Receivers: internationalSink(), Main: map[string]string{"smtputf8_enable": "yes"}})
	text := strings.Replace(bulkMessage("utf8"), "Subject: News", "Subject: Neuigkeiten für Jürgen", 1)
	submit(t, s.Addr(), "<news@sender.test> SMTPUTF8", []string{"<jürgen@far.test>", "<ann@bücher.test>"}, []int{250, 250}, text)
	expect(t, s, map[string]int{"bulk jürgen@far.test": 1, "bulk ann@bücher.test": 1})
	for _, d := range s.Sink.Deliveries() {
		if !strings.Contains(string(d.Raw), "für Jürgen") {
			t.Errorf("%s got other bytes", d.Rcpt)
		}
	}
}

// TestNeverTaken: mail from the null sender and automatic replies stay with Postfix even if they look like bulk.
func TestNeverTaken(t *testing.T) {
	s := beside(t, Options{})
	submit(t, s.Addr(), "<>", []string{"<a@far.test>"}, []int{250}, bulkMessage("null"))
	reply := strings.Replace(bulkMessage("auto"), "Subject:", "Auto-Submitted: auto-replied\r\nSubject:", 1)
	submit(t, s.Addr(), "<news@sender.test>", []string{"<b@far.test>"}, []int{250}, reply)
	expect(t, s, map[string]int{"remote a@far.test": 1, "remote b@far.test": 1})
}

func internationalSink() sink.Character {
	return sink.Character{Extensions: append(sink.DefaultExtensions(), "SMTPUTF8")}
}

// expect waits for exactly these deliveries, given as "side recipient".
func expect(t *testing.T, s *Scene, want map[string]int) {
	t.Helper()
	total := 0
	for _, n := range want {
		total += n
	}
	if err := s.Wait(t.Context(), total, time.Minute); err != nil {
		t.Error(err)
	}
	time.Sleep(500 * time.Millisecond) // time for a copy too many to arrive
	got := make(map[string]int)
	for d := range s.Sink.All() {
		got[d.Listener+" "+d.Rcpt]++
	}
	if !maps.Equal(got, want) {
		t.Errorf("arrived:\n%s\nwant:\n%s", lines(got), lines(want))
	}
}

func lines(m map[string]int) string {
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "  %s: %d\n", k, m[k])
	}
	return b.String()
}

func bulkMessage(id string) string {
	return "X-Ledger: " + id + "\r\nFrom: News <news@sender.test>\r\nTo: Readers: ;\r\nSubject: News\r\n" +
		"Date: Mon, 23 Nov 2026 10:00:00 +0000\r\nMessage-ID: <" + id + "@sender.test>\r\n" +
		"List-Id: <news.sender.test>\r\nList-Unsubscribe: <https://sender.test/off>\r\nPrecedence: bulk\r\n\r\nHello.\r\n.dot\r\n"
}

// submit hands in one message. codes are the answers that the RCPTs must get.
func submit(t *testing.T, addr, from string, rcpts []string, codes []int, text string) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	c := textproto.NewConn(nc)
	say := func(code int, format string, args ...any) {
		t.Helper()
		if format != "" {
			if err := c.PrintfLine(format, args...); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := c.ReadResponse(code); err != nil {
			t.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
		}
	}
	say(220, "")
	say(250, "EHLO app.test")
	say(250, "MAIL FROM:%s", from)
	for i, r := range rcpts {
		say(codes[i]/100, "RCPT TO:%s", r)
	}
	say(354, "DATA")
	w := c.DotWriter()
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	say(250, "")
	say(221, "QUIT")
}
