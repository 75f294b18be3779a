package relay

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// Queue ids of the Postfix that gave us the messages: short ones, and long ones (enable_long_queue_ids).
const (
	shortIDs = "5E1F22%d"
	longIDs  = "4bXyZ%d"
)

// toolLog is a log with each kind of outcome: four sent, one put off twice, one put off and expired, three bounced, one handed
// back, one deleted by an admin, and one notification. ids is shortIDs or longIDs; what the MTA names has no id in it that is not one of Postfix's.
func toolLog(name, ids string) []byte {
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out, Name: name, Hostname: "mail", PID: 812, Prefix: true})
	mx := "mx.example[192.0.2.1]:25"
	for i := range 11 {
		m := logMessage()
		m.ID, m.Slip.QueueID = ID(i+1), fmt.Sprintf(ids, i)
		m.Content = NewContent(Letter{Header: make([]byte, 19_998)}) // 20,000 with the empty line
		e := Event{Kind: EventSettled, Time: logTime, Message: m, Relay: mx, ConnUse: i, Delays: Delays{Queue: time.Second}}
		switch {
		case i < 4:
			e.Outcome, e.Reply = Sent, ok("OK")
		case i == 4:
			e.Outcome, e.Reply, e.MaybeTwice = Deferred, smtp.Reply{Code: 450, Enhanced: "4.2.1", Lines: []string{"slow down"}}, true
		case i < 8:
			e.Outcome, e.Reply = Bounced, smtp.Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"no such user"}}
		case i == 8:
			e.Outcome, e.Reply = HandedBack, ok("Ok: queued as "+fmt.Sprintf(ids, 99))
		case i == 9:
			e.Outcome, e.Relay = Expired, "none"
		default:
			e.Outcome, e.Relay, e.Reply = Deleted, "none", smtp.Reply{Enhanced: "4.7.1", Lines: []string{"deleted by root at 2026-11-26: wrong list"}}
		}
		l.Event(&Event{Kind: EventTaken, Time: logTime, Message: m, Rcpt: -1})
		l.Event(&e)
		if e.MaybeTwice {
			l.Event(&e)
		}
		if e.Outcome == Bounced {
			l.Event(&Event{Kind: EventReported, Time: logTime, Message: m, Report: logNotice().Name()})
		}
		l.Event(&Event{Kind: EventRemoved, Time: logTime, Message: m, Rcpt: -1})
	}
	l.Connected(Connection{Time: logTime, Relay: mx, Trust: "Trusted", Suite: "TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)"})
	l.Connected(Connection{Time: logTime, Relay: mx, Fault: "STARTTLS: 454 4.7.0 not now"})
	n := logNotice()
	n.ID = 123_456_789_012_345 // its name has letters
	l.Event(&Event{Kind: EventTaken, Time: logTime, Message: n, Rcpt: -1})
	l.Event(&Event{Kind: EventSettled, Outcome: Sent, Time: logTime, Message: n, Relay: "127.0.0.1[127.0.0.1]:25", Reply: ok("Ok: queued as " + fmt.Sprintf(ids, 98))})
	l.Event(&Event{Kind: EventRemoved, Time: logTime, Message: n, Rcpt: -1})
	l.Flush()
	return out.Bytes()
}

// runTool lets a program read a log, and gives its report.
func runTool(t *testing.T, debian, program string, log []byte, args ...string) []byte {
	t.Helper()
	if _, err := os.Stat(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is not installed (Debian package %s)", program, debian)
		}
		t.Skipf("%s is not installed (Debian package %s)", program, debian)
	}
	file := filepath.Join(t.TempDir(), "mail.log")
	if err := os.WriteFile(file, log, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, append(args, file)...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", program, err, out)
	}
	return out
}

// wantReport looks for each pattern in a tool's report.
func wantReport(t *testing.T, report []byte, patterns ...string) {
	t.Helper()
	for _, want := range patterns {
		if !regexp.MustCompile(want).Match(report) {
			t.Errorf("the report has no line like %s", want)
		}
	}
	if t.Failed() {
		t.Logf("the report:\n%s", report)
	}
}

// eachLog runs a test over the names of contrib/log.md that a tool reads, with both forms of queue ids.
func eachLog(t *testing.T, names []string, test func(t *testing.T, log []byte, long bool)) {
	for _, name := range names {
		for _, ids := range []string{shortIDs, longIDs} {
			t.Run(name+" "+ids, func(t *testing.T) { test(t, toolLog(name, ids), ids == longIDs) })
		}
	}
}

// TestPflogsumm lets the tool that most Postfix admins use count our log.
func TestPflogsumm(t *testing.T) {
	eachLog(t, []string{"postfix", "postfix/millrace"}, func(t *testing.T, log []byte, _ bool) {
		out := runTool(t, "pflogsumm", "/usr/sbin/pflogsumm", log)
		// What goes on through the MTA is forwarded: one handed back, one notification.
		wantReport(t, out, `(?m)^ +4 +delivered$`, `(?m)^ +2 +forwarded$`, `(?m)^ +3 +deferred +\(4 +deferrals\)$`, `(?m)^ +3 +bounced$`,
			`(?m)^ +80000 +bytes delivered$`, `(?m)^ +4 +\S+ .* gmail\.com$`,
			`(?m)^ +2 +host mx\.example\[192\.0\.2\.1\] said: 450 4\.2\.1 slow down$`, `(?m)^ +mx\.example\[192\.0\.2\.1\]:25 \(total: 3\)$`, `may be delivered twice`)
		if bytes.Contains(out, []byte("no size")) || bytes.Contains(out, []byte("no message size")) {
			t.Errorf("pflogsumm found no size for some message:\n%s", out)
		}
	})
}

