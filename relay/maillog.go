package relay

import (
	"bytes"
	"context"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// MailLogConfig says where the mail log goes and how its lines begin.
type MailLogConfig struct {
	Writer   io.Writer     // where the lines go; nil discards them until SetWriter
	Hostname string        // the host in the prefix
	Name     string        // syslog name; "postfix" when empty: the tools for Postfix's log know no other without being told
	PID      int           // process id in the tag
	Prefix   bool          // begin lines with syslog's time and host; not wanted where the receiver adds its own
	Interval time.Duration // longest time a line stays in memory; 100 ms when 0
	Buffer   int           // bytes of lines kept in memory; 4 MiB when 0. What does not fit is counted, not written
	NoMTA    bool          // notifications go to their receivers, as Deps.NoMTA says, and are logged like other mail
}

// MailLog writes what happens to messages in the words, the tags and the field order of Postfix's mail log, so that
// the tools for it (pflogsumm, mailgraph, postfix_exporter, logwatch, grep) read ours too. There is one method per kind of event.
//
// Event only appends to a buffer in memory; Run writes. A writer that cannot follow costs lines, never time: they are
// counted, and the log says how many are missing.
//
// Where Postfix has no word for what Millrace does:
//   - Mail given to our own MTA (a bounce, or a message handed back) is "status=sent (forwarded as QID ...)", as local(8)
//     says it of mail that goes on under another queue id. pflogsumm then counts it as forwarded; the MTA's own line for
//     QID is the delivery, and nothing is counted twice.
//   - A message taken has a line of a service of its own, "milter". It is qmgr's line with the rule and the client, and ends
//     in "(taken)": what does not begin like a line of Postfix, logwatch lists as unmatched.
//   - A recipient whom an admin has deleted is "status=deferred (deleted by NAME at TIME: REASON)". Postfix's postsuper writes only
//     "removed", which names nobody; that line comes too, when the last recipient is settled. Another status is unknown to the tools.
//   - An expired recipient is "status=deferred (expired: ...)" beside qmgr's line for the message, as in Postfix, whose last
//     attempt is a deferral too. pflogsumm does not count it as bounced and postfix_exporter counts it as expired.
type MailLog struct {
	cfg        MailLogConfig // Name and Prefix are guarded by mu
	first      chan struct{} // the buffer has a line, and had none
	half       chan struct{} // the buffer is half full
	suppressed atomic.Int64  // lines not written since start

	mu     sync.Mutex
	buf    []byte
	lost   int64 // lines not written since the log last said so
	start  int   // of the line being composed
	second int64 // the Unix second that stamp shows
	stamp  []byte
	told   recent // notifications and expiries that have their line: one line per message, but one event per recipient

	writeMu sync.Mutex // held while writing, never while composing
	out     io.Writer
	spare   []byte // the buffer that is not being filled
	torn    bool   // the last write stopped within a line
}

const (
	maxLogAddress = 320  // RFC 5321 section 4.5.3.1 allows 64 + 1 + 255
	maxLogText    = 1000 // of a reply
	maxLogWord    = 300  // relay, client, queue id
)

const (
	logInterval = 100 * time.Millisecond // whoever watches the log sees a line at once, and a busy log costs ten writes a second
	logRetry    = time.Second            // after a write that failed
)

// NewMailLog returns a mail log that writes nothing until Run or Flush.
func NewMailLog(cfg MailLogConfig) *MailLog {
	if cfg.Name == "" {
		cfg.Name = "postfix"
	}
	if cfg.Interval <= 0 {
		cfg.Interval = logInterval
	}
	if cfg.Buffer <= 0 {
		cfg.Buffer = 4 << 20
	}
	if cfg.Writer == nil {
		cfg.Writer = io.Discard
	}
	return &MailLog{cfg: cfg, out: cfg.Writer, first: make(chan struct{}, 1), half: make(chan struct{}, 1)}
}

// Run writes what was logged within Interval, or as soon as the buffer is half full, until ctx is done; then it writes
// the rest. It starts no goroutine, and does nothing while nothing is logged.
func (l *MailLog) Run(ctx context.Context) {
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			l.Flush()
			return
		case <-l.first:
			if due == nil {
				due = time.After(l.cfg.Interval)
			}
			continue
		case <-due:
		case <-l.half:
		}
		due = nil
		// Lost lines are counted, and the next line that can be written says how many. There is no better place.
		if l.Flush() != nil {
			due = time.After(logRetry)
		}
	}
}

// Flush writes what is in the buffer and returns the writer's error.
func (l *MailLog) Flush() error {
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	return l.flush(func() {})
}

