package console

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/relay"
)

// Status is the daemon in numbers. The types below are the console's own and not those of the parts: a part may rename a
// field of its own without breaking a script.
type Status struct {
	relay.Status

	Version  string `json:"version"` // as Build.String has it
	PID      int    `json:"pid"`
	Hostname string `json:"hostname"`
	Mode     string `json:"mode"`    // "deliver" or "observe"
	Started  int64  `json:"started"` // Unix seconds
	Uptime   int64  `json:"uptime"`  // seconds
	Doors    []Door `json:"doors"`

	Handovers       int    `json:"handovers,omitempty"`        // how many processes before this one have handed over to the next
	HandoverFailure string `json:"handover_failure,omitempty"` // why the last of them had to go on itself

	Totals Tallied `json:"totals"` // since the first start in the state directory; our own notifications are not among them

	Gate    Gate       `json:"gate"`
	Pool    PoolStatus `json:"pool"`
	DNS     DNS        `json:"dns"`
	Journal Journal    `json:"journal"`
	Memory  Memory     `json:"memory"`

	Sources []SourceStatus `json:"sources,omitempty"` // the [[source]] tables in force

	Allowance *Allowance `json:"allowance,omitempty"` // there is an [allowance] table

	Drain  *Drain `json:"drain,omitempty"`  // in force: no mail is taken
	Pauses int    `json:"pauses,omitempty"` // pauses and holds in force

	Rescue *Rescue `json:"rescue,omitempty"` // there was a rescue since the start

	History *History    `json:"history,omitempty"` // what is kept of messages that have left; nil: nothing is
	Events  EventStream `json:"events,omitzero"`

	// Reasons names the obstacles that hold up more than one queue now: a journal that cannot be written, name servers that
	// do not answer.
	Reasons []relay.ReasonStatus `json:"reasons,omitempty"`
}

// Gate says whether new mail may be taken.
type Gate struct {
	relay.GateStatus

	Held      int64 `json:"held"`       // replies that wait for room now
	HeldSince int64 `json:"held_since"` // that have waited since the start
}

// History is what can be traced. Written and Missed count since start.
type History struct {
	Since    Moment `json:"since,omitempty"` // how far back it goes
	Segments int    `json:"segments"`        // files
	Bytes    int64  `json:"bytes"`           // of the files
	Written  int64  `json:"written"`         // events
	Missed   int64  `json:"missed"`          // events that are not kept: the disk was full, or too slow
	Fault    string `json:"fault,omitempty"` // why nothing is written now
}

// Rescue counts recipients that "millrace rescue" has brought from the MTA's queue, since start. Those that are not settled wait.
type Rescue struct {
	Taken      int64 `json:"taken"`
	Sent       int64 `json:"sent"`
	Returned   int64 `json:"returned"`    // refused for good or too old: the sender is told
	HandedBack int64 `json:"handed_back"` // the MTA has them again
}

// Drain is a drain in force.
type Drain struct {
	Waiting int    `json:"waiting"`          // messages still here
	Until   int64  `json:"until,omitempty"`  // Unix seconds: when what is left goes back to the MTA
	Who     string `json:"who,omitempty"`    // who ordered it
	Reason  string `json:"reason,omitempty"` // why
}

// Door is one way in. Its numbers count messages since start, except Sessions.
type Door struct {
	Name      string      `json:"name"`     // "milter" or "smtpd"
	Sessions  int64       `json:"sessions"` // connections open now
	Seen      int64       `json:"seen"`     // offered by the MTA
	Passed    int64       `json:"passed"`   // left with the MTA
	WouldTake int64       `json:"would_take"`
	Taken     int64       `json:"taken"`
	Dripped   int64       `json:"dripped"` // the part of Taken by which Postfix was woken: its recipients were deleted
	Rules     []RuleCount `json:"rules,omitempty"`

	// Of the SMTP door alone.
	Reinjected int64       `json:"reinjected,omitempty"`  // messages that the MTA took, whole or in part
	Refused    int64       `json:"refused,omitempty"`     // messages answered with 451 for want of room
	MTARefused int64       `json:"mta_refused,omitempty"` // messages that the MTA did not take
	Left       []LeftCount `json:"left,omitempty"`        // parts of Passed, by cause
}

// LeftCount says how many messages had to stay with the MTA for one cause, although the filter would have taken them or had
// not seen them yet.
type LeftCount struct {
	Cause string `json:"cause"`
	Count int64  `json:"count"`
}

// RuleCount says how often one rule decided. Passed, WouldTake and Taken need not add up to Seen: a bulk message may have
// to stay with the MTA, for instance for want of room.
type RuleCount struct {
	Name      string `json:"name"`
	Seen      int64  `json:"seen"`       // messages it matched
	Passed    int64  `json:"passed"`     // messages it left with the MTA
	WouldTake int64  `json:"would_take"` // in observe mode
	Taken     int64  `json:"taken"`
}

// PoolStatus is the connection pool in numbers.
type PoolStatus struct {
	Sites       int64 `json:"sites"`       // next hops known
	Connections int64 `json:"connections"` // open to all of them
	Busy        int64 `json:"busy"`        // connections that carry a transaction now
	Closed      int64 `json:"closed"`      // sites that take nothing for now

	// InClear lists hosts that offer TLS and get their mail in clear for a while, because TLS failed there: at most
	// MaxInClear, those with the most connections first. ClearHosts counts all of them.
	InClear    []ClearHost `json:"in_clear,omitempty"`
	ClearHosts int64       `json:"clear_hosts,omitempty"`
}

