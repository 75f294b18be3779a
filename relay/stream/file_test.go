package stream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// cramped is a disk with room for so many bytes.
type cramped struct {
	disk
	room int
	sick bool // it cannot be cut either
}

func (c *cramped) Write(b []byte) (int, error) {
	if len(b) <= c.room {
		c.room -= len(b)
		return c.disk.Write(b)
	}
	n, _ := c.disk.Write(b[:c.room])
	c.room = 0
	return n, syscall.ENOSPC
}

func (c *cramped) Truncate(size int64) error {
	if c.sick {
		return syscall.EIO
	}
	return c.disk.Truncate(size)
}

// TestFullDisk: what does not fit waits in memory, and what memory has lost before there is room is told. No line is torn.
func TestFullDisk(t *testing.T) {
	for _, sick := range []bool{false, true} {
		c := fileIn(t.TempDir())
		s := begin(t, Config{File: []FileConfig{c}}, Deps{})
		f := s.files[0]
		full := &cramped{disk: f.disk, room: 10_000, sick: sick}
		f.disk = full
		m := letter(31, "ann@r.example")
		flush := func() error {
			f.mu.Lock()
			f.retry = time.Time{}
			f.mu.Unlock()
			return s.Flush()
		}
		failures := 0
		for i := range 10_000 {
			s.Event(sent(m))
			if i%10 > 0 {
				continue
			}
			if err := flush(); errors.Is(err, syscall.ENOSPC) {
				failures++
			} else if err != nil {
				t.Fatal(err)
			}
		}
		if failures == 0 || s.Status().Outputs[0].Error == "" {
			t.Fatalf("sick %t: %d failures, status %+v", sick, failures, s.Status())
		}
		full.room = 1 << 30
		if err := flush(); err != nil {
			t.Fatal(err)
		}
		seen, gaps, missed := make(map[float64]bool), make(map[float64]float64), 0.0
		for _, l := range linesOf(t, c.Path) {
			if sick && !strings.HasSuffix(l, "}") { // of a disk that cannot be cut a torn line is left, and the record comes again
				continue
			}
			switch field(t, l, "type") {
			case "gap":
				gaps[field(t, l, "from").(float64)] = field(t, l, "missed").(float64) // one that was torn comes again
			case "delivery":
				seen[field(t, l, "position").(float64)] = true
			}
		}
		for _, n := range gaps {
			missed += n
		}
		// What a sick disk has kept of a write that failed may be told as missed all the same.
		if sum := len(seen) + int(missed); missed == 0 || sum < 10_000 || !sick && sum > 10_000 {
			t.Errorf("sick %t: %d records and %v missed, want 10000 together", sick, len(seen), missed)
		}
		if st := s.Status().Outputs[0]; st.Missed != uint64(missed) || st.Error != "" || st.Behind != 0 {
			t.Errorf("sick %t: status %+v", sick, st)
		}
		if last := linesOf(t, c.Path); field(t, last[len(last)-1], "position") != float64(s.Status().Position) {
			t.Errorf("sick %t: the last line is %s", sick, last[len(last)-1])
		}
	}
}

