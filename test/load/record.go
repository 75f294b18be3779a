package load

import (
	"crypto/sha256"
	"time"
)

// Record is what became of one message, as its sender saw it.
type Record struct {
	ID    string
	From  string
	Rcpts []string // recipients the server accepted in the attempt that was acknowledged, else all that were asked for
	// Core is the SHA-256 of the message. It is to be compared with sink.Delivery.Core.
	Core  [sha256.Size]byte
	Bulk  bool
	Acked bool // the server said 250 to the message
	// Unsure counts attempts whose final reply never came: the server may or may not have taken the message each time.
	Unsure int
	Reply  string // the reply or error that ended the last attempt; "" when Acked
}

// Report is what a run has done.
type Report struct {
	Records []Record // by message number; a message that was never begun has no id
	Bytes   int64    // of acknowledged messages
	Elapsed time.Duration
}

// Acked returns the number of acknowledged messages.
func (r Report) Acked() int {
	n := 0
	for i := range r.Records {
		if r.Records[i].Acked {
			n++
		}
	}
	return n
}

// Recipients returns the number of accepted recipients of acknowledged messages: the deliveries to wait for.
func (r Report) Recipients() int {
	n := 0
	for i := range r.Records {
		if r.Records[i].Acked {
			n += len(r.Records[i].Rcpts)
		}
	}
	return n
}

// PerSecond returns the acknowledged messages per second.
func (r Report) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Acked()) / r.Elapsed.Seconds()
}
