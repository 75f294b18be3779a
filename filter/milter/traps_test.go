package milter

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	lib "github.com/emersion/go-milter"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/standin"
)

// These tests are about what go-milter does that would lose mail or state. They are numbered.

func TestTrap01VerdictKeepsTheConnection(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{Helo: "app", ClientAddr: "198.51.100.7"})
	for range 3 {
		r.send(c, plain()) // a verdict after which the library would make a new backend
		if v := r.send(c, bulk()); !v.Taken() {
			t.Fatalf("%+v", v)
		}
		got := r.taken.last(t)
		if got.Client() != "client.example.net[198.51.100.7]" || !strings.Contains(string(got.Content.Letter().Trace), "from app (") {
			t.Errorf("client %q, trace %q", got.Client(), got.Content.Letter().Trace)
		}
	}
}

func TestTrap02EachConnectionHasItsOwnSession(t *testing.T) {
	r := start(t)
	a := r.dial(standin.Options{ClientAddr: "192.0.2.1"})
	b := r.dial(standin.Options{ClientAddr: "192.0.2.2", Protocol: standin.LeadingSpace})
	r.send(a, bulk())
	if got := r.taken.last(t).Client(); got != "client.example.net[192.0.2.1]" {
		t.Errorf("first connection: %q", got)
	}
	r.send(b, bulk())
	if got := r.taken.last(t).Client(); got != "client.example.net[192.0.2.2]" {
		t.Errorf("second connection: %q", got)
	}
}

func TestTrap02AsksOnlyForWhatIsOffered(t *testing.T) {
	r := start(t, func(s *setup) { s.config.Drip = false })
	wish := uint32(knownProtocol)
	for _, offered := range []uint32{standin.LeadingSpace, standin.LeadingSpace | standin.NoHeaderReply, standin.LeadingSpace | standin.NoBodyReply, 0x1fffff} {
		c := r.dial(standin.Options{Protocol: offered}) // which refuses what was not offered
		if c.Steps() != offered&wish {
			t.Errorf("offered %#x, asked for %#x", offered, c.Steps())
		}
		if v := r.send(c, bulk()); !v.Taken() {
			t.Errorf("offered %#x: %+v", offered, v)
		}
		if v := r.send(c, plain()); v.Action != standin.Accept {
			t.Errorf("offered %#x, a letter: %+v", offered, v)
		}
	}
}

// Trap 3, the lost ESMTP parameters, is TestDSNParametersArrive; this is the path they come with.
func TestTrap03ParametersInThePathString(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{Flavor: standin.Sendmail})
	m := bulk()
	m.Rcpts = []standin.Recipient{{Addr: "a@example.net", Raw: "<a@example.net> NOTIFY=NEVER", Mailer: "esmtp"}, {Addr: "b@example.net", Raw: "b@example.net", Mailer: "esmtp"}}
	if v := r.send(c, m); !v.Taken() {
		t.Fatalf("%+v", v)
	}
	if got := r.taken.last(t).Slip.Rcpts; got[0] != (relay.Rcpt{Addr: "a@example.net", Notify: "NEVER"}) || got[1].Addr != "b@example.net" {
		t.Errorf("%+v", got)
	}
}

func TestTrap05HeaderFrameThatIsNotTwoStrings(t *testing.T) {
	for _, payload := range []string{"", "\x00", "Subject", "Subject\x00", "Subject\x00x", "a\x00b\x00c\x00", "a\x00b\x00\x00"} {
		r := start(t)
		c := r.dial(standin.Options{})
		if _, err := c.Send(edit(bulk(), func(m *standin.Message) { m.StopAt = standin.Header })); err != nil {
			t.Fatal(err)
		}
		c.Flush()
		closedAfter(t, c.NetConn(), standin.AppendFrame(nil, standin.Header, []byte(payload)...))
		r.works()
	}
}

func TestTrap06PayloadOfTheEnd(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	r.send(c, edit(bulk(), func(m *standin.Message) { m.StopAt = standin.Header }))
	c.Flush()
	closedAfter(t, c.NetConn(), standin.AppendFrame(nil, standin.EndOfBody, []byte("the rest of the body")...))
	r.works()
	if n := len(r.taken.all()); n != 1 {
		t.Errorf("%d messages taken, want that of the other connection only", n)
	}
}

func TestTrap07FieldsOfOneMessageOnly(t *testing.T) {
	for _, offered := range []uint32{0x1fffff, standin.LeadingSpace} {
		r := start(t)
		c := r.dial(standin.Options{Flavor: standin.Sendmail, Protocol: offered}) // no ABORT between
		for range 3 {
			r.send(c, bulk())
			if n := strings.Count(string(r.taken.last(t).Content.Letter().Header), "\r\n"); n != 4 {
				t.Errorf("%d fields instead of 4", n)
			}
		}
		if v := r.send(c, plain()); v.Action != standin.Accept {
			t.Errorf("a letter after newsletters: %+v", v)
		}
	}
}

