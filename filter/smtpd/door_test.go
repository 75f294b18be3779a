package smtpd

import (
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// content is the header and the body of a message that was taken.
func content(m *relay.Message) string {
	return string(m.Content.Letter().Header) + "\r\n" + string(m.Content.Body())
}

func TestBulkIsTakenAndTheRestGoesOn(t *testing.T) {
	for _, role := range []Role{Filter, Proxy, Submission} {
		r := start(t, func(s *setup) { s.role = role })
		c := r.dial()
		c.say("EHLO app.example.com", "250-mx.example.org|250-PIPELINING")
		if got := c.send(false, bulkMessage, "a@example.net", "b@example.org"); !strings.HasPrefix(got[0], "250 2.0.0 Ok: queued as ") {
			t.Fatalf("%s: %q", role, got)
		}
		if got := c.send(false, plainMessage, "c@example.net"); !strings.HasPrefix(got[0], "250 ") {
			t.Fatalf("%s: %q", role, got)
		}
		c.say("QUIT", "221 ")
		taken := r.heart.all()
		if len(taken) != 1 || content(taken[0]) != unstuffed(bulkMessage) || taken[0].RcptCount() != 2 || taken[0].From() != "news@example.com" {
			t.Errorf("%s: taken %+v", role, taken)
		}
		if trace := string(taken[0].Content.Letter().Trace); !strings.Contains(trace, "from app.example.com (localhost [127.0.0.1])") || !strings.Contains(trace, "with ESMTP id") {
			t.Errorf("%s: trace %q", role, trace)
		}
		passed := r.mta.Deliveries()
		if len(passed) != 1 || string(passed[0].Raw) != unstuffed(plainMessage) || passed[0].From != "news@example.com" || passed[0].Rcpt != "c@example.net" {
			t.Errorf("%s: passed %+v", role, passed)
		}
		if s, d := r.intake.Status(), r.door.Status(); s.Taken != 1 || s.PassedHeader != 1 || d.Passed != 1 {
			t.Errorf("%s: %+v %+v", role, s, d)
		}
	}
}

func TestMixedRecipients(t *testing.T) {
	for _, lmtp := range []bool{false, true} {
		r := start(t, func(s *setup) { s.bulk.LocalDomains = []string{"home.example"} })
		c := r.dial()
		c.say(map[bool]string{false: "EHLO", true: "LHLO"}[lmtp]+" mta.example.com", "250-")
		for _, got := range c.send(lmtp, bulkMessage, "a@home.example", "b@example.net") {
			if !strings.HasPrefix(got, "250 ") {
				t.Fatalf("%q", got)
			}
		}
		if m := r.heart.all(); len(m) != 1 || m[0].RcptCount() != 1 || m[0].Rcpt(0).Addr != "b@example.net" {
			t.Errorf("taken %+v", m)
		}
		if d := r.mta.Deliveries(); len(d) != 1 || d[0].Rcpt != "a@home.example" || string(d[0].Raw) != unstuffed(bulkMessage) {
			t.Errorf("passed %+v", d)
		}
	}
}

// A message that cannot be recorded goes to the MTA, in every role; so does one whose MTA is refused a part of.
func TestWhatCannotBeRecordedGoesOn(t *testing.T) {
	for _, err := range []error{relay.ErrFull, relay.ErrClosed, errDisk} {
		for _, role := range []Role{Filter, Proxy, Submission} {
			r := start(t, func(s *setup) { s.role = role; s.heart.err = err })
			c := r.dial()
			c.say("EHLO app.example.com", "250-")
			got := c.send(false, bulkMessage, "a@example.net")
			keeps := role == Filter && err != errDisk
			if keeps != strings.HasPrefix(got[0], "451 4.3.2") || !keeps != strings.HasPrefix(got[0], "250") || keeps != (r.mta.Count() == 0) {
				t.Errorf("%s, %v: %q, %d went on", role, err, got, r.mta.Count())
			}
		}
	}
}

var errDisk = errString("disk on fire")

type errString string

func (e errString) Error() string { return string(e) }

func TestRefusalOfTheMTA(t *testing.T) {
	refuses := sink.Character{Name: "mta", Faults: []sink.Fault{{Stage: sink.Rcpt, Match: "no@example.net", Do: sink.Reply550, Text: "550 5.1.1 no such user"}}}
	r := start(t, func(s *setup) { s.mta = refuses })
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	if got := c.send(false, plainMessage, "no@example.net"); got[0] != "550 5.1.1 no such user" {
		t.Errorf("%q", got)
	}
	if got := c.send(false, plainMessage, "yes@example.net"); !strings.HasPrefix(got[0], "250 ") {
		t.Errorf("%q", got)
	}
	l := r.dial()
	l.say("LHLO mta.example.com", "250-")
	got := l.send(true, plainMessage, "no@example.net", "yes@example.net")
	if got[0] != "550 5.1.1 no such user" || !strings.HasPrefix(got[1], "250 ") {
		t.Errorf("%q", got)
	}
}

func TestAnMTAThatIsAway(t *testing.T) {
	r := start(t, func(s *setup) { s.noMTA, s.config.Reinject = true, "127.0.0.1:1" })
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	if got := c.send(false, plainMessage, "a@example.net"); !strings.HasPrefix(got[0], "451 4.3.0") {
		t.Errorf("%q", got)
	}
	if got := c.send(false, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 2.0.0") {
		t.Errorf("bulk mail: %q", got)
	}
}

// Without an MTA all mail is taken, and what can never be delivered is refused.
func TestWithoutAnMTA(t *testing.T) {
	r := start(t, func(s *setup) { s.noMTA, s.role = true, Submission })
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	if got := c.send(false, plainMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 2.0.0 Ok: queued as") {
		t.Fatalf("%q", got)
	}
	c.say("MAIL FROM:<>", "250 ")
	c.say("RCPT TO:<root@mx.example.org>", "550 5.1.2")
	c.say("RCPT TO:<b@example.net>", "250 ")
	c.say("DATA", "354 ")
	c.write("Auto-Submitted: auto-replied\r\n\r\nhi\r\n.\r\n")
	c.expect("250 2.0.0")
	if m := r.heart.all(); len(m) != 2 || m[0].Rule() != directRuleName || m[1].From() != "" || m[1].RcptCount() != 1 {
		t.Errorf("%+v", m)
	}
}

const directRuleName = "submission"

func TestBdat(t *testing.T) {
	r := start(t, nil)
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	message := unstuffed(bulkMessage) + ".\r\n"
	c.say("MAIL FROM:<news@example.com>", "250 ")
	c.say("RCPT TO:<a@example.net>", "250 ")
	c.write("BDAT 10\r\n" + message[:10])
	c.expect("250 ")
	c.write("BDAT " + itoa(len(message)-10) + " LAST\r\n" + message[10:])
	c.expect("250 2.0.0 Ok: queued as")
	if m := r.heart.all(); len(m) != 1 || content(m[0]) != message {
		t.Errorf("%+v", m)
	}
	c.say("BDAT 0 LAST", "503 ")
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + itoa(n%10)
}

func TestMessageOfAnotherClient(t *testing.T) {
	r := start(t, nil)
	c := r.dial()
	c.say("EHLO mta.example.com", "250-")
	c.say("XFORWARD NAME=app.example.com ADDR=192.0.2.7 HELO=app IDENT=4bXyZ1", "250 ")
	if got := c.send(false, bulkMessage, "a@example.net"); got[0] != "250 2.0.0 Ok: queued as 4bXyZ1" {
		t.Errorf("%q", got)
	}
	if got := c.send(false, bulkMessage, "a@example.net"); strings.Contains(got[0], "4bXyZ1") {
		t.Errorf("the next message has the same name: %q", got)
	}
	m := r.heart.all()
	if m[0].Client() != "app.example.com[192.0.2.7]" || !strings.Contains(string(m[0].Content.Letter().Trace), "from app (app.example.com [192.0.2.7])") || m[1].Client() != "localhost[127.0.0.1]" {
		t.Errorf("%+v", m)
	}
}

// The client must not hear 421 because the MTA behind us goes away: Postfix would call our door dead for it.
func TestAnMTAThatSays421(t *testing.T) {
	r := start(t, func(s *setup) { s.mta.Faults = []sink.Fault{{Stage: sink.Dot, Do: sink.Reply421}} })
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	if got := c.send(false, plainMessage, "a@example.net"); !strings.HasPrefix(got[0], "451 4.3.0") {
		t.Errorf("%q", got)
	}
	if got := c.send(false, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 ") {
		t.Errorf("%q", got)
	}
}

// The client's patience runs while the MTA is slow to begin: the time for our answer is not counted from when we come to read the end.
func TestAnMTAThatIsSlowTwice(t *testing.T) {
	for _, test := range []struct {
		name  string
		later time.Duration // between the header and the rest
		want  string
	}{{"all at once", 0, "451 4.3.0"}, {"the end comes late", 2500 * time.Millisecond, "250 "}} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, func(s *setup) {
				s.config.AnswerTimeout = 3 * time.Second
				s.mta.Delay, s.mta.DotDelay = 300*time.Millisecond, 1500*time.Millisecond
			})
			c := r.dial()
			c.say("EHLO app.example.com", "250-")
			c.say("MAIL FROM:<a@example.com>", "250 ")
			c.say("RCPT TO:<b@example.net>", "250 ")
			c.say("DATA", "354 ")
			header, body, _ := strings.Cut(plainMessage, "\r\n\r\n")
			c.write(header + "\r\n\r\n")
			time.Sleep(test.later)
			c.write(body + ".\r\n")
			if got := c.reply(); !strings.HasPrefix(got, test.want) {
				t.Errorf("%q", got)
			}
		})
	}
}
