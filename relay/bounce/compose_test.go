package bounce

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"io"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	zone    = time.FixedZone("", 3600)
	arrived = time.Date(2026, 11, 23, 17, 32, 53, 0, zone)
)

// newsletter is a message of a list manager, to three recipients.
func newsletter() *relay.Message {
	return &relay.Message{
		ID: 29790, Slip: &relay.Slip{
			QueueID: "4bXyZ1",
			Envelope: relay.Envelope{
				From: "news-bounces+a=gmail.com@lists.example.org", EnvID: "QQ314+2B15",
				Rcpts: []relay.Rcpt{
					{Addr: "a@gmail.com", ORcpt: "rfc822;Alice+2Bnews@old.example"},
					{Addr: "bob@full.example"},
					{Addr: "carol@gone.example"},
				},
			},
			Arrived: arrived,
		},
		Content: relay.NewContent(relay.Letter{Trace: []byte("Received: from app (app [10.0.0.5])\r\n\tby mail.example.org (Millrace) with ESMTP id 4bXyZ1;\r\n\tMon, 23 Nov 2026 17:32:53 +0100\r\n"),
			Header: []byte("From: News <news@lists.example.org>\r\nTo: a@gmail.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n" +
				"Message-ID: <n1@lists.example.org>\r\nList-Id: <news.lists.example.org>\r\nX-ListMember: a@gmail.com\r\n"), Body: []byte("Hello\r\n.\r\n-- \r\nNews\r\n")}),
	}
}

func noSuchUser(rcpt int) Failure {
	return Failure{
		Rcpt: rcpt, Action: Failed, Relay: "mx.gone.example[192.0.2.7]:25", Time: arrived.Add(5 * time.Second),
		Reply: smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"<carol@gone.example>: Recipient address rejected:", "User unknown in virtual mailbox table"}},
	}
}

// report is the notification that the tests of the golden files start from and change.
func report(failures ...Failure) Report {
	return Report{
		Name: "1000", Hostname: "mail.example.org", Date: arrived.Add(30 * time.Second),
		Message: newsletter(), Failures: failures,
	}
}

func TestComposeGolden(t *testing.T) {
	expired := Failure{
		Rcpt: 1, Action: Expired, Relay: "mx.full.example[2001:db8::25]:25", Time: arrived.Add(48 * time.Hour),
		Reply: smtp.Reply{Code: 452, Enhanced: "4.2.2", Lines: []string{"mailbox full"}},
	}
	unreachable := Failure{
		Rcpt: 0, Action: Expired, Relay: "none", Time: arrived.Add(48 * time.Hour),
		Reply: smtp.Reply{Lines: []string{"connect to mx.example[192.0.2.1]:25: Connection refused"}},
	}
	tests := map[string]Report{
		"failed":   report(noSuchUser(2)),
		"several":  report(noSuchUser(2), expired, unreachable),
		"full":     report(noSuchUser(2)),
		"relayed":  report(Failure{Rcpt: 0, Action: Relayed, Relay: "mx.example[192.0.2.1]:25", Reply: smtp.Reply{Code: 250, Lines: []string{"OK"}}}),
		"delayed":  report(Failure{Rcpt: 1, Action: Delayed, Until: arrived.Add(48 * time.Hour), Relay: expired.Relay, Reply: expired.Reply}),
		"global":   report(noSuchUser(2)),
		"eightbit": report(noSuchUser(2)),
		"idn":      report(noSuchUser(2)),
		"sender":   report(noSuchUser(2)),
	}
	tests["idn"].Message.Slip.From, tests["idn"].Message.Slip.Rcpts[2].Addr = "news@bücher.example", "carol+x@bücher.example"
	tests["sender"].Message.Slip.From, tests["sender"].Message.Slip.UTF8 = "jürgen+a@sender.example", true
	tests["full"].Message.Slip.Ret = "FULL"
	tests["global"].Message.Slip.From = "jürgen@bücher.example"
	tests["global"].Message.Slip.Rcpts[2].Addr = "用户@gone.example"
	tests["global"].Message.Slip.UTF8 = true
	letter := tests["eightbit"].Message.Content.Letter()
	letter.Header = append(letter.Header, "X-Note: Gr\xfc\xdfe\r\n"...)
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			header, body, err := Compose(r)
			if err != nil {
				t.Fatal(err)
			}
			got := joined(header, body)
			checkWire(t, got)
			readBack(t, got)
			golden(t, filepath.Join("testdata", name+".eml"), got)
		})
	}
}

// golden compares got with a file, kept with LF so that it can be read and compared.
func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (go test -update writes it anew):\n%s", file, got)
	}
}

