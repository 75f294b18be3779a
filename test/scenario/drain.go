package scenario

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/millrace/millrace/test/load"
)

// DeadDomain is a domain whose host Millrace cannot reach. Beside a HalfDead Millrace the MTA delivers its mail all the same.
const DeadDomain = "dead.test"

// HalfDead is an option: nobody listens where Millrace would send the mail of DeadDomain. It is applied before Millrace starts.
func (s *Scene) HalfDead() error {
	return s.Millrace.Replace("[route]\n", fmt.Sprintf("[route]\n%q = \"[127.0.0.1]:1\"\n", DeadDomain))
}

// Drained is what a drain has left.
type Drained struct {
	Took   time.Duration // until the command said that nothing waits
	Before int64         // messages that waited when it began
	Sent   int64         // messages that Millrace has sent in all
	Queued int           // messages in the MTA's queue at the end
}

// DrainAll drains Millrace by the command, and waits until the MTA has delivered what it got back.
func (s *Scene) DrainAll(wait time.Duration, r load.Report) (d Drained, err error) {
	st, err := s.Millrace.Status()
	if err != nil {
		return d, err
	}
	d.Before = st.Messages
	begin := time.Now()
	out, err := s.Millrace.Run("drain", "--wait", wait.String(), "--reason", "it goes away")
	if d.Took = time.Since(begin); err != nil {
		return d, fmt.Errorf("drain: %w: %s", err, out)
	}
	if st, err = s.Millrace.Status(); err != nil {
		return d, err
	}
	if d.Sent = s.Sink.Counts("bulk").Messages; st.Messages != 0 {
		return d, fmt.Errorf("%d messages wait after the drain", st.Messages)
	}
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(200 * time.Millisecond) {
		queue, err := s.Postfix.Queue()
		if err != nil {
			return d, err
		}
		if d.Queued = len(queue); d.Queued == 0 || time.Now().After(end) {
			return d, load.Compare(r.Records, slices.Values(s.Sink.Deliveries())).Err()
		}
		// What Postfix has tried in vain it tries again by itself, much later.
		if err := errors.Join(s.Postfix.Flush()); err != nil {
			return d, err
		}
	}
}
