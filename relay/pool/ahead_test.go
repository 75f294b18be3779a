package pool

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/sink"
)

// scripted is a site of one host whose connections are served by serve. It counts them.
func (w *world) scripted(domain string, serve func(net.Conn)) *atomic.Int64 {
	w.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ln.Close() })
	n := new(atomic.Int64)
	go func() { // ends with the listener
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			n.Add(1)
			go func() { // ends with its connection
				defer nc.Close()
				serve(nc)
			}()
		}
	}()
	ap := netip.MustParseAddrPort(ln.Addr().String())
	w.route(domain, &route.Route{Domain: domain, Site: domain, Port: ap.Port(), Static: true,
		Hosts: []route.Host{{Name: "mx." + domain, Addrs: []netip.Addr{ap.Addr()}}}})
	return n
}

// forgetful takes all mail, but throws away what arrives together with the end of a body.
func forgetful(nc net.Conn) {
	fmt.Fprint(nc, "220 mx\r\n")
	var in []byte
	for buf := make([]byte, 64<<10); ; {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		in = append(in, buf[:n]...)
		if bytes.Contains(in, []byte("\r\n.\r\n")) {
			fmt.Fprint(nc, "250 taken\r\n")
			in = nil
		}
		for line := range strings.Lines(string(in)) {
			switch word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word {
			case "EHLO":
				fmt.Fprint(nc, "250-mx\r\n250 PIPELINING\r\n")
			case "MAIL", "RCPT":
				fmt.Fprint(nc, "250 ok\r\n")
			case "DATA":
				fmt.Fprint(nc, "354 go\r\n")
			default:
				continue // the body, kept until its end has come
			}
			in = in[len(line):]
		}
	}
}

// A host that loses what is pipelined behind a body costs one wait, once: then everything goes over one connection.
func TestAheadLostIsRemembered(t *testing.T) {
	w := newWorldWith(t, quick(), time.Hour, 1, nil)
	w.patient()
	w.pool.slowAfter = time.Minute // the only channel stays with the agent that waits
	conns := w.scripted("x", forgetful)
	for range 10 {
		w.send("a@x")
	}
	w.drained()
	if w.count("sent a@x") != 10 || len(w.happened()) != 10 {
		t.Errorf("events %q", w.happened())
	}
	if n := conns.Load(); n > 3 {
		t.Errorf("%d connections for 10 messages", n)
	}
}

// A host that offers STARTTLS and never answers it gets its mail in clear, after one wait.
func TestSilentSTARTTLSIsRemembered(t *testing.T) {
	cfg := quick()
	cfg.TLS = "opportunistic"
	w := newWorldWith(t, cfg, time.Hour, 1, nil)
	w.retime(func(to *smtp.Timeouts) { to.STARTTLS = 300 * time.Millisecond })
	var asked atomic.Int64
	w.scripted("x", func(nc net.Conn) {
		fmt.Fprint(nc, "220 mx\r\n")
		for in := bufio.NewScanner(nc); in.Scan(); {
			switch word, _, _ := strings.Cut(in.Text(), " "); word {
			case "EHLO":
				fmt.Fprint(nc, "250-mx\r\n250 STARTTLS\r\n")
			case "STARTTLS":
				asked.Add(1)
			case "MAIL", "RCPT", ".":
				fmt.Fprint(nc, "250 ok\r\n")
			case "DATA":
				fmt.Fprint(nc, "354 go\r\n")
			case "QUIT":
				return
			}
		}
	})
	for range 3 {
		w.send("a@x")
		w.drained()
		siteFor(w.pool, w.Lookup("x")).conns.closeIdle(time.Now().Add(time.Hour))
	}
	if w.count("sent a@x") != 3 || asked.Load() != 1 {
		t.Errorf("STARTTLS was tried %d times; events %q", asked.Load(), w.happened())
	}
	// The status has it too, until TLS is tried again.
	r := w.Lookup("x")
	sites := w.pool.Sites()
	if len(sites) != 1 || len(sites[0].InClear) != 1 {
		t.Fatalf("the status is %+v", sites)
	}
	c := sites[0].InClear[0]
	host := fmt.Sprintf("mx.x[127.0.0.1]:%d", r.Port)
	if wait := time.Until(time.Unix(c.Until, 0)); c.Host != host || c.Connections != 3 || !strings.Contains(c.Reason, "timed out") || wait <= 0 || wait > tlsBrokenFor {
		t.Errorf("%s is in clear: %+v", host, c)
	}
	if found := w.pool.hosts.inClear(time.Unix(c.Until+1, 0)); len(found) != 0 {
		t.Errorf("after that: %+v", found)
	}
	// The log has the reason once, for the connection after which TLS was given up.
	if len(w.conns) != 3 || !strings.Contains(w.conns[0].Fault, "STARTTLS: TLS failed: timed out") || w.conns[1].Fault+w.conns[2].Fault != "" {
		t.Errorf("the log is told of %+v", w.conns)
	}
}

// The log tells of each connection under TLS how good it is.
func TestConnectedTellsOfTLS(t *testing.T) {
	cfg := quick()
	cfg.TLS = "opportunistic"
	w := newWorld(t, cfg, time.Hour)
	w.listen("x", sink.Character{TLS: true})
	w.listen("y", sink.Character{})
	for _, rcpt := range []string{"a@x", "b@x", "a@y"} {
		w.send(rcpt)
		w.drained()
	}
	port := w.Lookup("x").Port
	want := relay.Connection{Relay: fmt.Sprintf("mx.x[127.0.0.2]:%d", port), Trust: "Untrusted", Suite: "TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits)"}
	if len(w.conns) != 2 || w.conns[1].Trust+w.conns[1].Fault != "" {
		t.Fatalf("the log is told of %+v", w.conns)
	}
	got := w.conns[0]
	if got.Time.IsZero() {
		t.Error("no time")
	}
	if got.Time = (time.Time{}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// TestAhead: an agent lets the journal look ahead when its messages wait for it, twice as far each time, and less when none does.
func TestAhead(t *testing.T) {
	var a ahead
	for range 3 * easeAfter {
		if a.due() > 0 {
			t.Fatal("nobody has waited")
		}
	}
	for _, want := range []int{firstAhead, 2 * firstAhead, mostAhead, mostAhead} {
		if a.waited(); a.messages != want {
			t.Errorf("%d messages, want %d", a.messages, want)
		}
	}
	told := 0
	for range mostAhead {
		if a.due() > 0 {
			told++
		}
	}
	if told != 4 {
		t.Errorf("it was told %d times in %d messages", told, mostAhead)
	}
	for range mostAhead * easeAfter {
		a.due()
	}
	if a.messages != 0 {
		t.Errorf("%d messages behind many that did not wait", a.messages)
	}
}
