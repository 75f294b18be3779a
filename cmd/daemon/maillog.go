package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
)

// mailLog is the relay's mail log together with its destination. The relay formats lines and must not know files: the heart
// has no file code.
type mailLog struct {
	*relay.MailLog
	path string // of the file; "" if the destination is no file

	mu  sync.Mutex // held by Reopen and Close, which must not close the same file twice
	out io.Closer  // nil for the standard error, which is not ours to close
}

// openMailLog opens the destination that log.mail names: "stderr", "syslog", "off", or a file.
func openMailLog(cfg *config.Config) (*mailLog, error) {
	l := &mailLog{}
	mc := relay.MailLogConfig{Hostname: cfg.Hostname, Name: cfg.Log.Name, PID: os.Getpid()}
	switch cfg.Log.Mail {
	case "off":
	case "stderr":
		mc.Writer, mc.Prefix = os.Stderr, true
	case "syslog":
		s, err := dialSyslog("/dev/log")
		if err != nil {
			return nil, err
		}
		mc.Writer, l.out = s, s
	default:
		f, err := appendTo(cfg.Log.Mail)
		if err != nil {
			return nil, err
		}
		mc.Writer, mc.Prefix, l.out, l.path = f, true, f, cfg.Log.Mail
	}
	l.MailLog = relay.NewMailLog(mc)
	return l, nil
}

// appendTo opens the file without reading or shortening it: another program may append to it at the same time. The mode
// keeps other users out: the log has every recipient's address.
func appendTo(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log.mail: %w", err)
	}
	return f, nil
}

// Reopen opens the file anew, after log rotation renamed it. The old file stays in use until the new one is open, so that
// no line is lost when it cannot be opened. Without a file there is nothing to do.
func (l *mailLog) Reopen() error {
	if l.path == "" {
		return nil
	}
	f, err := appendTo(l.path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.SetWriter(f)
	old := l.out
	l.out = f
	return old.Close()
}

// Close writes the lines still in the buffer and closes the destination.
func (l *mailLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := l.Flush()
	if l.out != nil {
		err = errors.Join(err, l.out.Close())
		l.out = nil
	}
	return err
}
