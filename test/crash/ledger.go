package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// fate is what the MTA knows of a message that it has offered.
type fate byte

const (
	intended fate = iota + 1 // perhaps sent to its end, and not answered: it may arrive or not
	answered                 // taken: it must arrive
	passed                   // left with the MTA: it must not arrive
	aborted                  // the client went away before the end: it must not arrive
)

// entry is one message of the ledger.
type entry struct {
	id    string
	rcpts []string // who may get the message
	taken []string // recipients for whom the daemon has answered
	sum   [sha256.Size]byte
	fate  fate
	at    time.Time // of the answer
	crash int       // number of crashes before the answer, to find the crash that lost the message
}

// offer is one offer of a message. When it ends without an answer, the daemon may have taken the message all the same.
type offer struct {
	entry        *entry
	since, until time.Time
	answer       time.Time // when an answer was given that was not heard because the power was off; else zero
}

// ledger records which messages were offered and which were answered for. Its file lies where no crash reaches it, and
// each line is with the kernel before the next step: "I" before a message is offered, "A" after the answer that takes
// it, "P" after the answer that leaves it with the MTA, "B" when the connection breaks before an answer, "O" when the
// power goes, "C" at a crash.
type ledger struct {
	mu      sync.Mutex
	file    *os.File
	err     error // the first failure to write: a ledger with holes proves nothing
	entries map[string]*entry
	pending map[string]*offer // offers under way
	open    []offer           // offers that ended without an answer
	off     time.Time         // when the power went; zero: it is on
	late    time.Duration     // from off to the latest answer after it
	count   struct{ answered, passed int }
	crashes int
}

func newLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	return &ledger{file: f, entries: make(map[string]*entry), pending: make(map[string]*offer)}, nil
}

func (l *ledger) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.file.Close(); l.err == nil {
		l.err = err
	}
	return l.err
}

// write adds a line. The caller holds the mutex.
func (l *ledger) write(format string, args ...any) {
	if _, err := fmt.Fprintf(l.file, format+"\n", args...); err != nil && l.err == nil {
		l.err = err
	}
}

// intend records that m is going to be offered. Of a message offered again after a lost answer, the entry stays as it
// is.
func (l *ledger) intend(m *mail) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.entries[m.id] == nil {
		l.entries[m.id] = &entry{id: m.id, rcpts: m.rcpts, sum: m.sum(), fate: intended}
		l.write("I %s %x %s", m.id, m.sum(), strings.Join(m.rcpts, " "))
	}
	l.pending[m.id] = &offer{entry: l.entries[m.id], since: time.Now()}
}

// answer records the answer to an offer. taken are the recipients for whom the daemon answers. It reports false when
// the power is off, so that nobody hears the answer.
func (l *ledger) answer(id string, f fate, taken []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.off.IsZero() {
		if f == answered {
			l.pending[id].answer = time.Now()
			l.late = max(l.late, time.Since(l.off))
		}
		return false
	}
	e := l.entries[id]
	e.fate, e.taken, e.at, e.crash = f, taken, time.Now(), l.crashes
	delete(l.pending, id)
	if f == answered {
		l.count.answered += len(taken)
		l.write("A %s %s", id, strings.Join(taken, " "))
	} else {
		l.count.passed++
		l.write("P %s", id)
	}
	return true
}

// powerOff begins a power cut. The MTA goes down too, so no answer is heard until powerOn.
func (l *ledger) powerOff() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.off = time.Now()
	l.write("O %s", l.off.Format(time.RFC3339Nano))
}

// dark reports whether the power is off. The MTA does nothing then.
func (l *ledger) dark() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.off.IsZero()
}

// powerOn ends a power cut and returns how long after powerOff the daemon still answered for a message. A short time is
// no lie of the daemon: an fdatasync that is under way when ext4 is shut down can return success (measured with Linux
// 6.18: 5 of 300 cuts).
func (l *ledger) powerOn() (late time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	late = l.late
	l.off, l.late = time.Time{}, 0
	return late
}

// broken records that the connection ended before the answer to the message.
func (l *ledger) broken(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.pending[id]
	o.until = time.Now()
	l.open = append(l.open, *o)
	delete(l.pending, id)
	l.write("B %s", id)
}

// crashed records a crash.
func (l *ledger) crashed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crashes++
	l.write("C %d %s", l.crashes, time.Now().Format(time.RFC3339Nano))
}

// unanswered returns the offers that ended without an answer, in the order of their ends.
func (l *ledger) unanswered() []offer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.open)
}

// answers returns how many recipients were answered for, and how many messages were left with the MTA.
func (l *ledger) answers() (taken, passed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count.answered, l.count.passed
}

// all returns the entries, sorted by id.
func (l *ledger) all() []*entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := make([]*entry, 0, len(l.entries))
	for _, e := range l.entries {
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b *entry) int { return strings.Compare(a.id, b.id) })
	return list
}

func (l *ledger) find(id string) *entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.entries[id]
}

// takenBy reports whether the daemon had answered for a message at t.
func (l *ledger) takenBy(id string, t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[id]
	return e != nil && e.fate == answered && e.at.Before(t)
}
