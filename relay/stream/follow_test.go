package stream

import (
	"bytes"
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/smtp"

	"github.com/millrace/millrace/relay"
)

// ask walks to the newest record.
func ask(t *testing.T, s *Stream, query string) (positions []uint64, lines []string) {
	t.Helper()
	q, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	q.Set("follow", "false")
	walk, err := s.Events(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	for p, text := range walk {
		if text != nil {
			positions, lines = append(positions, p), append(lines, string(text))
		}
	}
	return positions, lines
}

// TestSelectors: each selector finds its records and no others.
func TestSelectors(t *testing.T) {
	s := begin(t, Config{File: []FileConfig{fileIn(t.TempDir())}}, Deps{})
	play(s)
	for query, want := range map[string]string{
		"kind=bounce":                       "bounce",
		"kind=bounce,delivery&kind=act":     "delivery bounce act",
		"tenant=nobody":                     "",
		"kind=bounce&tenant=acme":           "bounce",
		"kind=reception&campaign=autumn":    "reception reception",
		"kind=reception&domain=R.example":   "reception reception",
		"recipient=bob@R.EXAMPLE":           "reception",
		"recipient=@s.example":              "held overflow suppressed",
		"kind=delivery&sender=@N.example":   "delivery",
		"sender=<>":                         "reception held overflow suppressed",
		"kind=reception&id=10":              "reception",
		"id=4bXyZ2":                         "held overflow suppressed",
		"id=4bxyz2":                         "",
		"recipient=nobody@nowhere.example":  "",
		"kind=recovery":                     "",
		"kind=allowance&tenant=acme":        "allowance",
		"kind=delivery&domain=other.exampl": "",
	} {
		if _, lines := ask(t, s, query); kindsOf(t, lines) != want {
			t.Errorf("%s: %s, want %s", query, kindsOf(t, lines), want)
		}
	}
	for query, want := range map[string]string{
		"kind=bonce": "no type of event", "colour=red": "is not known", "tenant=": "is empty", "since=x": "no position", "follow=maybe": "invalid",
		"since=-1": "no position", "since=99999999999999999": "ahead of the newest record", "id=a&id=b": "given twice", "sender=a%00": "no text",
		"kind=,": "no type of event",
	} {
		q, _ := url.ParseQuery(query)
		if _, err := s.Events(t.Context(), q); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", query, err, want)
		}
	}
	if s.Status().Watchers != 0 {
		t.Errorf("%d readers are left", s.Status().Watchers)
	}
}

// TestResume: a reader that comes back goes on behind what it had, out of memory or the file, and is told of what neither has.
func TestResume(t *testing.T) {
	for _, withFile := range []bool{true, false} {
		cfg := Config{}
		if withFile {
			cfg.File = []FileConfig{fileIn(t.TempDir())}
		}
		s := begin(t, cfg, Deps{})
		s.awake.Store(true)
		m := letter(31, "ann@r.example")
		for i := range 10_000 {
			s.Event(sent(m))
			if i%1000 == 0 {
				s.Flush()
			}
		}
		last := s.Status().Position
		if got, _ := ask(t, s, fmt.Sprint("since=", last-100)); len(got) != 100 || got[0] != last-99 || got[99] != last {
			t.Errorf("file %t: the last 100 are %d", withFile, len(got))
		}
		got, lines := ask(t, s, fmt.Sprint("since=", s.base+9))
		switch {
		case withFile:
			if len(got) != 9990 || got[0] != s.base+10 || got[9989] != last || strings.Contains(kindsOf(t, lines[:10]), "gap") {
				t.Errorf("with a file: %d records, the first %s", len(got), lines[0])
			}
		case field(t, lines[0], "type") != "gap" || int(field(t, lines[0], "missed").(float64))+len(got)-1 != 9990 || got[0] != got[1]-1:
			t.Errorf("without a file: %d records, the first %s", len(got), lines[0])
		}
		if got, _ := ask(t, s, "since=0"); withFile && len(got) != 10_000 {
			t.Errorf("from the beginning: %d records", len(got))
		}
	}
}

