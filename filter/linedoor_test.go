package filter

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// lineDoor is a door that is no milter. It is given whole dialogues in lines, as SMTP and LMTP have them. That it needs
// nothing but Intake and Mail is what it proves.
type lineDoor struct {
	in     *Intake
	client Offer
	mailer string // what the MTA says about every recipient
	lmtp   bool   // an answer for each recipient, so that a message may be taken for some of them
	deaf   bool   // the MTA hangs up before it hears the answer
	last   *Mail
}

// send plays one dialogue and returns the answer: "STAGE: reason" for a message left, "taken ID", or for LMTP a word
// for each recipient.
func (d *lineDoor) send(script string) string {
	if d.in.Hopeless(&d.client) {
		return "CONNECT"
	}
	m := d.in.Begin(d.client, d.last)
	defer func() { m.Dismiss(); d.last = m }()
	for line := range strings.SplitSeq(script, "\n") {
		stage := d.digest(m, line)
		if m.Left() != "" {
			m.ReportLeft()
			return stage + ": " + m.Left()
		}
		if stage == "DOT" {
			break
		}
	}
	return d.answer(m)
}

// digest looks at the line's first word, as a server does at the verb.
func (d *lineDoor) digest(m *Mail, line string) (stage string) {
	stage, rest, _ := strings.Cut(line, " ")
	switch stage {
	case "MAIL":
		m.SetSender(ParseCommand(rest))
	case "RCPT":
		m.AddRcpt(ParseCommand(rest), Hop{Routed: d.mailer == "", Mailer: d.mailer})
	case "H":
		m.HeaderLine([]byte(rest))
	case "EOH":
		m.EndHeader(func() string {
			if m.Partial() && !d.lmtp {
				return "one answer for all recipients"
			}
			return ""
		})
	case "B":
		m.AppendBody([]byte(rest + "\r\n"))
	case "ID":
		m.SetQueueID(rest)
	case "DOT":
		m.Build(Protocol(m.UTF8(), false, false))
		if m.Left() == "" {
			if msg := m.Take(); msg != nil {
				d.in.NoteHeard(msg, !d.deaf)
			}
		}
	}
	return stage
}

func (d *lineDoor) answer(m *Mail) string {
	if !m.Taken() {
		return "not ended"
	}
	if !d.lmtp {
		return "taken " + m.message.Name()
	}
	var each []string
	for addr, ours := range m.Rcpts() {
		each = append(each, map[bool]string{true: "ours ", false: "yours "}[ours]+addr)
	}
	return strings.Join(each, ", ")
}

// heart is an Accepter.
type heart struct {
	mu    sync.Mutex
	err   error
	taken []*relay.Message
	heard []bool
}

func (h *heart) Accept(m *relay.Message) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.err != nil {
		return h.err
	}
	if err := keep(m); err != nil {
		return err
	}
	h.taken = append(h.taken, m)
	return nil
}

// keep checks the form that the door has found, and makes the content the message's own as the heart does: the door's buffers hold the
// next message soon.
func keep(m *relay.Message) error {
	c := m.Content
	if found := smtp.FormOf(c.Pieces()); found != c.Form() {
		return fmt.Errorf("the door has found the form %+v, and it is %+v", c.Form(), found)
	}
	l := *c.Letter()
	l.Trace, l.Header, l.Body = bytes.Clone(l.Trace), bytes.Clone(l.Header), bytes.Clone(l.Body)
	m.Content = relay.NewContent(l)
	return nil
}

func (h *heart) Heard(_ *relay.Message, heard bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, heard)
}

// site is an intake with what stands around it.
type site struct {
	in    *Intake
	heart *heart
	log   *bytes.Buffer
}

func wideLimits() Limits { return Limits{Rcpts: 100, HeaderBytes: 10_000, Buffered: 1 << 20} }

