package daemon

import (
	"context"
	"errors"
	"net"
	"net/smtp"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/dns"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/sink"
)

// TestNoMTA: an application, the submission listener, and the internet are all there is. DNS says where mail goes: the message to its
// receivers' MX, and the notification about a refused recipient to the MX of the return path.
func TestNoMTA(t *testing.T) {
	far, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	hosts := make(map[string]string) // by what DNS says
	for ip, ch := range map[string]sink.Character{
		"192.0.2.11": {Name: "mx.customers.example", Refuse: sink.Matching("gone@*")}, "192.0.2.12": {Name: "mx.shop.example"},
	} {
		to, err := far.Listen("127.0.0.1:0", ch)
		if err != nil {
			t.Fatal(err)
		}
		hosts[ip+":25"] = to.String()
	}
	zone := dns.Start(t, `
		customers.example.    MX 10 mx.customers.example.
		mx.customers.example. A  192.0.2.11
		shop.example.         MX 10 mx.shop.example.
		mx.shop.example.      A  192.0.2.12
	`)
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	cfg, _ := configured(t, t.TempDir(), &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}, "smtpd.submission = ['inet:"+addr+"']\nbounce.inject = 'direct'\n")
	cfg.Milter.Listen, cfg.Route, cfg.DNS.Servers = nil, nil, []string{zone.Addr()}
	machine := Machine{Dial: func(ctx context.Context, d *net.Dialer, network, addr string) (net.Conn, error) {
		return d.DialContext(ctx, network, hosts[addr])
	}}
	d, err := NewOn(machine, cfg, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	defer stop(t, d)
	text := "From: news@shop.example\r\nTo: you\r\nSubject: offers\r\nMessage-ID: <1@shop.example>\r\n\r\nhello\r\n"
	err = smtp.SendMail(addr, nil, "bounces@shop.example", []string{"here@customers.example", "gone@customers.example"}, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	waitUntil(t, "all mail has left", func() bool { return far.Count() == 2 && d.handler.Status().Messages == 0 })
	for _, got := range far.Deliveries() {
		switch got.Listener {
		case "mx.customers.example":
			if got.Rcpt != "here@customers.example" || got.From != "bounces@shop.example" {
				t.Errorf("%+v", got)
			}
		case "mx.shop.example":
			if got.Rcpt != "bounces@shop.example" || got.From != "" || !strings.Contains(string(got.Raw), "gone@customers.example") {
				t.Errorf("%+v\n%s", got, got.Raw)
			}
		}
	}
	if s := d.handler.Status(); s.Bounced != 1 || s.NoticesSent != 1 || s.HandedBack != 0 {
		t.Errorf("%+v", s)
	}
	for _, act := range []relay.Act{{Verb: relay.VerbDrain}, {Verb: relay.VerbHandback, Selector: relay.Selector{Domain: "x.example"}}} {
		_, err := d.lever.Do(t.Context(), act)
		if bad := new(relay.ActError); !errors.As(err, &bad) || !strings.Contains(bad.Text, "says that there is none") {
			t.Errorf("%s: %v", act.Verb, err)
		}
	}
}