// flush is Flush for a caller that holds writeMu. change runs between the last line that is written and the next one that is
// composed.
func (l *MailLog) flush(change func()) error {
	l.mu.Lock()
	confessed := l.confess()
	full := l.buf
	l.buf = l.spare[:0]
	change()
	l.mu.Unlock()
	l.spare = full
	missed, err := l.write(full)
	if missed > 0 {
		l.miss(missed, confessed)
	}
	return err
}

// SetWriter makes all later lines go to w, because the log file was moved away and opened anew. When SetWriter returns, the
// old writer is no longer in use and may be closed.
func (l *MailLog) SetWriter(w io.Writer) {
	l.Flush()
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	l.out, l.torn = w, false
}

// Redirect makes all later lines go to w and begin in another way. The lines before them go to the old writer, which may be
// closed when Redirect returns. nil discards the lines.
func (l *MailLog) Redirect(w io.Writer, name string, prefix bool) {
	if w == nil {
		w = io.Discard
	}
	l.writeMu.Lock()
	defer l.writeMu.Unlock()
	// Lines that the old writer does not take are counted, and the new one gets the line that says so.
	l.flush(func() { l.cfg.Name, l.cfg.Prefix = name, prefix })
	l.out, l.torn = w, false
}

// Suppressed is how many lines were not written since start, because the buffer was full or a write failed.
func (l *MailLog) Suppressed() int64 { return l.suppressed.Load() }

// write returns how many lines the writer did not take whole. It is called with writeMu held.
func (l *MailLog) write(lines []byte) (missed int64, err error) {
	if l.torn && len(lines) > 0 {
		if _, err := l.out.Write([]byte{'\n'}); err != nil {
			return countLines(lines), err
		}
		l.torn = false
	}
	if len(lines) == 0 {
		return 0, nil
	}
	n, err := l.out.Write(lines)
	if err == nil {
		return 0, nil
	}
	n = min(max(n, 0), len(lines))
	l.torn = n > 0 && lines[n-1] != '\n'
	return countLines(lines[n:]), err
}

func countLines(b []byte) int64 { return int64(bytes.Count(b, []byte{'\n'})) }

// confess adds the line that says how many are missing, and returns how many. The mutex is held.
func (l *MailLog) confess() int64 {
	n := l.lost
	if n == 0 {
		return 0
	}
	l.prefix("maillog", time.Now())
	l.text("warning: suppressed ")
	l.buf = strconv.AppendInt(l.buf, n, 10)
	l.text(" lines\n")
	l.lost = 0
	return n
}

// miss counts lines that were composed but not written. If the lost lines include the line that tells of earlier losses, those
// losses are told again.
func (l *MailLog) miss(lines, confessed int64) {
	if confessed > 0 {
		lines--
	}
	l.suppressed.Add(lines)
	l.mu.Lock()
	l.lost += lines + confessed
	l.mu.Unlock()
}

// Event implements Listener.
func (l *MailLog) Event(e *Event) {
	l.mu.Lock()
	defer l.unlock(len(l.buf))
	l.compose(e)
}

// compose puts the lines about e into the buffer. A fault of our own costs these lines, and not the log: the caller is told of the
// fault by the panic, and the buffer is left as it was. The mutex is held.
func (l *MailLog) compose(e *Event) {
	before, whole := len(l.buf), false
	defer func() {
		if !whole {
			l.buf = l.buf[:before]
			l.lost++
			l.suppressed.Add(1)
		}
	}()
	l.lines(e)
	whole = true
}

// lines composes the lines about e. The mutex is held.
func (l *MailLog) lines(e *Event) {
	switch e.Kind {
	case EventTaken:
		l.taken(e)
	case EventRestored:
		l.active(e)
	case EventUnheard:
		l.maybeTwice(e, "Millrace ended before the MTA heard that it was taken")
	case EventInterrupted:
		l.maybeTwice(e, "Millrace ended before the outcome was recorded")
	case EventSettled:
		l.settled(e)
	case EventReported:
		l.reported(e)
	case EventRemoved:
		l.removed(e)
	}
}

// unlock ends the composing of lines, and wakes Run if there is something new for it. before is how many bytes the buffer had.
func (l *MailLog) unlock(before int) {
	now := len(l.buf)
	l.mu.Unlock()
	if before == 0 && now > 0 {
		signal(l.first)
	}
	if now > l.cfg.Buffer/2 {
		signal(l.half)
	}
}

