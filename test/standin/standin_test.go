package standin

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

// fake is a filter that answers by a script and records the frames it gets.
type fake struct {
	actions, steps uint32
	symbols        string            // list of macros, as on the wire
	answers        map[byte][][]byte // frames to send for each command; Continue when there are none
	silent         string            // commands that are not answered
	seen           []string
}

// serve ends when the other side closes.
func (f *fake) serve(nc net.Conn, ended chan<- struct{}) {
	defer close(ended)
	defer nc.Close()
	for {
		code, payload, err := ReadFrame(nc)
		if err != nil {
			return
		}
		f.seen = append(f.seen, fmt.Sprintf("%c %q", code, payload))
		switch {
		case code == Negotiate:
			var b []byte
			for _, v := range []uint32{2, f.actions, f.steps} {
				b = binary.BigEndian.AppendUint32(b, v)
			}
			nc.Write(AppendFrame(nil, Negotiate, append(b, f.symbols...)...))
		case code == Macro || code == Abort || code == Quit || strings.IndexByte(f.silent, code) >= 0:
		case f.answers[code] != nil:
			for _, frame := range f.answers[code] {
				nc.Write(frame)
			}
		default:
			nc.Write(AppendFrame(nil, Continue))
		}
	}
}

// dial connects to the fake; wait returns the frames that the fake got.
func (f *fake) dial(o Options) (c *Conn, wait func() []string, err error) {
	ours, theirs := net.Pipe()
	ended := make(chan struct{})
	go f.serve(theirs, ended) // ends when ours is closed
	o.Timeout = 10 * time.Second
	c, err = New(ours, o)
	return c, func() []string { ours.Close(); <-ended; return f.seen }, err
}

func message() *Message {
	return &Message{
		QueueID: "Q1", From: "a@b.example", MailArgs: []string{"SIZE=5"}, SASLUser: "user",
		Rcpts:  []Recipient{{Addr: "c@d.example", Mailer: "smtp", Args: []string{"NOTIFY=NEVER"}}, {Addr: "e@f.example", Mailer: "local"}},
		Header: []Field{{"Subject", " x"}, {"X-Empty", ""}}, Body: []byte("hello"),
	}
}

func stage(n uint32, names string) string {
	return string(binary.BigEndian.AppendUint32(nil, n)) + names + "\x00"
}

