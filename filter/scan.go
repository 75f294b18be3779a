package filter

import "bytes"

// scan is what one pass over a header found.
type scan struct {
	hit  [MaxRules / 64]uint64 // bit i: the header condition of rule i holds
	hops int                   // Received fields
	ours bool                  // one of the Received fields is from this host's Millrace
	tls  bool                  // the sender wants it sent over verified TLS or not at all
	auto string                // autoReplied, autoNotified or "" for any other keyword (RFC 3834 section 5)
}

func (s *scan) set(i int)      { s.hit[i/64] |= 1 << (i % 64) }
func (s *scan) has(i int) bool { return s.hit[i/64]&(1<<(i%64)) != 0 }

// read goes over the header once, for all rules together.
func (f *Filter) read(header []byte) scan {
	var s scan
	for name, value := range Fields(header) {
		switch {
		case equalFold(name, "received"):
			s.hops++
			s.ours = s.ours || f.marked(value)
		case equalFold(name, "auto-submitted"):
			s.noteAuto(value)
		case equalFold(name, "require-tls-esmtp"):
			s.tls = s.tls || bytes.EqualFold(bytes.TrimSpace(unfold(value)), []byte("yes"))
		}
		f.tryRules(&s, name, value)
	}
	return s
}

// tryRules marks the rules whose header condition this field meets.
func (f *Filter) tryRules(s *scan, name, value []byte) {
	var flat []byte
	for i := range f.byField.lookingAt(name) {
		if s.has(i) {
			continue
		}
		re := f.rules[i].header.value
		if re != nil && flat == nil {
			flat = unfold(value)
		}
		if re == nil || re.Match(flat) {
			s.set(i)
		}
	}
}

// noteAuto keeps the keyword of an Auto-Submitted field. Of several fields the one that forbids most counts.
func (s *scan) noteAuto(value []byte) {
	word := unfold(value)
	if i := bytes.IndexAny(word, "; \t("); i >= 0 {
		word = word[:i]
	}
	switch {
	case bytes.EqualFold(word, []byte(autoReplied)):
		s.auto = autoReplied
	case bytes.EqualFold(word, []byte(autoNotified)) && s.auto == "":
		s.auto = autoNotified
	}
}

const (
	autoReplied  = "auto-replied"
	autoNotified = "auto-notified"
)
