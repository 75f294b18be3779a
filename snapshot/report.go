package snapshot

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Report says what a recovery found.
type Report struct {
	// Messages are those given out with recipients who are not done; Recipients are these recipients.
	Messages   int `json:"messages"`
	Recipients int `json:"recipients"`
	// Done counts recipients in the journal who were done before.
	Done int `json:"done"`
	// MaybeTwice counts recipients who may get their message twice: delivery to them was started and no reply is on record,
	// or the MTA may offer their message again.
	MaybeTwice int `json:"maybe_twice"`
	// Torn is the number of bytes of commits that never ended. Nobody was answered for them, so nothing is lost with them.
	Torn int64 `json:"torn"`
	// Damaged names the places that were durable and no longer match their checksums.
	Damaged []string `json:"damaged,omitempty"`
	// Lost names the messages whose body cannot be read.
	Lost []string `json:"lost,omitempty"`
	// Missing names, after a salvage, the segments that should be there and are not, or cannot be read.
	Missing []string `json:"missing,omitempty"`
	// Notes are for a human and call for no action.
	Notes []string `json:"notes,omitempty"`
	// Clean says that the last stop was a clean one: nothing is repeated.
	Clean bool `json:"clean"`
	// Until is the time of the last commit. With ack = "memory", what was taken later is lost.
	Until time.Time `json:"until,omitzero"`
	// Took is how long the recovery took.
	Took time.Duration `json:"took"`
}

// Healthy reports whether everything that was durable could be read.
func (r *Report) Healthy() bool { return len(r.Damaged)+len(r.Lost)+len(r.Missing) == 0 }

// String is the line for the log.
func (r *Report) String() string {
	s := fmt.Sprintf("recovered %d messages, %d recipients, %d done before, cut %d bytes of a torn tail, took %.3f s",
		r.Messages, r.Recipients, r.Done, r.Torn, r.Took.Seconds())
	if r.MaybeTwice > 0 {
		s += fmt.Sprintf("; %d recipients may get their message twice", r.MaybeTwice)
	}
	if !r.Healthy() {
		s += fmt.Sprintf("; DAMAGE: %d places, %d messages without a body, %d segments missing",
			len(r.Damaged), len(r.Lost), len(r.Missing))
	}
	return s
}

// logTo writes the report into the technical log: one line, and one more for each thing that is lost.
func (r *Report) logTo(log hclog.Logger) {
	if r.Healthy() {
		log.Info(r.String())
		return
	}
	log.Error(r.String())
	for _, s := range slices.Concat(r.Missing, r.Damaged, r.Lost) {
		log.Error("lost or damaged", "what", s)
	}
}
