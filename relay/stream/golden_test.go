package stream

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew: only when contrib/events.md and contrib/CHANGELOG.md say the same")

// play tells s of one event of each kind.
func play(s *Stream) {
	one, two := letter(31, "ann@r.example"), letter(32, "bob@r.example", "\"q\\\"x\"@ü.example")
	s.Event(taken(one))
	s.Event(taken(two))
	s.Event(sent(one))
	late := settled(one, relay.Deferred, smtp.Reply{Code: 452, Enhanced: "4.2.2", Lines: []string{"Mailbox", "full \x01\xff<over>"}})
	late.MaybeTwice = true
	s.Event(late)
	s.Event(&relay.Event{Kind: relay.EventDeferred, Time: begun, Message: one, Node: one.Node(0), Rcpt: -1, Site: "mx.r.example", Relay: "mx.r.example[192.0.2.1]:25"})
	s.Event(settled(one, relay.Bounced, smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"No such user"}}))
	s.Event(&relay.Event{Kind: relay.EventReported, Time: begun, Message: one, Node: one.Node(0), Report: "5B"})
	expired := settled(one, relay.Expired, smtp.Reply{Code: 554, Enhanced: "4.4.7", Lines: []string{"delivery time expired"}})
	expired.Relay, expired.Site, expired.ConnUse = "none", "", 0
	s.Event(expired)
	s.Event(settled(one, relay.HandedBack, smtp.Reply{Code: 250, Lines: []string{"Ok"}}))
	s.Event(settled(one, relay.Deleted, smtp.Reply{Enhanced: "4.7.1", Lines: []string{"deleted by root"}}))
	s.Event(&relay.Event{Kind: relay.EventUnheard, Time: begun, Message: one, Rcpt: 0})
	s.Event(&relay.Event{Kind: relay.EventRemoved, Time: begun, Message: one, Rcpt: -1})
	notice := letter(33, "news@n.example")
	notice.Slip.Class, notice.Slip.Flow, notice.Slip.Rule, notice.Slip.From = relay.ClassInject, relay.FlowName{}, "", ""
	s.Event(taken(notice))
	mail := Note{Time: begun, QueueID: "4bXyZ2", Sender: "", Recipients: []string{"ann@r.example", "eve@s.example"}, Tenant: "acme", Campaign: "autumn",
		Rule: "list-id", Client: "app[192.0.2.7]", Size: 1234, Reason: "no room: queue.max_bytes"}
	for _, k := range []Kind{Held, Overflow, Suppressed} {
		n := mail
		n.Kind = k
		if n.Kind == Held {
			n.Waited, n.Taken = 2500*time.Millisecond, true
		}
		s.Note(n)
	}
	s.Note(Note{Kind: Act, Time: begun, Verb: "hold", Who: "root", Selector: "--campaign=autumn", Reason: "wrong link", Messages: 12, Rcpts: 15})
	s.Note(Note{Kind: Allowance, Time: begun, Tenant: "acme", Level: 90, Used: 900, Limit: 1000})
}

// golden compares with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := "testdata/" + name
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}

// TestGolden holds the JSON stable: readers outside depend on each name, and on the order for the reader's eye.
func TestGolden(t *testing.T) {
	for format, name := range map[string]string{FormatMillrace: "millrace.golden", FormatKumoMTA: "kumomta.golden"} {
		c := fileIn(t.TempDir())
		c.Format = format
		journal := Totals{Messages: 5, Recipients: 9, Sent: 2}
		s := begin(t, Config{File: []FileConfig{c}}, Deps{
			Hostname: "mail.example.org", now: func() time.Time { return begun }, Totals: func() Totals { return journal },
		})
		play(s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		lines := strings.Join(linesOf(t, c.Path), "\n") + "\n"
		if format == FormatMillrace {
			lines += string(appendGap(nil, begun, 7, 9, 3)) + string(appendTotals(nil, Recovery, 9, begun, Totals{Messages: 1, Sent: -2}))
		}
		golden(t, name, lines)
	}
}

// TestEveryFieldIsDocumented: contrib/events.md names each field and each type, and a field that is not there any more is not
// described.
func TestEveryFieldIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../contrib/events.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_.]+)` \\|").FindAllSubmatch(text, -1) {
		documented[string(m[1])] = true
	}
	seen := map[string]bool{"next": true} // no message of the test is due
	for _, l := range linesOf(t, "testdata/millrace.golden") {
		var all map[string]any
		if err := json.Unmarshal([]byte(l), &all); err != nil {
			t.Fatal(err)
		}
		for name, value := range all {
			seen[name] = true
			if inner, ok := value.(map[string]any); ok {
				for n := range inner {
					if name == "difference" && n != "sent" { // the fields are those of totals
						continue
					}
					seen[name+"."+n] = true
				}
			}
		}
	}
	for name := range seen {
		if !documented[name] {
			t.Errorf("contrib/events.md does not describe field %q", name)
		}
	}
	for name := range documented {
		if !seen[name] && !slices.Contains(kindNames[:], name) {
			t.Errorf("contrib/events.md describes %q, and testdata/millrace.golden has no such field", name)
		}
	}
	for _, k := range kindNames {
		if !documented[k] {
			t.Errorf("contrib/events.md does not describe type %q", k)
		}
	}
}
