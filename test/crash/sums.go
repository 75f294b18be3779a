package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"regexp"

	"github.com/millrace/millrace/relay/console"
)

// sentLine is a line of the mail log about a recipient whose receiver has the message. A message that our own MTA has got is
// "(forwarded as".
var sentLine = regexp.MustCompile(`(?m) to=<([^>]*)>, relay=.* status=sent \((.*)$`)

// sums are the recipients who have got their mail, by each account that is kept of them. Each message of the harness has recipients of
// its own, so that an address stands for a pair.
type sums struct {
	sink    map[string]int  // deliveries, by the receivers' own account
	lines   map[string]int  // of the mail log
	records map[string]int  // of the event stream
	doubt   map[string]bool // of whom the mail log says after a crash that nobody knows whether they have it, or whom no log may know
	counted console.Tallied // by the counters that go on over restarts
	journal journalTotals   // by the event stream, which compares itself with the journal's totals
}

// journalTotals are those totals of the event stream that are compared.
type journalTotals struct{ Messages, Recipients, Sent int64 }

// sum collects the accounts. It is called when nothing waits and the daemon has stopped; counted is what its counters were.
func (s *sandbox) sum(counted console.Tallied) (sums, error) {
	all := sums{sink: make(map[string]int), lines: make(map[string]int), records: make(map[string]int), doubt: make(map[string]bool), counted: counted}
	for d := range s.sink.All() {
		all.sink[d.Rcpt]++
		if s.dark(d.Time) != nil { // a message that the journal has lost, in spite of the kernel's word, may be in no later log either
			all.doubt[d.Rcpt] = true
		}
	}
	log, err := os.ReadFile(s.daemon.MailLogFile())
	if err != nil {
		return all, err
	}
	for _, m := range sentLine.FindAllSubmatch(log, -1) {
		if !bytes.HasPrefix(m[2], []byte("forwarded as")) {
			all.lines[string(m[1])]++
		}
	}
	for _, n := range s.named() {
		all.doubt[n.rcpt] = true
	}
	return all, all.read(s.record())
}

// read adds up the records of the event stream, and what its recoveries say that it has missed. The sum must be the running totals that
// stand among them.
func (all *sums) read(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	var sum journalTotals
	for lines.Scan() {
		var r struct {
			Type, Recipient    string
			Rcpts              int64
			Notice             bool
			Totals, Difference journalTotals
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return fmt.Errorf("event %q: %w", lines.Text(), err)
		}
		switch r.Type {
		case "reception":
			sum.Messages++
			sum.Recipients += r.Rcpts
		case "delivery":
			sum.Sent++
			if !r.Notice {
				all.records[r.Recipient]++
			}
		case "recovery":
			sum.Messages += r.Difference.Messages
			sum.Recipients += r.Difference.Recipients
			sum.Sent += r.Difference.Sent
		case "totals":
			if all.journal = r.Totals; sum != r.Totals {
				return fmt.Errorf("the records of the event stream and of its recoveries add up to %+v, and it says %+v", sum, r.Totals)
			}
		}
	}
	return lines.Err()
}

// agree compares the accounts. Whoever has got his mail has a line and a record, and whoever has one of these has got it. A recipient in
// doubt may have got it and have neither, if an admin has deleted what was left to be sent again. A crash costs lines of deliveries that
// are made again, so no account may have more than the one before it.
func (all *sums) agree(r *Result) {
	all.compare(r, all.lines, "the mail log")
	all.compare(r, all.records, "the event stream")
	deliveries, lines, records, counted := count(all.sink), count(all.lines), count(all.records), int(all.counted.Sent)
	text := fmt.Sprintf("sent: %d recipients; %d by the counters, %d records of the event stream, %d lines of the mail log, %d deliveries; "+
		"the journal's totals, notifications included: %+v", len(all.sink), counted, records, lines, deliveries, all.journal)
	if lines > deliveries || records > deliveries || counted > lines || counted > records || all.undoubted() > counted || all.counted.Left != 0 {
		r.violate("%s; %d left", text, all.counted.Left)
	}
	r.note("%s", text)
}

// undoubted counts those who have got their mail for certain: a message that is done after a crash has left nobody in doubt.
func (all *sums) undoubted() (n int) {
	for rcpt := range all.sink {
		if !all.doubt[rcpt] {
			n++
		}
	}
	return n
}

// compare finds who stands in one account only.
func (all *sums) compare(r *Result, other map[string]int, name string) {
	for rcpt := range all.sink {
		if other[rcpt] == 0 && !all.doubt[rcpt] {
			r.violate("%s has got a message, and "+name+" does not know it", rcpt)
		}
	}
	for rcpt := range other {
		if all.sink[rcpt] == 0 {
			r.violate("%s has got nothing, and "+name+" says that it was sent", rcpt)
		}
	}
}

func count(all map[string]int) (n int) {
	for _, k := range all {
		n += k
	}
	return n
}
