package history

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// TestStory: all that the mail log has of a message is found again, by each recipient only what is theirs.
func TestStory(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	m := campaign(77, "Anna@A.example", "bob@b.example")
	at := taken(1)
	later := smtp.Reply{Code: 451, Enhanced: "4.7.1", Lines: []string{"Greylisted", "", "try again in 300 seconds"}}
	h.Event(takenEvent(1, m))
	for range 3 { // the third is in the words of the second
		h.Event(settled(m, 1, relay.Deferred, at, later))
	}
	h.Event(settled(m, 0, relay.Sent, at, smtp.Reply{Code: 250, Enhanced: "2.0.0", Lines: []string{"Ok: queued as 5F000001"}}))
	twice := settled(m, 1, relay.Deferred, at, smtp.Reply{Lines: []string{"connection lost"}})
	twice.MaybeTwice = true
	h.Event(twice)
	h.Event(&relay.Event{Kind: relay.EventInterrupted, Time: at, Message: m, Rcpt: 1})
	h.Event(&relay.Event{Kind: relay.EventUnheard, Time: at, Message: m, Rcpt: 1})
	h.Event(settled(m, 1, relay.Bounced, at, smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"no such user"}}))
	ended := find(t, h, Query{ID: relay.ID(77).String()}, 1).Messages[0]
	if !ended.Ended || ended.Settled {
		t.Errorf("a failure of which the sender is not told: %+v", ended)
	}
	h.Event(&relay.Event{Kind: relay.EventReported, Time: at, Message: m, Rcpt: 1, Report: "3BX9"})
	h.Event(&relay.Event{Kind: relay.EventRemoved, Time: at, Message: m, Rcpt: -1})
	const (
		head = "2H 4Z0000001J from=news@list1.example id=9e3779b1-7c4e-4b1a-9f0e-000000000001@mail.list1.example " +
			"list-unsubscribe/app.example.org[192.0.2.7]/shop/campaign-1/list1.example size=102 of 2"
		place = "relay=mx5.example.com[192.0.2.5]:25 site=gmail-smtp-in.l.google.com:25 use=12 340ms twice="
		wait  = "; 0 bob@b.example deferred 451 4.7.1 Greylisted try again in 300 seconds " + place + "false"
		sent  = "; 0 Anna@A.example sent 250 2.0.0 Ok: queued as 5F000001 " + place + "false"
		rest  = "; 0 bob@b.example deferred 0 connection lost " + place + "true; 3 bob@b.example ; 2 bob@b.example " +
			"; 0 bob@b.example bounced 550 5.1.1 no such user " + place + "false; 1 bob@b.example 3BX9"
	)
	for _, test := range []struct {
		query Query
		want  string
	}{
		{Query{ID: "4Z0000001J"}, head + wait + wait + wait + sent + rest},
		{Query{ID: "2h"}, head + wait + wait + wait + sent + rest},
		{Query{MessageID: messageID(1)}, head + wait + wait + wait + sent + rest},
		{Query{MessageID: " <" + messageID(1) + "> "}, head + wait + wait + wait + sent + rest},
		{Query{Recipient: "anna@a.EXAMPLE"}, head + sent},
		{Query{Recipient: "BOB@b.example"}, head + wait + wait + wait + rest},
	} {
		f := find(t, h, test.query, 1)
		if got := story(&f.Messages[0]); got != test.want || !f.Messages[0].Settled {
			t.Errorf("%+v:\n%s\nwant\n%s", test.query, got, test.want)
		}
	}
	for _, q := range []Query{{ID: "4z0000001j"}, {Recipient: "nobody@a.example"}, {MessageID: strings.ToUpper(messageID(1))}, {Recipient: "4Z0000001J"}} {
		find(t, h, q, 0)
	}
	if _, err := h.Find(Query{}); err == nil {
		t.Error("a question without a name is answered")
	}
}

// TestTheLatestFirst: of many messages of one name so many are found as were asked for, over the bounds of segments.
func TestTheLatestFirst(t *testing.T) {
	h := newHistory(t, small())
	const n = 5000
	for i := range n {
		m := campaign(relay.ID(i+1), "joe@example.com")
		m.Slip.QueueID = fmt.Sprintf("4Z%d", i%3)
		h.Event(takenEvent(i, m))
		h.Event(sentEvent(i, m))
		if i%100 == 99 {
			h.flushAll()
		}
	}
	if names := files(t, h); len(names) < 5 {
		t.Errorf("only %q", names)
	}
	f := find(t, h, Query{Recipient: "joe@example.com", Most: 1000}, 1000)
	for i, m := range f.Messages {
		if m.ID != relay.ID(n-i) || len(m.Lines) != 1 || !m.Settled {
			t.Fatalf("%d: %s", i, story(&m))
		}
	}
	if !f.More {
		t.Error("there are no more")
	}
	if f := find(t, h, Query{ID: "4Z2", Most: 2}, 2); f.Messages[0].ID != n-2 || f.Messages[1].ID != n-5 || !f.More {
		t.Errorf("%+v", f.Messages)
	}
}

