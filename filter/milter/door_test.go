package milter

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/standin"
)

func TestBulkIsTaken(t *testing.T) {
	for _, flavor := range []standin.Flavor{standin.Postfix, standin.Sendmail} {
		r := start(t)
		c := r.dial(standin.Options{Flavor: flavor, TLS: "TLSv1.3"})
		m := edit(bulk(), func(m *standin.Message) { m.SASLUser = "news" })
		if v := r.send(c, m); !v.Taken() || v.Stage != standin.EndOfBody || len(v.Deleted) > 0 {
			t.Fatalf("flavor %d: %+v", flavor, v)
		}
		got := r.taken.last(t)
		wantHeader := "From: News <news@example.com>\r\nDate: Tue, 4 Mar 2025 05:06:07 +0100\r\nMessage-ID: <1@example.com>\r\nList-Id: <l.example.com>\r\n"
		if string(got.Content.Letter().Header) != wantHeader || string(got.Content.Body()) != "Hello,\r\nworld.\r\n" {
			t.Errorf("flavor %d: header %q, body %q", flavor, got.Content.Letter().Header, got.Content.Body())
		}
		trace := string(got.Content.Letter().Trace)
		for _, want := range []string{
			"Received: from client.example.net (client.example.net [192.0.2.25])\r\n", "\tby mx.example.org (Millrace) with ESMTPSA id 4bXyZ1\r\n",
			"\tfor <a@example.net>;\r\n",
		} {
			if !strings.Contains(trace, want) {
				t.Errorf("flavor %d: %q is not in %q", flavor, want, trace)
			}
		}
		if got.ID == 0 || got.QueueID() != "4bXyZ1" || got.Rule() != "list-id" || got.Client() != "client.example.net[192.0.2.25]" || got.Arrived().IsZero() || got.Content.Form().Traits.Has(smtp.EightBit) {
			t.Errorf("flavor %d: %+v", flavor, got)
		}
	}
}

func TestPlainPasses(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{Protocol: chatty})
	if v := r.send(c, plain()); v.Action != standin.Accept || v.Stage != standin.EndOfHeader || v.Sent != 0 {
		t.Errorf("a letter: %+v", v)
	}
	bounce := edit(bulk(), func(m *standin.Message) { m.From = "" })
	if v := r.send(c, bounce); v.Action != standin.Accept || v.Stage != standin.Mail {
		t.Errorf("from the null sender: %+v", v)
	}
	large := edit(bulk(), func(m *standin.Message) { m.MailArgs = []string{"SIZE=99999999999"} })
	if v := r.send(c, large); v.Action != standin.Accept || v.Stage != standin.Mail {
		t.Errorf("too large: %+v", v)
	}
	if n := len(r.taken.all()); n != 0 {
		t.Errorf("%d taken", n)
	}
	if got := r.intake.Status(); got.PassedHeader != 1 || got.PassedMail != 2 {
		t.Errorf("%+v", got)
	}
}

func TestHopelessConnectionIsLeftAtOnce(t *testing.T) {
	r := start(t, func(s *setup) {
		s.filter.Rule, s.filter.Defaults = []filter.Rule{{Header: "List-Id", Listener: "bulk"}}, false
	})
	if c := r.dial(standin.Options{DaemonName: "smtpd"}); !c.Passed() {
		t.Error("a listener no rule can match is still served")
	}
	if c := r.dial(standin.Options{DaemonName: "bulk"}); c.Passed() || !r.send(c, bulk()).Taken() {
		t.Error("the bulk listener is not served")
	}
}

func TestRuleMacroIsAskedForAtMail(t *testing.T) {
	r := start(t, func(s *setup) { s.filter.Rule, s.filter.Defaults = []filter.Rule{{Macro: "bulk_class=news"}}, false })
	c := r.dial(standin.Options{})
	if v := r.send(c, plain()); v.Action != standin.Accept || v.Stage != standin.Mail {
		t.Errorf("without the macro: %+v", v)
	}
	m := edit(plain(), func(m *standin.Message) { m.Macros = map[string]string{"bulk_class": "news"} })
	if v := r.send(c, m); !v.Taken() {
		t.Errorf("with the macro: %+v", v)
	}
}

