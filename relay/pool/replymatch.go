package pool

import (
	"bytes"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/millrace/millrace/relay/smtp"
)

// replyRule is a ReplyRule made ready. Its conditions are asked in the order of their cost.
type replyRule struct {
	action         ReplyAction
	provider, site string // "": any
	code           replyCode
	literals       [][]byte       // one of them is in every text that re matches; none: nothing is known
	re             *regexp.Regexp // nil: any text
	class          smtp.Class
	byClass        bool
}

// heard is one refusal and where it came from.
type heard struct {
	e              *smtp.Error
	provider, site string
	lower          []byte // what appendReply wrote, in lower case
	class          smtp.Class
	classified     bool
}

func (r *replyRule) matches(h *heard) bool {
	switch {
	case r.provider != "" && r.provider != h.provider, r.site != "" && r.site != h.site, !r.code.is(h.e):
		return false
	case !r.mayMatch(h.lower):
		return false
	case r.byClass && r.class != h.classOf():
		return false
	}
	return r.re == nil || r.re.Match(appendReply(nil, h.e)) // a copy: what a regular expression reads is on the heap
}

// classOf asks the classifier once for all rules.
func (h *heard) classOf() smtp.Class {
	if !h.classified {
		h.class, h.classified = h.e.Verdict().Class, true
	}
	return h.class
}

// mayMatch reports false when the regular expression cannot match. Case folding makes "k" of the Kelvin sign too, so a text with
// letters beyond ASCII always may.
func (r *replyRule) mayMatch(lower []byte) bool {
	if len(r.literals) == 0 {
		return true
	}
	for _, l := range r.literals {
		if bytes.Contains(lower, l) {
			return true
		}
	}
	return slices.ContainsFunc(lower, func(c byte) bool { return c >= utf8.RuneSelf })
}

// appendReply writes the reply as Match sees it: code, status and lines with a blank between.
func appendReply(to []byte, e *smtp.Error) []byte {
	to = strconv.AppendInt(to, int64(e.Code), 10)
	if e.Enhanced != "" {
		to = append(append(to, ' '), e.Enhanced...)
	}
	for _, line := range e.Lines {
		to = append(append(to, ' '), line...)
	}
	return to
}

// lowerASCII makes the letters A to Z small.
func lowerASCII(text []byte) []byte {
	for i, c := range text {
		if 'A' <= c && c <= 'Z' {
			text[i] = c + 'a' - 'A'
		}
	}
	return text
}

// replyCode is the key code of a rule. The zero value is any code.
type replyCode struct {
	from, to int    // codes of replies
	status   string // an enhanced status code, or its beginning if it ends with a dot
}

// parseReplyCode reads "421", "4xx", "4.7.28" or "4.7.x".
func parseReplyCode(s string) (c replyCode, ok bool) {
	s = strings.ToLower(s)
	switch n, err := strconv.Atoi(s); {
	case s == "":
		return c, true
	case s == "4xx" || s == "5xx":
		c.from = int(s[0]-'0') * 100
		c.to = c.from + 99
		return c, true
	case err == nil && len(s) == 3 && n >= 400 && n <= 599:
		return replyCode{from: n, to: n}, true
	}
	class, rest, _ := strings.Cut(s, ".")
	subject, detail, found := strings.Cut(rest, ".")
	if class != "4" && class != "5" || !found || !isDigits(subject) || detail != "x" && !isDigits(detail) {
		return c, false
	}
	c.status = strings.TrimSuffix(s, "x")
	return c, true
}

func isDigits(s string) bool {
	return len(s) >= 1 && len(s) <= 3 && strings.Trim(s, "0123456789") == ""
}

// is reports whether e has the code.
func (c replyCode) is(e *smtp.Error) bool {
	switch {
	case strings.HasSuffix(c.status, "."):
		return strings.HasPrefix(e.Enhanced, c.status)
	case c.status != "":
		return e.Enhanced == c.status
	}
	return c.to == 0 || c.from <= e.Code && e.Code <= c.to
}

// leastLiteral is the shortest literal worth looking for, and mostLiterals how many.
const (
	leastLiteral = 3
	mostLiterals = 16
)

// required lists texts in lower case of which every match of re contains one. It is nil when nothing is known.
func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		s := strings.ToLower(string(re.Rune))
		if len(s) < leastLiteral || strings.ContainsFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) {
			return nil
		}
		return []string{s}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		return surest(re.Sub)
	case syntax.OpAlternate:
		return anyOf(re.Sub)
	}
	return nil
}

// surest is what the rarest part of a sequence requires: the one whose shortest text is longest.
func surest(parts []*syntax.Regexp) (best []string) {
	shortest := func(list []string) int {
		if len(list) == 0 {
			return 0
		}
		return len(slices.MinFunc(list, func(a, b string) int { return len(a) - len(b) }))
	}
	for _, part := range parts {
		if list := required(part); shortest(list) > shortest(best) {
			best = list
		}
	}
	return best
}

// anyOf is what the alternatives require together; nil when one of them requires nothing.
func anyOf(alternatives []*syntax.Regexp) (all []string) {
	for _, a := range alternatives {
		list := required(a)
		if list == nil || len(all)+len(list) > mostLiterals {
			return nil
		}
		all = append(all, list...)
	}
	return all
}
