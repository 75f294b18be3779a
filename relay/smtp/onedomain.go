package smtp

import "strings"

// oneDomainWords are in the replies of receivers that take recipients of one domain only in a transaction, with whatever code.
// Google says "Multiple destination domains per transaction is unsupported", with 451 or 550.
var oneDomainWords = []string{
	"multiple destination domains", "multiple recipient domains", "multiple domains per", "multiple domains in",
	"one domain per", "single domain per", "one recipient domain", "different domains per", "different domains in",
}

// tooManyDomains reports whether e is only about the other domains in its transaction. On the next connection, and in the
// next transaction of this one, every domain must go alone.
func (f *flight) tooManyDomains(e *Error) bool {
	if !f.mixed() {
		return false
	}
	text, _, _ := normalise(nil, e.Reply())
	for _, words := range oneDomainWords {
		if strings.Contains(text, words) {
			f.separate = true
			return true
		}
	}
	return false
}

// mixed reports whether the recipients named to the peer have several domains.
func (f *flight) mixed() bool {
	for _, i := range f.offered {
		if !strings.EqualFold(domainOf(f.tx.Rcpts[i].Addr), domainOf(f.tx.Rcpts[f.offered[0]].Addr)) {
			return true
		}
	}
	return false
}

func domainOf(addr string) string { return addr[strings.LastIndexByte(addr, '@')+1:] }

// OneDomain reports that the peer has refused recipients because a transaction had several domains. The caller should remember
// it for the host, and give each domain a transaction of its own.
func (c *Conn) OneDomain() bool { return c.oneDomain }
