package bounce

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// greeter answers each connection with these lines, one for each command and the greeting first, and returns its address
// as a next hop, and the commands that it got.
func greeter(t *testing.T, lines ...string) (hop string, got <-chan string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	commands := make(chan string, 10)
	go func() { // ends when the listener is closed and the client has hung up
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		defer close(commands)
		rd := bufio.NewReader(nc)
		for _, line := range lines {
			fmt.Fprintf(nc, "%s\r\n", line)
			command, err := rd.ReadString('\n')
			if err != nil {
				return
			}
			commands <- strings.TrimSpace(command)
		}
	}()
	return "[127.0.0.1]:" + strings.TrimPrefix(ln.Addr().String(), "127.0.0.1:"), commands
}

// TestTry: a listener that greets and knows EHLO is right, and is sent no message. Anything else is named with its words.
func TestTry(t *testing.T) {
	for _, tt := range []struct {
		name  string
		lines []string
		limit time.Duration // of the wait for the greeting; 0 is the default
		want  string        // part of the error; "" for none
	}{
		{"answers", []string{"220 mta.test ESMTP", "250 mta.test", "221 bye"}, 0, ""},
		{"offers TLS", []string{"220 mta.test ESMTP", "250-mta.test\r\n250 STARTTLS", "221 bye"}, 0, ""},
		{"refuses by its greeting", []string{"554 5.7.1 no mail from you"}, 0, "554 5.7.1 no mail from you"},
		{"is no mail server", []string{"SSH-2.0-x"}, 100 * time.Millisecond, "banner"},
		{"hangs up", nil, 0, "banner"},
	} {
		hop, commands := greeter(t, tt.lines...)
		wire := smtp.Config{Hostname: "mail.example.org", Timeouts: smtp.Timeouts{Banner: tt.limit}}
		_, err := Config{Inject: hop}.Try(t.Context(), wire)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), hop)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		for c := range commands {
			if c != "EHLO mail.example.org" && c != "QUIT" && tt.want == "" {
				t.Errorf("%s: the listener got %q", tt.name, c)
			}
		}
	}
}

func TestTryRefused(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	hop := "[127.0.0.1]:" + strings.TrimPrefix(ln.Addr().String(), "127.0.0.1:")
	ln.Close()
	wire := smtp.Config{Hostname: "mail.example.org"}
	if _, err := (Config{Inject: hop}).Try(t.Context(), wire); err == nil || err.Error() != hop+": connect: connection refused" {
		t.Errorf("nobody listens: %v", err)
	}
	if _, err := (Config{Inject: "mta.example.org:25"}).Try(t.Context(), wire); err != nil {
		t.Errorf("a name that DNS decides about: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (Config{Inject: hop}).Try(ctx, wire); err == nil {
		t.Error("a try without time succeeded")
	}
}
