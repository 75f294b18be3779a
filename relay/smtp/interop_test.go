package smtp

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	gosmtp "github.com/emersion/go-smtp"
	"pgregory.net/rapid"
)

// backend is an independent SMTP server that keeps the mail it takes.
type backend struct {
	mu    sync.Mutex
	taken []taking
}

// taking is one message in its receiver's hands.
type taking struct {
	from  string
	rcpts []string
	opts  gosmtp.MailOptions
	body  []byte
}

func (b *backend) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return &backendSession{b: b}, nil }

func (b *backend) all() []taking {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.taken
}

type backendSession struct {
	b   *backend
	now taking
}

func (s *backendSession) Reset()        { s.now = taking{} }
func (s *backendSession) Logout() error { return nil }

func (s *backendSession) Mail(from string, opts *gosmtp.MailOptions) error {
	s.now.from, s.now.opts = from, *opts
	return nil
}

func (s *backendSession) Rcpt(to string, _ *gosmtp.RcptOptions) error {
	if strings.HasPrefix(to, "no") {
		return &gosmtp.SMTPError{Code: 550, EnhancedCode: gosmtp.EnhancedCode{5, 1, 1}, Message: "no such user"}
	}
	s.now.rcpts = append(s.now.rcpts, to)
	return nil
}

func (s *backendSession) Data(r io.Reader) error {
	var err error
	if s.now.body, err = io.ReadAll(r); err != nil {
		return err
	}
	s.b.mu.Lock()
	defer s.b.mu.Unlock()
	s.b.taken = append(s.b.taken, s.now)
	return nil
}

// interop starts the server and connects to it.
func interop(t *testing.T, withTLS bool) (*backend, *Conn) {
	t.Helper()
	b := &backend{}
	s := gosmtp.NewServer(b)
	s.Domain, s.EnableSMTPUTF8, s.EnableDSN, s.MaxMessageBytes, s.MaxRecipients = "mx.example", true, true, 1<<20, 50
	if withTLS {
		s.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { // ends with the server
		defer close(ended)
		_ = s.Serve(l)
	}()
	t.Cleanup(func() {
		s.Close()
		<-ended
	})
	return b, dial(t, Addr{Host: "localhost", AddrPort: netip.MustParseAddrPort(l.Addr().String())}, testConfig())
}

func TestInterop(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		t.Run(fmt.Sprintf("TLS %v", withTLS), func(t *testing.T) {
			b, c := interop(t, withTLS)
			if _, ok := c.TLS(); ok != withTLS {
				t.Fatalf("TLS is %v", ok)
			}
			x := c.Extensions()
			if !x.Pipelining || !x.EightBitMIME || !x.SMTPUTF8 || !x.DSN || !x.Chunking || !x.EnhancedStatusCodes || x.Size != 1<<20 || x.Limits.RcptMax != 50 {
				t.Errorf("extensions %+v", x)
			}
			txs := []*Transaction{message("b@b.example"), message("no@b.example"), message("no@b.example", "c@b.example"), message("d@b.example")}
			txs[0].Content = slicesOf([]string{"Subject: dots\r", "\n\r\n", ".", "\r\n..", "a\r\n", ".", "b"})
			txs[3].EightBit, txs[3].Content = true, slicesOf([]string{"\r\ngr\xfc\xdfe\r\n"})
			if _, err := deliver(c, txs...); err != nil {
				t.Fatal(err)
			}
			want := []string{"sent 250", "perm 550 RCPT", "perm 550 RCPT", "sent 250"}
			for i, tx := range txs {
				if got := outcome(tx.Results[0]); got != want[i] {
					t.Errorf("message %d: %q, want %q", i, got, want[i])
				}
			}
			bodies(t, b, []string{"Subject: dots\r\n\r\n.\r\n..a\r\n.b\r\n", "Subject: x\r\n\r\nhello\r\n", "\r\ngr\xfc\xdfe\r\n"})
			if b.all()[1].rcpts[0] != "c@b.example" || b.all()[2].opts.Body != gosmtp.Body8BitMIME {
				t.Errorf("taken %+v", b.all())
			}
			c.Quit()
		})
	}
}

