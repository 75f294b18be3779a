package setup

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/config"
)

// stock are the outputs of postconf -x, -M and -xP for Debian 12's main.cf and master.cf with contrib/postfix applied.
func stock(t testing.TB) (main, services, options string) {
	t.Helper()
	var texts []string
	for _, flag := range []string{"x", "M", "xP"} {
		text, err := os.ReadFile(filepath.Join("testdata", "postconf-"+flag+".txt"))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return texts[0], texts[1], texts[2]
}

// reader reads from a map of files.
func reader(files map[string]string) func(string) (string, error) {
	return func(path string) (string, error) {
		if text, ok := files[path]; ok {
			return text, nil
		}
		return "", fs.ErrNotExist
	}
}

func defaults() *config.Config {
	c := config.DefaultConfig()
	c.Hostname = "mail.example.org"
	c.Bounce.Inject = "[127.0.0.1]:10026"
	c.Milter.Listen = []string{"unix:/var/spool/postfix/millrace/milter.sock", "inet:127.0.0.1:8895"}
	return c
}

// codes are the codes of all findings.
func codes(t testing.TB, s Subject) []string {
	t.Helper()
	found, err := Examine(s)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range found {
		all = append(all, f.Code)
		if len(f.Places) == 0 || f.Text == "" || f.Action == "" {
			t.Errorf("%s: %+v", f.Code, f)
		}
	}
	return all
}

// layout is a change of the stock Postfix with contrib/postfix, and what is found there.
type layout struct {
	name     string
	main     string // further lines of postconf -x
	services string // of postconf -M
	options  string // of postconf -xP
	files    map[string]string
	commands [][]string
	config   func(*config.Config)
	want     string // codes with blanks between them
}

func (l layout) run(t *testing.T) {
	t.Run(l.name, func(t *testing.T) {
		main, services, options := stock(t)
		p, err := ParsePostfix(main+l.main+"\n", services+l.services, options+l.options)
		if err != nil {
			t.Fatal(err)
		}
		cfg := defaults()
		if l.config != nil {
			l.config(cfg)
		}
		all := codes(t, Subject{MTA: &MTA{Postfix: p, Commands: l.commands, ReadFile: reader(l.files)}, Config: cfg})
		if got := strings.Join(all, " "); got != l.want {
			t.Errorf("found %q, want %q", got, l.want)
		}
	})
}

func TestStockPostfixWithContrib(t *testing.T) {
	main, services, options := stock(t)
	p, err := ParsePostfix(main, services, options)
	if err != nil {
		t.Fatal(err)
	}
	s := Subject{MTA: &MTA{Postfix: p, ReadFile: reader(nil)}, Config: defaults()}
	if got := codes(t, s); len(got) > 0 {
		t.Errorf("found %q", got)
	}
	s.Inject = errors.New("connection refused")
	if got := codes(t, s); !slices.Equal(got, []string{"inject-refuses"}) {
		t.Errorf("bounce.inject refuses: %q", got)
	}
}

const (
	options = "connect_timeout=2s, command_timeout=10s, content_timeout=60s, default_action=accept }"
	ours    = "{ unix:millrace/milter.sock, " + options
	amavis  = "127.0.0.1:10025 inet n - n - - smtpd\n"
	submits = "submission inet n - y - - smtpd\n"
)

// TestConnection: does Postfix ask Millrace, and what if Millrace does not answer?
func TestConnection(t *testing.T) {
	for _, l := range []layout{
		{name: "not asked", main: "smtpd_milters =", want: "milter-not-asked"},
		{name: "another port", main: "smtpd_milters = inet:127.0.0.1:8896\nmillrace_milter = inet:127.0.0.1:8896", want: "milter-not-asked milter-elsewhere"},
		{name: "by the name localhost", main: "smtpd_milters = { inet:localhost:8895, " + options, want: "milter-tcp"},
		{name: "we listen on all addresses", main: "smtpd_milters = { inet:192.0.2.1:8895, " + options, config: func(c *config.Config) {
			c.Milter.Listen, c.Milter.Allow = []string{"inet:0.0.0.0:8895"}, []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
		}},
		{name: "a socket in the chroot", main: "smtpd_milters = { unix:millrace/milter.sock, " + options, config: func(c *config.Config) {
			c.Milter.Listen = []string{"unix:/var/spool/postfix/millrace/milter.sock"}
		}},
		{name: "a socket outside of the chroot", main: "smtpd_milters = { unix:/run/millrace/milter.sock, " + options, config: func(c *config.Config) {
			c.Milter.Listen = []string{"unix:/run/millrace/milter.sock"}
		}, want: "milter-not-asked milter-elsewhere"},
		{name: "a socket in the chroot of old", main: "compatibility_level = 0\nsmtpd_milters = { unix:/millrace/milter.sock, " + options, config: func(c *config.Config) {
			c.Milter.Listen = []string{"unix:/var/spool/postfix/millrace/milter.sock"}
		}},
		{name: "no default action", main: "smtpd_milters = { inet:127.0.0.1:8895, connect_timeout=2s, command_timeout=9s }", want: "milter-default-action milter-tcp"},
		{name: "default action of all", main: "milter_default_action = accept\nsmtpd_milters = { inet:127.0.0.1:8895, connect_timeout=2s, command_timeout=9s }", want: "milter-tcp"},
		{name: "no braces", main: "milter_default_action = accept\nsmtpd_milters = inet:127.0.0.1:8895", want: "milter-connect-timeout milter-command-timeout milter-tcp"},
		{name: "protocol", main: "milter_protocol = 2", want: "milter-protocol"},
		{name: "protocol of all, and our own", main: "milter_protocol = 2\nsmtpd_milters = { inet:127.0.0.1:8895, protocol=6, " + options, want: "milter-tcp"},
		{name: "impatient", main: "smtpd_milters = { inet:127.0.0.1:8895, content_timeout=10s, connect_timeout=2s, command_timeout=10s, default_action=accept }", want: "milter-content-timeout milter-tcp"},
		{name: "macros are asked for, whatever main.cf says", main: "milter_rcpt_macros = i"},
		{name: "local mail", main: "non_smtpd_milters = " + ours, want: "sendmail-offered"},
		{name: "brake that Millrace keeps open"},
		{name: "brake", config: func(c *config.Config) { c.Milter.Drip = false }, want: "in-flow-delay"},
		{name: "brake taken off", main: "in_flow_delay = 0", config: func(c *config.Config) { c.Milter.Drip = false }},
		{name: "brake of a cleanup service", main: "in_flow_delay = 0", options: "cleanup/unix/in_flow_delay = 2s\n", config: func(c *config.Config) {
			c.Milter.Drip = false
		}, want: "in-flow-delay"},
		{name: "few processes", main: "default_process_limit = 50", want: "held-processes"},
		{name: "few processes that are known", main: "default_process_limit = 50", config: func(c *config.Config) { c.Gate.MTAProcesses = 50 }},
		{name: "fewer processes than are known", main: "default_process_limit = 50", config: func(c *config.Config) { c.Gate.MTAProcesses = 100 }, want: "held-processes"},
		{name: "nothing is held", main: "default_process_limit = 50", config: func(c *config.Config) { c.Gate.Hold = 0 }},
		{name: "submission of its own", services: submits, options: "submission/inet/smtpd_milters = inet:localhost:8891\n", want: "service-not-offered"},
		{name: "submission without milters", services: submits, options: "submission/inet/receive_override_options = no_milters\n", want: "service-not-offered"},
		{name: "milters nowhere", main: "receive_override_options = no_milters", want: "milter-not-asked no-milters"},
		{name: "milters by client", main: "smtpd_milter_maps = cidr:/etc/postfix/m", want: "milter-maps"},
		{name: "inject offers", options: "127.0.0.1:10026/inet/receive_override_options =\n127.0.0.1:10026/inet/smtpd_milters = " + ours + "\n", want: "inject-offers held-processes"},
		{name: "no MTA, says the file", config: func(c *config.Config) { c.Bounce.Inject = "direct" }, want: "no-handback service-not-offered"},
		{name: "inject is port 25", config: func(c *config.Config) { c.Bounce.Inject = "[127.0.0.1]:25" }, want: "inject-offers service-not-offered"},
	} {
		l.run(t)
	}
}

// TestClosedSocket: the way to a unix socket is looked at, that to a port is not.
func TestClosedSocket(t *testing.T) {
	main, services, opts := stock(t)
	for milter, want := range map[string]string{"unix:millrace/milter.sock": "milter-socket", "inet:127.0.0.1:8895": "milter-tcp"} {
		p, err := ParsePostfix(main+"smtpd_milters = { "+milter+", "+options+"\n", services, opts)
		if err != nil {
			t.Fatal(err)
		}
		cfg := defaults()
		cfg.Milter.Listen = append(cfg.Milter.Listen, "unix:/var/spool/postfix/millrace/milter.sock")
		m := &MTA{Postfix: p, ReadFile: reader(nil), Connect: func(path string) error {
			if path == "/var/spool/postfix/millrace/milter.sock" {
				return errors.New("mode 0600")
			}
			return nil
		}}
		if got := strings.Join(codes(t, Subject{MTA: m, Config: cfg}), " "); got != want {
			t.Errorf("%s: found %q, want %q", milter, got, want)
		}
	}
}

// TestEnvelope: what Postfix decides about addresses and tells no milter.
func TestEnvelope(t *testing.T) {
	virtual := map[string]string{"/etc/postfix/virtual": "# c\nv.test anything\ninfo@v.test ann@far.test\nroot ann\nsales@mail.example.org bob\n"}
	for _, l := range []layout{
		{name: "aliases of own domains", main: "virtual_alias_maps = hash:/etc/postfix/virtual\nvirtual_alias_domains = hash:/etc/postfix/virtual", files: virtual},
		{name: "aliases of listed domains", main: "virtual_alias_maps = hash:/etc/postfix/virtual\nvirtual_alias_domains = x.test, V.test", files: virtual},
		{name: "aliases of domains in a file", main: "virtual_alias_maps = hash:/etc/postfix/virtual\nvirtual_alias_domains = /d", files: map[string]string{"/etc/postfix/virtual": virtual["/etc/postfix/virtual"], "/d": "v.test\n"}},
		{name: "aliases of domains of which nothing is taken", main: "virtual_alias_maps = hash:/etc/postfix/virtual\nvirtual_alias_domains =", files: virtual, config: func(c *config.Config) {
			c.Bulk.LocalDomains = []string{"v.test"}
		}},
		{name: "aliases of relay domains", main: "virtual_alias_maps = hash:/etc/postfix/virtual\nvirtual_alias_domains =\nrelay_domains = v.test", files: virtual},
		{name: "aliases of another host", main: "virtual_alias_maps = hash:/etc/postfix/virtual\nvirtual_alias_domains =", files: virtual, want: "virtual-alias"},
		{name: "aliases by pattern", main: "virtual_alias_maps = pcre:/p", files: map[string]string{"/p": "/^info@/ ann@far.test\n"}, want: "virtual-alias"},
		{name: "aliases that cannot be read", main: "virtual_alias_maps = proxy:ldap:/etc/postfix/l", want: "table-unreadable"},
		{name: "sender map", main: "sender_canonical_maps = hash:/x", want: "canonical-maps"},
		{name: "recipient map", main: "recipient_canonical_maps = hash:/x", want: "canonical-maps"},
		{name: "map of a cleanup service", options: "cleanup/unix/canonical_maps = hash:/x\n", want: "canonical-maps"},
		{name: "masquerading", main: "masquerade_domains = example.org", want: "masquerade"},
		{name: "bcc of all", main: "always_bcc = archive@example.org", want: "bcc"},
		{name: "bcc by sender", main: "sender_bcc_maps = hash:/x", want: "bcc"},
		{name: "bcc by recipient", main: "recipient_bcc_maps = hash:/x", want: "bcc"},
		{name: "bcc that is kept", main: "always_bcc = archive@example.org", config: func(c *config.Config) { c.Bulk.KeepAdded = true }},
		{name: "generic", main: "smtp_generic_maps = hash:/x", want: "generic-maps"},
		{name: "generic of the service", options: "smtp/unix/smtp_generic_maps = hash:/x\n", want: "generic-maps"},
		{name: "generic of another service", options: "relay/unix/smtp_generic_maps = hash:/x\n"},
	} {
		l.run(t)
	}
}

// TestFilters: what else looks at mail.
func TestFilters(t *testing.T) {
	checks := map[string]string{
		"/a": "news@a.test HOLD later\nb.test REJECT\n", "/ok": "b.test REJECT\nc.test PREPEND X-A: b\n",
		"/h": "/^Subject: *x y/i HOLD\n!/^X/ FILTER smtp:[127.0.0.1]:10025\nif /a/\n/b/ OK\nendif\n", "/c": "192.0.2.0/24 REDIRECT a@b\n",
		"/etc/default/spamass-milter": "# -B\nOPTIONS=\"-u spamass-milter -i 127.0.0.1\"\n",
	}
	for _, l := range []layout{
		{name: "access", main: "smtpd_sender_restrictions = check_sender_access hash:/a", files: checks, want: "access-action"},
		{name: "access without hidden actions", main: "smtpd_sender_restrictions = check_sender_access hash:/ok", files: checks},
		{name: "access by network", main: "smtpd_client_restrictions = permit_mynetworks, check_client_access cidr:/c, reject", files: checks, want: "access-action"},
		{name: "access in the text", main: "smtpd_recipient_restrictions = check_recipient_access inline:{ { a@b = BCC x@y } }", want: "access-action"},
		{name: "access for all", main: "smtpd_data_restrictions = check_client_access static:{FILTER smtp:x}", want: "access-action"},
		{name: "access in a class", main: "smtpd_restriction_classes = strict, other\nother = strict\nstrict = check_sender_access hash:/a, other\nsmtpd_recipient_restrictions = other", files: checks, want: "access-action"},
		{name: "access in two tables at once", main: "smtpd_sender_restrictions = check_sender_access pipemap:{hash:/ok,hash:/a}", files: checks, want: "access-action"},
		{name: "access that cannot be read", main: "smtpd_sender_restrictions = check_sender_access mysql:/m", want: "table-unreadable"},
		{name: "access of a listener that does not offer", options: "127.0.0.1:10026/inet/smtpd_sender_restrictions = check_sender_access hash:/a\n", files: checks},
		{name: "policy in braces", main: "smtpd_recipient_restrictions = check_policy_service { inet:127.0.0.1:9999, timeout=5s }", want: "policy-service"},
		{name: "policy, all in braces", main: "smtpd_recipient_restrictions = { check_policy_service unix:private/x }", want: "policy-service"},
		{name: "postgrey", main: "smtpd_recipient_restrictions = check_policy_service inet:127.0.0.1:10023"},
		{name: "header checks", main: "header_checks = pcre:/h", files: checks, want: "header-checks"},
		{name: "header checks that are off", main: "header_checks = pcre:/h\nreceive_override_options = no_header_body_checks", files: checks},
		{name: "body checks that cannot be read", main: "body_checks = regexp:/none", want: "table-unreadable"},
		{name: "checks at delivery", main: "smtp_header_checks = regexp:/h", files: checks, want: "smtp-checks"},
		{name: "content filter", main: "content_filter = scan:localhost:10025", want: "content-filter"},
		{name: "proxy", options: "smtp/inet/smtpd_proxy_filter = 127.0.0.1:10024\n", want: "proxy-filter"},
		{name: "signer in front", main: "smtpd_milters = inet:localhost:8891, " + ours},
		{name: "unknown in front", main: "smtpd_milters = inet:localhost:4242, " + ours, want: "front-milter"},
		{name: "signer behind", main: "smtpd_milters = " + ours + ", inet:localhost:8891", want: "milter-behind"},
	} {
		l.run(t)
	}
}

// TestRoutes: Examine agrees with filter about what is taken; TestRoutesAgree asks filter itself.
func TestRoutes(t *testing.T) {
	list := func(hops ...string) func(*config.Config) {
		return func(c *config.Config) { c.Bulk.NextHops = hops }
	}
	by := func(route map[string]string, hops ...string) func(*config.Config) {
		return func(c *config.Config) { c.Bulk.NextHops, c.Route = hops, route }
	}
	all := map[string]string{"*": "[smart.example]:25"}
	files := map[string]string{"/t": "a.test smtp:[mx.other.test]\nb.test :\nc.test smtp:\nd.test lmtp:unix:x\n", "/s": "news@a.test [smart.example]\n"}
	for _, l := range []layout{
		{name: "relay host", main: "relayhost = [smart.example]", want: "relay-host"},
		{name: "relay host that is listed", main: "relayhost = [smart.example]", config: list("[smart.example]"), want: "route-bypassed"},
		{name: "relay host that is listed and routed", main: "relayhost = [smart.example]", config: by(all, "[smart.example]")},
		{name: "relay host that is routed alone", main: "relayhost = [smart.example]", config: by(all), want: "route-alone"},
		{name: "relay host with login", main: "relayhost = [smart.example]\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/p", config: by(all, "[smart.example]"), want: "relay-login"},
		{name: "login that is not needed", main: "relayhost = [smart.example]\nsmtp_sasl_auth_enable = yes\nsmtp_sasl_password_maps = hash:/p", want: "relay-host"},
		{name: "default transport", main: "default_transport = smtp:[smart.example]", want: "relay-host"},
		{name: "default transport of another name", main: "default_transport = outbound", want: "relay-host"},
		{name: "transport table", main: "transport_maps = hash:/t", files: files, want: "transport-maps"},
		{name: "transport table that is listed", main: "transport_maps = inline:{ { a.test = smtp:[mx.other.test] } }", config: list("[mx.other.test]"), want: "transport-bypassed"},
		{name: "transport table that is listed and routed", main: "transport_maps = inline:{ { a.test = smtp:[mx.other.test] } }", config: by(map[string]string{".test": "[mx.other.test]"}, "[mx.other.test]")},
		{name: "transport table without effect", main: "transport_maps = inline:{ { a.test = smtp: }, { b.test = : } }"},
		{name: "transport table that cannot be read", main: "transport_maps = ldap:/l", want: "transport-maps"},
		{name: "relay host by sender", main: "sender_dependent_relayhost_maps = hash:/s", files: files, want: "transport-maps"},
		{name: "relay host by sender, listed", main: "sender_dependent_relayhost_maps = hash:/s", files: files, config: list("[smart.example]"), want: "transport-bypassed"},
		{name: "transport by sender", main: "sender_dependent_default_transport_maps = inline:{ { @a.test = smtp:[smart.example] } }", want: "transport-maps"},
		{name: "transport by sender, without effect", main: "sender_dependent_default_transport_maps = inline:{ { @a.test = DUNNO } }\nsender_dependent_relayhost_maps = inline:{ { @a.test = DUNNO } }"},
		{name: "without mailer", config: func(c *config.Config) { c.Bulk.WithoutMailer = true }, want: "without-mailer"},
	} {
		l.run(t)
	}
}

// TestDelivery: what Postfix does when it delivers.
func TestDelivery(t *testing.T) {
	for _, l := range []layout{
		{name: "TLS everywhere", main: "smtp_tls_security_level = encrypt", want: "tls-policy"},
		{name: "DANE", main: "smtp_tls_security_level = dane", want: "tls-policy"},
		{name: "TLS for some", main: "smtp_tls_policy_maps = hash:/x", want: "tls-policy"},
		{name: "TLS by MTA-STS", main: "smtp_tls_policy_maps = socketmap:inet:127.0.0.1:8461:postfix", want: "tls-policy"},
		{name: "source address", main: "smtp_bind_address = 192.0.2.1", want: "source-address"},
		{name: "source address that is ours", main: "smtp_bind_address = 192.0.2.1", config: func(c *config.Config) { c.SMTP.Local4 = netip.MustParseAddr("192.0.2.1") }},
		{name: "source address, IPv6", main: "smtp_bind_address6 = [2001:db8::1]", want: "source-address"},
		{name: "greeting", main: "smtp_helo_name = out.example.org", want: "helo-name"},
		{name: "greeting of the service, and ours", options: "smtp/unix/smtp_helo_name = OUT.example.org\n", config: func(c *config.Config) { c.SMTP.Hostname = "out.example.org" }},
		{name: "soft bounce", main: "soft_bounce = yes", want: "soft-bounce"},
		{name: "held transport", main: "defer_transports = hold, smtp", want: "defer-transports"},
		{name: "held transport of others", main: "defer_transports = uucp"},
		{name: "fallback", main: "smtp_fallback_relay = [f.test]", want: "fallback-relay"},
		{name: "rate", main: "smtp_destination_rate_delay = 5s", want: "rate-delay"},
		{name: "IPv4", main: "inet_protocols = ipv4", want: "ipv4-only"},
		{name: "IPv4 for us too", main: "inet_protocols = ipv4", config: func(c *config.Config) { c.DNS.IPv4Only = true }},
		{name: "short queue ids", main: "enable_long_queue_ids = no", want: "short-queue-ids"},
		{name: "size", main: "message_size_limit = 104857600", want: "size-limit"},
		{name: "no size limit", main: "message_size_limit = 0", want: "size-limit"},
	} {
		l.run(t)
	}
}

// TestPrograms: layouts of real programs, with the settings that their Debian packages document. Each of them lost a
// decision in silence.
func TestPrograms(t *testing.T) {
	const spamass = "smtpd_milters = unix:/spamass/spamass.sock, " + ours
	options := func(more string) map[string]string {
		return map[string]string{"/etc/default/spamass-milter": "# -b x\nOPTIONS=\"-u spamass-milter -i 127.0.0.1" + more + "\"\n"}
	}
	for _, l := range []layout{
		{name: "spamass-milter -B", main: spamass, files: options(" -B spam@example.org"), want: "front-changes-envelope"},
		{name: "spamass-milter -b", main: spamass, files: options(" -b spam@example.org"), want: "front-changes-envelope"},
		{name: "spamass-milter without -B", main: spamass, files: options("")},
		{name: "spamass-milter -B, as it runs", main: spamass, files: options(""), commands: [][]string{{"/usr/sbin/spamass-milter", "-p", "/x", "-B", "spam@example.org"}}, want: "front-changes-envelope"},
		{name: "spamass-milter without -B, as it runs", main: spamass, files: options(" -B x@y"), commands: [][]string{{"spamass-milter", "-P", "/run/b"}}},
		{name: "spamass-milter at a port", main: "smtpd_milters = inet:127.0.0.1:4567, " + ours, commands: [][]string{{"sh"}, {"spamass-milter", "-p", "inet:4567@127.0.0.1", "-bx@y"}}, want: "front-changes-envelope"},
		{name: "spamass-milter at another port", main: "smtpd_milters = inet:127.0.0.1:4567, " + ours, commands: [][]string{{"spamass-milter", "-p", "inet:14567@127.0.0.1", "-bx@y"}}, want: "front-milter"},
		{name: "spamass-milter -B, and its copies are kept", main: spamass, files: options(" -B spam@example.org"), config: func(c *config.Config) { c.Bulk.KeepAdded = true }},
		{name: "spamass-milter -b, and copies are kept", main: spamass, files: options(" -b spam@example.org"), config: func(c *config.Config) { c.Bulk.KeepAdded = true }, want: "front-changes-envelope"},
		{name: "signer at a port", main: "smtpd_milters = inet:127.0.0.1:4567, " + ours, commands: [][]string{{"/usr/sbin/opendkim", "-p", "inet:4567@localhost"}}},
		{name: "spamass-milter, its options cannot be read", main: spamass, want: "front-changes-envelope"},
		{name: "postsrsd 1", main: "sender_canonical_maps = tcp:localhost:10001\nsender_canonical_classes = envelope_sender\nrecipient_canonical_maps = tcp:localhost:10002\nrecipient_canonical_classes = envelope_recipient,header_recipient", want: "srs"},
		{name: "postsrsd 2", main: "sender_canonical_maps = socketmap:unix:srs:forward\nrecipient_canonical_maps = socketmap:unix:srs:reverse", want: "srs"},
		{name: "postfwd with HOLD", main: "smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:10040",
			files: map[string]string{"/etc/postfix/postfwd.cf": "id=R1; sender==news@a.test; action=HOLD look at it\n"}, want: "policy-action"},
		{name: "postfwd with REJECT", main: "smtpd_end_of_data_restrictions = check_policy_service inet:127.0.0.1:10040",
			files: map[string]string{"/etc/postfix/postfwd.cf": "# action=HOLD\nid=R1; sender==news@a.test; action=REJECT no\n"}},
		{name: "amavis", main: "content_filter = smtp-amavis:[127.0.0.1]:10024", services: amavis,
			options: "127.0.0.1:10025/inet/content_filter =\n127.0.0.1:10025/inet/receive_override_options = no_header_body_checks,no_unknown_recipient_checks,no_milters\n",
			want:    "content-filter service-not-offered"},
		{name: "amavis, Millrace behind it", main: "content_filter = smtp-amavis:[127.0.0.1]:10024\nsmtpd_milters =", services: amavis,
			options: "127.0.0.1:10025/inet/content_filter =\n127.0.0.1:10025/inet/smtpd_milters = " + ours + "\n127.0.0.1:10025/inet/receive_override_options = no_header_body_checks\n",
			want:    "service-not-offered"},
		{name: "amavis before the queue", options: "smtp/inet/smtpd_proxy_filter = 127.0.0.1:10024\n", want: "proxy-filter"},
	} {
		l.run(t)
	}
}