// TestRecovery: over kills, and with a journal that has lost or gained outcomes, the sum of all records is the journal's count.
// Positions only rise.
func TestRecovery(t *testing.T) {
	c := fileIn(t.TempDir())
	journal := Totals{Messages: 100, Recipients: 200, Sent: 50} // from before there were events
	base := journal
	deps := Deps{Totals: func() Totals { return journal }}
	for round := range 6 {
		s := begin(t, Config{File: []FileConfig{c}}, deps)
		for i := range 350 {
			m := letter(relay.ID(31+i), "ann@r.example", "bob@r.example")
			s.Event(taken(m))
			journal.Messages, journal.Recipients = journal.Messages+1, journal.Recipients+2
			s.Event(sent(m))
			journal.Sent++
			if i%10 == 0 {
				s.Event(&relay.Event{Kind: relay.EventDeferred, Time: begun, Message: m, Node: m.Node(0), Rcpt: -1, Relay: "mx[192.0.2.1]:25"})
				journal.Deferred++
			}
		}
		switch {
		case round%3 == 0: // a clean stop
			s.Close()
		case round%3 == 1: // a kill: the file has what was flushed, and the journal a take more and an outcome less
			s.Flush()
			journal.Messages, journal.Recipients, journal.Sent = journal.Messages+1, journal.Recipients+1, journal.Sent-3
		default: // a power cut: the file has lost its end
			s.Flush()
			st, _ := os.Stat(c.Path)
			os.Truncate(c.Path, st.Size()-10_000)
		}
	}
	begin(t, Config{File: []FileConfig{c}}, deps).Flush()
	sum, recoveries, last := base, 0, 0.0
	for i, l := range linesOf(t, c.Path) {
		x := found{first: 1, totals: sum, known: true}
		position := field(t, l, "position").(float64)
		kind := field(t, l, "type")
		if position < last || position == last && kind != "totals" {
			t.Fatalf("line %d: position %v behind %v", i, position, last)
		}
		last = position
		if kind == "recovery" {
			recoveries++
			diff := field(t, l, "difference").(map[string]any)
			get := func(name string) int64 { n, _ := diff[name].(float64); return int64(n) }
			sum.sum(Totals{get("messages"), get("recipients"), get("sent"), get("handed_back"), get("reported"), get("suppressed"), get("removed"), get("deferred")})
			continue
		}
		x.line([]byte(l + "\n"))
		if kind == "totals" && x.totals != sum {
			t.Fatalf("line %d: totals %+v, the records before it sum up to %+v", i, x.totals, sum)
		}
		sum = x.totals
	}
	if sum != journal || recoveries != 4 {
		t.Errorf("the records sum up to %+v with %d recoveries; the journal has %+v", sum, recoveries, journal)
	}
}

// TestPositionsRise: none is used twice when the clock is set back, with a file and without one.
func TestPositionsRise(t *testing.T) {
	clock := begun
	now := func() time.Time { return clock }
	for name, cfg := range map[string]Config{"file": {File: []FileConfig{fileIn(t.TempDir())}}, "no file": {}} {
		clock = begun
		s := begin(t, cfg, Deps{now: now})
		s.Event(taken(letter(31, "ann@r.example")))
		last, kept := s.Status().Position, s.Positions()
		s.Close()
		clock = begun.Add(-24 * time.Hour)
		s = begin(t, cfg, Deps{now: now, Kept: kept})
		s.Event(taken(letter(31, "ann@r.example")))
		if next := s.Status().Position; next <= last {
			t.Errorf("%s: position %d behind %d", name, next, last)
		}
		if next := s.Status().Position; next > 1<<53 {
			t.Errorf("%s: position %d is no exact double", name, next)
		}
		s.Close()
	}
	clock = time.Unix(40, 0) // a host without a clock of its own
	s := begin(t, Config{}, Deps{now: now})
	if s.base < minPosition {
		t.Errorf("position %d, which a file must not be named by", s.base)
	}
}

// TestReopen: log rotation by another program loses no record.
func TestReopen(t *testing.T) {
	c := fileIn(t.TempDir())
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	m := letter(31, "ann@r.example")
	s.Event(taken(m))
	s.Flush()
	if err := os.Rename(c.Path, c.Path+".old"); err != nil {
		t.Fatal(err)
	}
	s.Event(sent(m))
	s.Flush()
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	s.Event(sent(m))
	s.Close()
	if got := kindsOf(t, linesOf(t, c.Path+".old")) + "|" + kindsOf(t, linesOf(t, c.Path)); got != "totals reception delivery|totals delivery totals" {
		t.Errorf("%s", got)
	}
}

// TestReopenSameFile: a signal for the rotation of another log leaves the file as it is: a reader misses nothing that stands in it, and
// it is as old as before.
func TestReopenSameFile(t *testing.T) {
	c := fileIn(t.TempDir())
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	f := s.files[0]
	m := letter(31, "ann@r.example")
	const total = 10_000 // several times what memory has room for
	for i := range total {
		s.Event(sent(m))
		if i%1000 == 0 {
			s.Flush()
		}
	}
	s.Flush()
	first, began := f.first, f.began
	if err := s.Reopen(); err != nil {
		t.Fatal(err)
	}
	if f.first != first || !f.began.Equal(began) {
		t.Errorf("it begins at %d, %s; it was %d, %s", f.first, f.began, first, began)
	}
	got, lines := ask(t, s, fmt.Sprint("since=", s.base+9))
	if len(got) != total-10 || got[0] != s.base+10 {
		t.Errorf("%d records, the first %s", len(got), lines[0])
	}
}

