package daemon

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/test/dns"
	"github.com/millrace/millrace/test/sink"
)

// TestOwnDomainGoesBackToTheMTA: the domain's mail host is this host. Only our MTA knows its mailboxes, so what was taken
// goes back to it: nobody is told that the mail failed.
func TestOwnDomainGoesBackToTheMTA(t *testing.T) {
	mta, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Close()
	addr, err := mta.Listen("127.0.0.1:0", sink.Character{Name: "mail.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	zone := dns.Start(t, `
		*.           MX 10 mail.example.org.
		mail.example.org. A 192.0.2.7
	`)
	cfg, socket := configured(t, t.TempDir(), addr, "")
	cfg.Bounce.Inject, cfg.Route = "[127.0.0.1]"+addr.String()[len("127.0.0.1"):], nil
	cfg.DNS.Servers = []string{zone.Addr()}
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
	const n = 10
	for i := range n {
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	for end := time.Now().Add(10 * time.Second); d.handler.Status().Messages > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	s := d.handler.Status()
	if s.HandedBack != n || s.Bounced != 0 || s.Messages != 0 || mta.Count() != n {
		t.Errorf("the MTA got %d of %d; %+v", mta.Count(), n, s)
	}
}

// TestOwnDomainBehindNAT: no interface has this host's public address, dns.own is not set, and the domain's mail host has a name of
// its own. The name by which the host greets leads to the same address, so the mail goes back to the MTA and nobody is told that it
// failed, or waits for a host that cannot be reached from within.
func TestOwnDomainBehindNAT(t *testing.T) {
	mta, err := sink.New(sink.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer mta.Close()
	addr, err := mta.Listen("127.0.0.1:0", sink.Character{Name: "inside.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	zone := dns.Start(t, `
		x.test.             MX 10 mx.x.test.
		mx.x.test.          A 192.0.2.7
		out.example.org.    A 192.0.2.7
	`)
	cfg, socket := configured(t, t.TempDir(), addr, "[smtp]\nhelo_name = 'out.example.org'\n")
	cfg.Bounce.Inject, cfg.Route = "[127.0.0.1]"+addr.String()[len("127.0.0.1"):], nil
	cfg.DNS.Servers, cfg.DNS.MinTTL = []string{zone.Addr()}, time.Hour
	d, err := New(cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	known := func() bool { // before it is, the mail would be tried at the address
		r := d.resolver.Lookup("x.test")
		return r != nil && r.Err != nil && r.Err.Cause == route.Ourselves
	}
	for end := time.Now().Add(10 * time.Second); !known(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("the address is not known as ours: %+v", d.resolver.Lookup("x.test"))
		}
	}
	c := dial(t, socket)
	defer c.Close()
	const n = 10
	for i := range n {
		if v, err := c.Send(newsletter(i)); err != nil || !v.Taken() {
			t.Fatalf("%+v %v", v, err)
		}
	}
	for end := time.Now().Add(10 * time.Second); d.handler.Status().Messages > 0 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	if s := d.handler.Status(); s.HandedBack != n || s.Bounced != 0 || s.Messages != 0 || mta.Count() != n {
		t.Errorf("the MTA got %d of %d; %+v", mta.Count(), n, s)
	}
}