// MaxInClear bounds PoolStatus.InClear: a monitor asks for the status every few seconds.
const MaxInClear = 100

// ClearHost is a host whose TLS was given up for a while.
type ClearHost struct {
	Site        string `json:"site"`
	Host        string `json:"host"`        // name[address]:port
	Connections int64  `json:"connections"` // made in clear since TLS failed
	Reason      string `json:"reason"`      // how it failed
	Until       int64  `json:"until"`       // Unix seconds: when TLS is tried again
}

// SourceStatus is one address, or one of each family, that mail is sent from.
type SourceStatus struct {
	Name     string `json:"name"`
	Address  string `json:"address,omitempty"`
	Address6 string `json:"address6,omitempty"`
	Weight   int    `json:"weight"`
	Reserved bool   `json:"reserved,omitempty"` // for the tenants and sites that name it, and for no other mail

	// Warming is the plans that are not over: at most MaxWarming, those with the least room first. Plans counts all of them.
	Warming []Warming `json:"warming,omitempty"`
	Plans   int       `json:"plans,omitempty"`
}

// MaxWarming bounds SourceStatus.Warming.
const MaxWarming = 20

// DNS is the resolver in numbers. InFlight, Waiting, Entries and Healthy are of this moment, all others count since start.
type DNS struct {
	Lookups  uint64 `json:"lookups"`   // names looked up at the name servers
	Failures uint64 `json:"failures"`  // lookups without a certain answer
	Hits     uint64 `json:"hits"`      // questions answered from the cache
	Misses   uint64 `json:"misses"`    // questions that had to wait
	Stale    uint64 `json:"stale"`     // answers from the cache that had expired
	Dropped  uint64 `json:"dropped"`   // names not looked up because too many were waiting
	InFlight int    `json:"in_flight"` // names being looked up
	Waiting  int    `json:"waiting"`   // names whose lookup has not begun
	Entries  int    `json:"entries"`   // domains in the cache
	Healthy  bool   `json:"healthy"`   // false: most lookups fail, and no mail is bounced for an answer of DNS
}

// Memory is the ledger of memory, in bytes. The collector's own room and the program are not in it.
type Memory struct {
	Limit   int64 `json:"limit"`   // queue.max_bytes, or the share of the machine's memory that stands for it
	Used    int64 `json:"used"`    // the sum of the parts below
	Doors   int64 `json:"doors"`   // messages that are received, connections of the MTA
	Mail    int64 `json:"mail"`    // messages that wait, their bodies, the failures that their senders are not told of yet
	Notices int64 `json:"notices"` // notifications that wait for the MTA; they have an eighth of Limit
	Sites   int64 `json:"sites"`   // receivers that are known, connections to them
}

// Journal is the recovery agent in numbers.
type Journal struct {
	Ack        string `json:"ack"`         // the ack key in force
	Segments   int    `json:"segments"`    // files of the journal in use
	Messages   int    `json:"messages"`    // messages in the journal and not gone
	Deferred   int    `json:"deferred"`    // nodes with soft state
	Takes      int64  `json:"takes"`       // messages taken since start
	Recipients int64  `json:"recipients"`  // recipients of these messages
	Done       int64  `json:"done"`        // recipients done since start
	Commits    int64  `json:"commits"`     // writes
	Syncs      int64  `json:"syncs"`       // fsyncs
	Bytes      int64  `json:"bytes"`       // written to the journal since start
	PerMessage int64  `json:"per_message"` // Bytes for each message taken
	Snapshots  int64  `json:"snapshots"`   // written since start

	Blocked    string `json:"blocked,omitempty"`    // why nothing is taken now
	Unwritable string `json:"unwritable,omitempty"` // why nothing is sent now: a delivery could not be recorded

	Recovered  bool      `json:"recovered"`            // false while the daemon still restores the waiting messages
	Recovering *Progress `json:"recovering,omitempty"` // how far that is; nil when Recovered
	Recovery   *Recovery `json:"recovery,omitempty"`   // the findings of the last start; nil until Recovered, and when the state directory was new
}

// Progress is how far the recovery is.
type Progress struct {
	Read     int `json:"read"`     // segments of the journal that were read
	Segments int `json:"segments"` // of so many; most are read, and counted, twice
	Messages int `json:"messages"` // messages restored so far
}

// String is the words in which every command says it.
func (p *Progress) String() string {
	return fmt.Sprintf("the daemon is recovering, %d of %d segments, %d messages so far", p.Read, p.Segments, p.Messages)
}

// Recovery lists the findings of the last start in the state directory.
type Recovery struct {
	Messages   int           `json:"messages"`          // messages restored
	Recipients int           `json:"recipients"`        // recipients of these messages, not done
	Done       int           `json:"done"`              // recipients in the journal that were done before
	MaybeTwice int           `json:"maybe_twice"`       // recipients who may get a message twice
	Torn       int64         `json:"torn"`              // bytes of commits that never ended: nobody was answered for them
	Damaged    []string      `json:"damaged,omitempty"` // places that do not check though they were durable
	Lost       []string      `json:"lost,omitempty"`    // messages whose record names a body that cannot be read
	Missing    []string      `json:"missing,omitempty"` // segments that should be there and are not, or cannot be read
	Notes      []string      `json:"notes,omitempty"`   // anything else a human should know
	Clean      bool          `json:"clean"`             // the last stop was a clean one
	Until      time.Time     `json:"until,omitzero"`    // the last commit; messages that ack = "memory" took later are lost
	Took       time.Duration `json:"took"`              // nanoseconds
}