// TestFromTheBeginning: whoever asks for all there is has missed nothing where there was nothing yet.
func TestFromTheBeginning(t *testing.T) {
	s := begin(t, Config{File: []FileConfig{fileIn(t.TempDir())}}, Deps{})
	if _, lines := ask(t, s, "since=0"); len(lines) != 0 {
		t.Errorf("%q", lines)
	}
	s.Event(sent(letter(31, "ann@r.example")))
	if _, lines := ask(t, s, "since=0"); kindsOf(t, lines) != "delivery" {
		t.Errorf("%q", lines)
	}
}

// TestEarlierStart: a reader of an earlier start finds what the file has, and is told that it has missed records when there is none.
func TestEarlierStart(t *testing.T) {
	file := fileIn(t.TempDir())
	m := letter(31, "ann@r.example")
	s := begin(t, Config{File: []FileConfig{file}}, Deps{})
	s.Event(sent(m))
	old := s.Status().Position
	s.Event(sent(m))
	s.Close()
	s = begin(t, Config{File: []FileConfig{file}}, Deps{})
	s.Event(sent(m))
	if got, lines := ask(t, s, fmt.Sprint("since=", old)); len(got) != 2 || got[0] != old+1 || got[1] != s.base {
		t.Errorf("with a file: %q", lines)
	}
	if got, lines := ask(t, s, fmt.Sprint("since=", old+1)); len(got) != 1 || got[0] != s.base {
		t.Errorf("at the end of the last start: %q", lines)
	}
	s = begin(t, Config{}, Deps{})
	s.awake.Store(true)
	s.Event(sent(m))
	_, lines := ask(t, s, fmt.Sprint("since=", old))
	if kindsOf(t, lines) != "gap delivery" || field(t, lines[0], "missed") != nil || field(t, lines[0], "from") != float64(old+1) {
		t.Errorf("without a file: %q", lines)
	}
}

