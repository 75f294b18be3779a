package preflight

import (
	"io"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// maxDomain bounds a domain that is made A-labels, in bytes: 253 bytes of them stand for at most four times as many in UTF-8. The time
// grows with the square of the length, and a header may have a megabyte of it.
const maxDomain = 1024

// asASCII is a domain in the form of DNS: lower case, A-labels, without a final dot. What is no domain stays as it is.
func asASCII(domain string) string {
	domain = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(domain), "."))
	if len(domain) > maxDomain {
		return domain
	}
	if ascii, err := idna.Lookup.ToASCII(domain); err == nil {
		return ascii
	}
	return domain
}

// organisation is the organisational domain (RFC 7489 section 3.2): a public suffix and one label. A public suffix, or what is none of
// its domains, is its own.
func organisation(domain string) string {
	if org, err := publicsuffix.EffectiveTLDPlusOne(domain); err == nil {
		return org
	}
	return domain
}

// aligned reports whether two domains are of one organisation.
func aligned(a, b string) bool { return a != "" && organisation(a) == organisation(b) }

// asIs is a charset reader that changes nothing.
func asIs(_ string, in io.Reader) (io.Reader, error) { return in, nil }