func TestTrap08EmptyAndOddStrings(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	c.Flush()
	frames := standin.AppendFrame(nil, standin.Macro, 'M')                                                   // no macro at all
	frames = standin.AppendFrame(frames, standin.Macro, append([]byte{'M'}, "{auth_authen}\x00"...)...)      // a name without a value
	frames = standin.AppendFrame(frames, standin.Macro, append([]byte{'?'}, "{auth_authen}\x00x\x00"...)...) // of an unknown command
	if _, err := c.NetConn().Write(frames); err != nil {
		t.Fatal(err)
	}
	m := fields(standin.Field{Name: "X-Empty", Value: ""}, standin.Field{Name: "X-Blank", Value: " "})
	if v := r.send(c, m); !v.Taken() {
		t.Fatalf("%+v", v)
	}
	if got := string(r.taken.last(t).Content.Letter().Header); !strings.HasSuffix(got, "X-Empty:\r\nX-Blank: \r\n") {
		t.Errorf("header %q", got)
	}
}

func TestTrap10PanicIsAnswered(t *testing.T) {
	panics := true
	r := start(t, func(s *setup) {
		s.before = func(*relay.Message) error {
			if panics {
				panic("wanted panic")
			}
			return nil
		}
	})
	c := r.dial(standin.Options{})
	if v := r.send(c, bulk()); v.Action != standin.Accept || v.Stage != standin.EndOfBody {
		t.Errorf("the message at hand: %+v", v)
	}
	panics = false
	if v := r.send(c, bulk()); !v.Taken() {
		t.Errorf("the next one on the same connection: %+v", v)
	}
	if r.intake.Status().Panics != 1 || !strings.Contains(r.log.String(), "TestTrap10") {
		t.Errorf("panic not logged with its stack: %s", r.log.String())
	}
}

func TestTrap10PanicAfterAcceptKeepsTheMessage(t *testing.T) {
	r := start(t, func(s *setup) {
		s.before = func(*relay.Message) error { return nil }
	})
	s := newSession(r.intake, &r.door.phase, nil, r.door.drip)
	s.final = replyDiscard
	s.mail = r.intake.Begin(filter.Offer{}, nil)
	if got := rescued(s); got != replyAccept {
		t.Errorf("answered %+v, want accept", got)
	}
	s.mail = r.intake.Begin(filter.Offer{}, nil)
	s.mail.SetSender(filter.ParseCommand("<a@b.example>"))
	s.mail.AddRcpt(filter.ParseCommand("<c@d.example>"), filter.Hop{Routed: true})
	s.mail.Field([]byte("List-Id"), []byte(" x"))
	s.mail.EndHeader(nil)
	s.mail.Build("ESMTP")
	if s.mail.Take() == nil {
		t.Fatalf("left: %s", s.mail.Left())
	}
	if got := rescued(s); got != replyDiscard {
		t.Errorf("answered %+v, want DISCARD", got)
	}
}

// TestTrap10PanicOutsideACallback: a fault where the library does not call us, on its goroutine, ends neither the daemon nor the
// door. The message is taken, the next connection is served, and the stack is logged once.
func TestTrap10PanicOutsideACallback(t *testing.T) {
	r := start(t, func(s *setup) {
		s.heard = func() { panic("wanted panic") }
	})
	for range 3 {
		c := r.dial(standin.Options{})
		if v := r.send(c, bulk()); !v.Taken() {
			t.Fatalf("%+v", v)
		}
		c.Close()
		for end := time.Now().Add(10 * time.Second); r.door.Sessions() > 0 && time.Now().Before(end); {
			time.Sleep(time.Millisecond)
		}
	}
	if n := r.intake.Status().Panics; n < 3 || strings.Count(r.log.String(), " [running]") != 1 {
		t.Errorf("%d panics: %s", n, r.log.String())
	}
}

// rescued is the answer to the end of a message when handling it panics.
func rescued(s *session) (r *reply) {
	defer s.rescue(lib.CodeEOB, &r)
	panic("wanted panic")
}

