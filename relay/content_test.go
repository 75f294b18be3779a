package relay

import (
	"bytes"
	"testing"
)

// TestContent: the pieces on the wire are the same before the message is divided, after it, and after its release, and what the
// journal records gives the message back.
func TestContent(t *testing.T) {
	p := Personal{Trace: []byte("Received: x\r\n"), Header: []byte("Subject: y\r\n"), EightBit: true}
	body := []byte("caf\xe9\r\n")
	want := []byte("Received: x\r\nSubject: y\r\n\r\ncaf\xe9\r\n")
	b := NewBudget(0)
	ws := NewWrappers(b)
	c := NewContent(p, body)
	check := func(when string, c *Content) {
		t.Helper()
		switch {
		case !bytes.Equal(bytes.Join(c.Pieces(), nil), want), c.Size() != int64(len(want)):
			t.Errorf("%s: %q, %d bytes", when, bytes.Join(c.Pieces(), nil), c.Size())
		case string(c.Head()) != "Received: x\r\nSubject: y\r\n", !bytes.Equal(c.Body(), body), !c.EightBit:
			t.Errorf("%s: head %q, body %q", when, c.Head(), c.Body())
		}
	}
	check("as taken", &c)
	c.wrap(ws, AccountMail)
	check("wrapped", &c)
	other := NewContent(p, bytes.Clone(body))
	other.wrap(ws, AccountMail)
	if n := ws.Held(); n != 1 || other.Wrapper() != c.Wrapper() {
		t.Errorf("%d wrappers for one body", n)
	}
	restored := NewWrapper(bytes.Clone(c.Wrapper().View())).Content(bytes.Clone(c.Part()), c.EightBit)
	check("restored", &restored)
	restored.wrap(ws, AccountMail)
	check("restored and held", &restored)
	for _, c := range []*Content{&c, &other, &restored} {
		c.unwrap(ws)
		check("released", c)
	}
	if n, size := ws.Held(), b.Used(AccountMail); n != 0 || size != 0 {
		t.Errorf("%d wrappers, %d bytes left", n, size)
	}
}
