package setup

import (
	"strconv"
	"strings"
	"time"
)

// separators stand between the elements of a list in main.cf.
const separators = ", \t\r\n"

// words takes a list of main.cf apart. Braces keep an element with blanks together; a brace that is never closed reaches to
// the end. The braces around an element stay with it.
func words(list string) []string {
	var all []string
	for {
		list = strings.TrimLeft(list, separators)
		if list == "" {
			return all
		}
		end, depth := len(list), 0
		for i := 0; i < len(list); i++ {
			if c := list[i]; c == '{' {
				depth++
			} else if c == '}' && depth > 0 {
				depth--
			} else if depth == 0 && strings.IndexByte(separators, c) >= 0 {
				end = i
				break
			}
		}
		all, list = append(all, list[:end]), list[end:]
	}
}

// unbraced removes the braces around one element.
func unbraced(element string) (inner string, braced bool) {
	if len(element) < 2 || element[0] != '{' || element[len(element)-1] != '}' {
		return element, false
	}
	return strings.TrimSpace(element[1 : len(element)-1]), true
}

// assignment splits "name = value" at the first equals sign.
func assignment(text string) (name, value string, ok bool) {
	name, value, ok = strings.Cut(text, "=")
	return strings.TrimSpace(name), strings.TrimSpace(value), ok
}

// units are the letters behind a time in main.cf.
var units = map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}

// duration reads a time of main.cf or sendmail.cf, like "30s". A number alone counts seconds. ok is false for what is no
// time.
func duration(text string) (d time.Duration, ok bool) {
	unit := time.Second
	if n := len(text); n > 0 {
		if u, known := units[text[n-1]]; known {
			unit, text = u, text[:n-1]
		}
	}
	n, err := strconv.ParseInt(text, 10, 32)
	if err != nil || n < 0 {
		return 0, false
	}
	return time.Duration(n) * unit, true
}