func TestMixedRecipients(t *testing.T) {
	r := start(t, func(s *setup) { s.filter.LocalDomains = []string{"here.example"} })
	c := r.dial(standin.Options{})
	m := edit(bulk(), func(m *standin.Message) {
		m.Rcpts = []standin.Recipient{
			{Addr: "A@example.net", Mailer: "smtp"},
			{Addr: "local@example.org", Mailer: "local"},
			{Addr: "a@example.net", Mailer: "smtp"},
			{Addr: `"a"@example.net`, Mailer: "smtp"},
			{Addr: "a@example.net", Mailer: "smtp"},
			{Addr: "gone@example.com", Mailer: "error"},
			{Addr: "x@here.example", Mailer: "smtp"},
			{Addr: "b@example.com", Mailer: "smtp"},
		}
	})
	v := r.send(c, m)
	if v.Action != standin.Accept || v.Stage != standin.EndOfBody {
		t.Fatalf("%+v", v)
	}
	want := []string{"<A@example.net>", "<a@example.net>", `<"a"@example.net>`, "<b@example.com>"}
	if !reflect.DeepEqual(v.Deleted, want) {
		t.Errorf("deleted %q, want %q", v.Deleted, want)
	}
	got := r.taken.last(t)
	if got.RcptCount() != 2 || got.Rcpt(0).Addr != "A@example.net" || got.Rcpt(1).Addr != "b@example.com" {
		t.Errorf("taken for %+v", got.Slip.Rcpts)
	}
	if strings.Contains(string(got.Content.Letter().Trace), "for <") {
		t.Errorf("one recipient learns of another: %q", got.Content.Letter().Trace)
	}
}

// TestKeepAdded: the message ends for the recipients that are taken and not for those the MTA has added. An MTA that lets nobody be
// deleted keeps the message.
func TestKeepAdded(t *testing.T) {
	r := start(t, func(s *setup) { s.filter.KeepAdded = true })
	v := r.send(r.dial(standin.Options{}), bulk())
	if v.Action != standin.Accept || v.Stage != standin.EndOfBody || len(v.Deleted) != len(bulk().Rcpts) || len(r.taken.all()) != 1 {
		t.Errorf("%+v, %d taken", v, len(r.taken.all()))
	}
	if v := r.send(r.dial(standin.Options{Actions: standin.ActSetSymList}), bulk()); v.Action != standin.Accept || len(v.Deleted) > 0 || len(r.taken.all()) != 1 {
		t.Errorf("without deletion: %+v, %d taken", v, len(r.taken.all()))
	}
}

func TestNobodyToTake(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	m := edit(bulk(), func(m *standin.Message) { m.Rcpts = []standin.Recipient{{Addr: "a@example.org", Mailer: "virtual"}} })
	if v := r.send(c, m); v.Action != standin.Accept || v.Stage != standin.EndOfHeader {
		t.Errorf("%+v", v)
	}
}

func TestWithoutDeletionAllOrNothing(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{Actions: standin.ActSetSymList})
	m := edit(bulk(), func(m *standin.Message) {
		m.Rcpts = append(m.Rcpts, standin.Recipient{Addr: "l@example.org", Mailer: "local"})
	})
	if v := r.send(c, m); v.Action != standin.Accept || len(v.Deleted) > 0 {
		t.Errorf("mixed: %+v", v)
	}
	if v := r.send(c, bulk()); !v.Taken() {
		t.Errorf("all of them: %+v", v)
	}
}

