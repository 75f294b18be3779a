package filter

import (
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/go-hclog"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

func TestNewIntakeRefuses(t *testing.T) {
	good := Deps{
		Accept: &heart{}, NewID: func() relay.ID { return 1 }, Filter: compile(t),
		Sendable: func(smtp.Form) error { return nil }, Log: hclog.NewNullLogger(),
	}
	if _, err := NewIntake(wideLimits(), Deliver, good); err != nil {
		t.Error(err)
	}
	without := func(change func(*Deps)) Deps { d := good; change(&d); return d }
	for _, tt := range []struct {
		limits Limits
		mode   string
		deps   Deps
		want   string
	}{
		{wideLimits(), "on", good, `mode: "on" is neither "observe" nor "deliver"`},
		{Limits{Rcpts: 1, HeaderBytes: 1}, Deliver, good, "less than 1"},
		{wideLimits(), Deliver, without(func(d *Deps) { d.Accept = nil }), "incomplete Deps"},
		{wideLimits(), Deliver, without(func(d *Deps) { d.NewID = nil }), "incomplete Deps"},
		{wideLimits(), Deliver, without(func(d *Deps) { d.Filter = nil }), "incomplete Deps"},
		{wideLimits(), Deliver, without(func(d *Deps) { d.Sendable = nil }), "incomplete Deps"},
		{wideLimits(), Deliver, without(func(d *Deps) { d.Log = nil }), "incomplete Deps"},
	} {
		if _, err := NewIntake(tt.limits, tt.mode, tt.deps); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
}

// A message is decided by the filter it began with, and its successor by the new one.
func TestReload(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	d := &lineDoor{in: s.in}
	m := s.in.Begin(d.client, nil)
	s.in.Reload(compile(t, Rule{Header: "X-Other"}), nil, Deliver)
	for line := range strings.SplitSeq(newsletter(end...), "\n") {
		d.digest(m, line)
	}
	if !m.Taken() {
		t.Errorf("left: %s", m.Left())
	}
	m.Dismiss()
	if got := d.send(newsletter(end...)); got != "EOH: no rule matches" {
		t.Error(got)
	}
}

func TestMayBeDeliveredTwice(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	if got := (&lineDoor{in: s.in, deaf: true}).send(newsletter(end...)); got != "taken 1" {
		t.Error(got)
	}
	if len(s.heart.heard) != 1 || s.heart.heard[0] || !strings.Contains(s.log.String(), "may be delivered twice: id=1") {
		t.Errorf("heard %v, log %s", s.heart.heard, s.log)
	}
}

// An id is for the log: one that would break a line is none.
func TestQueueID(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	m := s.in.Begin(Offer{}, nil)
	for _, tt := range []struct{ set, want string }{
		{"", ""}, {"a\nb", ""}, {"4bXyZ1", "4bXyZ1"}, {"", "4bXyZ1"}, {"a b", "4bXyZ1"}, {"a:b", "4bXyZ1"}, {"n\xc3\xb6", "4bXyZ1"}, {"Q2", "Q2"},
	} {
		if m.SetQueueID(tt.set); m.queueID != tt.want {
			t.Errorf("after %q: %q, want %q", tt.set, m.queueID, tt.want)
		}
	}
}

// The first reason counts. What had come by then stays until it is dropped, and nothing is added.
func TestLeaveOnce(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	d := &lineDoor{in: s.in}
	m := s.in.Begin(Offer{}, nil)
	d.digest(m, "MAIL <a@b.example>")
	d.digest(m, "RCPT <c@d.example>")
	d.digest(m, "H X: y")
	m.Leave("one")
	m.Leave("two")
	for _, line := range []string{"RCPT <e@f.example>", "H List-Id: x", "EOH", "B x", "DOT"} {
		d.digest(m, line)
	}
	if m.Left() != "one" || m.Taken() || string(m.RawHeader()) != "X: y\r\n" || m.RawBody() != nil || s.in.Status().Buffered == 0 {
		t.Errorf("left %q, taken %v, header %q, %+v", m.Left(), m.Taken(), m.RawHeader(), s.in.Status())
	}
	if m.DropContent(); len(m.RawHeader()) != 0 || s.in.Status().Buffered != 0 {
		t.Errorf("header %q, %+v", m.RawHeader(), s.in.Status())
	}
}

// The memory of a message goes on to the next, and no message keeps it. What a large one has grown is let go, and nothing that was known
// of a message is known of the next.
func TestMemoryIsLent(t *testing.T) {
	s := newSite(t, Deliver, Limits{Rcpts: keepRcpts + 1, HeaderBytes: 1 << 20, Buffered: 1 << 20})
	d := &lineDoor{in: s.in, client: Offer{ClientName: "app.example"}}
	for i, name := range []string{"one", "two"} {
		before := d.last
		d.send(strings.Replace(newsletter(end...), "hi", name, 1))
		if got := string(s.heart.taken[i].Content.Letter().Header); !strings.Contains(got, "Subject: "+name) {
			t.Errorf("header %q", got)
		}
		if before != nil && d.last != before {
			t.Error("the memory of the first message is not lent to the second")
		}
	}
	if got := string(s.heart.taken[0].Content.Letter().Header); !strings.Contains(got, "Subject: one") {
		t.Errorf("the first message has %q", got)
	}
	m := d.last
	if cap(m.content.header) == 0 || cap(m.content.trace) == 0 || cap(m.rcpts) == 0 || m.rcpts[:1][0] != (recipient{}) || m.client.text != "app.example[unknown]" {
		t.Errorf("%+v", m)
	}
	rest := *m
	rest.content, rest.rcpts, rest.client = content{}, nil, client{}
	if !reflect.DeepEqual(rest, Mail{}) {
		t.Errorf("behind its end a message is still %+v", rest)
	}
	many := strings.Repeat("RCPT <a@b.example>\n", keepRcpts) + "RCPT"
	d.send(strings.Replace(strings.Replace(newsletter(end...), "hi", strings.Repeat("x", 100_000), 1), "RCPT", many, 1))
	if m := d.last; cap(m.content.header) != 0 || cap(m.rcpts) != 0 {
		t.Errorf("kept: %d bytes of header, %d recipients", cap(m.content.header), cap(m.rcpts))
	}
	d.client.ClientName = "other.example"
	d.send(newsletter(end...))
	if got := s.heart.taken[len(s.heart.taken)-1].Client(); got != "other.example[unknown]" {
		t.Errorf("client %q", got)
	}
}

// A door that sends a left message on needs all that came before: a field or a piece that was refused is not in it.
func TestLeftContentCanBeSentOn(t *testing.T) {
	s := newSite(t, Deliver, Limits{Rcpts: 1, HeaderBytes: 500, Buffered: 120})
	d := &lineDoor{in: s.in}
	for _, tt := range []struct{ last, left, header, body string }{
		{"H bad", "malformed header field", "List-Id: x\r\n", ""},
		{"H X: " + strings.Repeat("y", 600), "over max_header_bytes", "List-Id: x\r\n", ""},
		{"H X: " + strings.Repeat("y", 100), "over max_buffered", "List-Id: x\r\n", ""},
		{"EOH\nB one\nB " + strings.Repeat("y", 100), "over max_buffered", "List-Id: x\r\n", "one\r\n"},
		{"EOH\nB \x00\nDOT", "not sendable byte for byte: content has a NUL byte", "List-Id: x\r\n", "\x00\r\n"},
	} {
		m := s.in.Begin(Offer{}, nil)
		for line := range strings.SplitSeq("MAIL <a@b.example>\nRCPT <c@d.example>\nH List-Id: x\n"+tt.last, "\n") {
			d.digest(m, line)
		}
		if m.Left() != tt.left || string(m.RawHeader()) != tt.header || string(m.RawBody()) != tt.body {
			t.Errorf("%.20q: left %q, header %q, body %q", tt.last, m.Left(), m.RawHeader(), m.RawBody())
		}
		m.Dismiss()
	}
	m := s.in.Begin(Offer{}, nil)
	m.Field([]byte("X"), []byte(" one\nY: two"))
	if m.Left() != "malformed header field" || len(m.RawHeader()) != 0 {
		t.Errorf("left %q, header %q", m.Left(), m.RawHeader())
	}
	m.Dismiss()
	if c := s.in.Status(); c.Buffered != 0 {
		t.Errorf("%+v", c)
	}
}

// A door that reads straight into the message gets a buffer of the right size.
func TestBodyRoom(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	for _, tt := range []struct {
		n    int
		more bool
		want int
	}{{100, false, 100}, {100, true, 5000 - len("List-Id: x\r\n")}, {6000, true, 6000}} {
		m := s.in.Begin(Offer{}, nil)
		m.SetSender(ParseCommand("<a@b.example> SIZE=5000"))
		m.AddRcpt(ParseCommand("<c@d.example>"), Hop{Routed: true})
		m.HeaderLine([]byte("List-Id: x"))
		m.EndHeader(nil)
		dst, ok := m.BodyRoom(tt.n, tt.more)
		if !ok || len(dst) != 0 || cap(dst) != tt.want {
			t.Errorf("%d bytes, more %v: room of %d, want %d; %s", tt.n, tt.more, cap(dst), tt.want, m.Left())
		}
		m.SetBody(append(dst, 'x'))
		if m.Build("ESMTP"); string(m.message.Content.Body()) != "x" {
			t.Errorf("body %q", m.message.Content.Body())
		}
		m.Dismiss()
	}
	if c := s.in.Status(); c.Buffered != 0 {
		t.Errorf("%+v", c)
	}
}

// All sessions of a door share one budget.
func TestSharedBudget(t *testing.T) {
	s := newSite(t, Deliver, Limits{Rcpts: 10, HeaderBytes: 1000, Buffered: 1000})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				m := s.in.Begin(Offer{}, nil)
				m.SetSender(ParseCommand("<a@b.example>"))
				m.AddRcpt(ParseCommand("<c@d.example>"), Hop{Routed: true})
				m.HeaderLine([]byte("List-Id: " + strings.Repeat("x", 200)))
				m.Dismiss()
			}
		})
	}
	wg.Wait()
	if c := s.in.Status(); c.Buffered != 0 {
		t.Errorf("%+v", c)
	}
}

func TestNotes(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	for range 3 {
		s.in.NoteBroken("connection closed", "error", "x")
	}
	s.in.NotePanic("wanted", []byte("stack"))
	if c := s.in.Status(); c.BadConnections != 3 || c.Panics != 1 {
		t.Errorf("%+v", c)
	}
	if log := s.log.String(); strings.Count(log, "connection closed") != 1 || !strings.Contains(log, "panic=wanted") {
		t.Errorf("log %s", log)
	}
}
