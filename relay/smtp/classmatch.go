package smtp

import (
	"strings"
	"sync"
	"unicode/utf8"
)

// A rule gives a class to replies that contain any of its words. Rules are tried in the order of the table: the first
// that matches counts, however late in the reply its words stand.
//
// To add one: write the words as normalise leaves them, that is in lower case, without punctuation and apostrophes, with
// single spaces ("doesnt exist"); they match from the beginning of a word. End them with a space if they must match whole
// words ("spf "). " ... " stands for a few words between, "{a|b}" for alternatives, "^ " for the beginning of the reply.
// Put the rule below every rule whose words are surer. Then add a real reply to testdata/replies.tsv. Words that do not
// say outright that a mailbox is gone must never lead to BadMailbox: that would suppress a living reader.
type rule struct {
	class Class
	scope Scope  // ScopeUnknown: the usual one of the class
	when  string // see holds
	words []string
}

// holds reports whether a rule or a sum speaks of replies like q: always with "", or by the group of its code ("4xx", "5xx",
// "50x" for 500 to 504), by the stage (one of the At constants), or by the detail of its status code ("4.1" for 5.4.1).
func (q *question) holds(when string) bool {
	switch when {
	case "":
		return true
	case "50x":
		return q.code >= 500 && q.code <= 504
	case "4xx":
		return q.code/100 == 4
	case "5xx":
		return q.code/100 == 5
	case AtMAIL, AtRCPT, AtDot:
		return q.at == when
	}
	return q.detail == when
}

// keyLen is how much of its words a phrase is found by; none is shorter.
const keyLen = 4

type key [keyLen]byte

// phrase is one alternative of a rule.
type phrase struct {
	rule       int // its place in the table: the lowest that fits counts
	head, tail string
}

// index finds the phrases of a table that may begin at a place in the text.
type index map[key][]phrase

// indexes of the two tables are built at the first failure.
var indexes = sync.OnceValue(func() [2]index { return [2]index{indexOf(clearRules), indexOf(vagueRules)} })

func indexOf(table []rule) index {
	x := make(index)
	for i, r := range table {
		for _, words := range r.words {
			for _, w := range alternatives(words) {
				head, tail, _ := strings.Cut(w, " ... ")
				k := key([]byte(head[:keyLen]))
				x[k] = append(x[k], phrase{i, head, tail})
			}
		}
	}
	return x
}

// alternatives writes out the braces in words: "{a|b} c" is "a c" and "b c".
func alternatives(words string) []string {
	before, rest, found := strings.Cut(words, "{")
	if !found {
		return []string{words}
	}
	inside, after, _ := strings.Cut(rest, "}")
	var all []string
	for _, tail := range alternatives(after) {
		for one := range strings.SplitSeq(inside, "|") {
			all = append(all, before+one+tail)
		}
	}
	return all
}

// match returns the first rule of table that q's text fits, or nil.
func (x index) match(q *question, table []rule) *rule {
	best := len(table)
	for i := 0; i+keyLen <= len(q.text); i++ {
		if !startsWord(q.text, i) {
			continue
		}
		list := x[key([]byte(q.text[i:i+keyLen]))]
		for j := range list {
			p := &list[j]
			if p.rule >= best {
				break // the list is in the order of the table
			}
			if p.fits(q.text[i:]) && q.holds(table[p.rule].when) {
				best = p.rule
			}
		}
	}
	if best == len(table) {
		return nil
	}
	return &table[best]
}

// startsWord reports whether a phrase may begin at i: behind a space, or anywhere in a script that has none.
func startsWord(text string, i int) bool {
	return i == 0 || text[i-1] == ' ' || text[i] >= utf8.RuneSelf && utf8.RuneStart(text[i])
}

// maxGap is how many bytes " ... " may stand for.
const maxGap = 40

func (p *phrase) fits(text string) bool {
	n := len(p.head)
	if len(text) < n || text[n-1] != p.head[n-1] || text[:n] != p.head { // most fail at the last byte
		return false
	}
	if p.tail == "" {
		return true
	}
	rest := text[n:]
	gap, _, found := strings.Cut(rest[:min(len(rest), maxGap+len(p.tail))], p.tail)
	return found && strings.HasPrefix(gap, " ") && !strings.Contains(gap, "domain")
}
