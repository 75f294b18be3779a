package relay

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// TestContent: the pieces on the wire are the same before the shared part has a wrapper, with it, and after its release, and
// what the journal records gives the message back.
func TestContent(t *testing.T) {
	p := Personal{Trace: []byte("Received: x\r\n"), Header: []byte("Subject: y\r\n"), EightBit: true}
	body := []byte("caf\xe9\r\n")
	want := []byte("Received: x\r\nSubject: y\r\n\r\ncaf\xe9\r\n")
	b := NewBudget(0)
	ws := NewWrappers(b)
	c := NewContent(p, body)
	check := func(when string, c *Content) {
		t.Helper()
		shared, sum := c.Shared()
		if !bytes.Equal(bytes.Join(c.Pieces(), nil), want) || c.Size() != int64(len(want)) || !bytes.Equal(shared, body) || sum != sha256.Sum256(body) || !c.EightBit {
			t.Errorf("%s: %q, %d bytes, shared %q", when, bytes.Join(c.Pieces(), nil), c.Size(), shared)
		}
	}
	check("as taken", &c)
	c.wrap(ws, AccountMail)
	check("wrapped", &c)
	other := NewContent(p, bytes.Clone(body))
	other.wrap(ws, AccountMail)
	if n := ws.Held(); n != 1 || &other.Body()[0] != &c.Body()[0] {
		t.Errorf("%d wrappers for one body", n)
	}
	merged := c.wrapper.Content(p)
	check("made from a wrapper", &merged)
	shared, _ := c.Shared()
	restored := NewContent(c.Personal, shared)
	check("restored", &restored)
	c.unwrap(ws)
	other.unwrap(ws)
	check("released", &c)
	if n, size := ws.Held(), b.Used(AccountMail); n != 0 || size != 0 {
		t.Errorf("%d wrappers, %d bytes left", n, size)
	}
}
