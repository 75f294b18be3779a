package route

const (
	recent = 64 // lookups that health looks back on
	enough = 10 // lookups that it needs before it believes in an outage
)

// health tells an outage of our own resolver from domains that are broken. It
// counts a failing name once, not at each retry: else a list full of dead
// domains, retried while the living are in the cache, would look like an
// outage. A lookup that this machine could not make says nothing about DNS.
type health struct {
	window [recent]bool // true: failed
	next   int
	size   int
	failed int
}

// book takes a finding into account; old is the record of the name before it. A
// domain with a Route that suddenly does not exist is as suspicious as no answer:
// resolvers in trouble have been seen to deny everything.
func (h *health) book(v verdict, old *record) {
	if v == lacking {
		return
	}
	bad := v == outage || v == missing && old.good != nil
	if bad && old.failures > 0 {
		return
	}
	if h.size == recent && h.window[h.next] {
		h.failed--
	}
	h.size = min(h.size+1, recent)
	h.window[h.next] = bad
	h.next = (h.next + 1) % recent
	if bad {
		h.failed++
	}
}

// ok reports whether at most half of the recent lookups failed.
func (h *health) ok() bool { return h.size < enough || 2*h.failed <= h.size }
