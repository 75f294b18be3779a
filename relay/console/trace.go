package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"

	"github.com/millrace/millrace/relay"
)

// Tracer looks up what became of messages.
type Tracer interface {
	// Trace finds messages, whether they wait or have left. An error says why the history cannot be read.
	Trace(q TraceQuery) (TraceReport, error)
}

// TraceQuery says which messages are looked for: by one of three names.
type TraceQuery struct {
	Recipient string // an address, in either case
	ID        string // the MTA's queue id, or our id
	MessageID string // with angle brackets or without
	Most      int    // messages at most; the latest are found
}

// TraceReport is the answer to a TraceQuery. contrib/trace.md has its fields for users.
type TraceReport struct {
	Messages []Trace    `json:"messages"`        // the latest first
	More     bool       `json:"more,omitempty"`  // there are older ones
	Off      bool       `json:"off,omitempty"`   // no history is kept: only what waits was looked at, and that by its id
	Since    Moment     `json:"since,omitempty"` // how far back the history goes
	Gaps     []TraceGap `json:"gaps,omitempty"`  // when events were missed, the latest last
}

// Trace is what became of one message.
type Trace struct {
	ID         string `json:"id"` // our own, never reused
	QueueID    string `json:"queue_id,omitempty"`
	MessageID  string `json:"message_id,omitempty"`
	Sender     string `json:"sender"`
	Size       int64  `json:"size,omitempty"`
	Recipients int    `json:"recipients,omitempty"` // how many it has
	Rule       string `json:"rule,omitempty"`
	Client     string `json:"client,omitempty"`
	relay.FlowListing
	Notice bool   `json:"notice,omitempty"` // a notification of our own
	State  string `json:"state"`            // "waiting", "reporting", "done" or "unknown"

	Events     []TraceEvent       `json:"events"`                // in their order
	MoreEvents bool               `json:"more_events,omitempty"` // there are more
	Waiting    []relay.ListedRcpt `json:"waiting,omitempty"`     // recipients who wait now
	Expires    int64              `json:"expires,omitempty"`     // Unix seconds; of a message that waits
}

// States of a Trace: of all recipients, or of the one that was asked for.
const (
	TraceWaiting   = "waiting"   // not sent yet
	TraceReporting = "reporting" // all are decided, and the sender is not told of a failure yet
	TraceDone      = "done"
	TraceUnknown   = "unknown" // it does not wait, and the history has no end of it
)

// TraceEvent is one thing that happened to a message.
type TraceEvent struct {
	Time      Moment `json:"time"`
	Event     string `json:"event"`               // what: "taken", an outcome such as "sent", "reported", "unheard" or "interrupted"
	Recipient string `json:"recipient,omitempty"` // "" of "taken", or when the history does not go back to that
	Relay     string `json:"relay,omitempty"`     // name[address]:port
	Site      string `json:"site,omitempty"`
	Code      int    `json:"code,omitempty"`     // of the reply
	Reply     string `json:"reply,omitempty"`    // as it is logged, the code included
	ConnUse   int    `json:"conn_use,omitempty"` // messages that the connection had carried, this one included

	Delay      float64     `json:"delay,omitempty"`      // seconds since the message arrived
	Delays     *[4]float64 `json:"delays,omitempty"`     // before it was taken, in the queue, connecting, sending
	MaybeTwice bool        `json:"maybe_twice,omitzero"` // the receiver may have it, and it is sent again
	Report     string      `json:"report,omitempty"`     // of "reported": the notification's id; "": nobody need be told
}

// TraceGap says that the history has missed events.
type TraceGap struct {
	Since  Moment `json:"since"`
	Until  Moment `json:"until"`
	Events int64  `json:"events"`
}

// Moment is a time in Unix milliseconds. JSON has it in seconds, with three decimals.
type Moment int64

// MarshalJSON implements json.Marshaler.
func (m Moment) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", float64(m)/1000), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *Moment) UnmarshalJSON(b []byte) error {
	seconds, err := strconv.ParseFloat(string(b), 64)
	if err != nil || math.Abs(seconds) > 1e12 {
		return fmt.Errorf("%q is no time in seconds", b)
	}
	*m = Moment(math.Round(seconds * 1000))
	return nil
}

// Bounds of a trace.
const (
	MostTraces  = 20        // messages, unless another number is asked for
	maxTraces   = 1000      // that can be asked for
	maxTraceLen = 256 << 20 // bytes of an answer
)

// errTraceName is the answer to a question without a name, or with two.
var errTraceName = errors.New("give one of recipient=, id= and message_id=")

// errNoTrace is returned when the daemon has no history.
var errNoTrace = errors.New("the daemon is older than this command and has no history")

// newTraceQuery reads a query.
func newTraceQuery(v url.Values) (q TraceQuery, err error) {
	q = TraceQuery{Recipient: v.Get("recipient"), ID: v.Get("id"), MessageID: v.Get("message_id")}
	given := 0
	for _, name := range []string{q.Recipient, q.ID, q.MessageID} {
		if name != "" {
			given++
		}
	}
	if given != 1 {
		return q, errTraceName
	}
	q.Most, err = number(v, "most", MostTraces, 1, maxTraces)
	return q, err
}

func (s *Server) serveTrace(w http.ResponseWriter, r *http.Request) {
	q, err := newTraceQuery(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	report, err := s.src.Trace(q)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if p := s.src.Status().Journal.Recovering; p != nil && len(report.Messages) == 0 {
		http.Error(w, p.String(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, report)
}

// Trace asks what became of messages. That there are none is no error.
func (c *Client) Trace(ctx context.Context, q TraceQuery) (TraceReport, error) {
	v := url.Values{"most": {strconv.Itoa(max(q.Most, 1))}}
	for key, name := range map[string]string{"recipient": q.Recipient, "id": q.ID, "message_id": q.MessageID} {
		if name != "" {
			v.Set(key, name)
		}
	}
	var report TraceReport
	body, err := c.get(ctx, "/v1/trace?"+v.Encode())
	if errors.Is(err, ErrNotFound) {
		err = errNoTrace
	}
	if err != nil {
		return report, err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxTraceLen)).Decode(&report); err != nil {
		return report, fmt.Errorf("read the daemon's reply: %w", err)
	}
	return report, nil
}
