package history

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

var writeGolden = flag.Bool("golden", false, "write testdata of the present format")

// goldenEvents tells a history of every kind of event, some twice, so that there are texts.
func goldenEvents(h *History) {
	at := time.UnixMilli(1_790_000_000_123)
	for i := range 3 {
		m := campaign(relay.ID(5<<40+i), "Anna@A.example", "bob@far-away.example")
		m.Slip.Arrived, m.Slip.Taken = at.Add(-time.Second), at
		e := takenEvent(1, m)
		e.MessageID = []byte("same@list1.example")
		h.Event(e)
		later := settled(m, 0, relay.Deferred, at.Add(time.Minute), smtp.Reply{Code: 451, Enhanced: "4.7.1", Lines: []string{"Greylisted"}})
		later.MaybeTwice = true
		h.Event(later)
		h.Event(sentEvent(i, m))
		h.Event(settled(m, 1, relay.Bounced, at.Add(-time.Hour), smtp.Reply{Code: 550, Lines: []string{"no"}}))
		h.Event(&relay.Event{Kind: relay.EventReported, Time: at, Message: m, Rcpt: 1, Report: "3BX9"})
		h.Event(&relay.Event{Kind: relay.EventUnheard, Time: at, Message: m, Rcpt: 1})
		h.Event(&relay.Event{Kind: relay.EventInterrupted, Time: at, Message: m, Rcpt: 0})
	}
}

// TestFormat: what this version writes is what version 1 wrote, byte for byte, and it reads that. Whoever changes the format raises the
// version and adds a file.
func TestFormat(t *testing.T) {
	h := newHistory(t, Config{Keep: mostKeep, MaxBytes: leastBytes})
	goldenEvents(h)
	if err := h.flushAll(); err != nil {
		t.Fatal(err)
	}
	if err := h.shelf.close(); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{segmentName(1): "v1.seg", indexName(1): "v1.idx"} {
		got, err := os.ReadFile(filepath.Join(h.deps.Dir, name))
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", file)
		if *writeGolden {
			if err := os.WriteFile(golden, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v\n%q\nwant\n%q", file, err, got, want)
		}
	}
	f := find(t, h, Query{MessageID: "same@list1.example"}, 3)
	var stories []string
	for i := range f.Messages {
		stories = append(stories, story(&f.Messages[i]))
	}
	want, err := os.ReadFile(filepath.Join("testdata", "v1.txt"))
	if got := strings.Join(stories, "\n") + "\n"; err != nil || got != string(want) {
		t.Errorf("%v\n%s", err, got)
	}
}
