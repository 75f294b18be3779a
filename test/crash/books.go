package main

import (
	"cmp"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// pair is one recipient of one message.
type pair struct{ id, rcpt string }

// books are what arrived, held against the ledger.
type books struct {
	sandbox  *sandbox
	result   *Result
	arrivals map[pair][]time.Time // deliveries, or for a refused recipient the notifications to the sender
	excuses  map[pair][]excuse
}

// excuse is a crash of which it is known that it may have made one more arrival of a pair.
type excuse struct {
	*crash
	// again: somebody offers or reports the message again, so that both arrivals may be later than the crash. Otherwise it
	// is one before the crash that is repeated.
	again bool
}

// balance holds what arrived, and what still waits, against what was answered for, and adds it to the sandbox's result.
func (s *sandbox) balance(waiting map[pair]bool) {
	s.audit(s.sink.All(), s.mta.All(), waiting)
	for _, c := range s.daemon.Complaints() {
		s.result.violate("%s", c)
	}
}

// audit is balance for any deliveries and notifications.
func (s *sandbox) audit(deliveries, notifications iter.Seq[sink.Delivery], waiting map[pair]bool) {
	b := &books{
		sandbox: s, result: &s.result, arrivals: make(map[pair][]time.Time), excuses: make(map[pair][]excuse),
	}
	b.known()
	for d := range deliveries {
		b.delivery(d)
	}
	for d := range notifications {
		b.notification(d)
	}
	b.missing(waiting)
	b.gone()
	for p, times := range b.arrivals {
		b.again(p, times)
	}
	for _, c := range s.crashes {
		b.result.Window = max(b.result.Window, c.window)
		b.result.Duplicates = max(b.result.Duplicates, c.twice)
	}
}

// delivery checks one arrival at a receiver.
func (b *books) delivery(d sink.Delivery) {
	b.result.Delivered++
	e := b.sandbox.ledger.find(d.ID)
	switch {
	case e == nil:
		b.result.Phantom++
		b.result.violate("delivered to %s: a message nobody sent, %q", d.Rcpt, d.ID)
	case !slices.Contains(e.rcpts, d.Rcpt) || d.From != sender(d.ID):
		b.result.WrongRecipient++
		b.result.violate("%s from <%s> delivered to %s; it was for %s", d.ID, d.From, d.Rcpt, strings.Join(e.rcpts, " "))
	case d.Sum != e.sum:
		b.result.Altered++
		b.result.violate("%s delivered to %s with other content, %d bytes", d.ID, d.Rcpt, d.Size)
	case b.beside(e, d.Rcpt):
	case e.fate == aborted || e.fate == passed:
		b.result.Phantom++
		b.result.violate("delivered to %s: %s, which was not taken (fate %d)", d.Rcpt, d.ID, e.fate)
	}
	p := pair{d.ID, d.Rcpt}
	b.arrivals[p] = append(b.arrivals[p], d.Time)
}

// beside reports whether rcpt may get e although e was left with the MTA, and counts it: an earlier offer of it got there
// all the same, and the restart that brought it back has said so. The MTA delivers it too. It is one of the crash's
// duplicates.
func (b *books) beside(e *entry, rcpt string) bool {
	all := b.excuses[pair{e.id, rcpt}]
	if e.fate != passed || len(all) == 0 {
		return false
	}
	all[0].twice++
	b.excuses[pair{e.id, rcpt}] = all[1:]
	b.result.AllTwice++
	return true
}

var finalRecipient = regexp.MustCompile(`(?m)^Final-Recipient: rfc822; *(\S+?)\r?$`)

// notification checks what came to the MTA: reports of failures to the senders of the messages.
func (b *books) notification(d sink.Delivery) {
	id, ok := idOfSender(d.Rcpt)
	e := b.sandbox.ledger.find(id)
	if !ok || e == nil || d.From != "" || e.fate == aborted || e.fate == passed && !slices.ContainsFunc(e.rcpts, func(r string) bool { return b.beside(e, r) }) {
		b.result.Phantom++
		b.result.violate("a notification from <%s> to %s that fits no message", d.From, d.Rcpt)
		return
	}
	for _, m := range finalRecipient.FindAllSubmatch(d.Raw, -1) {
		rcpt := string(m[1])
		if !slices.Contains(e.rcpts, rcpt) || !isRefused(rcpt) {
			b.result.WrongRecipient++
			b.result.violate("%s is reported to have failed for %s", id, rcpt)
		}
		b.arrivals[pair{id, rcpt}] = append(b.arrivals[pair{id, rcpt}], d.Time)
	}
}

// missing counts what was answered for and neither arrived nor waits.
func (b *books) missing(waiting map[pair]bool) {
	for _, e := range b.sandbox.ledger.all() {
		b.result.Acknowledged += len(e.taken)
		for _, r := range e.taken {
			if p := (pair{e.id, r}); len(b.arrivals[p]) == 0 && !waiting[p] {
				b.result.Lost++
				b.result.violate("lost: %s for %s, answered for at %s, after crash %d", e.id, r, e.at.Format(time.StampMicro), e.crash)
			}
		}
	}
}

// known finds W of each crash: what may be done again because the daemon could not know, or not remember, that it was
// done, or because the MTA could not know that it was taken. The mail log of the next start names each of these
// recipients. What it cannot know is that an answer it gave was not heard because the power of the MTA was off by then:
// those offers are excused as well.
func (b *books) known() {
	for _, n := range b.sandbox.named() {
		b.name(n)
	}
	for _, o := range b.sandbox.ledger.unanswered() {
		i := b.sandbox.firstUntil(o.answer)
		if o.answer.IsZero() || i == len(b.sandbox.crashes) {
			continue
		}
		c := b.sandbox.crashes[i]
		for _, r := range o.entry.rcpts {
			b.allow(pair{o.entry.id, r}, excuse{c, true})
		}
	}
}

// gone excuses, likewise, what was sent in the very moment in which the disk was cut off: what was to be on record before
// may have been reported as durable falsely.
func (b *books) gone() {
	for p, times := range b.arrivals {
		for _, t := range times {
			if c := b.sandbox.dark(t); c != nil {
				b.allow(p, excuse{c, false})
			}
		}
	}
}

// name allows what a line of the mail log says. A notification is named by the sender it goes to.
func (b *books) name(n named) {
	c := b.sandbox.loggedAfter(n.at)
	e := b.sandbox.ledger.find(n.id)
	id, report := idOfSender(n.rcpt)
	report = report && id == n.id
	if c == nil || e == nil || !report && !slices.Contains(e.rcpts, n.rcpt) {
		b.result.violate("the mail log says that %s may get %s twice: after which crash, and of which message?", n.rcpt, n.id)
		return
	}
	b.result.Named++
	for _, r := range e.rcpts {
		if r == n.rcpt || report && isRefused(r) {
			b.allow(pair{n.id, r}, excuse{c, n.mta || isRefused(r)})
		}
	}
}

func (b *books) allow(p pair, x excuse) {
	x.window++
	b.excuses[p] = append(b.excuses[p], x)
}

// again charges each arrival but the first to a crash that excuses it. Of a message that was left with the MTA the first
// is one too many as well: beside has charged all of them.
func (b *books) again(p pair, times []time.Time) {
	if e := b.sandbox.ledger.find(p.id); e != nil && e.fate == passed {
		return
	}
	slices.SortFunc(times, time.Time.Compare)
	left := slices.Clone(b.excuses[p])
	slices.SortFunc(left, func(x, y excuse) int { // those that fit more are left for later
		if x.again != y.again {
			return map[bool]int{false: -1, true: 1}[x.again]
		}
		return x.at.Compare(y.at)
	})
	repeated := make(map[*crash]int) // arrivals before it that have been explained as repeated
	for _, t := range times[1:] {
		b.result.AllTwice++
		at := slices.IndexFunc(left, func(x excuse) bool {
			return !x.at.After(t) && (x.again || t.After(x.until) && repeated[x.crash] < arrivedBy(times, x.until))
		})
		if at < 0 {
			b.result.Unexplained++
			b.result.violate("%s arrived %d times at %s, and nobody was told: %s", p.id, len(times), p.rcpt, b.history(p, times))
			continue
		}
		left[at].twice++
		if !left[at].again {
			repeated[left[at].crash]++
		}
		left = slices.Delete(left, at, at+1)
	}
}

// arrivedBy counts the arrivals up to t.
func arrivedBy(times []time.Time, t time.Time) int {
	n, _ := slices.BinarySearchFunc(times, t, func(x, t time.Time) int { return cmp.Or(x.Compare(t), -1) })
	return n
}

// history tells what happened around a duplicate, in milliseconds after its first arrival.
func (b *books) history(p pair, times []time.Time) string {
	var s strings.Builder
	ms := func(t time.Time) string { return t.Sub(times[0]).Round(time.Millisecond / 10).String() }
	for _, t := range times {
		s.WriteString(" arrived " + ms(t))
	}
	for _, c := range b.sandbox.between(times[0].Add(-time.Second), times[len(times)-1]) {
		s.WriteString(", " + c.what + " " + ms(c.at) + " to " + ms(c.until))
	}
	for _, e := range b.sandbox.events {
		if e.until.After(times[0].Add(-time.Second)) && e.begin.Before(times[len(times)-1]) {
			s.WriteString(", " + e.what + " " + ms(e.begin) + " to " + ms(e.until))
		}
	}
	return s.String()
}
