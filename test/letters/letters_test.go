package letters

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"strings"
	"testing"
)

func TestMessagesAreMail(t *testing.T) {
	for _, links := range []int{0, 15} {
		for _, s := range append(Shapes(links), Variants(links)...) {
			for i := range 20 {
				m := s.Message(i)
				if !bytes.Equal(m, s.Message(i)) {
					t.Fatalf("%s: message %d is another one the second time", s.Name, i)
				}
				if bytes.Equal(m, s.Message(i+1)) {
					t.Errorf("%s: readers %d and %d get the same", s.Name, i, i+1)
				}
				if len(m) < 14_500 || len(m) > 25_000 {
					t.Errorf("%s with %d links: %d bytes", s.Name, links, len(m))
				}
				if bytes.Count(m, []byte("\n")) != bytes.Count(m, []byte("\r\n")) {
					t.Errorf("%s has a bare LF", s.Name)
				}
				readable(t, s.Name, m)
			}
		}
	}
}

// readable checks that a reader of mail gets through all parts.
func readable(t *testing.T, name string, m []byte) {
	t.Helper()
	parsed, err := mail.ReadMessage(bytes.NewReader(m))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	kind, params, err := mime.ParseMediaType(parsed.Header.Get("Content-Type"))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if !strings.HasPrefix(kind, "multipart/") {
		return
	}
	parts := 0
	for r := multipart.NewReader(parsed.Body, params["boundary"]); ; parts++ {
		p, err := r.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.Copy(io.Discard, p); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if parts < 2 {
		t.Errorf("%s: %d parts", name, parts)
	}
}

func TestNamed(t *testing.T) {
	if s, ok := Named("odoo", 3); !ok || s.Name != "odoo" {
		t.Errorf("Named gives %q, %v", s.Name, ok)
	}
	if _, ok := Named("nobody", 3); ok {
		t.Error("there is a shape of nobody")
	}
}

func BenchmarkMessage(b *testing.B) {
	for _, s := range Shapes(15) {
		b.Run(s.Name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				s.Message(i)
			}
		})
	}
}