// TestManyRecipients: a message for thousands has several records, and each recipient of them is found.
func TestManyRecipients(t *testing.T) {
	h := newHistory(t, small())
	var rcpts []string
	for i := range maxRcpts + 500 {
		rcpts = append(rcpts, fmt.Sprintf("user%d@%s.example", i, strings.Repeat("x", 60)))
	}
	m := campaign(9, rcpts...)
	h.Event(takenEvent(1, m))
	for i := range rcpts {
		h.Event(settled(m, i, relay.Sent, taken(1), smtp.Reply{Code: 250, Lines: []string{"ok"}}))
	}
	for _, i := range []int{0, chunk - 1, chunk, 3000, maxRcpts - 1} {
		f := find(t, h, Query{Recipient: rcpts[i]}, 1)
		if got := f.Messages[0]; len(got.Lines) != 1 || got.Lines[0].Rcpt != i || !got.Settled || got.Taken.Rcpts != len(rcpts) {
			t.Errorf("%d: %s", i, story(&got))
		}
	}
	f := find(t, h, Query{ID: queueID(1)}, 1)
	if got := f.Messages[0]; len(got.Lines) != len(rcpts) || !got.Settled {
		t.Errorf("%d lines, %t", len(got.Lines), got.Settled)
	}
	find(t, h, Query{Recipient: rcpts[maxRcpts]}, 0) // beyond the bound
}

// TestManyRecords: a message with more records than half of what a look-up reads is found with all of them, by our id as by the
// MTA's.
func TestManyRecords(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	m := campaign(9, "joe@example.com")
	h.Event(takenEvent(1, m))
	later := settled(m, 0, relay.Deferred, taken(1), smtp.Reply{Code: 451, Lines: []string{"later"}})
	for i := range mostReads * 3 / 4 {
		if h.Event(later); i%5000 == 0 {
			h.flushAll()
		}
	}
	for _, id := range []string{queueID(1), relay.ID(9).String()} {
		f := find(t, h, Query{ID: id}, 1)
		if got := f.Messages[0]; got.Taken == nil || len(got.Lines) != mostLines || !got.Cut || f.More {
			t.Errorf("%s: taken %+v, %d lines, more %t", id, got.Taken, len(got.Lines), f.More)
		}
	}
}

// TestStrangeTexts: nothing that a stranger can write breaks a record or takes more room than its bound.
func TestStrangeTexts(t *testing.T) {
	h := newHistory(t, DefaultConfig())
	long := strings.Repeat("ü\x00\r\n\xd7", 5000)
	for i := range 4 {
		m := campaign(relay.ID(i+1), long, "", "@", `"a@b"@c.example`, "no-at")
		m.Slip.From, m.Slip.Client, m.Slip.Rule, m.Slip.QueueID, m.Slip.Flow.Name = long, long, long, "", "a\x00b"
		e := takenEvent(i, m)
		e.MessageID = []byte(long)
		h.Event(e)
		e = settled(m, 0, relay.Bounced, taken(1), smtp.Reply{Code: -5, Enhanced: strings.Repeat("5", 1000), Lines: []string{long, long}})
		e.Relay, e.Site, e.ConnUse, e.Delays.Queue = long, long, -1, -time.Hour
		h.Event(e)
	}
	f := find(t, h, Query{Recipient: `"A@b"@C.example`}, 4)
	for _, m := range f.Messages {
		if m.Taken.Rcpts != 5 || m.Taken.Flow.Name != "a?b" || len(m.Taken.Client) != maxText || len(m.Taken.Sender) != maxAddress {
			t.Errorf("%+v", m.Taken)
		}
	}
	if f := find(t, h, Query{MessageID: long}, 4); len(f.Messages[0].Lines[0].Reply) != maxText {
		t.Errorf("%+v", f.Messages[0].Lines)
	}
	find(t, h, Query{Recipient: long}, 4)
	if size := h.Status().Bytes; size > 64<<10 {
		t.Errorf("%d bytes", size)
	}
}

// TestNoDescriptor: a look-up that cannot open a file says so, and does not say that there is no such message.
func TestNoDescriptor(t *testing.T) {
	h := newHistory(t, small())
	for i := range 3000 { // more than one segment
		h.Event(takenEvent(i, letter(i)))
	}
	find(t, h, Query{ID: queueID(0)}, 1)
	var limit, none syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none.Max = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	var errs []error
	for _, i := range []int{0, 2999} { // in a segment with an index, and in the one that is being written
		_, err := h.Find(Query{ID: queueID(i), Most: 1})
		errs = append(errs, err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	for _, err := range errs {
		if !errors.Is(err, syscall.EMFILE) {
			t.Errorf("%v", err)
		}
	}
	find(t, h, Query{ID: queueID(0)}, 1)
}
