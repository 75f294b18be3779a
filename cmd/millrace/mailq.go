package main

import (
	"bufio"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/millrace/millrace/relay"
)

// nullSender is how mailq(1) shows the null sender (RFC 5321 section 4.5.5).
const nullSender = "MAILER-DAEMON"

// mailq writes listings in the layout of Postfix's mailq(1), which scripts have parsed for decades. A layout of our own
// would be easier to read and would need a second script for each of theirs; our own facts are in "queue show" and in the
// JSON.
type mailq struct {
	w     *bufio.Writer
	count int64 // messages written, for total
	bytes int64 // their sizes, for total
}

// entry writes one message, with an empty line in front of all but the first. A failed write stays in the writer; entry
// returns it, so that the walk ends when the reader has left.
func (m *mailq) entry(l *relay.Listing) error {
	if m.count == 0 {
		m.columns("-Queue ID-", "--Size--", "----Arrival Time----", "-Sender/Recipient-------")
	} else {
		m.w.WriteByte('\n')
	}
	m.count++
	m.bytes += l.MessageSize
	id := clean(l.QueueID)
	id += map[string]string{"active": "*", "hold": "!"}[l.QueueName] // as Postfix marks these queues
	m.columns(id, fmt.Sprint(l.MessageSize), clock(l.ArrivalTime), address(l.Sender))
	// A reason stands above every recipient it holds for, so the recipients without a reason come first.
	slices.SortStableFunc(l.Recipients, func(a, b relay.ListedRcpt) int { return cmp.Compare(a.DelayReason, b.DelayReason) })
	reason := ""
	for i := range l.Recipients {
		r := &l.Recipients[i]
		if r.DelayReason != reason {
			reason = r.DelayReason
			text := clean(strings.TrimSpace(reason))
			fmt.Fprintf(m.w, "%*s(%s)\n", max(0, 76-len(text)), "", text)
		}
		m.columns("", "", "", clean(r.Address))
	}
	_, err := m.w.Write(nil)
	return err
}

// columns has the widths of Postfix's mailq(1): scripts cut lines by position.
func (m *mailq) columns(id, size, arrival, who string) {
	fmt.Fprintf(m.w, "%-11s %7s %-20s %s\n", id, size, arrival, who)
}

// total writes the last line in Postfix's words: scripts look for it to know that the list is complete.
func (m *mailq) total() {
	switch m.count {
	case 0:
		m.w.WriteString("Mail queue is empty\n")
	case 1:
		fmt.Fprintf(m.w, "\n-- %d Kbytes in 1 Request.\n", m.bytes>>10)
	default:
		fmt.Fprintf(m.w, "\n-- %d Kbytes in %d Requests.\n", m.bytes>>10, m.count)
	}
}

// more writes the last line of a page behind which there are more messages, of so many if that is known. Nobody must take the page for the
// whole list.
func (m *mailq) more(last string, all int64) {
	more := "more"
	if left := all - m.count; left > 0 {
		more = grouped(int(left)) + " more"
	}
	fmt.Fprintf(m.w, "\n-- %s, and %s wait; --after %s lists the next\n", several(int(m.count), "message"), more, clean(last))
}

// printMessage writes all that the daemon knows of one message, one fact a line.
func printMessage(w *bufio.Writer, l *relay.Listing) {
	fmt.Fprintf(w, "Queue id   %s\n", clean(l.QueueID))
	fmt.Fprintf(w, "Millrace   %s\n", clean(l.ID))
	fmt.Fprintf(w, "Sender     %s\n", address(l.Sender))
	fmt.Fprintf(w, "Size       %d bytes\n", l.MessageSize)
	if l.Rule != "" {
		fmt.Fprintf(w, "Rule       %s\n", clean(l.Rule))
	}
	if l.Tenant != "" {
		fmt.Fprintf(w, "Tenant     %s\n", clean(l.Tenant))
	}
	if l.Flow != "" {
		fmt.Fprintf(w, "Flow       %s\n", clean(l.Flow))
	}
	fmt.Fprintf(w, "Arrived    %s\n", clock(l.ArrivalTime))
	fmt.Fprintf(w, "Expires    %s\n", clock(l.Expires))
	for i := range l.Recipients {
		r := &l.Recipients[i]
		fmt.Fprintf(w, "Recipient  %s: %s after %d visits, next %s\n", clean(r.Address), clean(r.State), r.Attempts, nextTime(r))
		if r.DelayReason != "" {
			fmt.Fprintf(w, "           %s\n", clean(strings.TrimSpace(r.DelayReason)))
		}
	}
}

// nextTime answers the question that this program hears most: when does this message move?
func nextTime(r *relay.ListedRcpt) string {
	switch {
	case r.State == "busy":
		return "is now"
	case r.NextAttempt == 0 && r.State == "held":
		return "as soon as that has ended"
	case r.NextAttempt == 0:
		return "as soon as its queue has its turn"
	default:
		return clock(r.NextAttempt)
	}
}

// clock is a time as ctime(3) writes it, without the year: 19 characters, as in mailq(1).
func clock(unix int64) string { return time.Unix(unix, 0).Format("Mon Jan _2 15:04:05") }

// address is an address from outside as mailq(1) shows it. An empty column would shift the next one in every script.
func address(a string) string {
	if a == "" {
		return nullSender
	}
	return clean(a)
}

// clean makes text from outside harmless and keeps it on its line: a receiver's reply may hold anything, also sequences
// that command the terminal.
func clean(s string) string {
	return strings.ToValidUTF8(strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s), "?")
}
