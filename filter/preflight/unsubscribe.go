package preflight

import (
	"net/url"
	"strings"
)

// oneClick is the only value of List-Unsubscribe-Post (RFC 8058 section 3.1).
const oneClick = "List-Unsubscribe=One-Click"

// maxURIs bounds the addresses of one List-Unsubscribe.
const maxURIs = 32

// unsubscribe judges the fields for unsubscribing.
func (f *faults) unsubscribe(h fields) {
	switch n := len(h["list-unsubscribe"]); {
	case n == 0:
		f.add("unsubscribe-missing", "there is no List-Unsubscribe")
		return
	case n > 1:
		f.add("unsubscribe-repeated", "there are %d List-Unsubscribe fields", n)
	}
	uris := parseURIs(h.first("list-unsubscribe"))
	if len(uris) == 0 {
		f.add("unsubscribe-unreadable", "List-Unsubscribe has no address in angle brackets: %q", short(h.first("list-unsubscribe")))
		return
	}
	if !anyHTTPS(uris) {
		f.add("unsubscribe-not-https", "List-Unsubscribe has no https address: %q", short(h.first("list-unsubscribe")))
	}
	switch post := h["list-unsubscribe-post"]; {
	case len(post) == 0:
		f.add("one-click-missing", "there is no List-Unsubscribe-Post")
	case len(post) > 1 || post[0] != oneClick:
		f.add("one-click-wrong", "List-Unsubscribe-Post is %q", short(strings.Join(post, ", ")))
	}
}

// parseURIs reads the addresses of a List-Unsubscribe (RFC 2369 section 2): each stands in angle brackets, commas and comments between
// them. White space within the brackets does not count.
func parseURIs(value string) (uris []string) {
	for depth := 0; value != "" && len(uris) < maxURIs; {
		c, rest := value[0], value[1:]
		switch {
		case c == '\\' && depth > 0 && rest != "":
			rest = rest[1:]
		case c == '(':
			depth++
		case c == ')' && depth > 0:
			depth--
		case c == '<' && depth == 0:
			uri, behind, closed := strings.Cut(rest, ">")
			if !closed {
				return uris
			}
			if uri = strings.Join(strings.Fields(uri), ""); uri != "" {
				uris = append(uris, uri)
			}
			rest = behind
		}
		value = rest
	}
	return uris
}

// anyHTTPS reports whether one of the addresses can be posted to.
func anyHTTPS(uris []string) bool {
	for _, uri := range uris {
		if u, err := url.Parse(uri); err == nil && u.Scheme == "https" && u.Hostname() != "" {
			return true
		}
	}
	return false
}