func TestTrap11ClientSurvivesRepeatedHelloAndAbort(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{Helo: "app"})
	r.send(c, plain())
	if err := c.Hello(); err != nil {
		t.Fatal(err)
	}
	c.Reset()
	c.Reset()
	if v := r.send(c, bulk()); !v.Taken() {
		t.Fatalf("%+v", v)
	}
	if got := r.taken.last(t); !strings.Contains(string(got.Content.Letter().Trace), "from app (client.example.net [192.0.2.25])") {
		t.Errorf("trace %q", got.Content.Letter().Trace)
	}
}

func TestTrap12FewReadsAndWrites(t *testing.T) {
	r := start(t)
	ours, theirs := net.Pipe()
	counted := &counting{Conn: theirs}
	r.net.conns <- counted
	c, err := standin.New(ours, standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	m := bulk()
	for range 20 {
		m.Header = append(m.Header, standin.Field{Name: "X-More", Value: " of them"})
	}
	m.Rcpts = append(standin.To("b@x.example", "c@x.example", "d@x.example"), standin.Recipient{Addr: "l@x.example", Mailer: "local"})
	reads, writes := counted.reads.Load(), counted.writes.Load()
	if v := r.send(c, m); len(v.Deleted) != 3 {
		t.Fatalf("%+v", v)
	}
	// 4 RCPT, the header and the end of the message are answered: 6 writes, the last with three deletions.
	reads, writes = counted.reads.Load()-reads, counted.writes.Load()-writes
	if writes != 6 || reads > 6 {
		t.Errorf("%d writes and %d reads", writes, reads)
	}
}

// counting counts calls.
type counting struct {
	net.Conn
	reads, writes atomic.Int32
}

func (c *counting) Read(p []byte) (int, error) {
	c.reads.Add(1)
	return c.Conn.Read(p)
}

func (c *counting) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func TestMacrosOfTheSecondMessage(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	first := edit(bulk(), func(m *standin.Message) {
		m.QueueID, m.SASLUser = "FIRST1", "alice"
		m.Rcpts[0].Mailer = "smtp"
	})
	second := edit(bulk(), func(m *standin.Message) {
		m.QueueID = "SECOND"
		m.Rcpts[0].Mailer = "local"
	})
	r.send(c, first)
	if got := r.taken.last(t); got.QueueID() != "FIRST1" || !strings.Contains(string(got.Content.Letter().Trace), "with ESMTPA id FIRST1") {
		t.Errorf("first: %q, trace %q", got.QueueID(), got.Content.Letter().Trace)
	}
	if v := r.send(c, second); v.Action != standin.Accept {
		t.Errorf("a local recipient: %+v", v)
	}
	second.Rcpts[0].Mailer = "smtp"
	r.send(c, second)
	if got := r.taken.last(t); got.QueueID() != "SECOND" || !strings.Contains(string(got.Content.Letter().Trace), "with ESMTP id SECOND") {
		t.Errorf("second: %q, trace %q", got.QueueID(), got.Content.Letter().Trace)
	}
}

func TestStaleRecipientMacroIsNotUsed(t *testing.T) {
	r := start(t, func(s *setup) { s.filter.WithoutMailer = true })
	c := r.dial(standin.Options{})
	m := bulk()
	// The second recipient comes without a macro frame: that of the first must not speak for it.
	m.Rcpts = []standin.Recipient{{Addr: "l@x.example", Mailer: "local"}, {Addr: "l@localhost", Mailer: ""}, {Addr: "a@x.example", Mailer: ""}}
	if v := r.send(c, m); v.Action != standin.Accept || len(v.Deleted) != 1 || v.Deleted[0] != "<a@x.example>" {
		t.Errorf("%+v", v)
	}
}

func TestIPv6ClientOfSendmail(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{Flavor: standin.Sendmail, ClientAddr: "2001:db8::25"})
	r.send(c, bulk())
	got := r.taken.last(t)
	if got.Client() != "client.example.net[2001:db8::25]" || !strings.Contains(string(got.Content.Letter().Trace), "[IPv6:2001:db8::25])") {
		t.Errorf("client %q, trace %q", got.Client(), got.Content.Letter().Trace)
	}
}

// closedAfter writes what no MTA sends, and expects the door to hang up and nothing else.
func closedAfter(t *testing.T, nc net.Conn, b []byte) {
	t.Helper()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	go nc.Write(b) // the door may hang up before it has read all of it
	rest, err := io.ReadAll(nc)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Errorf("not closed: %v", err)
	}
	if len(rest) > 0 {
		t.Errorf("answered %q", rest)
	}
}

// offerFrame is an MTA's first frame.
func offerFrame(version, actions, protocol uint32) []byte {
	var b []byte
	for _, v := range []uint32{version, actions, protocol} {
		b = binary.BigEndian.AppendUint32(b, v)
	}
	return standin.AppendFrame(nil, standin.Negotiate, b...)
}
