package pool

import (
	"net/netip"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// batch is how many messages an agent sends before the first reply is in, over BDAT: as many may be delivered twice when the connection
// is lost.
const batch = 4

// waste is the share of a site's messages whose sender or recipients were all refused, over the last thirty or so. Over BDAT the body of
// such a message leaves all the same.
type waste float64

const (
	unknownWaste waste = 0.2  // of a site about which nothing is known: some forty messages must be taken before it counts as low
	mostWaste    waste = 0.05 // more costs more than the round trips saved
	wasteMemory  waste = 32   // messages
)

// learn notes whether the body of t was, or would have been, of use.
func (w *waste) learn(t *smtp.Transaction) {
	var now waste
	if t.Reply.Code == 0 { // not taken
		if !turnedAway(t) {
			return // that says nothing about the recipients
		}
		now = 1
	}
	*w += (now - *w) / wasteMemory
}

// turnedAway reports whether the receiver refused the message before it wanted the body.
func turnedAway(t *smtp.Transaction) bool {
	for _, r := range t.Results {
		if r.Err == nil || r.Err.Code == 0 || r.Err.Command != smtp.AtMAIL && r.Err.Command != smtp.AtRCPT {
			return false
		}
	}
	return len(t.Results) > 0
}

// batch is how many messages may go to the host at a before the first reply is in; 0: they go by DATA. There must be enough for all
// agents: a batch in which one has all that waits keeps the others from it.
func (s *Site) batch(a netip.AddrPort) int {
	s.mu.Lock()
	off, agents := s.terms.BDAT != "on" || s.waste > mostWaste, s.agents
	s.mu.Unlock()
	if off || !s.line.AtLeast(agents*batch) || !s.m.hosts.takesChunks(a, time.Now()) {
		return 0
	}
	return batch
}