// TestInteropChunks: batches with refused recipients. Nothing goes to a recipient of another message.
func TestInteropChunks(t *testing.T) {
	for _, withTLS := range []bool{false, true} {
		b, c := interop(t, withTLS)
		c.Chunk(8)
		c.batchRoom = 8
		txs := []*Transaction{message("b@b.example"), message("no@b.example", "c@b.example"), message("d@b.example")}
		txs[0].Content = slicesOf([]string{"Subject: dots\r", "\n\r\n", ".", "\r\n..", "a\r\n", ".", "b"})
		if _, err := deliver(c, txs...); err != nil {
			t.Fatal(err)
		}
		want := []string{"1 b@b.example sent 250", "2 no@b.example perm 550 RCPT", "2 c@b.example sent 250", "3 d@b.example sent 250"}
		if got := describe(txs); !slices.Equal(got, want) {
			t.Errorf("TLS %v: got %q, want %q", withTLS, got, want)
		}
		bodies(t, b, []string{"Subject: dots\r\n\r\n.\r\n..a\r\n.b\r\n", "Subject: x\r\n\r\nhello\r\n", "Subject: x\r\n\r\nhello\r\n"})
		txs = []*Transaction{message("b@b.example"), message("no@b.example"), message("d@b.example")}
		if _, err := deliver(c, txs...); err != nil {
			t.Fatal(err)
		}
		if got, want := describe(txs), []string{"1 b@b.example sent 250", "2 no@b.example perm 550 RCPT", "3 d@b.example sent 250"}; !slices.Equal(got, want) {
			t.Errorf("TLS %v: got %q, want %q", withTLS, got, want)
		}
		for _, m := range b.all() {
			if len(m.rcpts) != 1 {
				t.Errorf("one message went to %q", m.rcpts)
			}
		}
	}
}

func bodies(t *testing.T, b *backend, want []string) {
	t.Helper()
	got := b.all()
	if len(got) != len(want) {
		t.Fatalf("%d messages taken, want %d", len(got), len(want))
	}
	for i := range got {
		if string(got[i].body) != want[i] {
			t.Errorf("body %d: %q, want %q", i, got[i].body, want[i])
		}
	}
}

// More recipients than the server takes at a time: the rest come back to be
// sent again, and then everybody has the message once.
func TestInteropManyRecipients(t *testing.T) {
	b, c := interop(t, false)
	var todo []string
	for i := range 230 {
		todo = append(todo, fmt.Sprintf("r%d@b.example", i))
	}
	for rounds := 0; len(todo) > 0; rounds++ {
		if rounds == 5 {
			t.Fatalf("%d left after %d rounds", len(todo), rounds)
		}
		tx := message(todo...)
		if _, err := deliver(c, tx); err != nil {
			t.Fatal(err)
		}
		var left []string
		for i, r := range tx.Results {
			switch {
			case r.Again:
				left = append(left, todo[i])
			case r.Err != nil:
				t.Fatal(r.Err)
			}
		}
		todo = left
	}
	seen := map[string]int{}
	for _, m := range b.all() {
		for _, r := range m.rcpts {
			seen[r]++
		}
	}
	if len(seen) != 230 || len(b.all()) != 5 {
		t.Errorf("%d recipients in %d messages", len(seen), len(b.all()))
	}
	for r, n := range seen {
		if n != 1 {
			t.Errorf("%s has it %d times", r, n)
		}
	}
}

// This server never sees the end of a body that ends in CR CR LF. Such a body
// has a bare CR, so it does not get that far, and the connection lives on.
func TestInteropBareCR(t *testing.T) {
	b, c := interop(t, false)
	bad := message("b@b.example")
	bad.Content = slicesOf([]string{"Subject: x\r\n\r\nhello\r\r\n"})
	if _, err := deliver(c, bad, message("b@b.example")); err != nil {
		t.Fatal(err)
	}
	if got := outcome(bad.Results[0]); got != "local 5.6.0" || len(b.all()) != 1 {
		t.Errorf("%q, %d taken", got, len(b.all()))
	}
}

// Another implementation takes the same bytes off the wire that were handed to us.
func TestInteropBytes(t *testing.T) {
	b, c := interop(t, false)
	rapid.Check(t, func(t *rapid.T) {
		text := append([]byte("Subject: x\r\n\r\n"), lines(t)...)
		tx := message("b@b.example")
		tx.Content = cut(t, text)
		before := len(b.all())
		if _, err := deliver(c, tx); err != nil {
			t.Fatal(err)
		}
		want := bytes.Clone(text)
		if !bytes.HasSuffix(want, []byte("\r\n")) {
			want = append(want, "\r\n"...)
		}
		if all := b.all(); len(all) != before+1 || !bytes.Equal(all[before].body, want) {
			t.Fatalf("%q was taken as %q", want, all[len(all)-1].body)
		}
	})
}
