package daemon

import (
	"bytes"
	"fmt"
	"net"
	"time"
)

// mailInfo is facility mail, severity info (RFC 3164 section 4.1.1).
const mailInfo = "<22>"

// syslogTimeout bounds a write to a syslog daemon that does not read. Lines are lost then: a log that cannot be written
// must never hold up mail. The mail log says later how many are missing.
const syslogTimeout = time.Second

// syslogSocket sends each line to the local syslog daemon. The line itself begins with its tag, because Postfix's tools
// tell services apart by the tag; the standard library's writer has one tag for all lines. Only the mail log's goroutine
// writes.
type syslogSocket struct {
	path string
	conn net.Conn
	buf  []byte
}

// dialSyslog fails when no syslog daemon listens: mail must not be sent for days before somebody misses the log.
func dialSyslog(path string) (*syslogSocket, error) {
	s := &syslogSocket{path: path}
	if err := s.attach(); err != nil {
		return nil, fmt.Errorf(`log.mail = "syslog": %w; is a syslog daemon running? Else name a file`, err)
	}
	return s, nil
}

// attach opens the socket, also in place of one that a syslog daemon left behind.
func (s *syslogSocket) attach() error {
	conn, err := net.Dial("unixgram", s.path)
	if err != nil {
		return err
	}
	if s.conn != nil {
		s.conn.Close()
	}
	s.conn = conn
	return nil
}

// Write implements io.Writer. It returns the bytes of the lines written whole, because a datagram goes out whole or not at
// all; the mail log counts the rest as lost.
func (s *syslogSocket) Write(lines []byte) (int, error) {
	n := 0
	for line := range bytes.Lines(lines) {
		s.buf = append(s.buf[:0], mailInfo...)
		s.buf = time.Now().AppendFormat(s.buf, "Jan _2 15:04:05 ")
		s.buf = append(s.buf, bytes.TrimSuffix(line, []byte("\n"))...)
		err := s.transmit()
		if err != nil && s.attach() == nil { // the syslog daemon was restarted
			err = s.transmit()
		}
		if err != nil {
			return n, err
		}
		n += len(line)
	}
	return n, nil
}

// transmit sends the buffer as one datagram: a syslog daemon reads one line from each (RFC 3164 section 4.1).
func (s *syslogSocket) transmit() error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(syslogTimeout)); err != nil {
		return err
	}
	_, err := s.conn.Write(s.buf)
	return err
}

// Close implements io.Closer.
func (s *syslogSocket) Close() error { return s.conn.Close() }
