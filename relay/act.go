package relay

import "time"

// Verb is what an admin wants to happen to mail that waits.
type Verb string

// Verbs. The first six are about the messages that wait now, the next two also about those to come.
const (
	VerbFlush    Verb = "flush"    // visit now what waits for a retry
	VerbHold     Verb = "hold"     // let wait until release; it expires all the same
	VerbRelease  Verb = "release"  // end a hold
	VerbDelete   Verb = "delete"   // forget, and tell nobody
	VerbBounce   Verb = "bounce"   // return to the sender with a notification
	VerbHandback Verb = "handback" // give back to our own MTA
	VerbPause    Verb = "pause"    // send nothing of a domain, site, sender, tenant or campaign for a time
	VerbResume   Verb = "resume"   // end a pause
	VerbDrain    Verb = "drain"    // take nothing more, send what can be sent, hand back the rest
	VerbUndrain  Verb = "undrain"  // take mail again
)

// Act is one order of an admin about mail that waits.
type Act struct {
	Verb     Verb      `json:"verb"`
	Selector Selector  `json:"selector,omitzero"`
	Reason   string    `json:"reason,omitempty"` // for the log, the lists, and the notification of a bounce
	Until    time.Time `json:"until,omitzero"`   // the end of a pause; of a drain: when what has not been sent is handed back
	DryRun   bool      `json:"dry_run,omitempty"`
	Who      string    `json:"who,omitempty"` // who gave the order; the console fills it in
}

// ActReport is what an Act has done, or would do if it is a dry run.
type ActReport struct {
	Messages   int   `json:"messages"`         // that have recipients to whom it was done
	Recipients int   `json:"recipients"`       //
	Bytes      int64 `json:"bytes"`            // of the messages
	Busy       int   `json:"busy,omitempty"`   // messages of them under way to a receiver: done when that visit ends, unless it delivers
	Pauses     int   `json:"pauses,omitempty"` // pauses made or ended

	Waiting int  `json:"waiting"`        // a drain: messages still here
	Done    bool `json:"done,omitempty"` // a drain: nothing waits any more
}
