package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// start runs a daemon whose mail goes to a sink of the given character.
func start(t *testing.T, is sink.Character) (d *Daemon, socket string, far *sink.Sink) {
	t.Helper()
	far, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	addr, err := far.Listen("127.0.0.1:0", is)
	if err != nil {
		t.Fatal(err)
	}
	cfg, socket := configured(t, t.TempDir(), addr, "")
	if d, err = New(cfg, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	return d, socket, far
}

// configured makes the configuration of a daemon in dir whose mail goes to that address, with more lines at its end.
func configured(t testing.TB, dir string, to net.Addr, more string) (cfg *config.Config, socket string) {
	t.Helper()
	host, port, _ := net.SplitHostPort(to.String())
	socket = filepath.Join(dir, "m.sock")
	path := filepath.Join(dir, "millrace.toml")
	text := fmt.Sprintf("hostname = 'mail.example.org'\nstate_dir = %q\nmode = 'deliver'\nmilter.listen = [%q]\ncontrol.socket = %q\nlog.mail = 'off'\nroute.'*' = '[%s]:%s'\n%s",
		filepath.Join(dir, "state"), "unix:"+socket, filepath.Join(dir, "c.sock"), host, port, more)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return cfg, socket
}

func dial(t *testing.T, socket string) *standin.Conn {
	t.Helper()
	c, err := standin.Dial("unix", socket, standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// TestSilentClientDoesNotSpoilTheStop: one client of the MTA is silent in the middle of a message. The daemon waits for
// it, but delivers nothing new meanwhile, so that there is nothing to cut in the end.
func TestSilentClientDoesNotSpoilTheStop(t *testing.T) {
	d, socket, far := start(t, sink.Character{Delay: 20 * time.Millisecond})
	c := dial(t, socket)
	const n = 200
	for i := range n {
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	slow := dial(t, socket)
	if _, err := slow.NetConn().Write(standin.AppendFrame(nil, standin.Mail, standin.CStrings("<n@sender.test>")...)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	_ = d.Stop(ctx) // that the client was cut off is no news here
	s := d.handler.Status()
	if s.MaybeTwice != 0 || int(s.Sent) != far.Count() || s.Sent+s.Messages != n {
		t.Errorf("%d arrived, status %+v", far.Count(), s)
	}
}

// TestDomainKey: all spellings of one domain share a queue and a lookup, and a name that is no domain has a queue too.
func TestDomainKey(t *testing.T) {
	for domain, want := range map[string]string{
		"example.com": "example.com", "Example.COM.": "example.com", "Bücher.example.": "xn--bcher-kva.example",
		"[192.0.2.1].": "[192.0.2.1]", "No Domain": "no domain",
	} {
		if got := domainKey(domain); got != want {
			t.Errorf("domainKey(%q) = %q, want %q", domain, got, want)
		}
	}
}
