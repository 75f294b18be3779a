package smtpd

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// TestSomeAreRefused: the MTA behind a filter refuses some recipients for good. An MTA in front of the filter would bounce the message
// for all of them, so the others get it, and the sender is told of the rest. Other clients hear of the refusal themselves.
func TestSomeAreRefused(t *testing.T) {
	for _, test := range []struct {
		name     string
		role     Role
		lmtp     bool
		err      error // of telling the sender
		most     int   // recipients that the MTA takes
		message  string
		rcpts    string
		want     string // what the client hears
		passed   string
		taken    string
		informed string
	}{
		{name: "one is refused", message: plainMessage, rcpts: "gone@home.example a@home.example b@example.net",
			want: "250 ", passed: "a@home.example b@example.net", informed: "0:550 5.1.1"},
		{name: "two are", message: plainMessage, rcpts: "a@home.example gone@home.example gone@example.net",
			want: "250 ", passed: "a@home.example", informed: "1:550 5.1.1 2:550 5.1.1"},
		{name: "all are", message: plainMessage, rcpts: "gone@home.example gone@example.net", want: "550 5.1.1"},
		{name: "all but ours", message: bulkMessage, rcpts: "gone@home.example b@example.net", want: "250 2.0.0 Ok: queued as ", taken: "b@example.net", informed: "0:550 5.1.1"},
		{name: "some but ours", message: bulkMessage, rcpts: "gone@home.example a@home.example b@example.net",
			want: "250 2.0.0 Ok: queued as ", passed: "a@home.example", taken: "b@example.net", informed: "0:550 5.1.1"},
		{name: "the sender cannot be told", err: errors.New("full"), message: bulkMessage, rcpts: "gone@home.example a@home.example b@example.net", want: "451 4.3.0"},
		{name: "one more is refused for now", most: 1, message: plainMessage, rcpts: "a@home.example gone@home.example b@home.example", want: "452 4.5.3"},
		{name: "a proxy", role: Proxy, message: plainMessage, rcpts: "gone@home.example a@home.example", want: "550 5.1.1"},
		{name: "an application", role: Submission, message: plainMessage, rcpts: "gone@home.example a@home.example", want: "550 5.1.1"},
		{name: "LMTP", lmtp: true, message: plainMessage, rcpts: "gone@home.example a@home.example", want: "550 5.1.1", passed: "a@home.example"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var informed []string
			r := start(t, func(s *setup) {
				s.role, s.bulk.LocalDomains = test.role, []string{"home.example"}
				s.mta.Refuse, s.mta.MaxRecipients = sink.Matching("gone@*"), test.most
				s.inform = func(m *relay.Message, refused []Refusal) error {
					if m.From() != "news@example.com" || !strings.Contains(content(m), "Subject: ") && test.message == bulkMessage {
						t.Errorf("%+v\n%s", m, content(m))
					}
					for _, f := range refused {
						if !strings.HasPrefix(m.Rcpt(f.Rcpt).Addr, "gone@") {
							t.Errorf("%+v", m.Rcpt(f.Rcpt))
						}
						informed = append(informed, fmt.Sprintf("%d:%d %s", f.Rcpt, f.Code, f.Enhanced))
					}
					return test.err
				}
			})
			c := r.dial()
			c.say(map[bool]string{false: "EHLO", true: "LHLO"}[test.lmtp]+" mta.example.com", "250-")
			if got := c.send(test.lmtp, test.message, strings.Fields(test.rcpts)...); !strings.HasPrefix(got[0], test.want) {
				t.Errorf("%q, want %q", got, test.want)
			}
			var passed, taken []string
			for _, d := range r.mta.Deliveries() {
				passed = append(passed, d.Rcpt)
			}
			for _, m := range r.heart.all() {
				for _, to := range m.Rcpts {
					taken = append(taken, to.Addr)
				}
			}
			if test.err != nil {
				informed = nil
			}
			slices.Sort(passed)
			for _, x := range []struct{ got, want string }{
				{strings.Join(passed, " "), test.passed}, {strings.Join(taken, " "), test.taken}, {strings.Join(informed, " "), test.informed},
			} {
				if x.got != x.want {
					t.Errorf("%q, want %q", x.got, x.want)
				}
			}
		})
	}
}
