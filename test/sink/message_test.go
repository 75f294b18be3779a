package sink

import (
	"crypto/sha256"
	"testing"
)

func TestCore(t *testing.T) {
	const author = "X-Ledger: 1\r\nReceived: by the author\r\n\r\nbody"
	for _, c := range []struct{ name, msg, want string }{
		{"nothing on top", author, author},
		{"received", "Received: from a\r\n\tby b\r\n" + author, author},
		{"signature over received", "DKIM-Signature: v=1;\r\n b=x\r\nRECEIVED: x\r\nAuthentication-Results: y\r\n" + author, author},
		{"unknown field on top", "X-New: 1\r\n" + author, "X-New: 1\r\n" + author},
		{"no header", "\r\nReceived: in the body\r\n", "\r\nReceived: in the body\r\n"},
		{"only trace", "Received: x\r\n", ""},
		{"empty", "", ""},
	} {
		if got := string(Core([]byte(c.msg))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestWithoutReceived(t *testing.T) {
	for msg, want := range map[string]string{
		"Received: a\r\n b\r\nReceived: c\r\n\r\n": "Received: c\r\n\r\n",
		"Subject: a\r\nReceived: c\r\n\r\n":        "Subject: a\r\nReceived: c\r\n\r\n",
		"":                                         "",
	} {
		if got := string(withoutReceived([]byte(msg))); got != want {
			t.Errorf("%q: %q, want %q", msg, got, want)
		}
	}
}

func TestMessageID(t *testing.T) {
	for msg, want := range map[string]string{
		"Message-ID: <a@b>\r\nX-Ledger: 17\r\n\r\n":   "17",
		"Subject: x\r\nmessage-id:\r\n <a@b>\r\n\r\n": "<a@b>",
		"Subject: x\r\n\r\nX-Ledger: body\r\n":        "",
		"":                                            "",
	} {
		if got := string(messageID([]byte(msg))); got != want {
			t.Errorf("%q: %q, want %q", msg, got, want)
		}
	}
}

func FuzzField(f *testing.F) {
	f.Add([]byte("A: b\r\n c\r\nD: e\r\n\r\n"))
	f.Add([]byte(": no name\r\n"))
	f.Add([]byte("no colon\r\n"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		name, n := field(msg)
		if n < 0 || n > len(msg) || (n == 0) != (len(name) == 0) {
			t.Fatalf("field(%q) = %q, %d", msg, name, n)
		}
		if len(Core(msg)) > len(msg) {
			t.Fatal("core is longer than the message")
		}
		sum, core := sums(msg)
		if sum != sha256.Sum256(withoutReceived(msg)) || core != sha256.Sum256(Core(msg)) {
			t.Fatal("sums differ from their definition")
		}
		_ = messageID(msg)
	})
}
