package daemon

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/test/process"
)

// Config is the path of the configuration file.
func (d *Daemon) Config() string { return filepath.Join(d.Dir, "millrace.toml") }

// Socket is the path of the control socket, for control.socket in the configuration.
func (d *Daemon) Socket() string { return filepath.Join(d.Dir, "control.sock") }

// LogFile is the path of the technical log of all starts.
func (d *Daemon) LogFile() string { return filepath.Join(d.Dir, "stderr") }

// MailLogFile is the path of the mail log of all starts, for log.mail in the configuration.
func (d *Daemon) MailLogFile() string { return filepath.Join(d.Dir, "mail.log") }

// Configure writes the configuration file. It takes effect with the next start or reload.
func (d *Daemon) Configure(text string) error {
	if err := os.MkdirAll(d.Dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(d.Config(), []byte(text), 0o600)
}

// Configured returns the configuration file.
func (d *Daemon) Configured() (string, error) {
	text, err := os.ReadFile(d.Config())
	return string(text), err
}

// Replace replaces old by new in the configuration file. It takes effect with the next start or reload.
func (d *Daemon) Replace(old, new string) error {
	text, err := d.Configured()
	if err != nil {
		return err
	}
	return d.Configure(strings.ReplaceAll(text, old, new))
}

// Log returns the technical log of the present or last start.
func (d *Daemon) Log() string { return d.process.Output() }

// LastLine returns the last line of Log.
func (d *Daemon) LastLine() string {
	lines := strings.Split(strings.TrimSpace(d.Log()), "\n")
	return lines[len(lines)-1]
}

// LastWords returns the lines of Log that are meant for the person who starts the daemon: why it does not start, or
// ends.
func (d *Daemon) LastWords() []string {
	var lines []string
	for line := range strings.Lines(d.Log()) {
		if strings.HasPrefix(line, "millrace: ") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// complaint bounds how much of the log Complaints quotes, in bytes.
const complaint = 1000

// Complaints returns what no daemon may ever say, from the technical log of all starts.
func (d *Daemon) Complaints() []string {
	log, err := os.ReadFile(d.LogFile())
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	for _, bad := range []string{"panic:", "fatal error:", "DATA RACE"} {
		if i := bytes.Index(log, []byte(bad)); i >= 0 {
			found = append(found, "the daemon's log: "+string(log[i:min(i+complaint, len(log))]))
		}
	}
	return found
}

// MailLog returns the mail log of all starts.
func (d *Daemon) MailLog() string {
	text, err := os.ReadFile(d.MailLogFile())
	if err != nil {
		return err.Error()
	}
	return strings.ToValidUTF8(string(text), "?")
}

// LogTail returns the end of the technical log of all starts, for the report of a failed test.
func (d *Daemon) LogTail() string { return process.Tail(d.LogFile()) }

// NextHop is host:port in the form of Postfix and of Millrace's [route] and bounce.inject for a host that must not be
// looked up in DNS.
func NextHop(addr string) string {
	host, port, _ := net.SplitHostPort(addr)
	return "[" + host + "]:" + port
}