func joined(header, body []byte) []byte {
	return append(append(append([]byte(nil), header...), "\r\n"...), body...)
}

// checkWire looks for bytes that must not be in mail.
func checkWire(t *testing.T, msg []byte) {
	t.Helper()
	if !plain(msg) {
		t.Errorf("a NUL, a bare CR or LF, or a line over %d bytes:\n%q", maxLine, msg)
	}
	if !bytes.HasSuffix(msg, []byte("\r\n")) {
		t.Error("the last line is not ended")
	}
}

// readReport is a notification as a list manager reads it.
type readReport struct {
	header mail.Header
	types  []string
	texts  []string
	groups []textproto.MIMEHeader // of the delivery status: the message's, then one per recipient
}

// readBack reads a notification with two readers that are not ours.
func readBack(t *testing.T, msg []byte) readReport {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(msg))
	if err != nil {
		t.Fatalf("net/mail: %v\n%s", err, msg)
	}
	r := readReport{header: m.Header}
	e, err := message.Read(bytes.NewReader(msg))
	if err != nil {
		t.Fatalf("go-message: %v\n%s", err, msg)
	}
	if kind, params, err := e.Header.ContentType(); err != nil || kind != "multipart/report" || !strings.HasSuffix(params["report-type"], "delivery-status") {
		t.Fatalf("content type %q %v, %v", kind, params, err)
	}
	parts := e.MultipartReader()
	for {
		p, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("part %d: %v\n%s", len(r.types), err, msg)
		}
		kind, _, err := p.Header.ContentType()
		if err != nil {
			t.Fatalf("part %d: %v\n%s", len(r.types), err, msg)
		}
		text, err := io.ReadAll(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		r.types = append(r.types, kind)
		r.texts = append(r.texts, string(text))
	}
	if len(r.types) != 3 {
		t.Fatalf("%d parts, want 3: %q\n%s", len(r.types), r.types, msg)
	}
	r.groups = readStatus(t, r.texts[1])
	return r
}

// readStatus reads the groups of fields of a delivery status.
func readStatus(t *testing.T, text string) []textproto.MIMEHeader {
	t.Helper()
	var groups []textproto.MIMEHeader
	in := textproto.NewReader(bufio.NewReader(strings.NewReader(text + "\r\n\r\n")))
	for {
		group, err := in.ReadMIMEHeader()
		if err != nil && !errors.Is(err, io.EOF) {
			t.Fatalf("delivery status: %v\n%s", err, text)
		}
		if len(group) > 0 {
			groups = append(groups, group)
		}
		if err != nil {
			return groups
		}
	}
}

func TestComposeFields(t *testing.T) {
	header, body, err := Compose(report(noSuchUser(2), Failure{Rcpt: 0, Reply: smtp.Reply{Lines: []string{"null MX"}}, Relay: "none"}))
	if err != nil {
		t.Fatal(err)
	}
	r := readBack(t, joined(header, body))
	for name, want := range map[string]string{
		"Subject": "Undelivered Mail Returned to Sender", "Auto-Submitted": "auto-replied", "Mime-Version": "1.0",
		"To": "<news-bounces+a=gmail.com@lists.example.org>", "From": "Mail Delivery System <MAILER-DAEMON@mail.example.org>",
		"Message-Id": "<1000.1795451603@mail.example.org>", "Date": "Mon, 23 Nov 2026 17:33:23 +0100",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	want := []map[string]string{
		{"Reporting-Mta": "dns; mail.example.org", "Original-Envelope-Id": "QQ314+15", "X-Millrace-Queue-Id": "4bXyZ1",
			"X-Millrace-Sender": "rfc822; news-bounces+a=gmail.com@lists.example.org", "Arrival-Date": "Mon, 23 Nov 2026 17:32:53 +0100"},
		{"Original-Recipient": "", "Final-Recipient": "rfc822; carol@gone.example", "Action": "failed", "Status": "5.1.1",
			"Remote-Mta": "dns; mx.gone.example", "Last-Attempt-Date": "Mon, 23 Nov 2026 17:32:58 +0100",
			"Diagnostic-Code": "smtp; 550 5.1.1 <carol@gone.example>: Recipient address rejected: User unknown in virtual mailbox table"},
		{"Original-Recipient": "rfc822; Alice+news@old.example", "Final-Recipient": "rfc822; a@gmail.com", "Action": "failed",
			"Status": "5.0.0", "Remote-Mta": "", "Last-Attempt-Date": "", "Diagnostic-Code": "X-Millrace; null MX"},
	}
	if len(r.groups) != len(want) {
		t.Fatalf("%d groups, want %d", len(r.groups), len(want))
	}
	for i, group := range want {
		for name, value := range group {
			if got := r.groups[i].Get(name); got != value {
				t.Errorf("group %d, %s: %q, want %q", i, name, got, value)
			}
		}
	}
}

func TestComposeErrors(t *testing.T) {
	null := report(noSuchUser(2))
	null.Message.Slip.From = ""
	tests := []struct {
		name string
		r    Report
		want error
	}{
		{"null sender", null, ErrNoSender},
		{"nobody", report(), ErrNoFailure},
		{"recipient out of range", report(noSuchUser(3)), nil},
		{"recipient below range", report(noSuchUser(-1)), nil},
		{"unknown action", report(Failure{Action: 99}), nil},
	}
	for _, tt := range tests {
		if _, _, err := Compose(tt.r); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.want)
		}
	}
}

