package filter

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
)

// TestLeftIsCountedByCause: whatever keeps a bulk message with the MTA can be seen in the status, and what is not everyday
// has one line in the log, however many messages it keeps.
func TestLeftIsCountedByCause(t *testing.T) {
	bulk := newsletter(end...)
	with := func(old, new string) string { return strings.Replace(bulk, old, new, 1) }
	limits := Limits{Rcpts: 2, HeaderBytes: 200, Buffered: 1000}
	for _, tt := range []struct {
		name   string
		script string
		door   lineDoor
		err    error // of Accept
		cause  Cause
		reason string // in the line; "" when there is none
	}{
		{name: "NUL", script: with("Hello", "He\x00o"), cause: CauseForm, reason: `reason="not sendable byte for byte: content has a NUL byte"`},
		{name: "header", script: with("H Subject: hi", "H Subject"), cause: CauseForm, reason: `reason="malformed header field"`},
		{name: "sender", script: with("news@", "ne..ws@"), cause: CauseAddress, reason: `from=ne..ws@example.com client=unknown[unknown] reason="sender: malformed address"`},
		{name: "recipient", script: with("a@example.net", "a@[192.0.2.1]"), cause: CauseAddress, reason: `reason="recipient: address literal"`},
		{name: "parameter", script: with("BODY=8BITMIME", "REQUIRETLS"), cause: CauseParameter, reason: "REQUIRETLS"},
		{name: "recipients", script: with("H Sub", "RCPT <b@x>\nRCPT <c@x>\nH Sub"), cause: CauseRcpts, reason: `reason="over max_rcpts"`},
		{name: "long header", script: with("hi", strings.Repeat("x", 200)), cause: CauseHeader, reason: `reason="over max_header_bytes"`},
		{name: "long body", script: with("Hello", strings.Repeat("x", 1000)), cause: CauseBuffered, reason: `reason="over max_buffered"`},
		{name: "full", script: bulk, err: fmt.Errorf("%w: queue.max_messages is reached", relay.ErrFull), cause: CauseFull, reason: "queue.max_messages is reached"},
		{name: "recovering", script: bulk, err: relay.ErrClosed, cause: CauseClosed, reason: "queue map is closed"},
		{name: "disk", script: bulk, err: errors.New("disk on fire"), cause: CauseJournal, reason: "disk on fire"},
		{name: "local", script: bulk, door: lineDoor{mailer: "local"}, cause: CauseLocal},
		{name: "the door's own", script: with("H Sub", "RCPT <b@localhost>\nH Sub"), cause: CauseOther},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, Deliver, limits)
			s.heart.err, tt.door.in = tt.err, s.in
			for range 3 {
				tt.door.send(tt.script)
			}
			var want LeftBy
			want[tt.cause] = 3
			if got := s.in.Status(); got.LeftBy != want || got.Left != 3 {
				t.Errorf("left %d, by cause %v, want %v", got.Left, got.LeftBy, want)
			}
			lines := strings.Count(s.log.String(), " mail is left with the MTA")
			if tt.reason == "" && lines > 0 || tt.reason != "" && (lines != 1 || !strings.Contains(s.log.String(), tt.reason)) {
				t.Errorf("%d lines:\n%s", lines, s.log)
			}
		})
	}
}

// TestTooLargeAtLast: a message that did not announce its size is left when its body turns out too large.
func TestTooLargeAtLast(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	m := s.in.Begin(Offer{}, nil)
	defer m.Dismiss()
	m.SetSender(ParseCommand("<news@example.com>"))
	m.AddRcpt(ParseCommand("<a@example.net>"), Hop{Routed: true})
	m.HeaderLine([]byte("List-Id: <l.example.com>"))
	m.EndHeader(nil)
	if _, ok := m.BodyRoom(51<<20, false); ok || m.Left() != "over size_limit" {
		t.Fatal(m.Left())
	}
	m.ReportLeft()
	if got := s.in.Status().LeftBy; got != (LeftBy{CauseSize: 1}) || !strings.Contains(s.log.String(), "over bulk.size_limit: id=") {
		t.Errorf("%v\n%s", got, s.log)
	}
}

func TestCausesHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for c := range numCauses {
		if name := c.String(); name == "" || seen[name] {
			t.Errorf("cause %d: name %q", c, name)
		}
		seen[c.String()] = true
	}
}
