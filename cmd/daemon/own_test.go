package daemon

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

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
	cfg, socket := load(t, t.TempDir(), addr, "")
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
