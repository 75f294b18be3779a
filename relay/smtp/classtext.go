package smtp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxClassText bounds how much of a reply is searched, in bytes.
const maxClassText = 1000

const utf8Max = utf8.UTFMax

// normalise gives the words of r in lower case, each with one space behind it, after a "^" for the beginning. Punctuation
// is gone, except inside a name with dots (a host, a URL, a number): "mx-spam.example.org" must not read as the word spam.
// The values in a URL are words of their own, since some providers say there what they mean.
// Mail addresses are left out, because they say nothing about a failure, and an IPv4 address is "ip". It also finds the
// first enhanced status code in the text: qmail writes it last, and some gateways repeat the reply of another server.
func normalise(to []byte, r Reply) (text, status string, address bool) {
	to = append(to, '^', ' ')
	for _, line := range r.Lines {
		for len(line) > 0 && len(to) < maxClassText {
			var word string
			word, line = nextWord(line)
			if status == "" {
				status = statusIn(word, r.Code)
			}
			address = address || strings.IndexByte(word, '@') >= 0
			to = appendNormal(to, word)
		}
	}
	return string(to), status, address
}

// nextWord cuts line behind its first word. Very long words, such as base64, are cut short.
func nextWord(line string) (word, rest string) {
	i := 0
	for i < len(line) && isSpace(line[i]) {
		i++
	}
	line = line[i:]
	for i = 0; i < len(line) && !isSpace(line[i]); i++ {
	}
	return line[:min(i, maxWord)], line[i:]
}

// maxWord is the longest part of a word that is looked at. Chinese and Japanese put a sentence into one word.
const maxWord = 300

func isSpace(b byte) bool { return b <= ' ' }

// appendNormal appends word, or its parts, each followed by a space.
func appendNormal(to []byte, word string) []byte {
	if before, after, found := cutAddress(word); found {
		return appendNormal(appendNormal(to, before), after)
	}
	start := len(to)
	inName := isName(word)
	for _, r := range word {
		switch {
		case len(to) >= maxClassText:
			return append(to, ' ')
		case r == '\'' || r == '’' || r == '`':
		case r < utf8.RuneSelf && !isAlnum(byte(r)) && !(inName && r != '=' && r != '_' && len(to) > start):
			if to[len(to)-1] != ' ' {
				to = append(to, ' ')
			}
		case r < utf8.RuneSelf:
			to = append(to, lower(byte(r)))
		case r != utf8.RuneError:
			to = appendLetter(to, unicode.ToLower(r))
		}
	}
	for len(to) > start && !isAlnum(to[len(to)-1]) && to[len(to)-1] < utf8.RuneSelf {
		to = to[:len(to)-1]
	}
	if len(to) > start {
		to = append(plainNumber(to, start), ' ')
	}
	return to
}

// plainNumber puts "ip" for an IPv4 address, with or without a port, at the end of to, so that rules may speak of one.
func plainNumber(to []byte, start int) []byte {
	i, dots := len(to), 0
	for i > start && (to[i-1] == '.' || to[i-1] == ':' || to[i-1] >= '0' && to[i-1] <= '9') {
		i--
		if to[i] == '.' {
			dots++
		}
	}
	if dots != 3 || i > start && to[i-1] != ' ' {
		return to
	}
	return append(to[:i], "ip"...)
}

// isName reports whether word has a dot or "://" between letters or digits, as hosts, URLs and numbers have.
func isName(word string) bool {
	for i := 1; i+1 < len(word); i++ {
		if isAlnum(word[i-1]) && (word[i] == '.' && isAlnum(word[i+1]) || word[i] == ':' && word[i+1] == '/') {
			return true
		}
	}
	return false
}

// statusIn returns the enhanced status code that word is, without the signs around it, if it fits the code of the reply.
func statusIn(word string, code int) string {
	for len(word) > 0 && !isAlnum(word[0]) {
		word = word[1:]
	}
	for len(word) > 0 && !isAlnum(word[len(word)-1]) {
		word = word[:len(word)-1]
	}
	if !isEnhanced(word) || word[0] == '2' || code != 0 && int(word[0]-'0') != code/100 {
		return ""
	}
	return word
}

func isAlnum(b byte) bool {
	return b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= '0' && b <= '9'
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		return b + 'a' - 'A'
	}
	return b
}

// cutAddress takes the first mail address out of word.
func cutAddress(word string) (before, after string, found bool) {
	at := strings.IndexByte(word, '@')
	if at < 0 {
		return word, "", false
	}
	start, end := at, at+1
	for start > 0 && inAddress(word[start-1]) && !(word[start-1] == '.' && (start < 2 || word[start-2] == '.')) {
		start--
	}
	for end < len(word) && (inAddress(word[end]) || word[end] == '@') && !strings.HasPrefix(word[end:], "..") {
		end++
	}
	return word[:start], word[end:], true
}

func inAddress(b byte) bool {
	return isAlnum(b) || b >= utf8.RuneSelf || strings.IndexByte(".-_+=/&'!#$%*?^~{}|", b) >= 0
}

// plain are the letters U+00E0 to U+017F without their accents: some servers write them, some do not.
const plain = "aaaaaaaceeeeiiiidnooooo ouuuuyty" +
	"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkkllllllllllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs"

const firstAccent = 0xE0

// appendLetter appends r, in lower case already, without its accent.
func appendLetter(to []byte, r rune) []byte {
	if i := int(r) - firstAccent; i >= 0 && i < len(plain) {
		return append(to, plain[i])
	}
	return utf8.AppendRune(to, r)
}