// Mail by sendmail(1) says nothing of its route. It stays unless the configuration says that the MTA has none.
func TestLocalSubmission(t *testing.T) {
	o := standin.Options{ClientName: "localhost", ClientAddr: "127.0.0.1"}
	m := bulk()
	m.Rcpts = []standin.Recipient{{Addr: "a@example.net"}, {Addr: "b@here.example"}}
	r := start(t)
	if v := r.send(r.dial(o), m); v.Action != standin.Accept || len(v.Deleted) != 0 || !strings.Contains(r.log.String(), "bulk.without_mailer") {
		t.Errorf("%+v, log %s", v, r.log)
	}
	r = start(t, func(s *setup) { s.filter.LocalDomains, s.filter.WithoutMailer = []string{"here.example"}, true })
	v := r.send(r.dial(o), m)
	if v.Action != standin.Accept || len(v.Deleted) != 1 || v.Deleted[0] != "<a@example.net>" {
		t.Errorf("%+v", v)
	}
}

// A recipient is taken only when the MTA would send straight to the domain, or when its next hop is listed.
func TestNextHop(t *testing.T) {
	r := start(t, func(s *setup) { s.filter.NextHops = []string{"[smart.example]:25"} })
	m := bulk()
	m.Rcpts = []standin.Recipient{
		{Addr: "a@example.net", Mailer: "smtp"},
		{Addr: "b@example.net", Mailer: "smtp", Host: "[relay.example]"},
		{Addr: "c@example.net", Mailer: "smtp", Host: "[smart.example]:25"},
		{Addr: "d@example.net", Mailer: "smtp", Host: "example.org", Rewritten: "d@example.org"},
		{Addr: "e@example.net", Mailer: "smtp", Rewritten: "f@example.net"},
	}
	v := r.send(r.dial(standin.Options{}), m)
	if v.Action != standin.Accept || !slices.Equal(v.Deleted, []string{"<a@example.net>", "<c@example.net>"}) {
		t.Errorf("%+v", v)
	}
}

func TestDSNParametersArrive(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	m := edit(bulk(), func(m *standin.Message) {
		m.MailArgs = []string{"SIZE=300", "BODY=8BITMIME", "ret=hdrs", "ENVID=QQ+2B314159", "SMTPUTF8", "AUTH=<>"}
		m.Rcpts = []standin.Recipient{
			{Addr: "jürgen@example.net", Mailer: "smtp", Args: []string{"NOTIFY=SUCCESS,FAILURE", "ORCPT=rfc822;j+2Bx@example.net"}},
			{Addr: "b@example.net", Mailer: "smtp", Args: []string{"notify=NEVER"}},
		}
	})
	if v := r.send(c, m); !v.Taken() {
		t.Fatalf("%+v", v)
	}
	got := r.taken.last(t)
	if got.From() != "news@example.com" || got.Ret() != "HDRS" || got.EnvID() != "QQ+2B314159" || !got.UTF8() {
		t.Errorf("%+v", got.Slip.Envelope)
	}
	want := []relay.Rcpt{
		{Addr: "jürgen@example.net", Notify: "SUCCESS,FAILURE", ORcpt: "rfc822;j+2Bx@example.net"},
		{Addr: "b@example.net", Notify: "NEVER"},
	}
	if !reflect.DeepEqual(got.Slip.Rcpts, want) {
		t.Errorf("%+v, want %+v", got.Slip.Rcpts, want)
	}
	if !strings.Contains(string(got.Content.Letter().Trace), "with UTF8SMTP id") {
		t.Errorf("trace %q", got.Content.Letter().Trace)
	}
	// The client's wish alone is no need.
	r.send(c, edit(bulk(), func(m *standin.Message) { m.MailArgs = []string{"SMTPUTF8"} }))
	if got := r.taken.last(t); got.UTF8() || !strings.Contains(string(got.Content.Letter().Trace), "with UTF8SMTP id") {
		t.Errorf("plain ASCII: %+v, %q", got.Slip.Envelope, got.Content.Letter().Trace)
	}
	// Nothing of it must cling to the next message.
	r.send(c, bulk())
	if got := r.taken.last(t); got.Ret() != "" || got.EnvID() != "" || got.UTF8() || got.RcptCount() != 1 || got.Rcpt(0).Notify != "" {
		t.Errorf("the next message has %+v", got.Slip.Envelope)
	}
}

