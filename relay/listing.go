package relay

import "cmp"

// Listing is one waiting message, in the keys of "postqueue -j", with ours at the end.
type Listing struct {
	QueueName    string       `json:"queue_name"` // "active", "hold" when an admin holds all of it, or "deferred" when nothing of it can be sent now
	QueueID      string       `json:"queue_id"`
	ArrivalTime  int64        `json:"arrival_time"` // Unix seconds
	MessageSize  int64        `json:"message_size"`
	ForcedExpire bool         `json:"forced_expire"`
	Sender       string       `json:"sender"`
	Recipients   []ListedRcpt `json:"recipients"`
	ID           string       `json:"id"` // our own, never reused
	Rule         string       `json:"rule,omitempty"`
	FlowListing
	Expires int64 `json:"expires"` // Unix seconds
}

// FlowListing is with whose mail a message or a queue takes turns.
type FlowListing struct {
	Tenant string `json:"tenant,omitempty"`
	Flow   string `json:"flow,omitempty"`   // the campaign, list or sender; of mail that names none, the domain of its sender
	Urgent bool   `json:"urgent,omitempty"` // it goes first
}

// listing is the name in lists.
func (n FlowName) listing() FlowListing {
	return FlowListing{Tenant: n.Tenant, Flow: cmp.Or(n.Name, n.Sender), Urgent: n.Urgent}
}

// ListedRcpt is one recipient still to be settled.
type ListedRcpt struct {
	Address     string `json:"address"`
	OrigAddress string `json:"orig_address,omitempty"`
	DelayReason string `json:"delay_reason,omitempty"`
	Domain      string `json:"domain"`
	State       string `json:"state"` // "active", "busy", "deferred", or "held": it or its queue is kept from being sent, see DelayReason
	Attempts    int    `json:"attempts"`
	NextAttempt int64  `json:"next_attempt"` // Unix seconds; 0 as soon as its queue gets a channel

	DelayKind ReasonKind `json:"delay_kind,omitempty"` // what DelayReason is about
	DelayWho  string     `json:"delay_who,omitempty"`  // whom it is about
}

// Status is the state of the heart in numbers.
type Status struct {
	Taken      int64 `json:"taken"`       // messages accepted since start
	Restored   int64 `json:"restored"`    // messages brought back at start
	Removed    int64 `json:"removed"`     // messages whose last recipient was settled
	Messages   int64 `json:"messages"`    // messages in memory now
	Bytes      int64 `json:"bytes"`       // bytes of them, a shared body counted once
	Wrappers   int64 `json:"wrappers"`    // shared bodies in use
	Queues     int64 `json:"queues"`      // queues in the map
	Active     int64 `json:"active"`      // nodes ready to go
	Held       int64 `json:"held"`        // nodes whose queue is kept from being sent, and nodes that an admin holds or has paused
	Busy       int64 `json:"busy"`        // nodes under way
	Deferred   int64 `json:"waiting"`     // nodes deferred
	Sent       int64 `json:"sent"`        // recipients, since start
	Deferrals  int64 `json:"deferrals"`   // visits of a recipient that failed for now, since start
	Bounced    int64 `json:"bounced"`     // recipients, since start
	Expired    int64 `json:"expired"`     // recipients, since start
	HandedBack int64 `json:"handedback"`  // recipients, since start
	Deleted    int64 `json:"deleted"`     // recipients, since start, by an admin
	MaybeTwice int64 `json:"maybe_twice"` // deliveries without a final reply: the receiver may get them twice

	// Our own notifications, which are in none of Taken, Sent, Bounced, Expired and HandedBack.
	Notices     int64 `json:"notices"`      // made since start
	NoticesSent int64 `json:"notices_sent"` // taken by our MTA
	NoticesLost int64 `json:"notices_lost"` // refused by it for good, or expired
}

// QueueStatus is the queue of one domain, class and flow, its siblings included (or the deferred nodes of one that has no queue).
type QueueStatus struct {
	Domain string `json:"domain"`
	Class  string `json:"class,omitempty"`
	FlowListing
	Siblings int    `json:"siblings"`
	Active   int    `json:"active"` // linked, also when the queue is held
	Busy     int    `json:"busy"`
	Deferred int    `json:"deferred"`
	Held     int    `json:"held,omitempty"` // by an admin, or paused
	Oldest   int64  `json:"oldest"`         // Unix seconds of the oldest waiting message's arrival
	Last     string `json:"last,omitempty"` // the message that goes last, by our id; of siblings the one taken last

	ReasonStatus // what holds the queue up
}
