package relay

import (
	"bytes"
	"testing"

	"github.com/millrace/millrace/relay/smtp"
)

// TestContent: the pieces on the wire are the same before the message is divided, after it, and after its release, and what the
// journal records gives the message back.
func TestContent(t *testing.T) {
	l := Letter{Trace: []byte("Received: x\r\n"), Header: []byte("Subject: y\r\n"), Body: []byte("caf\xe9\r\n")}
	want := []byte("Received: x\r\nSubject: y\r\n\r\ncaf\xe9\r\n")
	b := NewBudget(0)
	ws := NewWrappers(b)
	var flow References
	check := func(when string, c *Content) {
		t.Helper()
		switch {
		case !bytes.Equal(bytes.Join(c.Pieces(), nil), want), c.Size() != int64(len(want)):
			t.Errorf("%s: %q, %d bytes", when, bytes.Join(c.Pieces(), nil), c.Size())
		case string(c.Head()) != "Received: x\r\nSubject: y\r\n", !bytes.Equal(c.Body(), l.Body), c.Form().Traits != smtp.EightBit:
			t.Errorf("%s: head %q, body %q, %+v", when, c.Head(), c.Body(), c.Form())
		}
	}
	all := make([]Content, 4)
	for i := range 2 {
		c := &all[i]
		*c = NewContent(l)
		check("as taken", c)
		ws.Divide(c, &flow, AccountMail)
		check("divided", c)
	}
	if n := ws.Held(); n != 1 || all[0].Wrapper() != all[1].Wrapper() {
		t.Errorf("%d wrappers for one message", n)
	}
	all[2] = NewWrapper(bytes.Clone(all[0].Wrapper().View())).Content(bytes.Clone(all[0].Part()), all[0].Facts())
	all[3] = NewWrapper([]byte("\r\ncaf\xe9\r\n")).Behind(all[0].Head(), all[0].Facts())
	for i := range 2 {
		c := &all[i+2]
		check("restored", c)
		ws.Divide(c, &flow, AccountMail)
		check("restored and held", c)
	}
	if s := flow.size; s.Messages != 4 || s.Wrappers != 3 || s.Whole != 4*int64(len(want)) {
		t.Errorf("the flow has %+v", s)
	}
	for i := range all {
		ws.Undivide(&all[i], &flow)
		check("released", &all[i])
	}
	if n, size := ws.Held(), b.Used(AccountMail); n != 0 || size != 0 || flow.size != (WrapperSize{}) || len(ws.resting) != len(flow.list) {
		t.Errorf("%d wrappers, %d bytes, %+v left", n, size, flow.size)
	}
}

// TestContentDamaged: whoever asks for a message whose memory was damaged gets nothing, and whoever would send it learns why.
func TestContentDamaged(t *testing.T) {
	c := NewWrapper([]byte("Subject: y\r\n\r\nx\r\n")).Content([]byte{1, 20, 0, 99}, 0)
	if pieces, err := new(Assembly).Pieces(&c); err == nil || pieces != nil {
		t.Errorf("%q, %v", pieces, err)
	}
	if err := new(Assembly).Check(&c); err == nil {
		t.Error("it passes for whole")
	}
	if c.Pieces() != nil || len(c.Head()) > 0 || len(c.Body()) > 0 {
		t.Errorf("pieces %q, head %q, body %q", c.Pieces(), c.Head(), c.Body())
	}
}