func TestWhatCannotBePromisedStays(t *testing.T) {
	rcpt := func(addr string, args ...string) func(*standin.Message) {
		return func(m *standin.Message) {
			m.Rcpts = append(m.Rcpts, standin.Recipient{Addr: addr, Mailer: "smtp", Args: args})
		}
	}
	args := func(args ...string) func(*standin.Message) { return func(m *standin.Message) { m.MailArgs = args } }
	for _, tt := range []struct {
		name   string
		change func(*standin.Message)
		stage  byte
	}{
		{"REQUIRETLS", args("REQUIRETLS"), standin.Mail},
		{"XVERP", args("XVERP=+="), standin.Mail},
		{"BINARYMIME", args("BODY=BINARYMIME"), standin.Mail},
		{"bad RET", args("RET=ALL"), standin.Mail},
		{"bad SIZE", args("SIZE=-1"), standin.Mail},
		{"control in a parameter", args("ENVID=a\rRCPT"), standin.Mail},
		{"UTF-8 sender without SMTPUTF8", func(m *standin.Message) { m.From = "jürgen@example.com" }, standin.Mail},
		{"control in the sender", func(m *standin.Message) { m.From = "a\r\n@example.com" }, standin.Mail},
		{"unknown RCPT parameter", rcpt("b@example.net", "RRVS=2014-04-03T23:01:00Z"), standin.Rcpt},
		{"UTF-8 recipient without SMTPUTF8", rcpt("jürgen@example.net"), standin.Rcpt},
		{"source route", rcpt("@x.example:b@example.net"), standin.Rcpt},
		{"unclosed path", func(m *standin.Message) { m.Rcpts = append(m.Rcpts, standin.Recipient{Raw: "<b@example.net"}) }, standin.Rcpt},
		{"lone LF in the body", func(m *standin.Message) { m.Body = []byte("a\nb\r\n") }, standin.EndOfBody},
		{"NUL in the body", func(m *standin.Message) { m.Body = []byte("a\x00b\r\n") }, standin.EndOfBody},
	} {
		t.Run(tt.name, func(t *testing.T) { staysAt(t, standin.Options{Protocol: chatty}, tt.change, tt.stage) })
		if tt.stage != standin.EndOfBody {
			tt.stage = standin.EndOfHeader
		}
		t.Run(tt.name+", said at the end of the header", func(t *testing.T) { staysAt(t, standin.Options{}, tt.change, tt.stage) })
	}
}

// staysAt checks that a newsletter with a change stays with such an MTA, which is told at this stage, and that the next one is taken.
func staysAt(t *testing.T, mta standin.Options, change func(*standin.Message), stage byte) {
	r := start(t, func(s *setup) { s.config.Drip = false })
	c := r.dial(mta)
	if v := r.send(c, edit(bulk(), change)); v.Action != standin.Accept || v.Stage != stage {
		t.Errorf("%+v, want accept at %q", v, stage)
	}
	if v := r.send(c, bulk()); !v.Taken() || len(r.taken.all()) != 1 {
		t.Errorf("the next message: %+v", v)
	}
}

// chatty are the steps of an MTA that wants an answer to each command before the header.
const chatty = 0x1fffff &^ (standin.NoHeloReply | standin.NoMailReply | standin.NoRcptReply)

