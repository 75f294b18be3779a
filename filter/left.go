package filter

import "time"

// Cause sorts the reasons for which a message is left with the MTA although the filter would have taken it, or had not seen
// it yet.
type Cause uint8

// Causes.
const (
	CauseOther     Cause = iota // the door's own: an MTA that cannot delete recipients, commands out of order
	CauseLocal                  // no recipient may be taken
	CauseForm                   // content that cannot be sent byte for byte, a malformed header field
	CauseAddress                // an address that no receiver takes
	CauseParameter              // a parameter of MAIL or RCPT that Millrace does not know
	CauseSize                   // larger than bulk.size_limit
	CauseHeader                 // header larger than milter.max_header_bytes
	CauseRcpts                  // more recipients than milter.max_rcpts
	CauseBuffered               // no room in milter.max_buffered
	CauseFull                   // the queues hold queue.max_messages or queue.max_bytes
	CauseClosed                 // the daemon recovers or stops
	CauseJournal                // the message could not be recorded
	numCauses
)

// causes are what the status calls a cause, and what the log says when a message is left for it. What belongs to an MTA's
// everyday traffic has no line.
var causes = [numCauses]struct{ name, line string }{
	CauseOther:     {"other", ""},
	CauseLocal:     {"local recipients", ""},
	CauseForm:      {"form", "bulk mail is left with the MTA for its form"},
	CauseAddress:   {"address", "mail is left with the MTA for an address"},
	CauseParameter: {"parameter", "mail is left with the MTA for a parameter"},
	CauseSize:      {"size_limit", "bulk mail is left with the MTA: over bulk.size_limit"},
	CauseHeader:    {"max_header_bytes", "mail is left with the MTA: over milter.max_header_bytes"},
	CauseRcpts:     {"max_rcpts", "mail is left with the MTA: over milter.max_rcpts"},
	CauseBuffered:  {"max_buffered", "mail is left with the MTA: over milter.max_buffered"},
	CauseFull:      {"queues full", "bulk mail is left with the MTA: the queues are full"},
	CauseClosed:    {"not open", "bulk mail is left with the MTA: nothing is taken while the daemon recovers or stops"},
	CauseJournal:   {"journal", "bulk mail is left with the MTA: it could not be recorded"},
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
	line := causes[m.cause].line
	if line == "" {
		return
	}
	in.warnEvery(leftEvery, line, "id", m.queueID, "from", m.offer.Sender, "client", m.offer.Client(), "reason", m.left)
}
