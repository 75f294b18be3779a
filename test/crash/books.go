package main

import (
	"cmp"
	"iter"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// pair is one recipient of one message.
type pair struct{ id, rcpt string }

// books compare what arrived with the ledger.
type books struct {
	sandbox  *sandbox
	result   *Result
	arrivals map[pair][]time.Time // times of deliveries; of a refused recipient: times of notifications to the sender
	excuses  map[pair][]excuse
	hungUp   map[string]int // by message: how often a door has said that its MTA may not have heard
}

// excuse allows one more arrival of a pair, because of a crash.
type excuse struct {
	*crash
	// again: the MTA offers the message again, or the daemon reports it again, so that both arrivals may be later than
	// the crash. Otherwise the additional arrival repeats one from before the crash.
	again bool
}

// balance compares what arrived, and what still waits, with what was answered for. The findings go into the sandbox's
// result.
func (s *sandbox) balance(waiting map[pair]bool) {
	s.audit(s.sink.All(), s.mta.All(), waiting)
	for _, c := range s.daemon.Complaints() {
		s.result.violate("%s", c)
	}
}

// audit is balance for the deliveries and notifications that it is given.
func (s *sandbox) audit(deliveries, notifications iter.Seq[sink.Delivery], waiting map[pair]bool) {
	b := &books{
		sandbox: s, result: &s.result, arrivals: make(map[pair][]time.Time), excuses: make(map[pair][]excuse), hungUp: s.hungUp(),
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

// delivery checks and counts one arrival at a receiver.
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
	if verb := b.sandbox.admin.forbade(p, d.Time); verb != "" {
		b.result.violate("delivered to %s: %s, after the daemon had answered to %s", d.Rcpt, d.ID, verb)
	}
	b.arrivals[p] = append(b.arrivals[p], d.Time)
}

// returned checks and counts a message that was handed back to the MTA on an admin's order.
func (b *books) returned(d sink.Delivery) {
	e := b.sandbox.ledger.find(d.ID)
	if e == nil || !slices.Contains(e.rcpts, d.Rcpt) || !b.sandbox.admin.may(relay.VerbHandback, d.ID) {
		b.result.Phantom++
		b.result.violate("handed back: %s for %s, which nobody ordered", d.ID, d.Rcpt)
		return
	}
	b.arrivals[pair{d.ID, d.Rcpt}] = append(b.arrivals[pair{d.ID, d.Rcpt}], d.Time)
}

// beside reports whether rcpt may get e from Millrace although the MTA keeps e and delivers it too: Millrace took an
// earlier offer of e that a crash kept it from answering, and the restart has named rcpt. The arrival is charged to
// that crash as a duplicate.
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

// notification checks and counts the report of a failure that the daemon has handed to the MTA for the sender of a
// message.
func (b *books) notification(d sink.Delivery) {
	if d.From != "" {
		b.returned(d)
		return
	}
	id, ok := idOfSender(d.Rcpt)
	e := b.sandbox.ledger.find(id)
	if !ok || e == nil || d.From != "" || e.fate == aborted || e.fate == passed && !slices.ContainsFunc(e.rcpts, func(r string) bool { return b.beside(e, r) }) {
		b.result.Phantom++
		b.result.violate("a notification from <%s> to %s that fits no message", d.From, d.Rcpt)
		return
	}
	for _, m := range finalRecipient.FindAllSubmatch(d.Raw, -1) {
		rcpt := string(m[1])
		if !slices.Contains(e.rcpts, rcpt) || !isRefused(rcpt) && !b.sandbox.admin.may(relay.VerbBounce, id) {
			b.result.WrongRecipient++
			b.result.violate("%s is reported to have failed for %s", id, rcpt)
		}
		b.arrivals[pair{id, rcpt}] = append(b.arrivals[pair{id, rcpt}], d.Time)
	}
}

// missing counts the recipients who were answered for, have got nothing, and for whom nothing waits.
func (b *books) missing(waiting map[pair]bool) {
	for _, e := range b.sandbox.ledger.all() {
		b.result.Acknowledged += len(e.taken)
		for _, r := range e.taken {
			if p := (pair{e.id, r}); len(b.arrivals[p]) == 0 && !waiting[p] && !b.sandbox.admin.may(relay.VerbDelete, e.id) {
				b.result.Lost++
				b.result.violate("lost: %s for %s, answered for at %s, after crash %d", e.id, r, e.at.Format(time.StampMicro), e.crash)
			}
		}
	}
}

// known collects the excuses. After a crash a delivery may be repeated because the daemon does not know of its outcome,
// or because the MTA has not heard that the message was taken. The mail log of the next start names each of these
// recipients. One case the daemon cannot name: it gave an answer that the MTA did not hear because the MTA's power was
// off by then. known excuses these offers as well.
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

// gone excuses a repetition of what was sent just after the disk was cut off: the kernel may have told the daemon
// falsely that the record of that visit was on disk.
func (b *books) gone() {
	for p, times := range b.arrivals {
		for _, t := range times {
			if c := b.sandbox.dark(t); c != nil {
				b.allow(p, excuse{c, false})
			}
		}
	}
}

// name excuses what a line of the mail log names. The line of a notification names the sender as the recipient.
func (b *books) name(n named) {
	c := b.sandbox.loggedAfter(n.at)
	e := b.sandbox.ledger.find(n.id)
	id, report := idOfSender(n.rcpt)
	report = report && id == n.id
	if c == nil || e == nil || !report && !slices.Contains(e.rcpts, n.rcpt) {
		b.result.violate("the mail log says that %s may get %s twice, which fits no crash or no message", n.rcpt, n.id)
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

// again charges each arrival of a pair but the first to a crash that excuses it. Arrivals of a message that was left
// with the MTA are charged by beside, all of them.
func (b *books) again(p pair, times []time.Time) {
	if e := b.sandbox.ledger.find(p.id); e != nil && e.fate == passed {
		return
	}
	slices.SortFunc(times, time.Time.Compare)
	left := slices.Clone(b.excuses[p])
	slices.SortFunc(left, func(x, y excuse) int { // the excuses that fit fewer arrivals come first, so that the others stay for the rest
		if x.again != y.again {
			return map[bool]int{false: -1, true: 1}[x.again]
		}
		return x.at.Compare(y.at)
	})
	repeated := make(map[*crash]int) // by crash: arrivals before it whose repetition has been excused
	for _, t := range times[1:] {
		b.result.AllTwice++
		at := slices.IndexFunc(left, func(x excuse) bool {
			return !x.at.After(t) && (x.again || t.After(x.until) && repeated[x.crash] < arrivedBy(times, x.until))
		})
		if at < 0 && b.hungUp[p.id] > 0 {
			b.hungUp[p.id]--
			b.result.Named++
			continue
		}
		if at < 0 {
			b.result.Unexplained++
			b.result.violate("%s arrived %d times at %s, and the mail log does not name it: %s", p.id, len(times), p.rcpt, b.history(p, times))
			continue
		}
		left[at].twice++
		if !left[at].again {
			repeated[left[at].crash]++
		}
		left = slices.Delete(left, at, at+1)
	}
}

// arrivedBy counts the times up to t. times is sorted.
func arrivedBy(times []time.Time, t time.Time) int {
	n, _ := slices.BinarySearchFunc(times, t, func(x, t time.Time) int { return cmp.Or(x.Compare(t), -1) })
	return n
}

// history tells what happened around a duplicate. Times are relative to the first arrival.
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
