package route

// recent is how many lookups health looks back on, and enough how many it needs
// before it believes in an outage.
const (
	recent = 64
	enough = 10
)

// health tells an outage of our own resolver from domains that are broken. It
// counts a failing name once, not at each retry: else a list full of dead
// domains, retried while the living are in the cache, would look like an
// outage.
type health struct {
	window [recent]bool // true: failed
	next   int
	size   int
	failed int
}

// book takes a finding into account; old is what was known about the name.
// That a domain with a Route should suddenly not exist is as suspicious as no
// answer: resolvers that have lost their way have been seen to deny everything.
func (h *health) book(v verdict, old *record) {
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
