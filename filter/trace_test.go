package filter

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestReceived(t *testing.T) {
	f := compile(t)
	date := time.Date(2025, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	for _, tt := range []struct {
		name  string
		trace Trace
		want  string
	}{
		{"one recipient", Trace{Helo: "app", ClientName: "app.example.com", ClientAddr: netip.MustParseAddr("192.0.2.9"), Protocol: "ESMTPSA", ID: "4bXyZ1", For: "a@b.example", Date: date},
			"Received: from app (app.example.com [192.0.2.9])\r\n\tby mx.example.org (Millrace) with ESMTPSA id 4bXyZ1\r\n\tfor <a@b.example>;\r\n\tTue, 4 Mar 2025 05:06:07 +0100\r\n"},
		{"several, IPv6", Trace{Helo: "[IPv6:2001:db8::1]", ClientName: "unknown", ClientAddr: netip.MustParseAddr("2001:db8::1"), Protocol: "ESMTP", ID: "q", Date: date},
			"Received: from [IPv6:2001:db8::1] (unknown [IPv6:2001:db8::1])\r\n\tby mx.example.org (Millrace) with ESMTP id q;\r\n\tTue, 4 Mar 2025 05:06:07 +0100\r\n"},
		{"nothing known", Trace{Date: date, Protocol: "ESMTP", ID: "q"},
			"Received: from unknown (unknown [unknown])\r\n\tby mx.example.org (Millrace) with ESMTP id q;\r\n\tTue, 4 Mar 2025 05:06:07 +0100\r\n"},
		{"hostile", Trace{Helo: "x)\r\nX-Evil: (y", ClientName: "a;b\x00", Protocol: "ESMTP", ID: "q", For: "a>\r\nX: y", Date: date},
			"Received: from x???X-Evil:??y (a?b? [unknown])\r\n\tby mx.example.org (Millrace) with ESMTP id q;\r\n\tTue, 4 Mar 2025 05:06:07 +0100\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(f.Received(tt.trace)); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestReceivedLinesAreShort(t *testing.T) {
	long := strings.Repeat("x", 5000)
	got := compile(t).Received(Trace{Helo: long, ClientName: long, Protocol: long, ID: long, For: long})
	for line := range bytes.SplitSeq(got, []byte("\r\n")) {
		if len(line) > 998 {
			t.Errorf("line of %d bytes", len(line))
		}
	}
}

func TestProtocol(t *testing.T) {
	for _, tt := range []struct {
		utf8, tls, auth bool
		want            string
	}{
		{false, false, false, "ESMTP"}, {false, true, false, "ESMTPS"}, {false, false, true, "ESMTPA"},
		{false, true, true, "ESMTPSA"}, {true, true, true, "UTF8SMTPSA"}, {true, false, false, "UTF8SMTP"},
	} {
		if got := Protocol(tt.utf8, tt.tls, tt.auth); got != tt.want {
			t.Errorf("Protocol(%v, %v, %v) = %s, want %s", tt.utf8, tt.tls, tt.auth, got, tt.want)
		}
	}
}

// FuzzReceived holds that nothing a stranger says makes another field or another line of our own.
func FuzzReceived(f *testing.F) {
	f.Add("helo", "name", "id", "a@b")
	f.Add("x\r\ny: z", "(", "\n", "\" \"@b>")
	filter := compile(f)
	f.Fuzz(func(t *testing.T, helo, name, id, rcpt string) {
		got := filter.Received(Trace{Helo: helo, ClientName: name, ID: id, For: rcpt, Protocol: "ESMTP"})
		fields := 0
		for range Fields(got) {
			fields++
		}
		n := bytes.Count(got, []byte("\r\n"))
		if fields != 1 || n < 3 || n > 4 || bytes.Count(got, []byte("\n")) != n || bytes.Count(got, []byte("\r")) != n || !bytes.HasSuffix(got, []byte("\r\n")) {
			t.Errorf("not one field of ours: %q", got)
		}
	})
}
