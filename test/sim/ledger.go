package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Ledger knows what became of every recipient, by the word of everybody but Millrace: the MTA notes what it offered and what it was
// told, the receivers note what they took. Of Millrace's own words only two count: "may be delivered twice" in the mail log
// excuses a second copy, and the list of waiting mail.
type Ledger struct {
	mu    sync.Mutex
	of    map[string]*fate // by the recipient's address, which no other message has
	by    map[string]*Sender
	order []string
	stray []string // recipients who got mail that nobody offered
	lines []byte   // an unfinished line of the mail log
	deaf  bool     // options.deaf
	stock stock

	pauses []*pause
	broken []string // what an admin had forbidden and happened
}

// fate is what became of one recipient.
type fate struct {
	site       *Site
	sender     *Sender
	before     int // recipients of other senders whom the site had taken when this one was offered
	offered    time.Time
	content    *content // of the message
	altered    bool     // a copy was not what was offered
	verdict    verdict
	received   []time.Time // copies that the receiver has taken
	returned   int         // notifications of failure that reached the MTA
	handedBack int         // copies that went back to the MTA
	named      bool        // the mail log says that the message may be delivered twice
	asked      time.Time   // when it was last offered by the SMTP door; zero: it was offered by the milter
	doubtful   bool        // an offer had no answer, and another one followed
	passed     int         // copies that went on to the MTA
	undecided  bool        // it was left with the MTA, and the machine died before that could be recorded
	held       bool        // an admin holds it: it must not be received
	back       bool        // it may be on its way back to the MTA: it is no mail of its site any more
	leaves     bool        // an admin has bounced it or given it back: it must not be received, unless the daemon dies before it has left
	dead       bool        // an admin has deleted it: it must not be received
	deleted    bool        // it may be gone without a trace
}

// verdict is what the MTA heard of an offer.
type verdict int

const (
	unanswered verdict = iota // the connection to the door was lost before the answer
	taken
	left    // with the MTA
	told4xx // the client has it, and tries again
	dropped // by an application that tries nothing again
)

var verdicts = [...]string{unanswered: "has no answer for", taken: "is rid of", left: "keeps", told4xx: "is told to come later with", dropped: "LOSES"}

func newLedger() *Ledger { return &Ledger{of: make(map[string]*fate), by: make(map[string]*Sender)} }

// senderOf is the source whose message has this envelope sender; nil: it is none of theirs.
func (l *Ledger) senderOf(from string) *Sender {
	name, _, _ := strings.Cut(from, "+")
	return l.by[name]
}

// content is a message as the MTA offered it: its length and its sum.
type content struct {
	size int
	sum  [sha256.Size]byte
}

// same reports whether body is the message, behind the trace lines that were put in front.
func (c *content) same(body string) bool {
	at := len(body) - c.size
	return at >= 0 && strings.HasPrefix(body, "Received: ") == (at > 0) && sha256.Sum256([]byte(body[at:])) == c.sum
}

func (l *Ledger) offer(rcpt string, by *Sender, site *Site, c *content) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of[rcpt] = &fate{site: site, sender: by, before: by.others(site), offered: time.Now(), content: c}
	l.order = append(l.order, rcpt)
	by.series.present().offered++
	site.offer()
}

func (l *Ledger) hear(rcpt string, v verdict) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.of[rcpt]
	f.verdict = v
	if v == taken {
		f.site.heard()
		l.hold(f, +1)
	}
}

// hold counts a recipient that Millrace has, or has no more. Millrace may have sent a message before the MTA has heard that it
// was taken. The mutex is held.
func (l *Ledger) hold(f *fate, n int) {
	for _, in := range []*stock{&f.site.stock, &f.sender.stock, &l.stock} {
		in.now += n
		in.most = max(in.most, in.now)
	}
}

// stock is how many recipients Millrace has.
type stock struct{ now, most int }

// crash notes that the machine died on a disk that was ill since then. What was left with the MTA in that time may be found on the
// disk whole, because its record could be written and not synced, and nothing could be recorded that takes it back.
func (l *Ledger) crash(ill time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.of {
		if f.asked.IsZero() {
			f.undecided = f.undecided || f.verdict == left && f.offered.After(ill.Add(-longestOffer))
		} else { // whatever was said of it, and whatever will be
			f.undecided = f.undecided || f.verdict != taken && f.asked.After(ill.Add(-longestOffer))
		}
	}
}

// longestOffer is how long the answer to an offer takes at most.
const longestOffer = time.Minute

// ask notes that recipients are offered by the SMTP door, again if they have no answer that is the last.
func (l *Ledger) ask(rcpts []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range rcpts {
		f := l.of[r]
		f.doubtful = f.doubtful || !f.asked.IsZero() && f.verdict == unanswered
		f.asked, f.verdict = time.Now(), unanswered
	}
}

// pass notes a copy that the SMTP door has sent on to the MTA.
func (l *Ledger) pass(rcpts []string) {
	for _, r := range rcpts {
		l.note(r, func(f *fate) { f.passed++ })
	}
}

