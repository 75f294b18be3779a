package load

import (
	"crypto/sha256"
	"time"
)

// Record is one message and its fate as the sender saw it.
type Record struct {
	ID    string
	From  string
	Rcpts []string // the recipients accepted in the acknowledged attempt; without one: all recipients
	// Core is the SHA-256 of the message. It compares with sink.Delivery.Core.
	Core  [sha256.Size]byte
	Bulk  bool
	Acked bool // the server said 250 to the message
	// Unsure counts the attempts whose final reply never came: each time the server may have taken the message.
	Unsure int
	// Again counts the attempts that were followed by another one.
	Again int
	Reply string // the reply or error that ended the last attempt; "" when Acked

	Due     time.Time     // when it was begun, or with Config.Rate should have been
	Longest time.Duration // of the attempts: from MAIL to the reply to the message
}

// Report is the result of a run.
type Report struct {
	Records []Record // by message number; the record of a message that was never begun has no id
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