func TestDialogue(t *testing.T) {
	symbols := stage(0, "v {client_addr}") + stage(2, "{auth_authen}") + stage(3, "{rcpt_mailer}") + stage(5, "i") + stage(6, "i j")
	for _, tt := range []struct {
		name    string
		filter  fake
		options Options
		want    string
	}{
		{
			"Postfix", fake{actions: ActSetSymList, steps: NoHeaderReply | NoBodyReply | NoData | LeadingSpace, symbols: symbols, silent: "LB"},
			Options{ClientAddr: "2001:db8::1", ChunkSize: 3},
			`D "Cv\x00Postfix 3.7.11\x00{client_addr}\x00IPv6:2001:db8::1\x00"
C "client.example.net\x006\xc3P2001:db8::1\x00"
H "client.example.net\x00"
D "M{auth_authen}\x00user\x00"
M "<a@b.example>\x00SIZE=5\x00"
D "R{rcpt_mailer}\x00smtp\x00"
R "<c@d.example>\x00NOTIFY=NEVER\x00"
D "R{rcpt_mailer}\x00local\x00"
R "<e@f.example>\x00"
D "Li\x00Q1\x00j\x00mx.example.org\x00"
L "Subject\x00 x\x00"
D "Li\x00Q1\x00j\x00mx.example.org\x00"
L "X-Empty\x00\x00"
D "Ni\x00Q1\x00j\x00mx.example.org\x00"
N ""
D "Bi\x00Q1\x00"
B "hel"
D "Bi\x00Q1\x00"
B "lo"
D "Ei\x00Q1\x00"
E ""
A ""
Q ""`,
		},
		{
			"Sendmail with its own macros, answering everything", fake{},
			Options{Flavor: Sendmail, ClientAddr: "2001:db8::1"},
			`D "Cj\x00mx.example.org\x00{daemon_name}\x00smtpd\x00"
C "client.example.net\x006\xc3PIPv6:2001:db8::1\x00"
H "client.example.net\x00"
D "Mi\x00Q1\x00{auth_type}\x00PLAIN\x00{auth_authen}\x00user\x00{auth_author}\x00user\x00{mail_addr}\x00a@b.example\x00"
M "<a@b.example>\x00SIZE=5\x00"
D "Ri\x00Q1\x00{rcpt_addr}\x00c@d.example\x00{rcpt_host}\x00d.example\x00{rcpt_mailer}\x00smtp\x00"
R "<c@d.example>\x00NOTIFY=NEVER\x00"
D "Ri\x00Q1\x00{rcpt_addr}\x00e@f.example\x00{rcpt_host}\x00f.example\x00{rcpt_mailer}\x00local\x00"
R "<e@f.example>\x00"
T ""
L "Subject\x00x\x00"
L "X-Empty\x00\x00"
N ""
B "hello"
E ""
Q ""`,
		},
		{
			"Sendmail forgets the macros of the end without those of the header's", fake{actions: ActSetSymList, steps: NoConnect | NoHelo | NoMail | NoRcpt | NoData | NoHeaders | NoEOH | NoBody, symbols: stage(5, "i")},
			Options{Flavor: Sendmail}, "E \"\"\nQ \"\"",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, wait, err := tt.filter.dial(tt.options)
			if err != nil {
				t.Fatal(err)
			}
			v, err := c.Send(message())
			if err != nil || v.Action != Continue {
				t.Errorf("%+v, %v", v, err)
			}
			if err := c.Close(); err != nil {
				t.Error(err)
			}
			if got := strings.Join(wait()[1:], "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestVerdicts(t *testing.T) {
	one := func(code byte, text string) [][]byte { return [][]byte{AppendFrame(nil, code, []byte(text)...)} }
	for _, tt := range []struct {
		name    string
		answers map[byte][][]byte
		want    Verdict
	}{
		{"nothing said", nil, Verdict{Action: Continue, Stage: EndOfBody, Sent: 5}},
		{"accepted at MAIL", map[byte][][]byte{Mail: one(Accept, "")}, Verdict{Action: Accept, Stage: Mail}},
		{"put off at MAIL", map[byte][][]byte{Mail: one(ReplyCode, "421 4.3.2 later\x00")}, Verdict{Action: ReplyCode, Stage: Mail, Text: "421 4.3.2 later"}},
		{"recipients refused", map[byte][][]byte{Rcpt: one(Reject, "")}, Verdict{Action: Continue, Stage: EndOfBody, Rejected: []int{0, 1}, Sent: 5}},
		{"discarded at the header's end", map[byte][][]byte{EndOfHeader: one(Discard, "")}, Verdict{Action: Discard, Stage: EndOfHeader}},
		{"a recipient deleted, after a while", map[byte][][]byte{EndOfBody: {AppendFrame(nil, Progress), AppendFrame(nil, Progress), AppendFrame(nil, DelRcpt, []byte("<c@d.example>\x00")...), AppendFrame(nil, 'h', 'x'), AppendFrame(nil, Accept)}},
			Verdict{Action: Accept, Stage: EndOfBody, Deleted: []string{"<c@d.example>"}, Changed: []byte{'h'}, Progress: 2, Sent: 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := fake{answers: tt.answers}
			c, wait, err := f.dial(Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer wait()
			for range 2 {
				got, err := c.Send(message())
				if err != nil || fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", tt.want) {
					t.Errorf("%+v, %v; want %+v", got, err, tt.want)
				}
				if got.Taken() != (tt.want.Action == Discard) {
					t.Error("Taken is wrong")
				}
			}
		})
	}
}

func TestFilterAcceptsTheConnection(t *testing.T) {
	f := fake{answers: map[byte][][]byte{Connect: {AppendFrame(nil, Accept)}}}
	c, wait, err := f.dial(Options{})
	if err != nil || !c.Passed() {
		t.Fatalf("passed %v, %v", c.Passed(), err)
	}
	if v, err := c.Send(message()); err != nil || v.Action != Accept || v.Stage != Connect {
		t.Errorf("%+v, %v", v, err)
	}
	if seen := wait(); len(seen) != 3 {
		t.Errorf("asked on: %q", seen)
	}
}

func TestFaultsOfTheFilter(t *testing.T) {
	one := func(code byte, text string) map[byte][][]byte {
		return map[byte][][]byte{Mail: {AppendFrame(nil, code, []byte(text)...)}}
	}
	for _, tt := range []struct {
		name   string
		filter fake
		o      Options
		want   string
	}{
		{"action that was not offered", fake{actions: ActDelRcpt}, Options{Actions: ActSetSymList}, "that were not offered"},
		{"step that was not offered", fake{steps: NoBody}, Options{Protocol: LeadingSpace}, "that were not offered"},
		{"macros without their action", fake{symbols: stage(0, "j")}, Options{}, "without the action"},
		{"macros of a stage that is none", fake{actions: ActSetSymList, symbols: stage(9, "j")}, Options{}, "malformed list"},
		{"truncated macros", fake{actions: ActSetSymList, symbols: "\x00\x00"}, Options{}, "truncated list"},
		{"deletion before the end", fake{answers: one(DelRcpt, "<x>\x00")}, Options{}, "only the end of the message"},
		{"progress before the end, to Sendmail", fake{answers: one(Progress, "")}, Options{Flavor: Sendmail}, "progress in answer"},
		{"reply without NUL", fake{answers: one(ReplyCode, "451 4.3.2 later")}, Options{}, "malformed reply"},
		{"reply of success", fake{answers: one(ReplyCode, "250 fine\x00")}, Options{}, "malformed reply"},
		{"empty frame", fake{answers: map[byte][][]byte{Mail: {{0, 0, 0, 0, 0}}}}, Options{}, "frame of 0 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, wait, err := tt.filter.dial(tt.o)
			defer wait()
			if err == nil {
				_, err = c.Send(message())
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestStopAt(t *testing.T) {
	for stop, want := range map[byte]string{Rcpt: "M", Header: "R", Body: "N", EndOfBody: "B"} {
		f := fake{}
		c, wait, err := f.dial(Options{})
		if err != nil {
			t.Fatal(err)
		}
		m := message()
		m.StopAt = stop
		if _, err := c.Send(m); err != nil {
			t.Fatal(err)
		}
		c.Flush()
		seen := wait()
		last := seen[len(seen)-2]
		if stop == Header {
			last = strings.Replace(last, "T", "R", 1) // DATA comes between
		}
		if last[:1] != want || seen[len(seen)-1] != `A ""` {
			t.Errorf("stop at %q: %q", stop, seen)
		}
	}
}

func TestParse(t *testing.T) {
	header, body := Parse([]byte("A: x\r\nB:\r\n\ty\r\n z\r\nC:\r\n\r\nline\r\n\r\nline\r\n"))
	want := []Field{{"A", " x"}, {"B", "\n\ty\n z"}, {"C", ""}}
	if fmt.Sprintf("%q", header) != fmt.Sprintf("%q", want) || string(body) != "line\r\n\r\nline\r\n" {
		t.Errorf("%q, %q", header, body)
	}
}

func TestTo(t *testing.T) {
	want := []Recipient{{Addr: "a@b", Mailer: "smtp"}, {Addr: "c@d", Mailer: "smtp"}}
	if got := To("a@b", "c@d"); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

func TestDialFails(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { // ends when the listener is closed
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			nc.Close()
		}
	}()
	if _, err := Dial("tcp", ln.Addr().String(), Options{}); err == nil {
		t.Error("a filter that hangs up was accepted")
	}
	ln.Close()
	if _, err := Dial("tcp", ln.Addr().String(), Options{}); err == nil {
		t.Error("nobody listens and there is no error")
	}
}

// FuzzReadFrame: a frame that can be read is the frame that AppendFrame writes.
func FuzzReadFrame(f *testing.F) {
	f.Add(AppendFrame(nil, Body, []byte("hello")...))
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 'x'})
	f.Fuzz(func(t *testing.T, input []byte) {
		code, payload, err := ReadFrame(bytes.NewReader(input))
		if err != nil {
			return
		}
		if again := AppendFrame(nil, code, payload...); !bytes.HasPrefix(input, again) {
			t.Errorf("%q was read as %q", input, again)
		}
	})
}
