package mta

import (
	"context"
	"net"
	"net/textproto"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/bounce"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// TestReportForUTF8 compares the failure report for an internationalised address with Postfix's, of the same refusal.
func TestReportForUTF8(t *testing.T) {
	const why = "<carol@gone.example>: Recipient address rejected"
	far, _, local := farEnd(t)
	addr, err := far.Listen("127.0.0.1:0", sink.Character{
		Name: "u.test", Extensions: append(sink.DefaultExtensions(), "SMTPUTF8"),
		Faults: []sink.Fault{{Stage: sink.Rcpt, Do: sink.Reply550, Text: "550 5.1.1 " + why}},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := startPostfix(t, PostfixConfig{Relay: addr.String(), Local: map[string]string{"sender.test": local}, Main: map[string]string{"smtputf8_enable": "yes"}})
	field := regexp.MustCompile(`(?m)^(Final-Recipient: .*?|Content-Type: message/\S*delivery-status)\r$`)
	for i, tt := range []struct {
		from, rcpt string
		better     []string // than Postfix's, whose parts for programs few programs know
	}{
		{"news@sender.test", "ann@gone.example", nil},
		{"news@sender.test", "用户@gone.example", nil},
		{"news@sender.test", "user@bücher.example", []string{"Content-Type: message/delivery-status", "Final-Recipient: rfc822; user@xn--bcher-kva.example"}},
		{"jürgen@sender.test", "ann@gone.example", []string{"Content-Type: message/delivery-status", "Final-Recipient: rfc822; ann@gone.example"}},
	} {
		plain := tt.from+tt.rcpt == "news@sender.testann@gone.example"
		offerUTF8(t, p.Addr, tt.from, tt.rcpt, !plain)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		err := far.Wait(ctx, i+1)
		cancel()
		if err != nil {
			t.Fatal(err)
		}
		theirs := fieldsOf(field, far.Deliveries()[i].Raw)
		m := &relay.Message{Slip: &relay.Slip{Envelope: relay.Envelope{From: tt.from, UTF8: !plain, Rcpts: []relay.Rcpt{{Addr: tt.rcpt}}}}, Content: relay.NewContent(relay.Letter{})}
		_, body, err := bounce.Compose(bounce.Report{Hostname: "mx.postfix.test", Message: m, Failures: []bounce.Failure{{
			Relay: "127.0.0.1[127.0.0.1]:25", Reply: smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{why}},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		want := theirs
		if tt.better != nil {
			want = tt.better
		}
		if got := fieldsOf(field, body); !slices.Equal(got, want) || len(theirs) != 2 {
			t.Errorf("%s to %s: %q, want %q; Postfix: %q", tt.from, tt.rcpt, got, want, theirs)
		}
	}
}

func fieldsOf(re *regexp.Regexp, msg []byte) (found []string) {
	for _, m := range re.FindAllSubmatch(msg, -1) {
		found = append(found, string(m[1]))
	}
	return found
}

// offerUTF8 hands in one message, with SMTPUTF8 if international is set.
func offerUTF8(t *testing.T, addr, from, rcpt string, international bool) {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(30 * time.Second))
	c := textproto.NewConn(nc)
	_, _, err = c.ReadResponse(220)
	mail := "MAIL FROM:<" + from + ">"
	if international {
		mail += " SMTPUTF8"
	}
	for _, line := range []string{"EHLO app.test", mail, "RCPT TO:<" + rcpt + ">", "DATA", "Subject: x\r\n\r\nhello\r\n.", "QUIT"} {
		if err != nil {
			t.Fatal(err)
		}
		if err = c.PrintfLine("%s", line); err == nil {
			_, _, err = c.ReadResponse(map[bool]int{true: 3, false: 2}[line == "DATA"])
		}
	}
}
