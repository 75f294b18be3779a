package daemon

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/millrace/millrace/relay"
)

// mailLog is the relay's mail log together with the file, or whatever else, that it goes to.
type mailLog struct {
	*relay.MailLog
	path string // "" when it is no file

	mu  sync.Mutex
	out io.Closer
}

// openMailLog opens what log.mail names: "stderr", "syslog", "off", or a file.
func openMailLog(cfg *Config) (*mailLog, error) {
	l := &mailLog{}
	mc := relay.MailLogConfig{Hostname: cfg.Hostname, Name: cfg.Log.Name, PID: pid()}
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

func appendTo(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("log.mail: %w", err)
	}
	return f, nil
}

// Reopen opens the file anew: log rotation renamed it. Without a file there is nothing to do.
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

// Close writes what is left and closes the file.
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
