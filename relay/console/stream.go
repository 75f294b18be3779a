package console

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"
)

const (
	// writeTimeout is how long a reader may stall before it is dropped.
	writeTimeout = 10 * time.Second
	// streamBuffer is what is collected before one write.
	streamBuffer = 32 << 10
)

// stream writes JSON values, one a line. A failed write ends it: put returns false from then on.
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

// end sends what is still in the buffer. Its error is of no use: the reader is gone.
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
