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

// named compiles a filter for a host of that name, with a secret.
func named(t testing.TB, hostname, secret string) *Filter {
	t.Helper()
	f, err := Compile(DefaultConfig(), hostname, []byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestSealOutlivesTheName: a field of ours is known by the secret of the state directory, however the host is called now and
// however an MTA has folded the field. What is not ours, or has been changed, is not.
func TestSealOutlivesTheName(t *testing.T) {
	date := time.Date(2025, 3, 4, 5, 6, 7, 0, time.FixedZone("", 3600))
	made := named(t, "old.example.org", "secret")
	field := string(made.Received(Trace{Helo: "app", ClientName: "app", Protocol: "ESMTP", ID: "4bXyZ1", For: "a@b.example", Date: date}))
	bare := string(named(t, "old.example.org", "").Received(Trace{Helo: "app", Protocol: "ESMTP", ID: "4bXyZ1", Date: date}))
	seal := string(made.appendSeal(nil, []byte("4bXyZ1"), []byte("Tue, 4 Mar 2025 05:06:07 +0100")))
	if !strings.Contains(field, "by old.example.org (Millrace "+seal+") with") {
		t.Fatalf("field %q", field)
	}
	for _, tt := range []struct {
		name   string
		header string
		host   string // that reads it
		secret string
		want   bool
	}{
		{"same host", field, "old.example.org", "secret", true},
		{"another name", field, "new.example.org", "secret", true},
		{"folded anew", strings.NewReplacer("\r\n\t", " ", " with ", "\r\n with ", "(Millrace ", "(Millrace\r\n  ", "2025 ", "2025\r\n ").Replace(field), "new.example.org", "secret", true},
		{"another state directory", field, "old.example.org", "other", false},
		{"no secret", field, "old.example.org", "", false},
		{"another id", strings.Replace(field, "4bXyZ1", "4bXyZ2", 1), "new.example.org", "secret", false},
		{"another date", strings.Replace(field, "05:06:07", "05:06:08", 1), "new.example.org", "secret", false},
		{"a guess", strings.Replace(field, seal, "0123456789abcdef", 1), "old.example.org", "secret", false},
		{"a part of the seal", strings.Replace(field, seal, seal[:8], 1), "old.example.org", "secret", false},
		{"in another field", "X-" + field, "old.example.org", "secret", false},
		{"behind a mark that is not ours", "Received: from x by y (Millrace) by z (Millrace zz" + field[strings.Index(field, "(Millrace"):], "new.example.org", "secret", true},
		{"of an older program", bare, "old.example.org", "secret", true},
		{"of an older program under another name", bare, "new.example.org", "secret", false},
	} {
		if got := named(t, tt.host, tt.secret).read([]byte(tt.header)).ours; got != tt.want {
			t.Errorf("%s: ours %t, want %t: %q", tt.name, got, tt.want, tt.header)
		}
	}
}

// FuzzMarked holds that no field passes for ours by chance, and that every field of ours is known, whatever strangers put into it.
func FuzzMarked(f *testing.F) {
	f.Add("helo", "name", "id", "a@b", "by x (Millrace 0123456789abcdef) with ESMTP id 4; Tue, 4 Mar 2025 05:06:07 +0100")
	f.Add("(Millrace", "id", "", "", " (Millrace 0123456789abcdef) id")
	f.Add(") id x", ";", "a b", "\" \"@b>", "(Millrace \r\n 0123456789abcdef\t)id ;")
	made, other := named(f, "old.example.org", "secret"), named(f, "new.example.org", "secret")
	f.Fuzz(func(t *testing.T, helo, name, id, rcpt, stranger string) {
		field := made.Received(Trace{Helo: helo, ClientName: name, ID: id, For: rcpt, Protocol: "ESMTP", Date: time.Unix(1e9, 0)})
		if !other.read(field).ours {
			t.Errorf("not known: %q", field)
		}
		if other.marked([]byte(stranger)) {
			t.Errorf("known: %q", stranger)
		}
	})
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