// signal never waits: one signal that nobody has seen yet is enough.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// taken: who sent the message, from where, and which rule took it. Our own notifications came through no door.
func (l *MailLog) taken(e *Event) {
	m := e.Message
	if m.Class() != ClassInject {
		l.startLine("milter", e)
		l.size(m)
		l.text(", rule=")
		l.field(m.Rule())
		l.text(", client=")
		l.field(m.Client())
		if m.Flow().Tenant != "" {
			l.text(", tenant=")
			l.field(m.Flow().Tenant)
		}
		l.text(" (taken)")
		l.endLine()
	}
	l.active(e)
}

// active: the message is in the queue map. pflogsumm takes its size from here, so this comes before any "to=" line.
func (l *MailLog) active(e *Event) {
	l.startLine("qmgr", e)
	l.size(e.Message)
	l.text(" (queue active)")
	l.endLine()
}

// size writes the fields that both lines share.
func (l *MailLog) size(m *Message) {
	l.text("from=")
	l.address(m.From())
	l.text(", size=")
	l.buf = strconv.AppendInt(l.buf, m.Content.Size(), 10)
	l.text(", nrcpt=")
	l.buf = strconv.AppendInt(l.buf, int64(m.RcptCount()), 10)
}

// settled: the outcome of one visit for one recipient.
func (l *MailLog) settled(e *Event) {
	if e.Outcome == Again {
		return
	}
	l.startLine("smtp", e)
	l.text("to=")
	l.address(e.rcpt())
	l.text(", relay=")
	if e.Relay == "" {
		l.text("none")
	}
	l.field(e.Relay)
	if e.ConnUse > 1 {
		l.text(", conn_use=")
		l.buf = strconv.AppendInt(l.buf, int64(e.ConnUse), 10)
	}
	l.delays(e.Delays)
	l.text(", dsn=")
	l.dsn(e)
	l.text(", status=")
	l.status(e)
	l.endLine()
	if e.MaybeTwice {
		l.maybeTwice(e, "no final reply to end of data")
	}
	if e.Outcome == Expired {
		l.expired(e)
	}
}

// maybeTwice: the receiver may have the message although it is sent again (RFC 1047).
func (l *MailLog) maybeTwice(e *Event, why string) {
	l.prefix("smtp", e.Time)
	l.text("warning: ")
	l.word(e.Message.Name())
	l.text(": to=")
	l.address(e.rcpt())
	l.text(" may be delivered twice (")
	l.text(why)
	l.text(")")
	l.endKeptLine()
}

// expired: Postfix's line for a message that waited too long.
func (l *MailLog) expired(e *Event) {
	if l.told.seen(e.Message.ID, "expired") {
		return
	}
	l.startLine("qmgr", e)
	l.text("from=")
	l.address(e.Message.From())
	l.text(", status=expired, returned to sender")
	l.endLine()
}

// reported: under which name the sender is told of a failure.
func (l *MailLog) reported(e *Event) {
	if e.Report == "" || l.told.seen(e.Message.ID, e.Report) {
		return
	}
	l.startLine("bounce", e)
	l.text("sender non-delivery notification: ")
	l.word(e.Report)
	l.endLine()
}

// Connection is a connection to a receiver that was just made, as the log tells of it. It is no Event: it belongs to many
// messages.
type Connection struct {
	Time  time.Time
	Relay string // as in Event
	Trust string // "Verified", "Trusted", "Untrusted" or "Anonymous"; "" in clear
	Suite string // "TLSv1.3 with cipher ..."
	Fault string // why it is in clear although the receiver offers TLS; "" otherwise, and where that was told lately
}

// Connected logs how a connection is encrypted, or why not, in the words of Postfix (smtp_tls_loglevel = 1). A connection in
// clear to a receiver that offers nothing else has no line. It may be called by several goroutines, and does not block.
func (l *MailLog) Connected(c Connection) {
	if c.Trust == "" && c.Fault == "" {
		return
	}
	l.mu.Lock()
	defer l.unlock(len(l.buf))
	l.prefix("smtp", c.Time)
	if c.Fault != "" {
		l.text("warning: TLS given up at ")
		l.field(c.Relay)
		l.text(", whose mail goes in clear: ")
		l.buf = appendPrintable(l.buf, c.Fault, maxLogText, "")
	} else {
		l.text(c.Trust)
		l.text(" TLS connection established to ")
		l.field(c.Relay)
		l.text(": ")
		l.text(c.Suite)
	}
	l.endLine()
}

// removed: the last recipient is settled.
func (l *MailLog) removed(e *Event) {
	l.startLine("qmgr", e)
	l.text("removed")
	l.endLine()
}