func newSite(t testing.TB, mode string, limits Limits, rules ...Rule) *site {
	t.Helper()
	s := &site{heart: &heart{}, log: &bytes.Buffer{}}
	var ids atomic.Uint64
	in, err := NewIntake(limits, mode, Deps{
		Accept: s.heart, NewID: func() relay.ID { return relay.ID(ids.Add(1)) }, Filter: compile(t, rules...),
		Sendable: smtp.Form.Sendable,
		Log:      hclog.New(&hclog.LoggerOptions{Output: s.log, Level: hclog.Debug}),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.in = in
	return s
}

// newsletter is a dialogue; more stands behind its header.
func newsletter(more ...string) string {
	return strings.Join(append([]string{
		"MAIL <news@example.com> SIZE=500 BODY=8BITMIME", "RCPT <a@example.net>", "H Subject: hi", "H List-Id:", "H  <l.example.com>", "EOH",
	}, more...), "\n")
}

var end = []string{"B Hello,", "B world.", "DOT"}

func TestALineDoorTakes(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	d := &lineDoor{in: s.in, client: Offer{ClientName: "app", Helo: "app.local"}}
	if got := d.send(newsletter(append([]string{"ID 4bXyZ1"}, end...)...)); got != "taken 4bXyZ1" {
		t.Fatalf("%s\n%s", got, s.log)
	}
	m := s.heart.taken[0]
	if string(m.Content.Letter().Header) != "Subject: hi\r\nList-Id:\r\n <l.example.com>\r\n" || string(m.Content.Body()) != "Hello,\r\nworld.\r\n" {
		t.Errorf("header %q, body %q", m.Content.Letter().Header, m.Content.Body())
	}
	if m.From() != "news@example.com" || m.RcptCount() != 1 || m.Rcpt(0).Addr != "a@example.net" || m.Rule() != "list-id" || m.Client() != "app[unknown]" || m.Content.Form().Traits.Has(smtp.EightBit) {
		t.Errorf("%+v", m)
	}
	if !strings.HasPrefix(string(m.Content.Letter().Trace), "Received: from app.local (app [unknown])\r\n\tby mx.example.org (Millrace) with ESMTP id 4bXyZ1\r\n\tfor <a@example.net>;") {
		t.Errorf("trace %q", m.Content.Letter().Trace)
	}
	if c := s.in.Status(); c.Taken != 1 || c.Seen() != 1 || c.Passed() != 0 || c.Buffered != 0 {
		t.Errorf("%+v", c)
	}
	if len(s.heart.heard) != 1 || !s.heart.heard[0] {
		t.Errorf("heard %v", s.heart.heard)
	}
}

func TestALineDoorLeaves(t *testing.T) {
	bulk := newsletter(end...)
	with := func(old, new string) string { return strings.Replace(bulk, old, new, 1) }
	narrow := func(change func(*Limits)) Limits { l := wideLimits(); change(&l); return l }
	for _, tt := range []struct {
		name   string
		script string
		limits Limits
		door   lineDoor
		err    error // of Accept
		want   string
		counts Status
	}{
		{name: "null sender", script: with("news@example.com", ""), want: "MAIL: null sender", counts: Status{PassedMail: 1}},
		{name: "announced too large", script: with("SIZE=500", "SIZE=99999999999"), want: "MAIL: over size_limit", counts: Status{PassedMail: 1}},
		{name: "no rule", script: with("List-Id", "X-Id"), want: "EOH: no rule matches", counts: Status{PassedHeader: 1}},
		{name: "unknown parameter of MAIL", script: with("BODY=8BITMIME", "REQUIRETLS"), want: `MAIL: unknown parameter "REQUIRETLS"`, counts: Status{Left: 1}},
		{name: "unknown parameter of RCPT", script: with("<a@example.net>", "<a@example.net> X=1"), want: `RCPT: unknown parameter "X=1"`, counts: Status{Left: 1}},
		{name: "source route", script: with("<a@", "<@x:a@"), want: "RCPT: recipient: source route", counts: Status{Left: 1}},
		{name: "no end of the path", script: with("<news@example.com>", "<news@example.com"), want: "MAIL: sender: no end of the path", counts: Status{Left: 1}},
		{name: "barred client", script: bulk, door: lineDoor{client: Offer{Barred: "too many"}}, want: "CONNECT", counts: Status{PassedConnect: 1}},
		{name: "nobody to take", script: bulk, door: lineDoor{mailer: "local"}, want: "EOH: no recipient may be taken", counts: Status{Left: 1}},
		{name: "the door's own obstacle", script: with("H Sub", "RCPT <b@localhost>\nH Sub"), want: "EOH: one answer for all recipients", counts: Status{Left: 1}},
		{name: "too many recipients", script: with("H Sub", "RCPT <b@example.net>\nH Sub"), limits: narrow(func(l *Limits) { l.Rcpts = 1 }), want: "RCPT: over max_rcpts", counts: Status{Left: 1}},
		{name: "header too large", script: bulk, limits: narrow(func(l *Limits) { l.HeaderBytes = 20 }), want: "H: over max_header_bytes", counts: Status{Left: 1}},
		{name: "no memory for a recipient", script: bulk, limits: narrow(func(l *Limits) { l.Buffered = 50 }), want: "RCPT: over max_buffered", counts: Status{Left: 1}},
		{name: "no memory for the body", script: bulk, limits: narrow(func(l *Limits) { l.Buffered = 130 }), want: "B: over max_buffered", counts: Status{Left: 1}},
		{name: "line that is no field", script: with("H Subject: hi", "H Subject"), want: "H: malformed header field", counts: Status{Left: 1}},
		{name: "continuation of nothing", script: with("H Subject: hi", "H  Subject: hi"), want: "H: malformed header field", counts: Status{Left: 1}},
		{name: "empty line in the header", script: with("H Subject: hi", "H "), want: "H: malformed header field", counts: Status{Left: 1}},
		{name: "header behind its end", script: with("B Hello", "H X: y\nB Hello"), want: "H: commands out of order", counts: Status{Left: 1}},
		{name: "body before the header's end", script: with("EOH\n", ""), want: "B: commands out of order", counts: Status{Left: 1}},
		{name: "end before the header's end", script: "MAIL <a@b.example>\nRCPT <c@d.example>\nDOT", want: "DOT: commands out of order", counts: Status{Left: 1}},
		{name: "not sendable", script: with("Hello", "He\x00o"), want: "DOT: not sendable byte for byte: content has a NUL byte", counts: Status{Left: 1}},
		{name: "full", script: bulk, err: relay.ErrFull, want: "DOT: not accepted: queue map is full", counts: Status{Left: 1, Full: 1}},
		{name: "closed", script: bulk, err: relay.ErrClosed, want: "DOT: not accepted: queue map is closed", counts: Status{Left: 1, Full: 1}},
		{name: "disk", script: bulk, err: errors.New("disk on fire"), want: "DOT: not accepted: disk on fire", counts: Status{Left: 1}},
		{name: "aborted", script: newsletter(), want: "not ended"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.limits == (Limits{}) {
				tt.limits = wideLimits()
			}
			s := newSite(t, Deliver, tt.limits)
			s.heart.err = tt.err
			tt.door.in = s.in
			if got := tt.door.send(tt.script); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
			got := s.in.Status()
			if got.LeftBy = (LeftBy{}); got != tt.counts { // TestLeftIsCountedByCause has LeftBy
				t.Errorf("%+v, want %+v", got, tt.counts)
			}
			if len(s.heart.taken)+len(s.heart.heard) > 0 {
				t.Errorf("%d taken, %d heard of", len(s.heart.taken), len(s.heart.heard))
			}
			if logs := strings.Contains(s.log.String(), "disk on fire"); logs != (tt.name == "disk") {
				t.Errorf("log %s", s.log)
			}
		})
	}
}

func TestALineDoorTakesForSome(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	d := &lineDoor{in: s.in, lmtp: true}
	script := strings.Replace(newsletter(end...), "H Sub", "RCPT <b@localhost>\nRCPT <A@example.net> NOTIFY=NEVER\nRCPT <c@example.org>\nH Sub", 1)
	if got := d.send(script); got != "ours a@example.net, yours b@localhost, ours A@example.net, ours c@example.org" {
		t.Errorf("%s\n%s", got, s.log)
	}
	if got := fmt.Sprint(s.heart.taken[0].Slip.Rcpts); got != "[{a@example.net  } {c@example.org  }]" {
		t.Errorf("taken for %s", got)
	}
	if strings.Contains(string(s.heart.taken[0].Content.Letter().Trace), "for <") {
		t.Errorf("one recipient learns of another: %q", s.heart.taken[0].Content.Letter().Trace)
	}
}

func TestObserve(t *testing.T) {
	s := newSite(t, Observe, wideLimits())
	if got := (&lineDoor{in: s.in}).send(newsletter(end...)); got != "EOH: observe mode" {
		t.Error(got)
	}
	if c := s.in.Status(); c != (Status{Observed: 1}) || c.Seen() != 1 {
		t.Errorf("%+v", c)
	}
	for _, c := range s.in.Filter().Status() {
		if c.Rule == "list-id" && c != (RuleStatus{Rule: "list-id", Chosen: 1, WouldTake: 1}) {
			t.Errorf("%+v", c)
		}
	}
	if !strings.Contains(s.log.String(), "would take: id=\"\" from=news@example.com rule=list-id nrcpt=1 of=1") {
		t.Errorf("log %s", s.log)
	}
}

// FuzzLineDoor plays any dialogue. Whatever comes: no panic, no memory kept, and nothing taken that could not be sent.
func FuzzLineDoor(f *testing.F) {
	f.Add(newsletter(end...))
	f.Add(newsletter("ID a b", "B x", "H y: z", "DOT", "DOT"))
	f.Add("RCPT <a@b.example>\nMAIL <\nEOH\nDOT")
	f.Add("MAIL <a@b.example>\nMAIL <>\nRCPT <c@d.example>\nH List-Id: x\nEOH\nEOH\nDOT")
	f.Fuzz(func(t *testing.T, script string) {
		s := newSite(t, Deliver, Limits{Rcpts: 5, HeaderBytes: 200, Buffered: 600})
		d := &lineDoor{in: s.in, lmtp: true}
		d.send(script)
		d.send(newsletter(end...))
		if c := s.in.Status(); c.Buffered != 0 || c.Panics != 0 || c.Taken == 0 {
			t.Errorf("%+v", c)
		}
		for _, m := range s.heart.taken {
			if m.From() == "" || m.RcptCount() == 0 || m.Rule() == "" || bytes.Contains(m.Content.Letter().Header, []byte("\r\n\r\n")) || !bytes.HasSuffix(m.Content.Letter().Header, []byte("\r\n")) {
				t.Errorf("taken: %+v", m)
			}
		}
	})
}