// TestAnswersOnlyWhereNeeded: the MTA waits for an answer at MAIL only if a rule may pass mail there, and at RCPT only if the answer shows
// where Postfix pauses.
func TestAnswersOnlyWhereNeeded(t *testing.T) {
	no := false
	byHeader, bySender := filter.Rule{Header: "List-Id"}, filter.Rule{Sender: "*@example.com"}
	never, all := filter.Rule{Sender: "*@boss.example", Take: &no}, filter.Rule{Listener: "*"}
	some, nobody := filter.Rule{Header: "List-Id", Listener: "smtpd"}, filter.Rule{Listener: "people", Take: &no}
	for _, tt := range []struct {
		name  string
		rules []filter.Rule
		defaults, drip,
		mail, rcpt bool
	}{
		{name: "default", defaults: true, drip: true, rcpt: true},
		{name: "without drip", defaults: true},
		{name: "by sender", rules: []filter.Rule{bySender}, mail: true},
		{name: "by sender, before the default", rules: []filter.Rule{bySender}, defaults: true},
		{name: "never by sender, before the default", rules: []filter.Rule{never}, defaults: true, mail: true},
		{name: "never by sender, behind a header", rules: []filter.Rule{byHeader, never}},
		{name: "by header, on some listeners", rules: []filter.Rule{some}, drip: true, rcpt: true},
		{name: "all of a listener", rules: []filter.Rule{all}},
		{name: "never of a listener, before the default", rules: []filter.Rule{nobody}, defaults: true},
		{name: "never of a listener, behind a sender", rules: []filter.Rule{bySender, nobody}, mail: true},
		{name: "by sender, never of a listener, before the default", rules: []filter.Rule{bySender, nobody}, defaults: true, mail: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, func(s *setup) { s.filter.Rule, s.filter.Defaults, s.config.Drip = tt.rules, tt.defaults, tt.drip })
			steps := r.dial(standin.Options{}).Steps()
			if mail, rcpt := steps&standin.NoMailReply == 0, steps&standin.NoRcptReply == 0; mail != tt.mail || rcpt != tt.rcpt {
				t.Errorf("MAIL answered %v, RCPT %v", mail, rcpt)
			}
			if steps&standin.NoHeloReply == 0 || steps&standin.NoConnReply != 0 || steps&standin.NoEOHReply != 0 {
				t.Errorf("steps %#x", steps)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name    string
		limit   func(*setup)
		message *standin.Message
		stage   byte
	}{
		{"recipients", func(s *setup) { s.config.MaxRcpts = 2 }, edit(bulk(), func(m *standin.Message) { m.Rcpts = standin.To("a@x.example", "b@x.example", "c@x.example") }), standin.Rcpt},
		{"header", func(s *setup) { s.config.MaxHeaderBytes = 500 }, fields(standin.Field{Name: "X", Value: strings.Repeat("y", 400)}), standin.EndOfHeader},
		{"body", func(s *setup) { s.filter.SizeLimit = 100_000 }, edit(bulk(), func(m *standin.Message) { m.Body = make([]byte, 100_000) }), standin.EndOfBody},
		{"memory", func(s *setup) { s.config.MaxBuffered = 70_000 }, edit(bulk(), func(m *standin.Message) { m.Body = make([]byte, 70_000) }), standin.EndOfBody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t, tt.limit)
			c := r.dial(standin.Options{})
			if v := r.send(c, tt.message); v.Action != standin.Accept || v.Stage != tt.stage {
				t.Errorf("%+v, want accept at %q", v, tt.stage)
			}
			if got := r.intake.Status(); got.Left != 1 || got.Buffered > 1000 { // the macros of the connection are still charged
				t.Errorf("%+v", got)
			}
			if v := r.send(c, bulk()); !v.Taken() {
				t.Errorf("a small message after it: %+v", v)
			}
		})
	}
}

func TestOverMaxSessions(t *testing.T) {
	r := start(t, func(s *setup) { s.config.MaxSessions = 1 })
	first := r.dial(standin.Options{})
	if c := r.dial(standin.Options{}); !c.Passed() {
		t.Error("the second connection is served")
	}
	if v := r.send(first, bulk()); !v.Taken() {
		t.Errorf("the first connection: %+v", v)
	}
}

