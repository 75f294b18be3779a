package daemon

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// greeted is one EHLO that a receiver heard.
type greeted struct{ name, from string }

// receiver takes every message and ends each connection after one, so that every message has an EHLO of its own.
func receiver(t *testing.T) (net.Addr, <-chan greeted) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	heard := make(chan greeted, 100)
	go func() { // ends with ln
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go receive(nc, heard) // ends with its message
		}
	}()
	return ln.Addr(), heard
}

func receive(nc net.Conn, heard chan<- greeted) {
	defer nc.Close()
	fmt.Fprint(nc, "220 far.example\r\n")
	body := false
	for lines := bufio.NewScanner(nc); lines.Scan(); {
		verb, rest, _ := strings.Cut(lines.Text(), " ")
		switch {
		case body && verb == ".":
			fmt.Fprint(nc, "250 taken\r\n")
			return
		case body:
		case verb == "EHLO":
			heard <- greeted{rest, nc.RemoteAddr().(*net.TCPAddr).IP.String()}
			fmt.Fprint(nc, "250 far.example\r\n")
		case verb == "DATA":
			body = true
			fmt.Fprint(nc, "354 go\r\n")
		default:
			fmt.Fprint(nc, "250 ok\r\n")
		}
	}
}

// TestSMTPTableIsLive: the name in EHLO and the source address are those of the file, and those of the new file after a
// reload, without a restart.
func TestSMTPTableIsLive(t *testing.T) {
	if ln, err := net.Listen("tcp", "127.0.0.2:0"); err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("this system has no 127.0.0.2 to send from: %v", err)
	} else {
		ln.Close()
	}
	addr, heard := receiver(t)
	dir := t.TempDir()
	cfg, socket := configured(t, dir, addr, "[pool]\nmessages_per_connection = 1\n")
	d, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	c := dial(t, socket)
	defer c.Close() // before the stop, else the door gives it the whole of its grace
	for i, test := range []struct {
		table string
		want  greeted
	}{
		{"", greeted{"mail.example.org", "127.0.0.1"}},
		{"[smtp]\nhelo_name = 'out.example.org'\n", greeted{"out.example.org", "127.0.0.1"}},
		{"[smtp]\nbind_address = '127.0.0.2'\nbind_address6 = '2001:db8::1'\n", greeted{"mail.example.org", "127.0.0.2"}},
		{"[smtp]\nbind_address6 = '2001:db8::1'\n", greeted{"mail.example.org", "127.0.0.1"}},
	} {
		next, _ := configured(t, dir, addr, "[pool]\nmessages_per_connection = 1\n"+test.table)
		if err := d.Reload(next); err != nil {
			t.Fatal(err)
		}
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
		select {
		case got := <-heard:
			if got != test.want {
				t.Errorf("%q: %+v, want %+v", test.table, got, test.want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%q: nothing was sent", test.table)
		}
	}
}
