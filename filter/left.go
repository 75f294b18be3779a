package filter

import (
	"time"

	"github.com/hashicorp/go-hclog"
)

// Cause sorts the reasons for which a message is left with the MTA although the filter would have taken it, or had not seen
// it yet.
type Cause uint8

// Causes.
const (
	CauseOther     Cause = iota // the door's own: an MTA that cannot delete recipients, commands out of order
	CauseLocal                  // no recipient may be taken
	CauseRoute                  // the MTA would not send it straight to the recipient's domain
	CauseForm                   // content that cannot be sent byte for byte, a malformed header field
	CauseAddress                // an address that no receiver takes
	CauseParameter              // a parameter of MAIL or RCPT that Millrace does not know
	CauseSize                   // larger than bulk.size_limit
	CauseHeader                 // header larger than milter.max_header_bytes
	CauseRcpts                  // more recipients than milter.max_rcpts
	CauseBuffered               // no room in milter.max_buffered
	CauseGate                   // no room by the gate: at a site, of a tenant, or because the journal is behind
	CauseFull                   // the queues hold queue.max_messages or queue.max_bytes
	CauseClosed                 // the daemon recovers or stops
	CauseJournal                // the message could not be recorded
	CausePreflight              // a fault of its campaign that preflight.refuse names
	CauseShare                  // outside of bulk.share
	CauseAllowance              // the allowance is used up
	numCauses
)

// causes are what the status calls a cause, and what the log says when a message is left for it. What belongs to an MTA's
// everyday traffic has no line, and no warning where nobody knows yet whether the message is bulk and nothing is wrong here.
var causes = [numCauses]struct {
	name, line string
	level      hclog.Level
}{
	CauseOther:     {name: "other"},
	CauseLocal:     {name: "local recipients"},
	CauseRoute:     {name: "route of the MTA"}, // reportDetour says it, once
	CauseForm:      {"form", "bulk mail is left with the MTA for its form", hclog.Warn},
	CauseAddress:   {"address", "mail is left with the MTA for an address", hclog.Info},
	CauseParameter: {"parameter", "mail is left with the MTA for a parameter", hclog.Info},
	CauseSize:      {"size_limit", "bulk mail is left with the MTA: over bulk.size_limit", hclog.Warn},
	CauseHeader:    {"max_header_bytes", "mail is left with the MTA: over milter.max_header_bytes", hclog.Warn},
	CauseRcpts:     {"max_rcpts", "mail is left with the MTA: over milter.max_rcpts", hclog.Warn},
	CauseBuffered:  {"max_buffered", "mail is left with the MTA: over milter.max_buffered", hclog.Warn},
	CauseGate:      {"gate", "bulk mail is left with the MTA: there is no room for it now", hclog.Warn},
	CauseFull:      {"queues full", "bulk mail is left with the MTA: the queues are full", hclog.Warn},
	CauseClosed:    {"not open", "bulk mail is left with the MTA: nothing is taken while the daemon recovers or stops", hclog.Warn},
	CauseJournal:   {"journal", "bulk mail is left with the MTA: it could not be recorded", hclog.Warn},
	CausePreflight: {name: "preflight"}, // Preflight says it, once for a campaign
	CauseShare:     {name: leftShare},   // most mail, while the share is small
	CauseAllowance: {"allowance", "bulk mail is left with the MTA: the allowance is used up", hclog.Warn},
}

// String names the cause for the status.
func (c Cause) String() string { return causes[c].name }

// LeftBy counts messages left, by cause.
type LeftBy [numCauses]uint64

// leftEvery is how often the log says that messages are left for one cause. A queue that stays full is not to fill the
// log too; the counts tell how many there were.
const leftEvery = time.Minute

// noteLeft counts a message that is left, and logs it.
func (in *Intake) noteLeft(m *Mail) {
	in.counts.leftBy[m.cause].Add(1)
	m.witnessLeft()
	c := &causes[m.cause]
	if c.line == "" {
		return
	}
	in.say(c.level, leftEvery, c.line, "id", m.queueID, "from", m.offer.Sender, "client", m.client.of(&m.offer), "reason", m.left)
}
