package main

import (
	"bytes"
	"os"
	"regexp"
)

// sentLine is a line of the mail log about a recipient whose receiver has the message. A message that our own MTA has got is
// "(forwarded as".
var sentLine = regexp.MustCompile(`(?m) to=<([^>]*)>, relay=.* status=sent \((.*)$`)

// sums are the recipients who have got their mail, by each account that is kept of them. Each message of the harness has recipients of
// its own, so that an address stands for a pair.
type sums struct {
	sink  map[string]int  // deliveries, by the receivers' own account
	lines map[string]int  // of the mail log
	doubt map[string]bool // of whom the mail log says after a crash that nobody knows whether they have it
}

// sum collects the accounts. It is called when nothing waits and the daemon has stopped.
func (s *sandbox) sum() (sums, error) {
	all := sums{sink: make(map[string]int), lines: make(map[string]int), doubt: make(map[string]bool)}
	for d := range s.sink.All() {
		all.sink[d.Rcpt]++
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
	return all, nil
}

// agree compares the accounts. Whoever has got his mail has a line, and whoever has a line has got it. A recipient in doubt may have
// got it and have no line, if an admin has deleted what was left to be sent again. A crash costs lines of deliveries that are made
// again, so no account may have more than the one before it.
func (all sums) agree(r *Result) {
	all.compare(r, all.lines, "the mail log")
	deliveries, lines := count(all.sink), count(all.lines)
	if lines > deliveries {
		r.violate("sent: %d lines of the mail log, %d deliveries", lines, deliveries)
	}
	r.note("sent: %d recipients, %d lines of the mail log, %d deliveries", len(all.sink), lines, deliveries)
}

// compare finds who stands in one account only.
func (all sums) compare(r *Result, other map[string]int, name string) {
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