// RET=FULL is honoured for a message that is small and can stand in a MIME part as it is.
func TestComposeReturn(t *testing.T) {
	big := strings.Repeat("0123456789\r\n", 200)
	tests := []struct {
		name, ret, body string
		action          Action
		want            string
	}{
		{"default", "", "x\r\n", Failed, "text/rfc822-headers"},
		{"HDRS", "HDRS", "x\r\n", Failed, "text/rfc822-headers"},
		{"FULL", "FULL", "x\r\n", Failed, "message/rfc822"},
		{"FULL expired", "FULL", "x\r\n", Expired, "message/rfc822"},
		{"FULL of no failure", "FULL", "x\r\n", Relayed, "text/rfc822-headers"},
		{"FULL too big", "FULL", big, Failed, "text/rfc822-headers"},
		{"FULL with a bare LF", "FULL", "x\ny\r\n", Failed, "text/rfc822-headers"},
		{"FULL with a NUL", "FULL", "x\x00\r\n", Failed, "text/rfc822-headers"},
		{"FULL with a long line", "FULL", strings.Repeat("x", 999) + "\r\n", Failed, "text/rfc822-headers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := report(Failure{Action: tt.action})
			r.Message.Slip.Ret, r.MaxHeader = tt.ret, 1600
			r.Message.Content = relay.NewContent(relay.Letter{Trace: r.Message.Content.Letter().Trace, Header: r.Message.Content.Letter().Header, Body: []byte(tt.body)})
			header, body, err := Compose(r)
			if err != nil {
				t.Fatal(err)
			}
			got := readBack(t, joined(header, body))
			if got.types[2] != tt.want {
				t.Errorf("returned as %s, want %s", got.types[2], tt.want)
			}
			if whole := strings.Contains(got.texts[2], "\r\n\r\n"+tt.body); whole != (tt.want == "message/rfc822") {
				t.Errorf("the body is returned: %v\n%s", whole, got.texts[2])
			}
			if !strings.Contains(got.texts[2], "X-ListMember: a@gmail.com\r\n") {
				t.Errorf("a field of the list manager is missing:\n%s", got.texts[2])
			}
		})
	}
}

