package smtpd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// tape is a connection of a client that has said everything already, in pieces of a size.
type tape struct {
	said  []byte
	piece int
	heard bytes.Buffer
}

func (t *tape) Read(b []byte) (int, error) {
	if len(t.said) == 0 {
		return 0, io.EOF
	}
	n := copy(b, t.said[:min(t.piece, len(t.said))])
	t.said = t.said[n:]
	return n, nil
}

func (t *tape) Write(b []byte) (int, error)      { return t.heard.Write(b) }
func (t *tape) Close() error                     { return nil }
func (t *tape) LocalAddr() net.Addr              { return &net.UnixAddr{Net: "unix"} }
func (t *tape) RemoteAddr() net.Addr             { return &net.UnixAddr{Net: "unix"} }
func (t *tape) SetDeadline(time.Time) error      { return nil }
func (t *tape) SetReadDeadline(time.Time) error  { return nil }
func (t *tape) SetWriteDeadline(time.Time) error { return nil }

// scribe is a connection to an MTA that takes everything, and to which nobody may say anything wrong. It has its reply ready as soon as
// a command is written, and nothing to say before.
type scribe struct {
	tape
	book   *scribeBook
	in     []byte
	inData bool
	rcpts  []string
}

// scribeBook is what came over all connections.
type scribeBook struct {
	messages [][]byte // as on the wire, without the dot
	rcpts    []string
	wrong    []string
}

func newScribe(book *scribeBook) *scribe {
	s := &scribe{book: book}
	s.heard.WriteString("220 mta\r\n")
	return s
}

func (s *scribe) Read(b []byte) (int, error) {
	if s.heard.Len() == 0 {
		s.book.wrong = append(s.book.wrong, "the door waits for a reply to nothing")
		return 0, errors.New("nothing to say")
	}
	return s.heard.Read(b)
}

func (s *scribe) Write(b []byte) (int, error) {
	s.in = append(s.in, b...)
	for s.step() {
	}
	return len(b), nil
}

// step takes a command or a message off what has come.
func (s *scribe) step() bool {
	if s.inData {
		i := bytes.Index(append([]byte("\r\n"), s.in...), []byte("\r\n.\r\n"))
		if i < 0 {
			return false
		}
		s.book.messages = append(s.book.messages, bytes.Clone(s.in[:i]))
		s.book.rcpts = append(s.book.rcpts, s.rcpts...)
		s.in, s.inData, s.rcpts = s.in[i+3:], false, nil
		s.heard.WriteString("250 2.0.0 taken\r\n")
		return true
	}
	line, rest, found := bytes.Cut(s.in, []byte("\r\n"))
	if !found {
		return false
	}
	s.in = rest
	s.obey(string(line))
	return true
}

var scribeKnows = regexp.MustCompile(`^(EHLO [a-z.]+|XFORWARD( [A-Z]+=[!-~]+)+|MAIL FROM:<[^\r\n\x00]*>[^\r\n\x00]*|RCPT TO:<[^\r\n\x00]+>[^\r\n\x00]*|DATA|QUIT|RSET)$`)

func (s *scribe) obey(line string) {
	if !scribeKnows.MatchString(line) {
		s.book.wrong = append(s.book.wrong, fmt.Sprintf("said to the MTA: %q", line))
	}
	switch {
	case strings.HasPrefix(line, "EHLO"):
		s.heard.WriteString("250-mta\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-AUTH PLAIN\r\n250-SIZE\r\n250 XFORWARD NAME ADDR PROTO HELO IDENT SOURCE PORT\r\n")
	case line == "DATA":
		s.inData = true
		s.heard.WriteString("354 go\r\n")
	default:
		if rcpt, ok := strings.CutPrefix(line, "RCPT TO:<"); ok {
			s.rcpts = append(s.rcpts, rcpt)
		}
		s.heard.WriteString("250 2.0.0 fine\r\n")
	}
}

// fuzzDoor is a door for tapes.
type fuzzDoor struct {
	*Door
	role  Role
	heart *heart
	book  *scribeBook
}

func newFuzzDoor(f *testing.F, role Role, mta bool, change func(*Config)) *fuzzDoor {
	d := &fuzzDoor{role: role, heart: &heart{}, book: &scribeBook{}}
	cfg := DefaultConfig()
	cfg.MaxSize, cfg.MaxHeaderBytes, cfg.MaxRcpts = 100<<10, 2<<10, 5
	if mta {
		cfg.Reinject = "[127.0.0.1]:1"
	}
	change(&cfg)
	bulk := filter.DefaultConfig()
	bulk.LocalDomains = []string{"home.example"}
	compiled, err := filter.Compile(bulk, "mx.example.org", nil)
	if err != nil {
		f.Fatal(err)
	}
	intake, err := filter.NewIntake(cfg.Limits(), filter.Deliver, filter.Deps{
		Accept: d.heart, NewID: func() relay.ID { return 1 }, Filter: compiled, Sendable: smtp.Form.Sendable, Log: hclog.NewNullLogger(),
	})
	if err == nil {
		d.Door, err = New(cfg, Deps{Intake: intake, Hostname: "mx.example.org", Dial: func(context.Context, string, string) (net.Conn, error) { return newScribe(d.book), nil }})
	}
	if err != nil {
		f.Fatal(err)
	}
	return d
}

