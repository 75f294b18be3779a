package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// letter is the i-th of many messages, of 1000 campaigns, with the sizes of real ones: VERP senders for every second campaign,
// Message-IDs with a UUID, recipients at a few large providers and many small ones.
func letter(i int) *relay.Message {
	campaign := i % 1000
	from := fmt.Sprintf("news@list%d.example", campaign)
	if campaign%2 == 0 {
		from = fmt.Sprintf("bounce+%d@mail.list%d.example", i, campaign)
	}
	return &relay.Message{
		ID: relay.ID(5<<40 + i + 1),
		Slip: &relay.Slip{
			QueueID: queueID(i), Envelope: relay.Envelope{From: from, Rcpts: []relay.Rcpt{{Addr: recipient(i)}}},
			Flow:    relay.FlowName{Tenant: "shop", Name: fmt.Sprintf("campaign-%d", campaign), Sender: fmt.Sprintf("list%d.example", campaign)},
			Rule:    "list-unsubscribe",
			Client:  "app.example.org[192.0.2.7]",
			Arrived: taken(i).Add(-40 * time.Millisecond), Taken: taken(i),
		},
		Content: relay.NewContent(relay.Letter{Body: make([]byte, 100)}),
	}
}

// campaign is a message with several recipients.
func campaign(id relay.ID, rcpts ...string) *relay.Message {
	m := letter(1)
	m.ID, m.Slip.Rcpts = id, nil
	for _, r := range rcpts {
		m.Slip.Rcpts = append(m.Slip.Rcpts, relay.Rcpt{Addr: r})
	}
	return m
}

// begin is when the first message was taken.
var begin = time.Now().Truncate(time.Millisecond)

// taken is when the i-th message was taken: a thousand a second.
func taken(i int) time.Time { return begin.Add(time.Duration(i) * time.Millisecond) }

func queueID(i int) string { return fmt.Sprintf("4Z%07dJ", i) }

func messageID(i int) string {
	return fmt.Sprintf("%08x-7c4e-4b1a-9f0e-%012x@mail.list%d.example", i*2654435761&0xffffffff, i, i%1000)
}

func recipient(i int) string {
	host := [...]string{"gmail.com", "yahoo.com", "outlook.com", "gmx.de"}[i&3]
	if i%5 == 0 {
		host = fmt.Sprintf("company-%d.example", i%3000)
	}
	return fmt.Sprintf("First.Last%d@%s", i, host)
}

func takenEvent(i int, m *relay.Message) *relay.Event {
	return &relay.Event{Kind: relay.EventTaken, Time: m.Slip.Taken, Message: m, Rcpt: -1, MessageID: []byte(messageID(i))}
}

func sentEvent(i int, m *relay.Message) *relay.Event {
	return settled(m, 0, relay.Sent, m.Slip.Taken.Add(300*time.Millisecond), smtp.Reply{Code: 250, Enhanced: "2.0.0", Lines: []string{fmt.Sprintf("Ok: queued as 5F%06XC", i)}})
}

func settled(m *relay.Message, rcpt int, o relay.Outcome, at time.Time, r smtp.Reply) *relay.Event {
	return &relay.Event{
		Kind: relay.EventSettled, Time: at, Message: m, Rcpt: rcpt, Outcome: o, Reply: r, Site: "gmail-smtp-in.l.google.com:25",
		Relay: fmt.Sprintf("mx%d.example.com[192.0.2.%d]:25", uint64(m.ID)%8, uint64(m.ID)%8), ConnUse: 12,
		Delays: relay.Delays{Before: 40 * time.Millisecond, Queue: 120 * time.Millisecond, Transmit: 180 * time.Millisecond},
	}
}

// newHistory is a history in a directory of its own, of segments of 256 KB unless cfg says something else.
func newHistory(t testing.TB, cfg Config) *History {
	t.Helper()
	return reopen(t, cfg, filepath.Join(t.TempDir(), "history"))
}

func reopen(t testing.TB, cfg Config, dir string) *History {
	t.Helper()
	h := New(cfg, Deps{Dir: dir, Log: hclog.NewNullLogger()})
	t.Cleanup(func() { h.Close() })
	return h
}

// small is a configuration whose segments have 256 KB.
func small() Config { return Config{Keep: Period(7 * day), MaxBytes: leastBytes} }

// find looks for messages, and fails the test if there are not so many.
func find(t *testing.T, h *History, q Query, want int) Found {
	t.Helper()
	if q.Most == 0 {
		q.Most = 20
	}
	f, err := h.Find(q)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Messages) != want {
		t.Fatalf("%+v: %d messages, want %d: %+v", q, len(f.Messages), want, f.Messages)
	}
	return f
}

// story is what became of a message, in short.
func story(m *Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s", m.ID)
	if m.Taken != nil {
		fmt.Fprintf(&b, " %s from=%s id=%s %s/%s/%s/%s/%s size=%d of %d", m.Taken.QueueID, m.Taken.Sender, m.Taken.MessageID, m.Taken.Rule, m.Taken.Client,
			m.Taken.Flow.Tenant, m.Taken.Flow.Name, m.Taken.Flow.Sender, m.Taken.Size, m.Taken.Rcpts)
	}
	for _, l := range m.Lines {
		fmt.Fprintf(&b, "; %d %s %s", l.Kind, l.Recipient, l.Report)
		if l.Kind == Settled {
			fmt.Fprintf(&b, "%s %d %s relay=%s site=%s use=%d %s twice=%t", l.Outcome, l.Code, l.Reply, l.Relay, l.Site, l.ConnUse, l.Delays.Total(), l.Twice)
		}
	}
	return b.String()
}

// files lists the directory of h.
func files(t *testing.T, h *History) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(h.deps.Dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