// receive notes a copy at its receiver.
func (l *Ledger) receive(rcpt, body string) {
	l.note(rcpt, func(f *fate) {
		f.received = append(f.received, time.Now())
		if why := l.forbidden(rcpt, f); why != "" {
			l.broken = append(l.broken, fmt.Sprintf("received although %s: %s", why, rcpt))
		}
		f.altered = f.altered || !f.content.same(body)
		f.site.came++
		f.sender.came[f.site]++
		f.sender.series.present().received++
		f.sender.ahead = max(f.sender.ahead, f.sender.others(f.site)-f.before)
	})
}

// give notes what reached the MTA by bounce.inject: a notification of failures, or a message that was handed back.
func (l *Ledger) give(rcpts []string, body string) {
	failed := false
	for line := range strings.Lines(body) {
		if addr, found := strings.CutPrefix(strings.TrimSpace(line), "Final-Recipient: rfc822; "); found {
			l.note(addr, func(f *fate) { f.returned++ })
			failed = true
		}
	}
	if failed {
		return
	}
	for _, r := range rcpts {
		l.note(r, func(f *fate) { f.handedBack++ })
	}
}

func (l *Ledger) note(rcpt string, change func(*fate)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.of[rcpt]
	if f == nil {
		l.stray = append(l.stray, rcpt)
		return
	}
	ended := f.ended()
	change(f)
	if !ended && f.ended() {
		l.hold(f, -1)
	}
}

// came is when the daemon was offered the recipient last.
func (f *fate) came() time.Time {
	if f.asked.IsZero() {
		return f.offered
	}
	return f.asked
}

// ended reports whether something has become of the recipient.
func (f *fate) ended() bool { return len(f.received)+f.handedBack+f.returned > 0 }

// readLog reads a piece of the mail log.
func (l *Ledger) readLog(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, b...)
	text := string(l.lines)
	end := strings.LastIndexByte(text, '\n') + 1
	l.lines = append(l.lines[:0], text[end:]...)
	for lines := bufio.NewScanner(strings.NewReader(text[:end])); lines.Scan(); {
		_, rest, found := strings.Cut(lines.Text(), ": to=<")
		if !found || !strings.Contains(rest, "may be delivered twice") {
			continue
		}
		rcpt, _, _ := strings.Cut(rest, ">")
		if f := l.of[rcpt]; f != nil && !l.deaf {
			f.named = true
		}
	}
}

// judge holds every recipient against the promises; waiting are those whom Millrace says that it still has. It adds up what
// became of each site's mail and of each source's. end is when the run was over.
func (l *Ledger) judge(waiting map[string]bool, end time.Time) (violations []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range l.stray {
		violations = append(violations, "nobody offered it: "+r)
	}
	violations = append(violations, l.broken...)
	for _, rcpt := range l.order {
		f := l.of[rcpt]
		f.site.record(f, waiting[rcpt], end)
		f.sender.record(f, waiting[rcpt], end)
		if waiting[rcpt] {
			f.sender.ahead = max(f.sender.ahead, f.sender.others(f.site)-f.before)
		}
		if what := f.wrong(waiting[rcpt]); what != "" {
			violations = append(violations, what+": "+rcpt)
		}
	}
	return summary(violations, 20)
}

// wrong says which promise is broken; "" none. The MTA delivers a message itself if it got no answer, so Millrace may then have it
// or not; but a copy by Millrace is one too many, and has to be named. So it is with a message that is undecided.
func (f *fate) wrong(waits bool) string {
	copies := len(f.received) + f.handedBack
	ends := copies + f.returned
	switch {
	case f.altered:
		return "altered"
	case f.verdict == left && !f.asked.IsZero() && f.passed == 0:
		return "said to be with the MTA, which never got it"
	case f.verdict == taken && f.passed > 0 && !f.doubtful:
		return "taken, and sent on to the MTA"
	case f.verdict == left && ends > 0 && !((f.undecided || f.doubtful) && f.named):
		return "delivered although it was left with the MTA"
	case (f.verdict == told4xx || f.verdict == dropped) && ends > 0 && !((f.undecided || f.doubtful) && f.named):
		return "delivered although the client was told to come later"
	case f.verdict == taken && ends == 0 && !waits && !f.deleted:
		return "lost"
	case f.verdict == unanswered && copies > 0 && !f.named:
		return "delivered beside the MTA's own copy, and not named"
	case copies > 1 && !f.named:
		return fmt.Sprintf("delivered %d times and not named", copies)
	case f.returned > 1 && !f.named:
		return fmt.Sprintf("returned %d times", f.returned)
	case copies > 0 && f.returned > 0 && !f.named:
		return "delivered and returned"
	case f.verdict == taken && ends > 0 && waits && !f.named:
		return "delivered, and still waiting"
	}
	return ""
}

// summary is the first violations, and how many more there are.
func summary(all []string, most int) []string {
	if len(all) <= most {
		return all
	}
	return append(slices.Clone(all[:most]), fmt.Sprintf("and %d more", len(all)-most))
}
