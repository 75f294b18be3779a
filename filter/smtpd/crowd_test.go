package smtpd

import (
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCrowd: mail comes through among thousands of connections that say nothing, or half a command, or half a message, and an idle one
// holds little memory.
func TestCrowd(t *testing.T) {
	const crowd = 1500
	r := start(t, func(s *setup) { s.config.MaxSessions = crowd + 10 })
	before := heap()
	for i := range crowd {
		said := []string{"", "EHLO a", "EHLO a\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<a@example.net>\r\n"}[i%3]
		nc := r.connect().nc
		if _, err := fmt.Fprint(nc, said); err != nil {
			t.Fatal(err)
		}
	}
	for r.door.Sessions() < crowd {
		runtime.Gosched()
	}
	each := (heap() - before) / crowd
	t.Logf("%d bytes each", each)
	if each > 20<<10 {
		t.Errorf("a connection of the crowd, with its client, holds %d bytes", each)
	}
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	for range 20 {
		if got := c.send(false, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "250 ") {
			t.Fatalf("%q", got)
		}
	}
	var last net.Conn
	for range 20 { // more than there are
		last = r.connect().nc
	}
	b := make([]byte, 64)
	if n, err := last.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "421 4.3.2") {
		t.Errorf("one too many hears %q, %v", b[:n], err)
	}
}

// heap is what lives on the heap and on stacks, in bytes.
func heap() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// TestSlowChunks: small chunks, each of which comes whole with its command, do not keep a message open.
func TestSlowChunks(t *testing.T) {
	r := start(t, func(s *setup) { s.config.DataTimeout = time.Second })
	c := r.dial()
	c.say("EHLO app.example.com", "250-")
	c.say("MAIL FROM:<news@example.com>", "250 ")
	c.say("RCPT TO:<a@example.net>", "250 ")
	c.write("BDAT 1\r\nx")
	c.expect("250 2.0.0")
	time.Sleep(1100 * time.Millisecond)
	c.write("BDAT 1\r\nx")
	c.expect("421 4.4.2")
}
