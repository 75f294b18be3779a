package daemon

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
)

// mailLog is the relay's mail log together with its destination. The relay formats lines and must not know files: the heart
// has no file code.
type mailLog struct {
	*relay.MailLog
	append func(path string) (io.WriteCloser, error) // Machine.Append

	plain atomic.Bool // the destination is a file on a disk: a write to it does not wait for another program

	mu sync.Mutex // held by all that replace or close the destination: none may be closed twice
	to destination
}

// destination is where the mail log goes.
type destination struct {
	writer io.Writer // nil: nowhere
	closer io.Closer // nil for the standard error, which is not ours to close
	path   string    // of the file; "" if it is no file
	prefix bool      // each line begins with syslog's time and host, which nobody adds
}

// openMailLog opens the destination that log.mail names.
func openMailLog(cfg *config.Config, appendTo func(path string) (io.WriteCloser, error)) (*mailLog, error) {
	l := &mailLog{append: appendTo}
	to, err := l.openDestination(cfg.Log.Mail)
	if err != nil {
		return nil, err
	}
	l.plain.Store(to.isPlain())
	l.to, l.MailLog = to, relay.NewMailLog(relay.MailLogConfig{
		Hostname: cfg.Hostname, Name: cfg.Log.Name, PID: os.Getpid(), Writer: to.writer, Prefix: to.prefix,
		NoMTA: cfg.Bounce.IsDirect(),
	})
	return l, nil
}

// openDestination opens "stderr", "syslog", "off", or a file.
func (l *mailLog) openDestination(name string) (destination, error) {
	switch name {
	case "off":
		return destination{}, nil
	case "stderr":
		return destination{writer: os.Stderr, prefix: true}, nil
	case "syslog":
		s, err := dialSyslog("/dev/log")
		if err != nil {
			return destination{}, err
		}
		return destination{writer: s, closer: s}, nil
	}
	f, err := l.append(name)
	if err != nil {
		return destination{}, fmt.Errorf("log.mail: %w", err)
	}
	return destination{writer: f, closer: f, path: name, prefix: true}, nil
}

// shut closes the destination, if it is ours.
func (d destination) shut() error {
	if d.closer == nil {
		return nil
	}
	return d.closer.Close()
}

// isPlain reports whether d is a file on a disk, and not a pipe, a terminal or a socket.
func (d destination) isPlain() bool {
	f, ok := d.writer.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// hasten writes the lines in the buffer to a file. Other destinations have them within the log's interval.
func (l *mailLog) hasten() {
	if l.plain.Load() {
		_ = l.Flush() // the lines that are lost are counted
	}
}

// redirect makes all later lines go to another destination, under the given name.
func (l *mailLog) redirect(to destination, name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.Redirect(to.writer, name, to.prefix)
	old := l.to
	l.to = to
	l.plain.Store(to.isPlain())
	return old.shut()
}

// logMode lets the file's group read, whatever the daemon's umask is: systemd's unit has one for the state directory, and the
// programs that read logs are in the group at best. It keeps all other users out: the log has every recipient's address.
const logMode = 0o640

// appendTo opens the file without reading or shortening it: another program may append to it at the same time. A file that is
// there keeps its mode, which somebody may have chosen.
func appendTo(path string) (io.WriteCloser, error) {
	const flags = os.O_CREATE | os.O_APPEND | os.O_WRONLY
	f, err := os.OpenFile(path, flags|os.O_EXCL, logMode)
	if errors.Is(err, fs.ErrExist) {
		f, err = os.OpenFile(path, flags, logMode)
	} else if err == nil {
		_ = f.Chmod(logMode) // a file system without modes is no reason not to log
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Reopen opens the file anew, after log rotation renamed it. The old file stays in use until the new one is open, so that
// no line is lost when it cannot be opened. Without a file there is nothing to do.
func (l *mailLog) Reopen() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.to.path == "" {
		return nil
	}
	f, err := l.append(l.to.path)
	if err != nil {
		return fmt.Errorf("log.mail: %w", err)
	}
	l.SetWriter(f)
	old := l.to
	l.to.writer, l.to.closer = f, f
	return old.shut()
}

// Close writes the lines still in the buffer and closes the destination.
func (l *mailLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	err := errors.Join(l.Flush(), l.to.shut())
	l.to = destination{}
	return err
}
