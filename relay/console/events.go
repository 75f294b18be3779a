package console

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Events is the event stream as the console serves it.
type Events interface {
	// Events walks over the records that a query selects, each with its position. A nil record says that there is nothing to send
	// up to that position. The walk ends with ctx, and waits for new records unless the query says not to. The error says what is
	// wrong with the query. Whoever has no error must walk.
	Events(ctx context.Context, query url.Values) (iter.Seq2[uint64, []byte], error)
}

// EventStream is the event stream in numbers, since the start.
type EventStream struct {
	Position uint64        `json:"position"` // of the newest record
	Watchers int           `json:"watchers"` // readers of GET /v1/events
	Outputs  []EventOutput `json:"outputs,omitempty"`
}

// EventOutput is a file or a webhook of [events].
type EventOutput struct {
	Name     string `json:"name"`     // path of the file, or host of the webhook
	Position uint64 `json:"position"` // of the record that it took last
	Behind   uint64 `json:"behind"`   // positions up to the newest record
	Written  uint64 `json:"written"`  // records
	Missed   uint64 `json:"missed"`   // records that it will not get any more
	Error    string `json:"error,omitempty"`
}

// markEvery is how often a reader to whom nothing is sent is told where the stream is.
const markEvery = 5 * time.Second

// errNoEvents is returned when the daemon has no event stream.
var errNoEvents = errors.New("the daemon is older than this command and has no event stream")

// ServeEvents has the Server serve a stream. It is called before Run.
func (s *Server) ServeEvents(e Events) { s.events = e }

// serveEvents sends records as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html): the id of each
// is its position, by which a reader that comes back goes on. A reader that does not read is dropped after writeTimeout and costs
// nobody.
func (s *Server) serveEvents(w http.ResponseWriter, r *http.Request) {
	if s.events == nil {
		http.NotFound(w, r)
		return
	}
	select {
	case s.watch <- struct{}{}:
		defer func() { <-s.watch }()
	default:
		http.Error(w, "6 readers follow the events, which is as many as may: end one, or give [events] an output", http.StatusServiceUnavailable)
		return
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		http.Error(w, "the query is malformed: "+err.Error(), http.StatusBadRequest)
		return
	}
	if last := r.Header.Get("Last-Event-ID"); last != "" { // a browser that comes back asks with the same URL
		query.Set("since", last)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.stopping, cancel)()
	walk, err := s.events.Events(ctx, query)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // the one of a short request would end this one
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := &eventWriter{buf: newStream(w).buf, ctl: http.NewResponseController(w), marked: time.Now()}
	for position, record := range walk {
		if !out.event(position, record) {
			return
		}
	}
	out.mark()
}

// eventWriter writes server-sent events.
type eventWriter struct {
	buf    *bufio.Writer
	ctl    *http.ResponseController
	last   uint64 // the position of the last event or mark
	at     uint64 // up to where there is nothing more
	marked time.Time
}

// event writes a record, or for nil sends what is written, and now and then a mark. It reports false when the reader is gone.
func (e *eventWriter) event(position uint64, record []byte) bool {
	e.at = position
	if record == nil {
		if time.Since(e.marked) >= markEvery {
			return e.mark()
		}
		return e.send()
	}
	e.id(position)
	e.buf.WriteString("data: ")
	e.buf.Write(bytes.TrimRight(record, "\n"))
	_, err := e.buf.WriteString("\n\n")
	return err == nil
}

// mark tells the reader where the stream is. An event without data is none to a browser, but sets the place from which it resumes.
func (e *eventWriter) mark() bool {
	e.marked = time.Now()
	if e.at != e.last {
		e.id(e.at)
		e.buf.WriteByte('\n')
	} else {
		e.buf.WriteString(":\n\n") // a comment keeps the connection alive
	}
	return e.send()
}

func (e *eventWriter) id(position uint64) {
	e.last = position
	var room [20]byte
	e.buf.WriteString("id: ")
	e.buf.Write(strconv.AppendUint(room[:0], position, 10))
	e.buf.WriteByte('\n')
}

// send hands what is written to the reader.
func (e *eventWriter) send() bool { return e.buf.Flush() == nil && e.ctl.Flush() == nil }

// maxEvent bounds one line of the answer, in bytes.
const maxEvent = 1 << 20

// Events walks over the records that a query selects, as JSON: see contrib/events.md. A record is valid until the next step. With
// follow=true it goes on until ctx is done, or the daemon stops. The error of a query that cannot be meant is a Refusal; an error
// ends the walk and comes with a nil record.
func (c *Client) Events(ctx context.Context, query url.Values) iter.Seq2[json.RawMessage, error] {
	return func(yield func(json.RawMessage, error) bool) {
		body, err := c.openEvents(ctx, query)
		if err != nil {
			yield(nil, err)
			return
		}
		defer body.Close()
		lines := bufio.NewScanner(body)
		lines.Buffer(nil, maxEvent)
		for lines.Scan() {
			if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok && !yield(data, nil) {
				return
			}
		}
		if err := lines.Err(); err != nil && ctx.Err() == nil {
			yield(nil, fmt.Errorf("read the daemon's reply: %w", err))
		}
	}
}

func (c *Client) openEvents(ctx context.Context, query url.Values) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://millrace/v1/events?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	switch {
	case err != nil:
		return nil, c.explain(err)
	case resp.StatusCode == http.StatusOK:
		return resp.Body, nil
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusBadRequest:
		return nil, Refusal(errorText(resp))
	case http.StatusNotFound:
		return nil, errNoEvents
	}
	return nil, refusal(resp)
}
