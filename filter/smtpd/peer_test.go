package smtpd

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// scriptedMTA plays one dialogue for each connection that is dialled, in order:
//
//	S: what the MTA says
//	C: what the client must say next
//	S! close
//	C! close
//
// A client that writes more than the C lines before an S line has not waited for its reply, which fails the test; one that waits for a
// reply between two C lines blocks until its deadline.
type scriptedMTA struct {
	t       *testing.T
	mu      sync.Mutex
	scripts []string
	playing sync.WaitGroup
}

// dial is for newUpstream.
func (m *scriptedMTA) dial(context.Context, string, string) (net.Conn, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.scripts) == 0 {
		return nil, fmt.Errorf("nobody listens")
	}
	script := m.scripts[0]
	m.scripts = m.scripts[1:]
	client, server := net.Pipe()
	m.playing.Go(func() { // ends with the script
		defer server.Close()
		m.play(server, script)
	})
	return client, nil
}

func (m *scriptedMTA) play(nc net.Conn, script string) {
	br := bufio.NewReader(nc)
	for step := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		step = strings.TrimSpace(step)
		if step == "" {
			continue
		}
		text := strings.TrimPrefix(step[2:], " ")
		switch step[:2] {
		case "S:":
			if n := br.Buffered(); n > 0 {
				m.t.Errorf("at %q the client has said %d bytes more without waiting", step, n)
			}
			if _, err := io.WriteString(nc, text+"\r\n"); err != nil {
				m.t.Errorf("at %q: %v", step, err)
				return
			}
		case "C:":
			line, err := br.ReadString('\n')
			if line != text+"\r\n" {
				m.t.Errorf("the client says %q (%v), want %q", line, err, text)
				return
			}
		case "C!":
			if line, err := br.ReadString('\n'); err == nil || line != "" {
				m.t.Errorf("the client says %q (%v), want it to close", line, err)
			}
		}
	}
}

// done waits until all dialogues have come to their end.
func (m *scriptedMTA) done() {
	m.playing.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.scripts {
		m.t.Errorf("never played: %s", s)
	}
}
