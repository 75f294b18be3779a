package milter

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/standin"
)

// What is taken is what was offered, byte for byte.
func TestContentIsByteExact(t *testing.T) {
	list := "List-Id: <l>\r\n"
	long := strings.Repeat("x", 60_000)
	thousand := list
	for i := range 1000 {
		thousand += fmt.Sprintf("X-Field-%d: value %d\r\n", i, i)
	}
	fill := func(n int) string { return strings.Repeat("0123456789abcdef", n/16+1)[:n] }
	for _, tt := range []struct{ name, header, body string }{
		{"blanks behind the colon", list + "A:x\r\nB: x\r\nC:  x\r\nD:\tx\r\n", "body\r\n"},
		{"blanks at the end", list + "A: x \r\nB: \r\nC:\r\n", "body\r\n"},
		{"folded", list + "A: one\r\n\ttwo\r\n three\r\nB: x\r\n", "body\r\n"},
		{"folded behind the colon", list + "Subject:\r\n x\r\n", "body\r\n"},
		{"order and case of names", "b: 1\r\n" + list + "B: 2\r\nb: 3\r\nmIxEd-CaSe: 4\r\n", "body\r\n"},
		{"eight bits", list + "Subject: gr\xc3\xbc\xdfe\r\n", "K\xf6rper\r\n"},
		{"field of 60,000 bytes", list + "X-Long: " + long + "\r\n", "body\r\n"},
		{"1,000 fields", thousand, "body\r\n"},
		{"colons in the value", list + "A: b: c::\r\n", "body\r\n"},
		{"empty line only", list, "\r\n"},
		{"no CRLF at the end", list, "body"},
		{"leading dots", list, ".\r\n..\r\n.x\r\n"},
		{"empty lines", list, "\r\n\r\n\r\n"},
		{"exactly one chunk", list, fill(65533) + "\r\n"},
		{"CRLF split over chunks", list, fill(65534) + "\r\n" + fill(70_000) + "\r\n"},
		{"one line of 1 MB", list, fill(1<<20) + "\r\n"},
		{"many chunks", list, strings.Repeat(fill(1000)+"\r\n", 3000)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, steps := range []uint32{0, standin.LeadingSpace} { // without answers to fields and chunks, and with
				r := start(t)
				m := bulk()
				m.Header, m.Body = standin.Parse([]byte(tt.header + "\r\n" + tt.body))
				if tt.body != string(m.Body) {
					t.Fatalf("the stand-in parsed %q", m.Body)
				}
				c := r.dial(standin.Options{Protocol: steps})
				if v := r.send(c, m); !v.Taken() {
					t.Fatalf("%+v: %s", v, r.log.String())
				}
				got := r.taken.last(t)
				if string(got.Content.Letter().Header) != tt.header {
					t.Errorf("header %.200q, want %.200q", got.Content.Letter().Header, tt.header)
				}
				if !bytes.Equal(got.Content.Body(), []byte(tt.body)) {
					t.Errorf("body of %d bytes differs from the %d sent", len(got.Content.Body()), len(tt.body))
				}
				if want := strings.ContainsFunc(tt.header+tt.body, func(c rune) bool { return c >= 0x80 }); got.Content.Form().Traits.Has(smtp.EightBit) != want {
					t.Errorf("eight bits: %v", got.Content.Form().Traits.Has(smtp.EightBit))
				}
				if waste := cap(got.Content.Body()) - len(got.Content.Body()); waste > len(got.Content.Body())/2+64 {
					t.Errorf("%d bytes of memory for a body of %d", cap(got.Content.Body()), len(got.Content.Body()))
				}
			}
		})
	}
}

// A header without a body may end in an empty line or not, and a milter is not told: the MTA, which knows, keeps such mail.
func TestNoBodyStaysWithTheMTA(t *testing.T) {
	r := start(t)
	m := edit(bulk(), func(m *standin.Message) { m.Body = nil })
	if v := r.send(r.dial(standin.Options{}), m); v.Taken() || !strings.Contains(r.log.String(), leftNoBody) {
		t.Errorf("%+v: %s", v, r.log.String())
	}
}

// The announced size is a hint, and may be a lie.
func TestBodyMayDifferFromItsAnnouncedSize(t *testing.T) {
	for _, size := range []string{"SIZE=10", "SIZE=200000", "SIZE=50000000"} {
		r := start(t)
		m := edit(bulk(), func(m *standin.Message) {
			m.MailArgs = []string{size}
			m.Body = bytes.Repeat([]byte("0123456789abcd\r\n"), 12_500)
		})
		if v := r.send(r.dial(standin.Options{}), m); !v.Taken() {
			t.Fatalf("%s: %+v", size, v)
		}
		if got := r.taken.last(t).Content.Body(); !bytes.Equal(got, m.Body) || cap(got) > 400_000 {
			t.Errorf("%s: body of %d bytes in %d", size, len(got), cap(got))
		}
	}
}

// The body of one message must not be the memory of the next.
func TestMessagesDoNotShareMemory(t *testing.T) {
	r := start(t)
	c := r.dial(standin.Options{})
	for i := range 5 {
		m := fields(standin.Field{Name: "X-N", Value: fmt.Sprint(i)})
		m.Body = bytes.Repeat(fmt.Appendf(nil, "%d\r\n", i), 40_000)
		r.send(c, m)
	}
	for i, got := range r.taken.all() {
		if !strings.HasSuffix(string(got.Content.Letter().Header), fmt.Sprintf("X-N:%d\r\n", i)) || !bytes.Equal(got.Content.Body(), bytes.Repeat(fmt.Appendf(nil, "%d\r\n", i), 40_000)) {
			t.Errorf("message %d was changed by a later one", i)
		}
	}
}

// A field that would be two, or would end the header, is nothing an MTA sends.
func TestFieldsThatAreNone(t *testing.T) {
	for _, f := range []standin.Field{
		{Name: "X", Value: " a\nY: b"},
		{Name: "X", Value: " a\n"},
		{Name: "X", Value: " a\n\n body"},
		{Name: "", Value: " a"},
		{Name: "X Y", Value: " a"},
		{Name: "X:", Value: " a"},
		{Name: "X\nY", Value: " a"},
		{Name: "Gr\xc3\xbc\xdfe", Value: " a"},
	} {
		r := start(t)
		if v := r.send(r.dial(standin.Options{}), fields(f)); v.Action != standin.Accept || v.Sent != 0 {
			t.Errorf("%q: %+v", f, v)
		}
	}
}

func TestCRLFInAFieldIsOneLineBreak(t *testing.T) {
	r := start(t)
	r.send(r.dial(standin.Options{}), fields(standin.Field{Name: "A", Value: " one\r\n two"}))
	if got := string(r.taken.last(t).Content.Letter().Header); !strings.HasSuffix(got, "\r\nA: one\r\n two\r\n") {
		t.Errorf("header %q", got)
	}
}
