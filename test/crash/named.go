package main

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// named is a recipient who may get a message twice, as the mail log says after the daemon before it has ended.
type named struct {
	id   string // of the message; of a notification: the id of the message it reports on
	rcpt string
	mta  bool  // the log gives as the reason that the MTA may offer the message again; else that the receiver may have it
	at   int64 // offset in the log
}

var mayBeTwice = regexp.MustCompile(`warning: (\S+): to=<(\S+)> may be delivered twice \(Millrace ended before the (MTA|outcome) `)

// named returns the recipients that the mail log of all starts names.
func (s *sandbox) named() []named {
	if s.daemon == nil {
		return s.told
	}
	log, err := os.ReadFile(s.daemon.MailLogFile())
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.result.violate("the mail log: %v", err)
		}
		return nil
	}
	var all []named
	for _, m := range mayBeTwice.FindAllSubmatchIndex(log, -1) {
		n := named{id: strings.ToLower(string(log[m[2]:m[3]])), rcpt: string(log[m[4]:m[5]]), mta: string(log[m[6]:m[7]]) == "MTA", at: int64(m[0])}
		if id, ok := idOfSender(n.rcpt); ok {
			n.id = id
		}
		all = append(all, n)
	}
	return all
}

var mayNotHaveHeard = regexp.MustCompile(`the MTA hung up and may not have heard that a message is taken; it may be delivered twice: id=(\S+)`)

// hungUp counts, by message, the lines of the technical log in which a door says of its last answer that the MTA may not have heard it:
// a second signal cuts off who still listens. What it says there it does not say in the mail log.
func (s *sandbox) hungUp() map[string]int {
	all := make(map[string]int)
	if s.daemon == nil {
		return all
	}
	log, err := os.ReadFile(s.daemon.LogFile()) // of all starts
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.result.violate("the technical log: %v", err)
	}
	for _, m := range mayNotHaveHeard.FindAllSubmatch(log, -1) {
		if e := s.ledger.find(strings.ToLower(string(m[1]))); e != nil {
			all[e.id] += len(e.rcpts)
		}
	}
	return all
}

// loggedAfter returns the last crash before the byte at offset at of the mail log was written, or nil.
func (s *sandbox) loggedAfter(at int64) *crash {
	var last *crash
	for _, c := range s.crashes {
		if c.logged <= at {
			last = c
		}
	}
	return last
}
