package daemon

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/test/dns"
	"github.com/millrace/millrace/test/sink"
)

// TestForeignSource: a source that is none of this machine's addresses stops the start by name, and keeps a reload from being
// taken over.
func TestForeignSource(t *testing.T) {
	const foreign = "[[source]]\nname = 'news-1'\naddress = '192.0.2.11'\n"
	r := startReloadable(t, sink.Character{})
	if got := r.rewrite(t, foreign+"[pool]\nslice = 7\n"); got.Applied || len(got.Errors) != 1 || !strings.Contains(got.Errors[0].Text, `192.0.2.11 of source "news-1"`) {
		t.Errorf("%+v", got)
	}
	if r.Config().Pool.Slice == 7 {
		t.Error("the rest was taken over")
	}
	r.deliver(t, 0)
	stop(t, r.Daemon)
	cfg, _ := configured(t, t.TempDir(), r.to, foreign)
	_, err := New(cfg, hclog.NewNullLogger())
	if err == nil || !strings.Contains(err.Error(), `source[0].address: 192.0.2.11 of source "news-1" is none of this host's addresses`) {
		t.Errorf("%v", err)
	}
	own := Machine{Addrs: func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("192.0.2.11")}, nil }}
	d, err := NewOn(own, cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.letGo(); err != nil {
		t.Error(err)
	}
}

// TestSourcesInForce: mail goes by each source, from its address and with its name, and a reload takes a source out.
func TestSourcesInForce(t *testing.T) {
	to, heard := receiver(t)
	two := "[[source]]\nname = 'two'\naddress = '127.0.0.3'\n"
	cfg, socket := configured(t, t.TempDir(), to, "[pool]\nmessages_per_connection = 1\n[smtp]\nbind_address = '127.0.0.9'\n[[source]]\nname = 'one'\naddress = '127.0.0.2'\nhelo_name = 'one.example.org'\n"+two)
	d, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	c := dial(t, socket)
	defer c.Close()
	send := func(n int) map[greeted]bool {
		t.Helper()
		seen := make(map[greeted]bool)
		for i := range n {
			if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
				t.Fatalf("%+v %v", v, err)
			}
			select {
			case g := <-heard:
				seen[g] = true
			case <-time.After(20 * time.Second):
				t.Fatal("nothing came")
			}
			waitUntil(t, "delivered", func() bool { return d.handler.Status().Messages == 0 })
		}
		return seen
	}
	one, other := greeted{"one.example.org", "127.0.0.2"}, greeted{"mail.example.org", "127.0.0.3"}
	if seen := send(12); len(seen) != 2 || !seen[one] || !seen[other] {
		t.Errorf("%v", seen)
	}
	next := *cfg // as a file without the first table
	next.Source = next.Source[1:]
	if err := d.Reload(&next); err != nil {
		t.Fatal(err)
	}
	if seen := send(6); len(seen) != 1 || !seen[other] {
		t.Errorf("after the reload: %v", seen)
	}
}

// TestNamesOfSourcesAreOurs: a domain whose mail host has the address of a source's name is ours, though no interface has the
// address. A reload that brings such a name has the routes looked up again.
func TestNamesOfSourcesAreOurs(t *testing.T) {
	zone := dns.Start(t, `
		x.test.          MX 10 mx.x.test.
		mx.x.test.       A 192.0.2.7
		out.example.org. A 192.0.2.7
	`)
	cfg, _ := configured(t, t.TempDir(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "[[source]]\nname = 'a'\naddress = '127.0.0.2'\nhelo_name = 'out.example.org'\n")
	cfg.Route, cfg.DNS.Servers, cfg.DNS.MinTTL = nil, []string{zone.Addr()}, time.Hour
	d, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	waitUntil(t, "the address is known as ours", func() bool {
		to := d.resolver.Lookup("x.test")
		return to != nil && to.Err != nil && to.Err.Cause == route.Ourselves
	})
	without := *cfg
	without.Source = nil
	if !sameRoutes(cfg, cfg) || sameRoutes(cfg, &without) {
		t.Error("a reload does not know when a source's name comes or goes")
	}
}

// waitUntil waits for ok.
func waitUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

// TestWarmupOverRestarts: the plan holds over a kill and over a clean stop. What it has no room for goes back to the MTA at once.
func TestWarmupOverRestarts(t *testing.T) {
	far, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	to, err := far.Listen("127.0.0.1:0", sink.Character{Name: "far"})
	if err != nil {
		t.Fatal(err)
	}
	mta, err := far.Listen("127.0.0.1:0", sink.Character{Name: "mta"})
	if err != nil {
		t.Fatal(err)
	}
	const plan = 8
	today := time.Now()
	more := fmt.Sprintf("[bounce]\ninject = '[127.0.0.1]:%d'\n[[source]]\nname = 'new'\naddress = '127.0.0.2'\nwarmup = [{ start = '%s', plan = [%s%d] }]\n",
		netip.MustParseAddrPort(mta.String()).Port(), today.AddDate(0, 0, -1).Format(time.DateOnly), strings.Repeat(fmt.Sprint(plan, ", "), 9), plan)
	sent := 0
	run := func(dir string, n int, meanwhile func()) {
		t.Helper()
		cfg, socket := configured(t, dir, to, more)
		d, err := New(cfg, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		defer stop(t, d)
		c := dial(t, socket)
		defer c.Close()
		for range n {
			if v, err := c.Send(newsletter(sent)); err != nil || !v.Taken() {
				t.Fatalf("%+v %v", v, err)
			}
			sent++
		}
		waitUntil(t, "the queue is empty", func() bool { return d.handler.Status().Messages == 0 })
		meanwhile()
	}
	dir, killed := t.TempDir(), t.TempDir()
	run(dir, 3, func() {
		// What the files are now is what a kill leaves of them.
		if err := os.CopyFS(filepath.Join(killed, "state"), os.DirFS(filepath.Join(dir, "state"))); err != nil {
			t.Fatal(err)
		}
	})
	run(killed, 2, func() {})
	run(killed, 2*plan, func() {})
	if today.YearDay() != time.Now().YearDay() {
		t.Skip("midnight came, and with it a new plan")
	}
	const block = 1 // an eighth of 8, wasted by the kill
	if n := far.Counts("far").Deliveries; n > plan || n < plan-block {
		t.Errorf("the receiver got %d on a day of %d", n, plan)
	}
	for i := range sent {
		if len(far.ByID(fmt.Sprint(i))) == 0 { // a second time is possible: the kill may come before the outcome is on disk
			t.Errorf("message %d neither arrived nor went back", i)
		}
	}
}

// TestCheckSaysForeignSources: "check" names them too.
func TestCheckSaysForeignSources(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "millrace.toml")
	text := "hostname = 'mail.example.org'\n[[source]]\nname = 'news-1'\naddress = '192.0.2.11'\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	warnings, err := config.Check(path)
	if err != nil || len(warnings) != 1 || warnings[0].Line != 4 || !strings.Contains(warnings[0].Text, "news-1") {
		t.Errorf("%v %v", warnings, err)
	}
}
