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
// words ("spf "). " ... " stands for a few words between, "^ " for the beginning of the reply. Put the rule below every
// rule whose words are surer. Then add a real reply to testdata/replies.tsv. Words that do not say outright that a mailbox
// is gone must never lead to BadMailbox: that would suppress a living reader.
type rule struct {
	class Class
	scope Scope  // ScopeUnknown: the usual one of the class
	when  string // "": always; "4xx", "5xx": the group of the code; "4.1": detail of the status; "MAIL": at that command
	words []string
}

func (r *rule) applies(q *question) bool {
	switch r.when {
	case "":
		return true
	case "4xx":
		return q.code/100 == 4
	case "5xx":
		return q.code/100 == 5
	case AtMAIL, AtDot:
		return q.at == r.when
	}
	return q.detail == r.when
}

// keyLen is how much of its words a phrase is found by; none is shorter.
const keyLen = 4

type key [keyLen]byte

// phrase is one alternative of a rule.
type phrase struct {
	rule       int // index in the table: a lower one counts
	head, tail string
}

// phrases finds the phrases that may begin at a place in the text. It is built at the first failure.
var phrases = sync.OnceValue(func() map[key][]phrase {
	index := make(map[key][]phrase)
	for i, r := range rules {
		for _, w := range r.words {
			head, tail, _ := strings.Cut(w, " ... ")
			k := key([]byte(head[:keyLen]))
			index[k] = append(index[k], phrase{i, head, tail})
		}
	}
	return index
})

// match returns the first rule of each part of the table that q's text fits, or nil.
func match(q *question) (clear, vague *rule) {
	index := phrases()
	best, second := len(rules), len(rules)
	for i := 0; i+keyLen <= len(q.text); i++ {
		if !startsWord(q.text, i) {
			continue
		}
		for _, p := range index[key([]byte(q.text[i:i+keyLen]))] {
			if p.rule < best && p.fits(q.text[i:]) && rules[p.rule].applies(q) {
				if p.rule < clearRules {
					best = p.rule
				} else if p.rule < second {
					second = p.rule
				}
			}
		}
	}
	return ruleAt(best), ruleAt(second)
}

func ruleAt(i int) *rule {
	if i < len(rules) {
		return &rules[i]
	}
	return nil
}

// startsWord reports whether a phrase may begin at i: behind a space, or anywhere in a script that has none.
func startsWord(text string, i int) bool {
	return i == 0 || text[i-1] == ' ' || text[i] >= utf8.RuneSelf && utf8.RuneStart(text[i])
}

// maxGap is how many bytes " ... " may stand for.
const maxGap = 40

func (p *phrase) fits(text string) bool {
	if !strings.HasPrefix(text, p.head) {
		return false
	}
	if p.tail == "" {
		return true
	}
	rest := text[len(p.head):]
	gap, _, found := strings.Cut(rest[:min(len(rest), maxGap+len(p.tail))], p.tail)
	return found && strings.HasPrefix(gap, " ") && !strings.Contains(gap, "domain")
}
