package stream

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// begun is when the messages of the tests come.
var begun = time.Date(2026, 11, 26, 17, 30, 0, 123456789, time.UTC)

// letter is a message of one recipient or more, as a door hands it over.
func letter(id relay.ID, rcpts ...string) *relay.Message {
	s := &relay.Slip{
		QueueID: "4bXyZ1", Envelope: relay.Envelope{From: "news@n.example"}, Flow: relay.FlowName{Tenant: "acme", Name: "autumn", Sender: "n.example"},
		Rule: "list-unsubscribe", Client: "app[192.0.2.7]", Arrived: begun, Taken: begun,
	}
	for _, r := range rcpts {
		s.Rcpts = append(s.Rcpts, relay.Rcpt{Addr: r})
	}
	m := &relay.Message{ID: id, Slip: s, Content: relay.NewContent(relay.Letter{
		Header: []byte("From: <news@n.example>\r\nMESSAGE-ID:\r\n <1@n.example>\r\nSubject: Hello\r\n"), Body: []byte("Hello\r\n"),
	})}
	m.Address(func(d string) string { return d })
	return m
}

// taken, sent and failed are events of a message.
func taken(m *relay.Message) *relay.Event {
	return &relay.Event{Kind: relay.EventTaken, Time: begun, Message: m, Rcpt: -1, MessageID: m.Content.MessageID()}
}

func sent(m *relay.Message) *relay.Event {
	return settled(m, relay.Sent, smtp.Reply{Code: 250, Enhanced: "2.0.0", Lines: []string{"Ok: queued as 5E1F220"}})
}

func settled(m *relay.Message, o relay.Outcome, reply smtp.Reply) *relay.Event {
	return &relay.Event{
		Kind: relay.EventSettled, Time: begun.Add(1500 * time.Millisecond), Message: m, Node: m.Node(0), Rcpt: 0, Outcome: o, Reply: reply,
		Site: "mx.r.example", Relay: "mx.r.example[192.0.2.1]:25", ConnUse: 3,
		Delays: relay.Delays{Before: 400 * time.Millisecond, Queue: 100 * time.Millisecond, Transmit: 300 * time.Millisecond},
	}
}

// fileIn is the table of a file in a directory.
func fileIn(dir string) FileConfig {
	c := FileConfig{Path: filepath.Join(dir, "events.json")}
	c.SetDefaults()
	return c
}

// begin makes a stream, and ends it with the test.
func begin(t *testing.T, cfg Config, deps Deps) *Stream {
	t.Helper()
	if cfg.Buffer == 0 {
		cfg.Buffer = minBuffer
	}
	s, err := New(cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// linesOf are the lines of a file.
func linesOf(t *testing.T, path string) (lines []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(bytes.NewReader(text)); in.Scan(); {
		lines = append(lines, in.Text())
	}
	return lines
}

// field is a field of a record.
func field(t *testing.T, line, name string) any {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(line), &all); err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return all[name]
}

// kindsOf are the types of records, in order.
func kindsOf(t *testing.T, lines []string) string {
	var all []string
	for _, l := range lines {
		all = append(all, fmt.Sprint(field(t, l, "type")))
	}
	return strings.Join(all, " ")
}

// TestNobodyReads: a record that nobody reads is counted, and costs no memory.
func TestNobodyReads(t *testing.T) {
	s := begin(t, Config{}, Deps{})
	m := letter(31, "ann@r.example", "bob@r.example")
	take, done := taken(m), sent(m)
	before := s.Status()
	if n := testing.AllocsPerRun(100, func() { s.Event(take); s.Event(done) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	now := s.Status()
	if now.Position != before.Position+202 || now.Totals != (Totals{Messages: 101, Recipients: 202, Sent: 101}) {
		t.Errorf("%+v", now)
	}
	if first, next := s.ring.reach(); first != next || s.ring.head > 0 {
		t.Errorf("%d records are kept, and %d bytes were written", next-first, s.ring.head)
	}
}
