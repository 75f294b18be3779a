package bounce

import (
	"strconv"
	"strings"
	"sync"

	"github.com/millrace/millrace/relay"
)

// words are what a notification says of a recipient beside its address and the time. Most failures of a campaign at one site
// say the same, so the words are held once and counted.
type words struct {
	// text is the digit of the action, the code, the enhanced code, the relay and each line of the reply, with a NUL between two.
	// In a line a mark stands for the recipient's address: many receivers repeat it, and say the same of all recipients otherwise.
	text string
	refs int // entries with these words; the mutex of the lexicon guards it
}

// mark stands for the recipient's address.
const mark = "\x01"

// parse gives the action, the reply and the relay back, for the recipient with this address.
func (w *words) parse(addr string) (f Failure) {
	parts := strings.Split(w.text, "\x00")
	f.Action = Action(parts[0][0] - '0')
	f.Reply.Code, _ = strconv.Atoi(parts[1]) // appendWords has written it
	f.Reply.Enhanced, f.Relay, f.Reply.Lines = parts[2], parts[3], parts[4:]
	for i, l := range f.Reply.Lines {
		f.Reply.Lines[i] = strings.ReplaceAll(l, mark, addr)
	}
	return f
}

// appendWords appends the text of the words for e, with most bytes of the reply's text.
func appendWords(b []byte, e *relay.Event, most int) []byte {
	addr := e.Message.Rcpt(e.Rcpt).Addr
	b = append(b, '0'+byte(actionOf(e.Outcome)), 0)
	b = strconv.AppendInt(b, int64(e.Reply.Code), 10)
	b = appendPart(b, e.Reply.Enhanced)
	b = appendPart(b, e.Relay)
	for i, l := range e.Reply.Lines {
		if i > 0 && most <= 0 {
			break
		}
		l = relay.Clip(withMark(l, addr), most)
		b = appendPart(b, l)
		most -= len(l)
	}
	return b
}

// withMark puts the mark in place of the address. The mark's own character becomes "?", as no notification and no log shows it.
func withMark(text, addr string) string {
	text = strings.ReplaceAll(text, mark, "?")
	if addr == "" {
		return text
	}
	return strings.ReplaceAll(text, addr, mark)
}

// appendPart appends a NUL and s. A NUL in s becomes "?", as no notification and no log shows one either.
func appendPart(b []byte, s string) []byte {
	return append(append(b, 0), strings.ReplaceAll(s, "\x00", "?")...)
}

// wordsCost is the bytes that words take beside their text: a block of 24, and a place among those known.
const wordsCost = 64

// weigh is the bytes that w takes in memory.
func (w *words) weigh() int64 { return int64(wordsCost + len(w.text) + len(w.text)/16) }

// lexicon holds the words of all entries. It charges each once.
type lexicon struct {
	budget *relay.Budget

	mu    sync.Mutex
	known map[string]*words // by text
}

func newLexicon(b *relay.Budget) *lexicon { return &lexicon{budget: b, known: make(map[string]*words)} }

// How many bytes of a receiver's reply are kept for the notification; the second when more memory is used than may be.
const (
	mostReply  = 2 << 10
	leastReply = 80
)

// mostWords is how many words may be known when more memory is used than may be. A reply that nobody else had is then kept as its
// codes alone. A receiver that gives each reply a number of its own could fill the memory otherwise.
const mostWords = 256

// keep gives the words for e, for one entry more. They are a copy: the event belongs to its sender again after the call.
func (l *lexicon) keep(e *relay.Event) *words {
	var room [512]byte
	text := appendWords(room[:0], e, mostReply)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.known[string(text)] == nil && l.budget.Over() {
		text = l.shorten(text, e)
	}
	w := l.known[string(text)]
	if w == nil {
		w = &words{text: string(text)}
		l.known[w.text] = w
		l.budget.Charge(relay.AccountMail, w.weigh())
	}
	w.refs++
	return w
}

// shorten makes text, that of e, as short as will do. A reply without a code keeps some of its text: it would say nothing else.
func (l *lexicon) shorten(text []byte, e *relay.Event) []byte {
	text = appendWords(text[:0], e, leastReply)
	if l.known[string(text)] == nil && len(l.known) >= mostWords && e.Reply.Code != 0 {
		text = appendWords(text[:0], e, 0)
	}
	return text
}

// drop says that one entry with w is gone.
func (l *lexicon) drop(w *words) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.refs--; w.refs != 0 { // below zero: a fault has dropped it twice, and others may have such words anew
		return
	}
	delete(l.known, w.text)
	if len(l.known) == 0 {
		l.known = make(map[string]*words) // a map that was large stays large
	}
	l.budget.Refund(relay.AccountMail, w.weigh())
}