// TestLineUnderWay: a reader of the file that finds half of a line misses nothing of it when there is more.
func TestLineUnderWay(t *testing.T) {
	c := fileIn(t.TempDir())
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	for range 4 {
		s.Event(sent(letter(31, "ann@r.example")))
	}
	s.Flush()
	text, err := os.ReadFile(c.Path)
	if err != nil {
		t.Fatal(err)
	}
	half := bytes.Index(text, strconv.AppendUint(nil, s.base+2, 10)) + 200
	if err := os.Truncate(c.Path, int64(half)); err != nil {
		t.Fatal(err)
	}
	var p past
	defer p.close()
	next, got := s.base, []uint64(nil)
	for range 2 {
		var b batch
		p.fill(s.files[0], &next, s.base+4, &b, func(uint64, uint64, *batch) {})
		for r := range b.each {
			got = append(got, r.position-s.base)
		}
		if err := os.WriteFile(c.Path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, []uint64{0, 1, 2, 3}) {
		t.Errorf("%d", got)
	}
}

// TestNoDescriptors: a reader that cannot open the file for want of descriptors waits, and misses nothing that stands in it.
func TestNoDescriptors(t *testing.T) {
	s := begin(t, Config{File: []FileConfig{fileIn(t.TempDir())}}, Deps{})
	for i := range 10_000 {
		s.Event(sent(letter(31, "ann@r.example")))
		if i%1000 == 0 {
			s.Flush()
		}
	}
	s.Flush()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	r := reader{stream: s, at: cursor{next: s.base + 9}}
	defer r.past.close()
	var b batch
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 0, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	r.fill(&b)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if len(b.records) > 0 {
		t.Errorf("without descriptors: %+v", b.records[0])
	}
	if r.fill(&b); len(b.records) == 0 || b.records[0].position != s.base+9 || b.records[0].kind != Delivery {
		t.Errorf("then: %+v", b.records[:min(len(b.records), 1)])
	}
}

// TestSlowReader: a reader that does not come back for its next record costs those who deliver nothing, and is told what it has missed.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, Config{}, Deps{})
		ctx, cancel := context.WithCancel(t.Context())
		walk, err := s.Events(ctx, url.Values{})
		if err != nil {
			t.Fatal(err)
		}
		turn, kinds := make(chan bool), make(chan string, 100_000)
		go func() {
			defer close(kinds)
			for _, text := range walk {
				if text == nil {
					continue
				}
				_, k, _ := parse(text)
				if k == Gap {
					kinds <- "gap " + strconv.Itoa(int(field(t, string(text), "missed").(float64)))
				} else {
					kinds <- "record"
				}
				if turn != nil {
					<-turn
				}
			}
		}()
		synctest.Wait()
		m := letter(31, "ann@r.example")
		const total = 20_000
		for range total {
			s.Event(sent(m)) // it would hang here
		}
		close(turn)
		synctest.Wait()
		cancel()
		synctest.Wait()
		records, missed := 0, 0
		for k := range kinds {
			if n, ok := strings.CutPrefix(k, "gap "); ok {
				more, _ := strconv.Atoi(n)
				missed += more
			} else {
				records++
			}
		}
		if missed == 0 || records+missed != total {
			t.Errorf("%d records and %d missed", records, missed)
		}
		if s.Status().Watchers != 0 {
			t.Error("the reader is still counted")
		}
		time.Sleep(2 * lingerTime)
		synctest.Wait()
		if s.awake.Load() {
			t.Error("records are kept although nobody reads")
		}
		before := s.Status()
		s.Event(sent(m))
		if now := s.Status(); now.Position != before.Position+1 || now.Totals.Sent != before.Totals.Sent+1 {
			t.Errorf("%+v, then %+v", before, now)
		}
	})
}

// FuzzQuery: a query is refused with a text, or answers. A record matches it or does not.
func FuzzQuery(f *testing.F) {
	for _, q := range []string{"kind=bounce&tenant=acme", "since=5&follow=0", "sender=@", "sender=%3C%3E", "recipient=@&domain=%ff", "id=&id=", "kind=bounce,,"} {
		f.Add(q, `{"position":7,"time":"","type":"bounce","sender":"","recipients":["a@b"]}`)
	}
	f.Fuzz(func(t *testing.T, text, record string) {
		values, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		q, err := ParseQuery(values)
		if err != nil {
			if len(err.Error()) > 4*maxValue {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		q.matches(Bounce, []byte(record))
		parse([]byte(record + "\n"))
	})
}

// FuzzLine: whatever peers say, each record is one line of JSON, below the bound, with the texts in it.
func FuzzLine(f *testing.F) {
	f.Add("a@b.example", "Mailbox \x00 full", "\xff\xfe\"\\\r\n")
	f.Add("\u2028", strings.Repeat("é", 700), "x")
	f.Fuzz(func(t *testing.T, addr, text, name string) {
		s := begin(t, Config{Buffer: 1 << 16}, Deps{})
		s.awake.Store(true)
		m := letter(31, addr)
		m.Slip.Flow.Name, m.Slip.QueueID, m.Slip.From = name, name, addr
		s.Event(taken(m))
		s.Event(settled(m, relay.Bounced, smtp.Reply{Code: 550, Enhanced: name, Lines: []string{text, addr, text}}))
		s.Note(Note{Kind: Overflow, Reason: text, Recipients: []string{addr, name}, Client: name})
		_, lines := ask(t, s, "")
		for _, l := range lines {
			if field(t, l, "position") == nil || strings.Count(l, "\n") != 1 || len(l) > maxRecord {
				t.Errorf("%q", l)
			}
		}
		if len(lines) != 3 {
			t.Errorf("%d records", len(lines))
		}
	})
}
