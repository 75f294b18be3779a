package console

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"
)

const (
	// writeTimeout is how long a reader may stall before it is dropped: a pager that nobody scrolls must not hold one of
	// the slots for hours.
	writeTimeout = 10 * time.Second
	// streamBuffer is how many bytes are collected before one write.
	streamBuffer = 32 << 10
)

// stream writes JSON values, one a line. A failed write ends it: encode returns false from then on, because the buffer
// keeps the error.
type stream struct {
	buf *bufio.Writer
	enc *json.Encoder
}

func newStream(w http.ResponseWriter) *stream {
	buf := bufio.NewWriterSize(timedWriter{w, http.NewResponseController(w)}, streamBuffer)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false) // addresses in <> stay readable
	return &stream{buf, enc}
}

func (s *stream) encode(v any) bool { return s.enc.Encode(v) == nil }

// end sends the rest of the buffer. Its error helps nobody: the reader is gone.
func (s *stream) end() { _ = s.buf.Flush() }

// timedWriter gives every write its own deadline, so that a long list may take as long as its reader keeps reading.
type timedWriter struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
}

// Write implements io.Writer.
func (t timedWriter) Write(p []byte) (int, error) {
	if err := t.ctl.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	return t.w.Write(p)
}
