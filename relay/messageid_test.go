package relay

import (
	"strings"
	"testing"
)

func TestMessageID(t *testing.T) {
	for _, test := range []struct{ header, want string }{
		{"Message-ID: <a.1@n.example>\r\n", "a.1@n.example"},
		{"Subject: x\r\nMESSAGE-id:<a@b>\r\nFrom: y\r\n", "a@b"},
		{"From: y\r\nMessage-ID:\r\n <folded@n.example>\r\nTo: z\r\n", "folded@n.example"},
		{"Message-ID: (a comment) <a@b> (another)\r\n", "a@b"},
		{"Message-ID: without-brackets@n.example \r\n", "without-brackets@n.example"},
		{"Message-ID: <never-closed@n.example\r\nTo: z\r\n", "<never-closed@n.example"},
		{"Message-ID:\r\n", ""},
		{"X: 1\r\n Message-ID: <in-a-fold@b>\r\nMessage-Idea: <c@d>\r\n", ""},
		{"Resent-Message-ID: <a@b>\r\n", ""},
		{"Message-ID: <no-end@b>", "no-end@b"},
		{"", ""},
	} {
		c := NewContent(Letter{Header: []byte(test.header)})
		if got := string(c.MessageID()); got != test.want {
			t.Errorf("%q: %q, want %q", test.header, got, test.want)
		}
	}
	divided := new(Wrapper).Content(nil, 0)
	if got := divided.MessageID(); got != nil {
		t.Errorf("divided: %q", got)
	}
}

// TestTakenEventHasTheMessageID: the content is divided before the event, so the heart must have looked before.
func TestTakenEventHasTheMessageID(t *testing.T) {
	var got string
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}, Listener: listener(func(e *Event) {
		if e.Kind == EventTaken {
			got = string(e.MessageID)
		}
	})})
	m.Open()
	msg := &Message{ID: 1, Slip: &Slip{Envelope: Envelope{Rcpts: []Rcpt{{Addr: "a@b.example"}}}}, Content: NewContent(Letter{Header: []byte("Message-ID: <a@b>\r\n"), Body: []byte("x\r\n")})}
	if err := m.Accept(msg); err != nil || got != "a@b" {
		t.Errorf("%q %v", got, err)
	}
}

func BenchmarkMessageID(b *testing.B) {
	header := strings.Repeat("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=n.example; s=sel;\r\n\tbh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; h=From:To:Subject;\r\n", 10) +
		"Message-ID: <a.1@n.example>\r\n"
	c := NewContent(Letter{Header: []byte(header)})
	for b.Loop() {
		c.MessageID()
	}
}
