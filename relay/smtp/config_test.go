package smtp

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	addr := netip.MustParseAddr
	for _, tt := range []struct {
		change func(*Config)
		want   string // the whole error; empty for none
	}{
		{func(*Config) {}, ""},
		{func(c *Config) { c.Timeouts = Timeouts{} }, ""}, // each zero stands for its default
		{func(c *Config) { c.Timeouts = DefaultTimeouts() }, ""},
		{func(c *Config) { c.Hostname = "" }, `helo_name: "" cannot be sent in EHLO`},
		{func(c *Config) { c.Hostname = "[192.0.2.1" }, `helo_name: "[192.0.2.1" is no address literal; write it like "[192.0.2.1]" or "[IPv6:2001:db8::1]"`},
		{func(c *Config) { c.Hostname = "[2001:db8::1]" }, `helo_name: "[2001:db8::1]" is no address literal; write it like "[192.0.2.1]" or "[IPv6:2001:db8::1]"`},
		{func(c *Config) { c.Hostname = "[IPv6:2001:db8::1]" }, ""},
		{func(c *Config) { c.Hostname = "[mx.example]" }, `helo_name: "[mx.example]" is no address literal; write it like "[192.0.2.1]" or "[IPv6:2001:db8::1]"`},
		{func(c *Config) { c.Hostname = "a b" }, `helo_name: "a b" cannot be sent in EHLO`},
		{func(c *Config) { c.Hostname = "[192.0.2.1]" }, ""},
		{func(c *Config) { c.Local4, c.Local6 = addr("192.0.2.1"), addr("2001:db8::1") }, ""},
		{func(c *Config) { c.Local6 = addr("fe80::1%eth0") }, ""},
		{func(c *Config) { c.Local4 = addr("2001:db8::1") }, "bind_address: 2001:db8::1 is no IPv4 address; write it as bind_address6"},
		{func(c *Config) { c.Local4 = addr("::ffff:192.0.2.1") }, "bind_address: ::ffff:192.0.2.1 is no IPv4 address; write it as bind_address6"},
		{func(c *Config) { c.Local6 = addr("192.0.2.1") }, "bind_address6: 192.0.2.1 is no IPv6 address; write it as bind_address"},
		{func(c *Config) { c.Local6 = addr("::ffff:192.0.2.1") }, "bind_address6: ::ffff:192.0.2.1 is no IPv6 address; write it as bind_address"},
		{func(c *Config) { c.Local4 = addr("0.0.0.0") }, "bind_address: nothing can be sent from 0.0.0.0; leave the key out to let the system choose"},
		{func(c *Config) { c.Local6 = addr("ff02::1") }, "bind_address6: nothing can be sent from ff02::1; leave the key out to let the system choose"},
		{func(c *Config) { c.Timeouts.Dot = -time.Second }, "data_done_timeout: -1s is not a positive duration"},
		{func(c *Config) { c.Timeouts.MinRate = -1 }, "min_rate: -1 is less than 1"},
		{func(c *Config) { c.Timeouts.Mail, c.Timeouts.Reset = -1, -1 },
			"mail_timeout: -1ns is not a positive duration\nrset_timeout: -1ns is not a positive duration"},
	} {
		c := testConfig()
		tt.change(c)
		got := ""
		if err := c.Validate(); err != nil {
			got = err.Error()
		}
		if got != tt.want {
			t.Errorf("%+v: %q, want %q", c, got, tt.want)
		}
	}
}

// A table from a file is complete, so a zero in it is a mistake.
func TestTimeoutsOfAFile(t *testing.T) {
	if err := DefaultTimeouts().Validate(); err != nil {
		t.Error(err)
	}
	err := Timeouts{}.Validate()
	if err == nil {
		t.Fatal("no error")
	}
	empty, keys := Timeouts{}, strings.Split(err.Error(), "\n")
	if want := len(empty.fields()) + 1; len(keys) != want { // and min_rate
		t.Errorf("%d errors, want %d:\n%v", len(keys), want, err)
	}
	if got := (Timeouts{}).withDefaults(); got != DefaultTimeouts() {
		t.Errorf("zero stands for %+v", got)
	}
	given := Timeouts{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}
	if got := given.withDefaults(); got != given {
		t.Errorf("given %+v, got %+v", given, got)
	}
}

// The name in EHLO is the configured one, also in the HELO that stands in for it.
func TestHeloName(t *testing.T) {
	cfg := testConfig()
	cfg.Hostname = "out7.bulk.example"
	said := make(chan string, 2)
	c, err := serve(t, cfg, func(p *peer) {
		p.say("220 mx.example")
		for _, reply := range []string{"502 no EHLO here", "250 mx.example"} {
			l, _ := p.line()
			said <- l
			p.say(reply)
		}
		_, _ = io.Copy(io.Discard, p.nc)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if ehlo, helo := <-said, <-said; ehlo != "EHLO out7.bulk.example" || helo != "HELO out7.bulk.example" {
		t.Errorf("said %q, %q", ehlo, helo)
	}
}

// The connect timeout bounds the dial, even if the dialler has no limit of its own.
func TestConnectTimeout(t *testing.T) {
	cfg := testConfig()
	cfg.Timeouts.Connect = 20 * time.Millisecond
	cfg.Dial = func(ctx context.Context, _ *net.Dialer, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	start := time.Now()
	_, err := Dial(t.Context(), testPeer, cfg)
	var e *Error
	if !errors.As(err, &e) || e.Command != AtConnect || time.Since(start) > 5*time.Second {
		t.Errorf("%v after %s", err, time.Since(start))
	}
}