// TestComposeDamaged: the sender of a message that cannot be put together is told all the same.
func TestComposeDamaged(t *testing.T) {
	for _, ret := range []string{"", "FULL"} {
		r := report(Failure{Action: Expired})
		r.Message.Slip.Ret, r.MaxHeader = ret, 1600
		r.Message.Content = relay.NewWrapper([]byte("Subject: y\r\n\r\nx\r\n")).Content([]byte{1, 20, 0, 99}, 0)
		header, body, err := Compose(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := readBack(t, joined(header, body)); got.types[2] != "text/rfc822-headers" || got.texts[2] != "" {
			t.Errorf("RET=%s: returned as %s: %q", ret, got.types[2], got.texts[2])
		}
	}
}

func TestFailureStatus(t *testing.T) {
	tests := []struct {
		action   Action
		enhanced string
		want     string
	}{
		{Failed, "5.1.1", "5.1.1"}, {Failed, "4.4.1", "4.4.1"}, {Failed, "", "5.0.0"}, {Failed, "2.0.0", "5.0.0"},
		{Expired, "4.2.2", "4.2.2"}, {Expired, "", "4.4.7"},
		{Delayed, "4.2.2", "4.2.2"}, {Delayed, "5.2.2", "4.0.0"},
		{Relayed, "2.1.5", "2.1.5"}, {Relayed, "", "2.0.0"}, {Delivered, "5.0.0", "2.0.0"},
		{Failed, "5.1.1\r\nX: y", "5.0.0"}, {Failed, "5.1", "5.0.0"}, {Failed, "5.1.1234", "5.0.0"}, {Failed, "5..1", "5.0.0"}, {Failed, "5.-1.1", "5.0.0"},
	}
	for _, tt := range tests {
		f := Failure{Action: tt.action, Reply: smtp.Reply{Enhanced: tt.enhanced}}
		if got := f.status(); got != tt.want {
			t.Errorf("%s with %q: %q, want %q", tt.action, tt.enhanced, got, tt.want)
		}
	}
}

func TestRemoteHost(t *testing.T) {
	for relay, want := range map[string]string{
		"mx.example[192.0.2.1]:25": "mx.example", "[192.0.2.1]:25": "[192.0.2.1]", "none": "", "": "", "[": "[]",
	} {
		if got := remoteHost(relay); got != want {
			t.Errorf("%q: %q, want %q", relay, got, want)
		}
	}
}

// FuzzCompose lets sender, recipient and receiver be as nasty as they can be: the notification always reads as one, with
// the fields we wrote and no others.
func FuzzCompose(f *testing.F) {
	f.Add("a@b.example", "c@d.example", "rfc822;c@d.example", "id", "550 no", "5.1.1", "mx[1]:25", "Subject: x\r\n", "body\r\n", true)
	f.Add("a@b>\r\nBcc: x@y", "c@d\r\n\r\nFinal-Recipient: rfc822; evil@x", "rfc822;+0D+0AAction: delivered", "+0D+0AX: y", "no\r\n\r\n--=_", "5.1.1\nX: y", "mx\r\n[1]:25", "A: b\r\n\r\n--=_1000\r\n", "\n.\n", true)
	f.Add("\"a b\"@ü.example", "ü@ö", "utf-8;\xff", "\x00", "\u2028\u202e\x1b[2J\xff", "9.9.9", "", "X: \xff\x00\rY: z\n \r\n"+strings.Repeat("x", 3000), "", false)
	f.Add(strings.Repeat("l", 2000)+"@x", strings.Repeat("é", 2000), "rfc822;"+strings.Repeat("+41", 900), strings.Repeat("i", 3000), strings.Repeat("w", 5000), "", strings.Repeat("h", 2000)+"[", strings.Repeat("F: v\r\n", 500), "", false)
	f.Fuzz(func(t *testing.T, from, rcpt, orcpt, envid, reply, enhanced, relayName, header, body string, full bool) {
		r := Report{Name: "1000", Hostname: "mail.example.org", Date: arrived, MaxHeader: 2000, Message: &relay.Message{
			ID: 1, Content: relay.NewContent(relay.Letter{Header: []byte(header), Body: []byte(body)}), Slip: &relay.Slip{
				QueueID: envid, Arrived: arrived,
				Envelope: relay.Envelope{From: from, EnvID: envid, UTF8: full, Rcpts: []relay.Rcpt{{Addr: rcpt, ORcpt: orcpt}}},
			},
		}}
		if full {
			r.Message.Slip.Ret = "FULL"
		}
		r.Failures = []Failure{{Reply: smtp.Reply{Code: 550, Enhanced: enhanced, Lines: []string{reply, from}}, Relay: relayName}}
		h, b, err := Compose(r)
		if from == "" {
			if !errors.Is(err, ErrNoSender) {
				t.Fatalf("error %v, want %v", err, ErrNoSender)
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		checkWire(t, joined(h, b))
		got := readBack(t, joined(h, b))
		if len(got.header) != 8 {
			t.Errorf("%d header fields, want 8: %q", len(got.header), got.header)
		}
		if _, err := got.header.AddressList("To"); err != nil && got.header.Get("To") != "undisclosed-recipients:;" {
			t.Errorf("To: %q: %v", got.header.Get("To"), err)
		}
		checkStatus(t, got.groups)
		if len(got.texts[2]) > r.MaxHeader+len("\r\n") {
			t.Errorf("%d bytes are returned", len(got.texts[2]))
		}
	})
}

// checkStatus demands two groups with fields of ours only, each once.
func checkStatus(t *testing.T, groups []textproto.MIMEHeader) {
	t.Helper()
	known := []string{
		"Reporting-Mta Original-Envelope-Id X-Millrace-Queue-Id X-Millrace-Sender Arrival-Date",
		"Original-Recipient Final-Recipient Action Status Remote-Mta Diagnostic-Code",
	}
	if len(groups) != len(known) {
		t.Fatalf("%d groups of fields, want %d: %q", len(groups), len(known), groups)
	}
	for i, group := range groups {
		for name, values := range group {
			if len(values) != 1 || !strings.Contains(" "+known[i]+" ", " "+name+" ") {
				t.Errorf("group %d: %s: %q", i, name, values)
			}
		}
	}
	if got := groups[1].Get("Action"); got != "failed" {
		t.Errorf("Action: %q, want failed", got)
	}
}
