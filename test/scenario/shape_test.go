package scenario

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// shapes are contents at the edge of what a message is, by the lines behind the fields that make it bulk.
var shapes = []struct{ name, text string }{
	{"fields only", ""},
	{"fields and the empty line", "\r\n"},
	{"an empty body line", "\r\n\r\n"},
	{"two empty body lines", "\r\n\r\n\r\n"},
	{"a body without the empty line", "no field\r\n"},
	{"a body", "\r\nx\r\n"},
	{"a body of a blank", "\r\n \r\n"},
	{"a line of a blank in place of the empty line", " \r\nx\r\n"},
	{"a folded last field", "X-Last: a\r\n b\r\n"},
	{"a folded last field and the empty line", "X-Last: a\r\n b\r\n\r\n"},
	{"an empty last field", "X-Last:\r\n"},
	{"a body that looks like fields", "\r\nX-Last: a\r\n"},
}

// TestShapes: whatever a message looks like, its receiver gets the bytes that Postfix alone would have sent. Trace fields
// apart, which each hop adds.
func TestShapes(t *testing.T) {
	s := beside(t, Options{Keep: true})
	for i, x := range shapes {
		for _, side := range []struct{ name, addr string }{{"ours", s.Addr()}, {"alone", s.Millrace.inject}} {
			text := shapeHead(i, side.name) + x.text
			if code := offer(t, side.addr, "<news@sender.test>", "<a@far.test>", strings.ReplaceAll(text, "\r\n.", "\r\n..")); code != 250 {
				t.Fatalf("%s: %d %s", x.name, code, side.name)
			}
		}
	}
	got := make(map[string]string)
	by := make(map[string]string)
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && len(got) < 2*len(shapes); time.Sleep(200 * time.Millisecond) {
		for _, d := range s.Sink.Deliveries() {
			got[d.ID], by[d.ID] = string(untraced(d.Raw)), d.Listener
		}
	}
	for i, x := range shapes {
		ours, alone := got[fmt.Sprintf("%d-ours", i)], got[fmt.Sprintf("%d-alone", i)]
		ours = strings.ReplaceAll(ours, fmt.Sprintf("%d-ours", i), fmt.Sprintf("%d-alone", i))
		t.Logf("%s: by %s: %q", x.name, by[fmt.Sprintf("%d-ours", i)], ours)
		if ours != alone || alone == "" {
			t.Errorf("%s:\ngot   %q\nalone %q", x.name, ours, alone)
		}
	}
}

func shapeHead(i int, side string) string {
	return fmt.Sprintf("X-Ledger: %d-%s\r\nFrom: news@sender.test\r\nDate: Mon, 23 Nov 2026 17:32:53 +0000\r\nMessage-ID: <%d-%s@sender.test>\r\nList-Unsubscribe: <https://sender.test/>\r\nPrecedence: bulk\r\n", i, side, i, side)
}

// untraced is a message without the Received fields at its head.
func untraced(m []byte) []byte {
	for bytes.HasPrefix(m, []byte("Received:")) {
		_, m, _ = bytes.Cut(m, []byte("\r\n"))
		for len(m) > 0 && (m[0] == ' ' || m[0] == '\t') {
			_, m, _ = bytes.Cut(m, []byte("\r\n"))
		}
	}
	return m
}
