package daemon

import (
	"bytes"
	"fmt"
	"net"
	"time"
)

// mailInfo is facility mail, severity info (RFC 3164 section 4.1.1).
const mailInfo = "<22>"

// syslogTimeout bounds a write to a syslog daemon that does not read: lines are lost then, mail is not held up.
const syslogTimeout = time.Second

// syslogSocket sends each line to the local syslog daemon under the tag the line itself begins with. The standard
// library's writer has one tag for all, but Postfix's tools tell services apart by it.
type syslogSocket struct {
	conn net.Conn
	buf  []byte
}

func dialSyslog(path string) (*syslogSocket, error) {
	conn, err := net.Dial("unixgram", path)
	if err != nil {
		return nil, fmt.Errorf(`log.mail = "syslog": %w; is a syslog daemon running? Else name a file`, err)
	}
	return &syslogSocket{conn: conn}, nil
}

// Write implements io.Writer. It counts lines written whole.
func (s *syslogSocket) Write(lines []byte) (int, error) {
	n := 0
	for line := range bytes.Lines(lines) {
		s.buf = append(s.buf[:0], mailInfo...)
		s.buf = time.Now().AppendFormat(s.buf, "Jan _2 15:04:05 ")
		s.buf = append(s.buf, bytes.TrimSuffix(line, []byte("\n"))...)
		if err := s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout)); err != nil {
			return n, err
		}
		if _, err := s.conn.Write(s.buf); err != nil {
			return n, err
		}
		n += len(line)
	}
	return n, nil
}

// Close implements io.Closer.
func (s *syslogSocket) Close() error { return s.conn.Close() }