// FuzzSession plays any bytes to a door: it must not panic; what it says must be replies; a message must have had an end; what is taken
// and what goes on must be canonical and for those who were named; and all memory must come back.
func FuzzSession(f *testing.F) {
	users := filepath.Join(f.TempDir(), "users")
	if err := os.WriteFile(users, []byte("tim:$2a$04$zHXzWWVRyjPMMR9IxZm4tu0fYJ4YNTJG0IxURT8hGgrBMJIbXMbpi\n"), 0o600); err != nil {
		f.Fatal(err)
	}
	doors := []*fuzzDoor{
		newFuzzDoor(f, Filter, true, func(c *Config) {}),
		newFuzzDoor(f, Proxy, true, func(c *Config) { c.BareNewline = BareReject }),
		newFuzzDoor(f, Submission, true, func(c *Config) { c.Submission, c.Users = []string{"unix:/run/s"}, users }),
		newFuzzDoor(f, Submission, false, func(c *Config) {}),
	}
	transcripts, _ := filepath.Glob("testdata/transcript/*.txt")
	for i, file := range transcripts {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for role := range doors {
			f.Add(clientBytes(string(text)), uint16(1+i*7), uint8(role))
		}
	}
	for _, said := range []string{
		"EHLO a\r\nMAIL FROM:<a@b> {\x01*3000}\r\nMAIL FROM:<>\r\nRCPT TO:<a@b> {\xff*3000}\r\nXFORWARD {\x02*3000}=1\r\n{A*3000}\r\n",
		"LHLO " + RescueName + "\r\nMAIL FROM:<a@b>\r\nRCPT TO:<a@home.example>\r\nRCPT TO:<a@b>\r\nDATA\r\n.\r\n",
	} {
		for role := range doors {
			f.Add([]byte(wireForm(strconv.Quote(said))), uint16(1<<12), uint8(role))
		}
	}
	f.Fuzz(func(t *testing.T, said []byte, piece uint16, which uint8) {
		d := doors[int(which)%len(doors)]
		c := &tape{said: bytes.Clone(said), piece: max(1, int(piece))}
		d.heart.taken, *d.book = nil, scribeBook{}
		s := newSession(d.Door, c, d.role)
		s.serve()
		checkReplies(t, c.heard.String())
		d.checkMail(t, said)
		if n := d.intake.Status().Buffered; n != 0 {
			t.Fatalf("%d bytes are not given back", n)
		}
	})
}

// clientBytes is all that the client of a transcript says.
func clientBytes(text string) (b []byte) {
	for line := range strings.Lines(text) {
		if said, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "C: "); ok {
			b = append(b, wireForm(said)...)
		}
	}
	return b
}

var replyForm = regexp.MustCompile(`^[2-5][0-9][0-9][ -][^\x00-\x1f\x7f]*$`)

// maxReplyLine is how long a line of a reply may be, with CRLF (RFC 5321 section 4.5.3.1.5).
const maxReplyLine = 512

func checkReplies(t *testing.T, heard string) {
	t.Helper()
	rest, complete := strings.CutSuffix(heard, "\r\n")
	if !complete {
		t.Fatalf("half a reply: %q", heard)
	}
	code := ""
	for _, line := range strings.Split(rest, "\r\n") {
		if !replyForm.MatchString(line) || len(line)+2 > maxReplyLine || code != "" && line[:3] != code {
			t.Fatalf("no reply: %q behind %q", line, code)
		}
		if code = ""; line[3] == '-' {
			code = line[:3]
		}
	}
	if code != "" {
		t.Fatalf("a reply without an end: %q", heard)
	}
}

// checkMail looks at what has become of the messages.
func (d *fuzzDoor) checkMail(t *testing.T, said []byte) {
	t.Helper()
	if len(d.book.wrong) > 0 {
		t.Fatal(d.book.wrong)
	}
	ends := bytes.Count(said, []byte(".\r\n")) + bytes.Count(bytes.ToUpper(said), []byte("LAST"))
	if n := max(len(d.heart.taken), len(d.book.messages)); n > ends {
		t.Fatalf("%d messages with %d ends", n, ends)
	}
	for _, m := range d.heart.taken {
		checkCanonical(t, []byte(content(m)))
		for _, r := range m.Rcpts {
			if local, _, _ := strings.Cut(r.Addr, "@"); !bytes.Contains(said, []byte(local)) {
				t.Fatalf("for %q, who was not named", r.Addr)
			}
		}
	}
	for _, m := range d.book.messages {
		checkCanonical(t, m)
		for line := range bytes.Lines(m) {
			if line[0] == '.' && line[1] != '.' {
				t.Fatalf("a dot is not stuffed: %q", m)
			}
		}
	}
	for _, r := range d.book.rcpts {
		if path, _, _ := strings.Cut(r, ">"); !bytes.Contains(said, []byte(path)) {
			t.Fatalf("to %q, who was not named", r)
		}
	}
}
