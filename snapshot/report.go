package snapshot

import (
	"fmt"
	"slices"
	"time"

	"github.com/hashicorp/go-hclog"
)

// Report says what a recovery found.
type Report struct {
	Messages   int           `json:"messages"`          // restored
	Recipients int           `json:"recipients"`        // of them, not done
	Done       int           `json:"done"`              // recipients in the journal that were done before
	MaybeTwice int           `json:"maybe_twice"`       // recipients who may have the message though they are not done, or whose MTA may offer it again
	Torn       int64         `json:"torn"`              // bytes of commits that never ended: nobody was answered for them
	Damaged    []string      `json:"damaged,omitempty"` // places that do not check though they were durable
	Lost       []string      `json:"lost,omitempty"`    // messages whose record names a body that cannot be read
	Missing    []string      `json:"missing,omitempty"` // Salvage: segments that should be there and are not, or cannot be read
	Notes      []string      `json:"notes,omitempty"`
	Clean      bool          `json:"clean"`          // the last stop was a clean one
	Until      time.Time     `json:"until,omitzero"` // the last commit; what ack = "memory" took later is lost
	Took       time.Duration `json:"took"`
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
