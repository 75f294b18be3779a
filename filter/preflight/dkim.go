package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// signature is what a DKIM-Signature says about itself (RFC 6376 section 3.5).
type signature struct {
	domain string   // d=
	fields []string // h=, lower case
	made   int64    // t=, Unix seconds; 0: not said
	ends   int64    // x=, Unix seconds; 0: never
	part   bool     // l=: only a part of the body is signed
}

// maxTags bounds the tags of one signature.
const maxTags = 64

// parseTags reads a tag list (RFC 6376 section 3.2). No tag may be there twice.
func parseTags(value string) (map[string]string, error) {
	tags := make(map[string]string)
	for spec := range strings.SplitSeq(value, ";") {
		if spec = strings.TrimSpace(spec); spec == "" {
			continue // behind the last one, or a slip that nobody minds
		}
		name, text, found := strings.Cut(spec, "=")
		name = strings.TrimSpace(name)
		switch _, twice := tags[name]; {
		case !found || !tagName(name):
			return nil, fmt.Errorf("%q is no tag", short(spec))
		case twice:
			return nil, fmt.Errorf("%s= is there twice", name)
		case len(tags) >= maxTags:
			return nil, errors.New("it has too many tags")
		}
		tags[name] = strings.TrimSpace(text)
	}
	return tags, nil
}

// tagName reports whether name can be that of a tag: a letter, then letters, digits and "_".
func tagName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
		case i > 0 && (c >= '0' && c <= '9' || c == '_'):
		default:
			return false
		}
	}
	return name != ""
}

// parseSignature reads the value of a DKIM-Signature. An error says why no receiver takes it for one.
func parseSignature(value string) (s signature, err error) {
	tags, err := parseTags(value)
	if err != nil {
		return s, err
	}
	for _, name := range []string{"v", "a", "b", "bh", "d", "h", "s"} {
		if tags[name] == "" {
			return s, fmt.Errorf("%s= is missing", name)
		}
	}
	if tags["v"] != "1" {
		return s, fmt.Errorf("v=%s is no version", short(tags["v"]))
	}
	for name := range strings.SplitSeq(tags["h"], ":") {
		s.fields = append(s.fields, strings.ToLower(strings.TrimSpace(name)))
	}
	if !s.covers("from") {
		return s, errors.New("h= lacks From")
	}
	s.domain, s.part = asASCII(tags["d"]), tags["l"] != ""
	if s.made, err = seconds("t", tags["t"]); err != nil {
		return s, err
	}
	s.ends, err = seconds("x", tags["x"])
	if err == nil && s.ends != 0 && s.made > s.ends {
		err = errors.New("x= is before t=")
	}
	return s, err
}

// seconds reads a time of a signature; 0 if it is not given.
func seconds(tag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%s=%s is no time", tag, short(text))
	}
	return n, nil
}

// covers reports whether the field of that name, in lower case, is signed.
func (s *signature) covers(name string) bool { return slices.Contains(s.fields, name) }

// grave are the faults that leave a signature without use to its author; with another one it still counts for something.
var grave = map[string]int{"dkim-unreadable": 100, "dkim-not-aligned": 10, "dkim-expired": 10, "dkim-future": 10}

// weight is how much is wrong with a signature.
func (f faults) weight() (sum int) {
	for i := range f {
		sum += 1 + grave[f[i].Code]
	}
	return sum
}

// signatures judges the signatures of a message whose author is at a domain, "" if nobody knows. One good signature is enough: the
// faults are those of the best one.
func (f *faults) signatures(h fields, author string, now time.Time) {
	var best faults
	for i, value := range h["dkim-signature"] {
		if one := judge(value, h, author, now); i == 0 || one.weight() < best.weight() {
			best = one
		}
	}
	if len(h["dkim-signature"]) == 0 {
		f.add("dkim-missing", "the message is not signed")
	}
	*f = append(*f, best...)
}

// judge returns the faults of one signature.
func judge(value string, h fields, author string, now time.Time) (found faults) {
	s, err := parseSignature(value)
	if err != nil {
		found.add("dkim-unreadable", "the DKIM-Signature cannot be read: %v", err)
		return found
	}
	found.unaligned(s.domain, author)
	s.domain = short(s.domain) // from here on it is for texts
	found.times(&s, now)
	if s.part {
		found.add("dkim-length", "the signature of %s covers a part of the body (l=)", s.domain)
	}
	found.covered(&s, h)
	return found
}

// unaligned notes that a domain does not sign for the author. A message without a readable author has its fault already.
func (f *faults) unaligned(domain, author string) {
	if author == "" || aligned(domain, author) {
		return
	}
	f.add("dkim-not-aligned", "From is at %s, and the signature is of %s", short(author), short(domain))
}

// clockSkew is how far the clocks of signer and receiver may differ.
const clockSkew = time.Hour

// times judges t= and x=.
func (f *faults) times(s *signature, now time.Time) {
	if s.ends != 0 && now.Unix() > s.ends {
		f.add("dkim-expired", "the signature of %s has expired at %s", s.domain, time.Unix(s.ends, 0).UTC().Format(time.RFC3339))
	}
	if s.made > now.Add(clockSkew).Unix() {
		f.add("dkim-future", "the signature of %s is of %s, which is yet to come", s.domain, time.Unix(s.made, 0).UTC().Format(time.RFC3339))
	}
}

// covered judges h=: the fields that receivers ask for, as far as the message has them.
func (f *faults) covered(s *signature, h fields) {
	if open := s.uncovered(h, "to", "subject", "date"); len(open) > 0 {
		f.add("dkim-fields", "the signature of %s does not cover %s", s.domain, strings.Join(open, ", "))
	}
	if open := s.uncovered(h, "list-unsubscribe", "list-unsubscribe-post"); len(open) > 0 {
		f.add("unsubscribe-unsigned", "the signature of %s does not cover %s", s.domain, strings.Join(open, ", "))
	}
}

// uncovered lists those of the named fields that are there and not signed.
func (s *signature) uncovered(h fields, names ...string) (open []string) {
	for _, name := range names {
		if len(h[name]) > 0 && !s.covers(name) {
			open = append(open, name)
		}
	}
	return open
}
