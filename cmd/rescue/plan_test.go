package rescue

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

// readQueue reads the queue of the tests, and what Postfix's routes say about it.
func readQueue(t *testing.T) (backlog []*Message, others int, staying []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", "queue.json"))
	if err != nil {
		t.Fatal(err)
	}
	err = ParseQueue(bytes.NewReader(text), func(m *Message) {
		if m.Queue != deferred {
			others++
			return
		}
		backlog = append(backlog, m)
		for _, r := range m.Rcpts {
			why := ""
			switch {
			case domain(r.Address) == "local.example":
				why = "its domain is in mydestination"
			case strings.HasPrefix(m.Sender, "routed@"):
				why = "sender_dependent_relayhost_maps sends it by smtp:[special.example]"
			}
			staying = append(staying, why)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return backlog, others, staying
}

// TestPlanGolden: a queue, and what would be done with it.
func TestPlanGolden(t *testing.T) {
	for name, s := range map[string]Selector{
		"all":    {},
		"domain": {Domains: []string{"vanity.example"}},
		"sender": {Senders: []string{"@list.example", "<>"}},
	} {
		backlog, others, staying := readQueue(t)
		p := plan(backlog, others, s, 1<<20, MaxAddresses, staying)
		text, err := json.MarshalIndent(p, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got := fmt.Appendf(text, "\nmessages: %s\n%s", strings.Join(p.ids, " "), p.table("inet:127.0.0.1:8896"))
		golden := filepath.Join("testdata", name+".golden")
		if *update {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: go test -update shows the difference; got\n%s", golden, got)
		}
		total := p.Carried
		for _, s := range p.Staying {
			total += s.Count
		}
		if total != p.Recipients || p.Carried != len(p.rcpts) {
			t.Errorf("%s: %d are carried or stay, of %d", name, total, p.Recipients)
		}
	}
}

// TestPlanIsBounded: more addresses than a table may have stay for another run, and all mail of one address goes one way.
func TestPlanIsBounded(t *testing.T) {
	var backlog []*Message
	for i := range 50 {
		backlog = append(backlog, &Message{Queue: deferred, ID: fmt.Sprint(i), Rcpts: []Recipient{{Address: fmt.Sprintf("u%d@far.example", i%25)}}})
	}
	p := plan(backlog, 0, Selector{}, 1, 20, make([]string, len(backlog)))
	if p.Addresses != 20 || p.Carried != 40 || len(p.Staying) != 1 || p.Staying[0] != (Tally{tooMany, 10}) {
		t.Errorf("%d addresses, %d carried, %v", p.Addresses, p.Carried, p.Staying)
	}
}

func TestGist(t *testing.T) {
	for in, want := range map[string][2]string{
		"": {"not tried yet", ""},
		"connect to mx.example[192.0.2.1]:25: Connection timed out":                                                         {"Connection timed out", "mx.example"},
		"delivery temporarily suspended: connect to MX.example[2001:db8::1]:25: Connection timed out":                       {"Connection timed out", "mx.example"},
		"host mx.example[192.0.2.1] said: 451 4.7.1 <a@b.example>: greylisted (in reply to RCPT TO command)":                {"451 4.7.1 ... greylisted (in reply to RCPT TO command)", "mx.example"},
		"host mx.example[192.0.2.1] refused to talk to me: 421 too many connections":                                        {"refused to talk to me: 421 too many connections", "mx.example"},
		"lost connection with mx.example[192.0.2.1] while sending RCPT TO":                                                  {"lost connection while sending RCPT TO", "mx.example"},
		"conversation with mx.example[192.0.2.1] timed out while sending end of data -- message may be sent more than once": {"conversation timed out while sending end of data -- message may be sent more than once", "mx.example"},
		"Host or domain name not found. Name service error for name=a.example type=MX: Host not found, try again":           {"Host or domain name not found. Name service error for ... type=MX: Host not found, try again", ""},
	} {
		if text, host := gist(in); text != want[0] || host != want[1] {
			t.Errorf("%q: %q of %q, want %q", in, text, host, want)
		}
	}
	if text, _ := gist(strings.Repeat("é", maxGist)); len(text) > maxGist+3 || !strings.HasSuffix(text, "é...") {
		t.Errorf("a long reason is %q", text)
	}
}

// TestDeclined: only the door's own word for "never" ends the wait for a recipient.
func TestDeclined(t *testing.T) {
	for reason, want := range map[string]string{
		"host 127.0.0.1[127.0.0.1] said: 451 4.6.0 not taken: over size_limit (in reply to end of DATA command)":   "over size_limit",
		"host 127.0.0.1[127.0.0.1] said: 451 4.3.2 bulk queue full, try again later (in reply to RCPT TO command)": "",
		"connect to 127.0.0.1[127.0.0.1]:8896: Connection refused":                                                 "",
	} {
		if got := declined(reason); got != (want != "") {
			t.Errorf("%s: declined %v", reason, got)
		}
		if got := staysFor(reason); want != "" && got != want {
			t.Errorf("%s: %q", reason, got)
		}
	}
}

// FuzzParseQueue: whatever Postfix prints, a plan counts each recipient once.
func FuzzParseQueue(f *testing.F) {
	text, err := os.ReadFile(filepath.Join("testdata", "queue.json"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte(`{"queue_name":"deferred","recipients":[{},{"address":"@"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var backlog []*Message
		rcpts := 0
		if err := ParseQueue(bytes.NewReader(text), func(m *Message) {
			backlog = append(backlog, m)
			rcpts += len(m.Rcpts)
		}); err != nil {
			return
		}
		p := plan(backlog, 0, Selector{}, 1<<20, MaxAddresses, make([]string, rcpts))
		sum := 0
		for _, s := range p.Sites {
			sum += s.Recipients
		}
		if p.Recipients != rcpts || sum != rcpts {
			t.Errorf("%d recipients, %d at sites, want %d", p.Recipients, sum, rcpts)
		}
	})
}