func TestObserveTakesNothing(t *testing.T) {
	r := start(t, func(s *setup) { s.mode = filter.Observe })
	c := r.dial(standin.Options{})
	if v := r.send(c, bulk()); v.Action != standin.Accept || v.Stage != standin.EndOfHeader || v.Sent != 0 {
		t.Errorf("%+v", v)
	}
	r.send(c, plain())
	if n := len(r.taken.all()); n != 0 {
		t.Errorf("%d taken", n)
	}
	if got := r.intake.Status(); got.Observed != 1 || got.PassedHeader != 1 || got.Taken != 0 {
		t.Errorf("%+v", got)
	}
	for _, c := range r.intake.Filter().Status() {
		if want := uint64(0); c.Rule == "list-id" && (c.Chosen != 1 || c.WouldTake != 1) || c.Rule != "list-id" && c.Chosen+c.Passed+c.Taken != want {
			t.Errorf("%+v", c)
		}
	}
	if log := r.log.String(); !strings.Contains(log, "would take: id=4bXyZ1 from=news@example.com rule=list-id nrcpt=1") {
		t.Errorf("log %q", log)
	}
}

func TestNotAcceptedStaysWithTheMTA(t *testing.T) {
	for _, tt := range []struct {
		err  error
		full uint64
	}{{relay.ErrFull, 1}, {errors.New("disk on fire"), 0}} {
		r := start(t, func(s *setup) { s.before = func(*relay.Message) error { return tt.err } })
		v := r.send(r.dial(standin.Options{}), edit(bulk(), func(m *standin.Message) {
			m.Rcpts = append(m.Rcpts, standin.Recipient{Addr: "l@example.org", Mailer: "local"})
		}))
		if v.Action != standin.Accept || len(v.Deleted) != 0 {
			t.Errorf("%v: %+v", tt.err, v)
		}
		if got := r.intake.Status(); got.Full != tt.full || got.Left != 1 || got.Taken != 0 {
			t.Errorf("%v: %+v", tt.err, got)
		}
		if log := r.log.String(); !strings.Contains(log, tt.err.Error()) {
			t.Errorf("%v: log %q", tt.err, log)
		}
	}
}

func TestReload(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	f, err := filter.Compile(changed(filter.DefaultConfig(), func(c *filter.Config) { c.Rule, c.Defaults = []filter.Rule{{Header: "X-Other"}}, false }), "mx.example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	if v := r.send(c, bulk()); !v.Taken() {
		t.Errorf("before: %+v", v)
	}
	r.intake.Reload(f, nil, filter.Deliver)
	if v := r.send(c, bulk()); v.Action != standin.Accept {
		t.Errorf("after, old rule: %+v", v)
	}
	if v := r.send(c, fields(standin.Field{Name: "X-Other", Value: "1"})); !v.Taken() {
		t.Errorf("after, new rule: %+v", v)
	}
	if r.intake.Filter() != f {
		t.Error("Filter is not the one in use")
	}
}

func changed[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

func TestSendmailHidesWhatItAdds(t *testing.T) {
	without := func(name string) *standin.Message {
		return edit(bulk(), func(m *standin.Message) {
			kept := m.Header[:0]
			for _, f := range m.Header {
				if f.Name != name {
					kept = append(kept, f)
				}
			}
			m.Header = kept
		})
	}
	for _, tt := range []struct {
		name              string
		message           *standin.Message
		sendmail, postfix bool // taken
	}{
		{"complete", bulk(), true, true},
		{"no Date", without("Date"), false, true},
		{"no From", without("From"), false, true},
		{"no Message-ID", without("Message-ID"), false, true},
		{"Bcc", fields(standin.Field{Name: "bcc", Value: " x@example.net"}), false, true},
		{"Return-Path", fields(standin.Field{Name: "Return-Path", Value: " <x@example.net>"}), false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := start(t)
			if v := r.send(r.dial(standin.Options{Flavor: standin.Sendmail}), tt.message); v.Taken() != tt.sendmail {
				t.Errorf("Sendmail: %+v", v)
			}
			if v := r.send(r.dial(standin.Options{Flavor: standin.Postfix}), tt.message); v.Taken() != tt.postfix {
				t.Errorf("Postfix: %+v", v)
			}
		})
	}
}

func TestNewRefuses(t *testing.T) {
	if _, err := New(Config{}, nil); err == nil {
		t.Error("an empty configuration was accepted")
	}
}