// TestEmptiedFile: a rotation that copies the file and empties it takes away what readers had there, and they are told.
func TestEmptiedFile(t *testing.T) {
	c := fileIn(t.TempDir())
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	m := letter(31, "ann@r.example")
	send := func() {
		for i := range 10_000 { // several times what memory has room for
			s.Event(sent(m))
			if i%1000 == 0 {
				s.Flush()
			}
		}
		s.Flush()
	}
	send()
	if err := errors.Join(os.Truncate(c.Path, 0), s.Reopen()); err != nil {
		t.Fatal(err)
	}
	send()
	_, lines := ask(t, s, fmt.Sprint("since=", s.base+9))
	if len(lines) == 0 || field(t, lines[0], "type") != "gap" {
		t.Fatalf("%d lines, and no gap", len(lines))
	}
	if got := field(t, lines[0], "missed"); fmt.Sprint(got) != "9990" {
		t.Errorf("missed %v", got)
	}
}

// TestRunWritesSoon: the file has a record a moment after the event, without a flush, and Run ends with its context.
func TestRunWritesSoon(t *testing.T) {
	c := fileIn(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, Config{File: []FileConfig{c}}, Deps{})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		synctest.Wait()
		s.Event(taken(letter(31, "ann@r.example")))
		time.Sleep(2 * gatherTime)
		synctest.Wait()
		if got := kindsOf(t, linesOf(t, c.Path)); got != "totals reception" {
			t.Errorf("%s", got)
		}
		cancel()
		<-done
	})
}

// TestPipe: an output that is no file gets the records when somebody reads, and holds up nobody when not.
func TestPipe(t *testing.T) {
	c := fileIn(t.TempDir())
	if err := syscall.Mkfifo(c.Path, 0o600); err != nil {
		t.Skip(err)
	}
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	s.Event(taken(letter(31, "ann@r.example")))
	if err := s.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := s.files[0].drain(true); !errors.Is(err, syscall.ENXIO) {
		t.Fatalf("without a reader: %v", err)
	}
	out, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s.files[0].retry = time.Time{}
	if err := s.files[0].drain(true); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4096)
	n, _ := out.Read(text)
	if got := kindsOf(t, strings.Split(strings.TrimSpace(string(text[:n])), "\n")); got != "totals reception" {
		t.Errorf("%s", got)
	}
}

// TestStuckPipe: while a write waits for the reader of a pipe, the journal does not wait for the write. A reader that goes on gets all
// records, each on a line of its own behind the one that was torn.
func TestStuckPipe(t *testing.T) {
	c := fileIn(t.TempDir())
	if err := syscall.Mkfifo(c.Path, 0o600); err != nil {
		t.Skip(err)
	}
	out, err := os.OpenFile(c.Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	s := begin(t, Config{File: []FileConfig{c}}, Deps{})
	f := s.files[0]
	m := letter(31, "ann@r.example")
	const total = 1000 // several times what a pipe has room for
	for range total {
		s.Event(sent(m))
	}
	if err := f.drain(true); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("without a reader: %v", err)
	}
	f.mu.Lock() // as the write had it
	flushed := make(chan error, 1)
	go func() { flushed <- s.Flush() }()
	select {
	case err := <-flushed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a commit of the journal waits for the reader of a pipe")
	}
	f.retry = time.Time{}
	f.mu.Unlock()
	drained := make(chan error, 1)
	go func() { drained <- f.drain(true) }()
	out.SetReadDeadline(time.Now().Add(20 * time.Second))
	seen := make(map[uint64]bool)
	for lines := bufio.NewReader(out); len(seen) < total; {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			t.Fatalf("%d records, then %v", len(seen), err)
		}
		if position, k, ok := parse(text); ok && k == Delivery && text[len(text)-2] == '}' {
			seen[position] = true
		}
	}
	if err := <-drained; err != nil {
		t.Error(err)
	}
}

// TestFileRefused: a path that will never be right stops the start.
func TestFileRefused(t *testing.T) {
	c := fileIn(filepath.Join(t.TempDir(), "missing"))
	if s, err := New(Config{Buffer: minBuffer, File: []FileConfig{c}}, Deps{}); err == nil || !strings.Contains(err.Error(), "events.file") {
		t.Errorf("%v %v", s, err)
	}
}
