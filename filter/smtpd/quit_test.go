package smtpd

import (
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

// TestQuit: nobody waits for a goodbye who has hung up behind QUIT, as Postfix's proxy client does. Every other client gets it, also one
// that writes no more.
func TestQuit(t *testing.T) {
	for _, tt := range []struct {
		name       string
		role       Role
		ends, told bool
	}{
		{"a proxy's client", Proxy, false, true}, {"that hangs up", Proxy, true, false},
		{"an application", Submission, false, true}, {"that writes no more", Submission, true, true}, {"a filter's client", Filter, true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
			if err != nil {
				t.Fatal(err)
			}
			nc, err := net.Dial("unix", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := io.WriteString(nc, "EHLO app.example.com\r\nQUIT\r\n"); err != nil {
				t.Fatal(err)
			}
			if tt.ends { // before the door reads any of it
				nc.(*net.UnixConn).CloseWrite()
			}
			r := start(t, nil)
			go r.door.Serve(ln, tt.role) // ends with Stop
			said, err := io.ReadAll(nc)
			if told := strings.Contains(string(said), "221 "); err != nil || told != tt.told || !strings.Contains(string(said), "250 ") {
				t.Errorf("%q, %v", said, err)
			}
		})
	}
}
