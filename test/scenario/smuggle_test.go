package scenario

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
)

// TestSmuggling brings messages with sequences that some server takes for the end of a message to the SMTP door, by each role, protocol
// and way of sending content. Each goes to a recipient of the Postfix behind the door, and is taken for one of a second Postfix and one
// of a server of another make. The listener of the Postfix behind the door is lax about bare newlines, as by its default, or not.
func TestSmuggling(t *testing.T) {
	mta.Require(t, mta.PostfixPart)
	for _, forbid := range []string{"no", "normalize"} {
		t.Run(forbid, func(t *testing.T) { newSmuggling(t, forbid).run() })
	}
}

// smuggling is a scene with a door for each role, and two other servers that Millrace delivers to.
type smuggling struct {
	*Scene
	t     *testing.T
	doors []string // by role
	other *otherServer
	want  map[string]string // content by number
}

func newSmuggling(t *testing.T, forbid string) *smuggling {
	s := &smuggling{t: t, other: startOther(t), want: map[string]string{}}
	var addrs [4]string
	for i := range addrs {
		addr, err := process.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		addrs[i] = addr
	}
	back := addrs[3]
	s.doors = addrs[:3]
	second, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	s.Scene = newScene(t, Options{Keep: true, Config: fmt.Sprintf(`# dns.servers and next_hops are not wanted
retry.schedule = ["1s"]
smtpd.filter = ["inet:%s"]
smtpd.proxy = ["inet:%s"]
smtpd.submission = ["inet:%s"]
smtpd.reinject = %q
smtpd.max_errors = 1000000
bulk.local_domains = [%q]
[route]
"postfix.test" = %q
"other.test" = %q
`, addrs[0], addrs[1], addrs[2], daemon.NextHop(back), LocalDomain, daemon.NextHop(second), daemon.NextHop(s.other.addr))})
	const listener = " inet n - n - - smtpd\n -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n -o smtpd_forbid_bare_newline_exclusions=\n -o smtpd_forbid_bare_newline="
	dir, err := s.mkdir("postfix")
	if err != nil {
		t.Fatal(err)
	}
	s.Postfix, err = mta.StartPostfix(dir, mta.PostfixConfig{Relay: s.Remote, Local: map[string]string{LocalDomain: s.Local}, Master: []string{
		back + listener + forbid + "\n", second + listener + "no\n",
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.closers = append(s.closers, s.Postfix.Stop)
	if known, err := s.Postfix.Postconf("-d", "-h", "smtpd_forbid_bare_newline"); err != nil || strings.TrimSpace(known) == "" {
		t.Logf("this Postfix has no smtpd_forbid_bare_newline (%v): it is lax in both tests", err)
	}
	return s
}

// run brings all variants. Each goes by one role, protocol and way, in turn; in pieces or at once, at full size both.
func (s *smuggling) run() {
	number := 0
	for i, v := range variants() {
		for _, whole := range []bool{true, false} {
			if !*full && whole == (i%4 < 2) {
				continue
			}
			number++
			s.bring(number, s.doors[number%3], []string{"EHLO", "LHLO"}[i%2], i%5 == 0, v, whole)
		}
	}
	s.settle(number)
}

// variants are those without CRLF "." CRLF.
func variants() (list []string) {
	ends := []string{"\n", "\r", "\r\n", "\r\r\n", "\n\r", "\r\n\x00", "\x00\r\n", "\r\x00\n", "\n\x00"}
	seen := map[string]bool{}
	for _, before := range ends {
		for _, dot := range []string{".", "\x00.", ".\x00"} {
			for _, behind := range ends {
				v := before + dot + behind
				if !seen[v] && !strings.Contains(v, "\r\n.\r\n") {
					list, seen[v] = append(list, v), true
				}
			}
		}
	}
	return list
}

// bring sends one message, its variant byte by byte or with all the rest.
func (s *smuggling) bring(number int, door, hello string, bdat bool, variant string, whole bool) {
	s.t.Helper()
	nc, err := net.Dial("tcp", door)
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.SetDeadline(time.Now().Add(patience)); err != nil {
		s.t.Fatal(err)
	}
	c := textproto.NewConn(nc)
	say := func(code int, line string) {
		s.t.Helper()
		if line != "" {
			if _, err := nc.Write([]byte(line)); err != nil {
				s.t.Fatalf("%d %q: %v", number, variant, err)
			}
		}
		if _, _, err := c.ReadResponse(code); err != nil {
			s.t.Fatalf("%d %q behind %.80q: %v", number, variant, line, err)
		}
	}
	header := fmt.Sprintf("From: news@sender.test\r\nTo: you@far.test\r\nDate: Thu, 26 Nov 2026 06:00:00 +0000\r\nMessage-ID: <%d@sender.test>\r\nList-Id: <l.sender.test>\r\n\r\n", number)
	begin := header + "Hello"
	rest := "MAIL FROM:<ceo@sender.test>\r\nRCPT TO:<victim@other.test>\r\nDATA\r\nSubject: smuggled\r\n\r\npay\r\n"
	s.want[fmt.Sprint(number)] = canonical(begin+variant+rest, !bdat)
	say(220, "")
	say(250, hello+" client.test\r\n")
	say(250, "MAIL FROM:<news@sender.test>\r\n")
	for _, domain := range []string{LocalDomain, "postfix.test", "other.test"} {
		say(250, fmt.Sprintf("RCPT TO:<n%d@%s>\r\n", number, domain))
	}
	pieces := []string{begin + variant + rest}
	if !whole {
		pieces = append(append([]string{begin}, strings.Split(variant, "")...), rest)
	}
	if bdat {
		for _, p := range pieces {
			say(250, fmt.Sprintf("BDAT %d\r\n%s", len(p), p))
		}
		pieces = []string{"BDAT 0 LAST\r\n"}
	} else {
		say(354, "DATA\r\n")
		pieces = append(pieces, ".\r\n")
	}
	for _, p := range pieces {
		if _, err := nc.Write([]byte(p)); err != nil {
			s.t.Fatal(err)
		}
	}
	say(250, "")
	if hello == "LHLO" {
		say(250, "")
		say(250, "")
	}
	say(221, "QUIT\r\n")
}

// canonical is the content as bare_newline = "normalize" has it.
func canonical(content string, dots bool) string {
	lines := strings.Split(content, "\r\n")
	for i, line := range lines {
		if dots {
			line = strings.TrimPrefix(line, ".")
		}
		lines[i] = strings.ReplaceAll(strings.ReplaceAll(line, "\r", " "), "\x00", "")
	}
	return strings.ReplaceAll(strings.Join(lines, "\n"), "\n", "\r\n")
}

// settle waits for all messages and compares them with the books.
func (s *smuggling) settle(number int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 4*patience)
	defer cancel()
	err := s.Sink.Wait(ctx, 2*number)
	for ctx.Err() == nil && s.other.count() < number {
		time.Sleep(10 * time.Millisecond)
	}
	if err != nil || s.other.count() < number {
		s.t.Fatalf("%v; %d of %d at the other server", err, s.other.count(), number)
	}
	for range 100 { // what was smuggled would come behind
		if time.Sleep(10 * time.Millisecond); s.Sink.Count()+s.other.count() != 3*number {
			break
		}
	}
	found := map[string]int{}
	note := func(rcpt, from string, content []byte) {
		local, _, _ := strings.Cut(strings.TrimPrefix(rcpt, "n"), "@")
		want, known := s.want[local]
		if !known || from != "news@sender.test" {
			s.t.Errorf("SMUGGLED: from %s to %s: %q", from, rcpt, content)
		} else if !bytes.HasSuffix(content, []byte(want)) {
			s.t.Errorf("ALTERED for %s:\n got %q\nwant %q", rcpt, content, want)
		}
		found[rcpt]++
	}
	for d := range s.Sink.All() {
		note(d.Rcpt, d.From, d.Raw)
	}
	s.other.each(note)
	for rcpt, n := range found {
		if n != 1 {
			s.t.Errorf("%s has %d messages", rcpt, n)
		}
	}
	if len(found) != 3*number {
		s.t.Errorf("%d recipients have mail, want %d", len(found), 3*number)
	}
	s.t.Logf("%d messages", number)
}

// otherServer is a server of another make, with its messages.
type otherServer struct {
	addr string

	mu   sync.Mutex
	mail []otherMail
}

type otherMail struct {
	rcpt, from string
	content    []byte
}

func startOther(t *testing.T) *otherServer {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o := &otherServer{addr: ln.Addr().String()}
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return &otherSession{o: o}, nil }))
	server.Domain = "other.test"
	served := make(chan struct{})
	go func() { // ends with the server
		defer close(served)
		_ = server.Serve(ln)
	}()
	t.Cleanup(func() { _ = server.Close(); <-served })
	return o
}

func (o *otherServer) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.mail)
}

func (o *otherServer) each(f func(rcpt, from string, content []byte)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, m := range o.mail {
		f(m.rcpt, m.from, m.content)
	}
}

type otherSession struct {
	o     *otherServer
	from  string
	rcpts []string
}

func (s *otherSession) Reset()        { s.rcpts = nil }
func (s *otherSession) Logout() error { return nil }

func (s *otherSession) Mail(from string, _ *gosmtp.MailOptions) error { s.from = from; return nil }

func (s *otherSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	s.rcpts = append(s.rcpts, to)
	return nil
}

func (s *otherSession) Data(r io.Reader) error {
	content, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.o.mu.Lock()
	defer s.o.mu.Unlock()
	for _, rcpt := range s.rcpts {
		s.o.mail = append(s.o.mail, otherMail{rcpt, s.from, content})
	}
	return nil
}
