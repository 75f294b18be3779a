package daemon

import (
	"bytes"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/test/sink"
)

// lockedLog is a log that may be read while it is written.
type lockedLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// awaitLine waits until the log has a text.
func (l *lockedLog) awaitLine(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
		l.mu.Lock()
		found := strings.Contains(l.text.String(), want)
		l.mu.Unlock()
		if found {
			return
		}
	}
	t.Fatalf("the log never says %q:\n%s", want, l.text.String())
}

// TestInjectThatRefusesIsNamed: the daemon starts all the same, says that bounces have nowhere to go, and says when they
// have.
func TestInjectThatRefusesIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	cfg, _ := configured(t, t.TempDir(), ln.Addr(), "")
	cfg.Bounce.Inject = "[127.0.0.1]" + strings.TrimPrefix(addr, "127.0.0.1")
	var log lockedLog
	d, err := New(cfg, hclog.New(&hclog.LoggerOptions{Output: &log}))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	log.awaitLine(t, "bounce.inject refuses")
	log.awaitLine(t, "connection refused")

	done := make(chan struct{})
	go func() { d.watchInject(t.Context(), time.Millisecond); close(done) }() // ends when the listener answers
	mta, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Close()
	if _, err := mta.Listen(addr, sink.Character{Name: "mta.test"}); err != nil {
		t.Fatal(err)
	}
	<-done
	if mta.Count() != 0 {
		t.Error("the try has sent a message")
	}
}

// TestReinjectThatRefusesIsNamed: the same of the SMTP door's way to the MTA.
func TestReinjectThatRefusesIsNamed(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	dir := t.TempDir()
	cfg, _ := configured(t, dir, ln.Addr(), "smtpd.filter = ['unix:"+dir+"/f.sock']\nsmtpd.reinject = '[127.0.0.1]"+strings.TrimPrefix(addr, "127.0.0.1")+"'\n")
	var log lockedLog
	d, err := New(cfg, hclog.New(&hclog.LoggerOptions{Output: &log}))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	log.awaitLine(t, "smtpd.reinject refuses")
	mta, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Close()
	if _, err := mta.Listen(addr, sink.Character{Name: "mta.test"}); err != nil {
		t.Fatal(err)
	}
	d.watchReinject(t.Context(), time.Millisecond) // returns when it answers
}