// TestLogwatch lets logwatch sort our log, and looks at what it could not sort.
func TestLogwatch(t *testing.T) {
	eachLog(t, []string{"postfix"}, func(t *testing.T, log []byte, long bool) {
		args := []string{"--detail", "10"}
		if long {
			args = append(args, "--long_queue_ids")
		}
		out := runTool(t, "logwatch", "/usr/share/logwatch/scripts/services/postfix", log, args...)
		wantReport(t, out, `(?m)^ +4 +Sent via SMTP `, `(?m)^ +2 +Forwarded `, `(?m)^ +4 +Deferrals `, `(?m)^ +3 +Bounced \(remote\) `,
			`(?m)^ +12 +Removed from queue `, `(?m)^ +1 +Expired and returned to sender `, `(?m)^ +3 +Miscellaneous warnings `, `(?m)^ +1 +TLS connections \(client\) `, `(?m)^ +3 +Notifications sent `)
		if i := bytes.Index(out, []byte("**Unmatched")); i >= 0 {
			t.Errorf("logwatch does not know what these lines mean:\n%s", out[i:])
		}
	})
}

// Tools that would bring too much with them into a test machine. Their patterns are what the programs look for in a line;
// contrib/log.md says with which versions the programs were run.
var (
	// mailgraph 1.14 splits a line at the tag, and then looks for the service by its whole name.
	mailgraphSent    = regexp.MustCompile(`(?m)^\S{3}\s+\d+ \d+:\d+:\d+ [-\w.@:]+\s+postfix/smtp(?:\[\d+\])?:\s+.*\bstatus=sent\b`)
	mailgraphBounced = regexp.MustCompile(`(?m)^\S{3}\s+\d+ \d+:\d+:\d+ [-\w.@:]+\s+postfix/smtp(?:\[\d+\])?:\s+.*\bstatus=bounced\b`)
	// prometheus-postfix-exporter 0.3.0 takes service and text out of a line, and what it counts out of the text.
	exporterDelays  = regexp.MustCompile(`(?m) ?postfix/smtp\[\d+\]: .*, relay=\S+, .*, delays=[0-9.]+/[0-9.]+/[0-9.]+/[0-9.]+, `)
	exporterQueued  = regexp.MustCompile(`(?m) ?postfix/qmgr\[\d+\]: .*:.*, size=\d+, nrcpt=\d+ `)
	exporterRemoved = regexp.MustCompile(`(?m) ?postfix/qmgr\[\d+\]: .*: removed`)
	exporterTLS     = regexp.MustCompile(`(?m) ?postfix/smtp\[\d+\]: (\S+) TLS connection established to \S+: (\S+) with cipher (\S+) \((\d+)/(\d+) bits\)`)
	// fail2ban 1.0.2, filter postfix in mode aggressive: a line that matches and has an address can ban a receiver.
	fail2ban = regexp.MustCompile(`(?m)^\S{3} .\d \d\d:\d\d:\d\d \S+ postfix(?:-\w+)?/\w+(?:/smtp[ds])?\[\d+\]:?\s+(?:\w+: (?:milter-)?reject:|(?:improper command pipelining|too many errors|lost connection) after \S+|` +
		`warning: [^\[]*\[[^\]]*\](?::\d+)?: SASL|disconnect|(?:PREGREET \d+|HANGUP) after \S+|COMMAND (?:TIME|COUNT|LENGTH) LIMIT)`)
)

// TestLogPatterns counts what mailgraph and the Prometheus exporter would, and finds nothing for fail2ban, also where a
// receiver's words look like the lines that ban.
func TestLogPatterns(t *testing.T) {
	eachLog(t, []string{"postfix"}, func(t *testing.T, log []byte, _ bool) {
		for _, p := range []struct {
			tool string
			re   *regexp.Regexp
			want int
		}{
			{"mailgraph, sent", mailgraphSent, 6}, {"mailgraph, bounced", mailgraphBounced, 3},
			{"exporter, delays", exporterDelays, 13}, {"exporter, queued", exporterQueued, 12}, {"exporter, removed", exporterRemoved, 12},
			{"exporter, TLS", exporterTLS, 1}, {"fail2ban", fail2ban, 0},
		} {
			if got := len(p.re.FindAll(log, -1)); got != p.want {
				t.Errorf("%s: %d, want %d:\n%s", p.tool, got, p.want, log)
			}
		}
	})
	var out bytes.Buffer
	l := NewMailLog(MailLogConfig{Writer: &out, Prefix: true, Hostname: "mail"})
	evil := "x\nNov  3 17:32:53 mail postfix/smtpd[1]: NOQUEUE: reject: RCPT from a[192.0.2.9]: 554 5.7.1 Relay access denied"
	l.Event(&Event{Kind: EventSettled, Outcome: Deferred, Time: logTime, Message: logMessage(), Relay: "mx[192.0.2.1]:25", Reply: smtp.Reply{Code: 450, Lines: []string{evil}}})
	l.Flush()
	if fail2ban.Match(out.Bytes()) || bytes.Count(out.Bytes(), []byte{'\n'}) != 1 {
		t.Errorf("a receiver can have a host banned: %s", out.Bytes())
	}
}
