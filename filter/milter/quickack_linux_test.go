package milter

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// serveOn serves the rig's door on a real socket too, and connects to it.
func (r *rig) serveOn(network, address string) net.Conn {
	r.t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		r.t.Fatal(err)
	}
	go r.door.Serve(ln) // ends with Stop
	nc, err := net.Dial(network, ln.Addr().String())
	if err != nil {
		r.t.Fatal(err)
	}
	return nc
}

// Sendmail writes a frame in three pieces under Nagle's algorithm. Without quick acknowledgements each later piece waits
// for 40 ms.
func TestNoDelayedAcknowledgements(t *testing.T) {
	r := start(t)
	nc := r.serveOn("tcp", "127.0.0.1:0")
	if err := nc.(*net.TCPConn).SetNoDelay(false); err != nil {
		t.Fatal(err)
	}
	c, err := standin.New(inPieces{nc}, standin.Options{Flavor: standin.Sendmail, Timeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r.send(c, bulk()) // the first messages of a connection are acknowledged quickly anyway
	const messages = 10
	begin := time.Now()
	for range messages {
		if v := r.send(c, bulk()); !v.Taken() {
			t.Errorf("%+v", v)
		}
	}
	if per := time.Since(begin) / messages; per > 40*time.Millisecond {
		t.Errorf("%s a message", per)
	}
}

// inPieces writes as Sendmail does: the length, the command and the payload one by one.
type inPieces struct{ net.Conn }

func (p inPieces) Write(b []byte) (int, error) {
	for at := 0; at < len(b); {
		n := len(b) - at
		if at < 4 {
			n = min(n, 4-at)
		} else if at == 4 {
			n = 1
		}
		if _, err := p.Conn.Write(b[at : at+n]); err != nil {
			return at, err
		}
		at += n
	}
	return len(b), nil
}

func TestQuickAckIsForTCP(t *testing.T) {
	r := start(t)
	if quickAck(r.serveOn("unix", filepath.Join(t.TempDir(), "s"))) != nil {
		t.Error("a unix socket pays for an option of TCP")
	}
}
