package pool

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
)

// routeTo is a route to these hosts; "20 mx" gives a host another preference than 10.
func routeTo(hosts ...string) *route.Route {
	r := &route.Route{Domain: "example.com", Port: 25}
	for _, h := range hosts {
		pref := uint16(10)
		if n, name, found := strings.Cut(h, " "); found {
			fmt.Sscan(n, &pref)
			h = name
		}
		r.Hosts = append(r.Hosts, route.Host{Name: h, Pref: pref, Addrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
	}
	return r
}

func compiled(t testing.TB, rules ...Rule) *Rules {
	t.Helper()
	r, err := CompileRules(rules, DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestProviders: the hosts that large providers have in 2026, and hosts that only look like theirs.
func TestProviders(t *testing.T) {
	r := compiled(t)
	for _, test := range []struct {
		hosts string
		want  string
	}{
		{"gmail-smtp-in.l.google.com,20 alt1.gmail-smtp-in.l.google.com", "gmail"},
		{"aspmx.l.google.com,20 alt2.aspmx.l.google.com,30 aspmx3.googlemail.com", "gmail"},
		{"smtp.google.com", "gmail"},
		{"hotmail-com.olc.protection.outlook.com", "microsoft"},
		{"outlook-com.olc.protection.outlook.com", "microsoft"},
		{"contoso-com.mail.protection.outlook.com", "microsoft365"},
		{"contoso-com.x-v1.mx.microsoft", "microsoft365"},
		{"contoso-cn.mail.protection.partner.outlook.cn", "microsoft365"},
		{"mta5.am0.yahoodns.net,mta6.am0.yahoodns.net", "yahoo"},
		{"mx-aol.mail.gm0.yahoodns.net", "yahoo"},
		{"mx01.mail.icloud.com,mx02.mail.icloud.com", "apple"},
		{"mx1h1.comcast.net", "comcast"},
		{"mx00.emig.gmx.net,mx01.emig.gmx.net", "gmx"},
		{"mx-ha02.web.de,mx-ha03.web.de", "gmx"},
		{"mx00.mail.com", "gmx"},
		{"mx00.kundenserver.de", "gmx"},
		{"mx01.ionos.de", "gmx"},
		{"smtp-in.orange.fr", "orange"},
		{"smtp-in.wanadoo.fr", "orange"},
		{"mx1.free.fr,20 mx2.free.fr", "free"},
		{"smtpz4.laposte.net", "laposte"},
		{"mx.sfr.fr", "sfr"},
		{"mx00.t-online.de", "t-online"},
		{"mxs.mail.ru", "mailru"},
		{"emx.mail.ru", "mailru"},
		{"mx.yandex.ru", "yandex"},
		{"mx.yandex.net", "yandex"},
		{"smtp-in.libero.it", "libero"},
		{"mx1.seznam.cz", "seznam"},
		{"163mx01.mxmail.netease.com", "netease"},
		{"mx3.qq.com", "qq"},

		{"mx.example.com", ""},
		{"google.com.example.net", ""},
		{"notgoogle.com", ""},
		{"protection.outlook.com", ""},
		{"mx.example.com,20 aspmx.l.google.com", ""}, // a backup only
		{"aspmx.l.google.com,20 mx.example.com", "gmail"},
		{"mx.example.com,aspmx.l.google.com", "gmail"},
		{"192.0.2.1", ""},
		{"", ""},
	} {
		var to *route.Route
		if test.hosts != "" {
			to = routeTo(strings.Split(test.hosts, ",")...)
		}
		if got := r.Provider(to); got != test.want {
			t.Errorf("%s: %q, want %q", test.hosts, got, test.want)
		}
		if got := r.For(to, "example.com").Provider; got != test.want {
			t.Errorf("%s: terms for %q, want %q", test.hosts, got, test.want)
		}
	}
}

// TestProviderTable: no two providers have a host in common, and every figure is one.
func TestProviderTable(t *testing.T) {
	var seen []string
	for _, p := range providers {
		if slices.Contains(seen, p.name) {
			t.Errorf("%s stands twice", p.name)
		}
		seen = append(seen, p.name)
		for _, suffix := range p.mx {
			if got := (hostPattern{suffix: suffix}).provider(); got != p.name {
				t.Errorf("%s: hosts below %s are of %q", p.name, suffix, got)
			}
		}
		for _, n := range []int{p.connections, p.messagesPerConnection, p.recipients, p.domains} {
			if n < 0 || n > 1000 {
				t.Errorf("%s: %d", p.name, n)
			}
		}
	}
	if _, err := CompileReplies(nil); err != nil {
		t.Error(err)
	}
}

// TestProvidersDocument: contrib/PROVIDERS.md has every provider, host and figure of the table.
func TestProvidersDocument(t *testing.T) {
	text, err := os.ReadFile("../../contrib/PROVIDERS.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range providers {
		row := ""
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "| `") && strings.Contains(line, "`"+p.name+"`") {
				row = line
				break
			}
		}
		want := slices.Clone(p.mx)
		for _, f := range []struct {
			n    int
			what string
		}{{p.connections, "connections"}, {p.messagesPerConnection, "messages a connection"}, {p.recipients, "recipients a message"}, {p.domains, "domain a transaction"}} {
			if f.n > 0 {
				want = append(want, fmt.Sprintf("%d %s", f.n, f.what))
			}
		}
		if p.noBDAT {
			want = append(want, "no BDAT")
		}
		for _, w := range want {
			if !strings.Contains(row, w) {
				t.Errorf("%s: %q is not in the row %q", p.name, w, row)
			}
		}
	}
}

// summary is what a test looks at.
func summary(t Terms) string {
	return fmt.Sprintf("rule=%s split=%s conns=%d (%s) rate=%v msgs=%d rcpts=%d domains=%d tls=%s source=%s",
		t.Rule, t.Split, t.Connections, t.ConnectionsBy, t.Rate, t.MessagesPerConnection, t.Recipients, t.Domains, t.TLS, t.Source)
}

// TestWhoWins: the narrower rule, key by key.
func TestWhoWins(t *testing.T) {
	gmail := routeTo("gmail-smtp-in.l.google.com", "20 alt1.gmail-smtp-in.l.google.com")
	own := routeTo("mx1.example.net", "mx2.example.net")
	for _, test := range []struct {
		name   string
		rules  []Rule
		to     *route.Route
		domain string
		want   string // a part of the summary
	}{
		{"[pool] alone", nil, own, "example.com", "rule= split= conns=20 ([pool]) rate=0/d msgs=100 rcpts=0 domains=0 tls=opportunistic source="},
		{"the table of providers", nil, gmail, "gmail.com", "rule= split= conns=20 ([pool]) rate=0/d msgs=50 rcpts=0 domains=1"},
		{"a provider's connections", nil, routeTo("smtp-in.orange.fr"), "orange.fr", "conns=3 (provider orange)"},
		{"a provider that takes more than [pool] allows", nil, routeTo("mx1h1.comcast.net"), "comcast.net", "conns=20 ([pool]) rate=0/d msgs=100 rcpts=100"},
		{"a rule that allows it", []Rule{{Name: "c", Provider: "comcast", Connections: 25}}, routeTo("mx1h1.comcast.net"), "comcast.net", "conns=25 ([[site]] c)"},
		{"no route", nil, nil, "example.com", "conns=20"},

		{"a rule before the table", []Rule{{Name: "g", Provider: "gmail", MessagesPerConnection: 7}}, gmail, "gmail.com", "rule=g split= conns=20 ([pool]) rate=0/d msgs=7 rcpts=0 domains=1"},
		{"a rule by mx before one by provider", []Rule{{Name: "g", Provider: "gmail", Connections: 5, MessagesPerConnection: 7}, {Name: "m", MX: []string{"google.com"}, Connections: 6}},
			gmail, "gmail.com", "rule=m split= conns=6 ([[site]] m) rate=0/d msgs=7"},
		{"the longer suffix", []Rule{{Name: "a", MX: []string{"google.com"}, Connections: 5, RecipientsPerMessage: 9}, {Name: "b", MX: []string{"l.google.com"}, Connections: 6}},
			gmail, "gmail.com", "rule=b split= conns=6 ([[site]] b) rate=0/d msgs=50 rcpts=9"},
		{"the whole name", []Rule{{Name: "b", MX: []string{"l.google.com"}, Connections: 6}, {Name: "a", MX: []string{"gmail-smtp-in.l.google.com"}, Connections: 5}},
			gmail, "gmail.com", "rule=a split= conns=5"},
		{"below is narrower than with itself", []Rule{{Name: "a", MX: []string{"google.com"}, Connections: 5}, {Name: "b", MX: []string{".google.com"}, Connections: 6}}, gmail, "gmail.com", "conns=6 ([[site]] b)"},
		{"below is not itself", []Rule{{Name: "b", MX: []string{".mx1.example.net"}, Connections: 6}}, own, "example.com", "rule= split= conns=20"},
		{"itself", []Rule{{Name: "b", MX: []string{"mx1.example.net"}, Connections: 6}}, own, "example.com", "rule=b split= conns=6"},
		{"any host of the set", []Rule{{Name: "b", MX: []string{"mx2.example.net"}, Connections: 6}}, own, "example.com", "rule=b split= conns=6"},
		{"half a label", []Rule{{Name: "b", MX: []string{"ample.net"}, Connections: 6}}, own, "example.com", "rule= split= conns=20"},
		{"as narrow: the first", []Rule{{Name: "a", MX: []string{"example.net"}, Connections: 5}, {Name: "b", MX: []string{"example.net"}, Connections: 6, Rate: 2}}, own, "example.com", "rule=a split= conns=5 ([[site]] a) rate=2/s"},
		{"capital letters and a last dot", []Rule{{Name: "a", MX: []string{"Example.NET."}, Connections: 5}}, own, "example.com", "rule=a split= conns=5"},

		{"a domain before its MX", []Rule{{Name: "m", MX: []string{"mx1.example.net"}, Connections: 6, Rate: 2}, {Name: "d", Domain: []string{"example.com"}, Connections: 5}},
			own, "example.com", "rule=d split=#d conns=5 ([[site]] d) rate=2/s"},
		{"another domain of the MX", []Rule{{Name: "m", MX: []string{"mx1.example.net"}, Connections: 6}, {Name: "d", Domain: []string{"example.com"}, Connections: 5}},
			own, "example.org", "rule=m split= conns=6"},
		{"a subdomain is not the domain", []Rule{{Name: "d", Domain: []string{"example.com"}, Connections: 5}}, own, "a.example.com", "rule= split= conns=20"},
		{"below a domain", []Rule{{Name: "d", Domain: []string{".example.com"}, Connections: 5}}, own, "a.b.example.com", "rule=d split=#d conns=5"},
		{"below a domain is not the domain", []Rule{{Name: "d", Domain: []string{".example.com"}, Connections: 5}}, own, "example.com", "rule= split= conns=20"},
		{"the nearer parent", []Rule{{Name: "far", Domain: []string{".com"}, Connections: 5, Rate: 2}, {Name: "near", Domain: []string{".example.com"}, Connections: 4}},
			own, "a.example.com", "rule=near split=#near+far conns=4 ([[site]] near) rate=2/s"},
		{"a domain and its parent", []Rule{{Name: "p", Domain: []string{".example.com"}, Connections: 5, Rate: 2}, {Name: "d", Domain: []string{"a.example.com"}, Connections: 4}},
			own, "a.example.com", "rule=d split=#d+p conns=4 ([[site]] d) rate=2/s"},
		{"an international domain", []Rule{{Name: "d", Domain: []string{"bücher.example"}, Connections: 5}}, own, "xn--bcher-kva.example", "rule=d split=#d conns=5"},
		{"a domain without a route", []Rule{{Name: "d", Domain: []string{"example.com"}, Connections: 5}}, nil, "example.com", "rule=d split=#d conns=5"},

		{"domain and provider, both", []Rule{{Name: "d", Domain: []string{"example.com"}, Provider: "gmail", Connections: 5}}, gmail, "example.com", "rule=d split=#d conns=5"},
		{"domain and provider, another one", []Rule{{Name: "d", Domain: []string{"example.com"}, Provider: "gmail", Connections: 5}}, own, "example.com", "rule= split= conns=20"},
		{"mx and provider, another one", []Rule{{Name: "d", MX: []string{"example.net"}, Provider: "gmail", Connections: 5}}, own, "example.com", "rule= split= conns=20"},
		{"domain and mx, another one", []Rule{{Name: "d", Domain: []string{"example.com"}, MX: []string{"example.org"}, Connections: 5}}, own, "example.com", "rule= split= conns=20"},
		{"domain and mx, both", []Rule{{Name: "d", Domain: []string{"example.com"}, MX: []string{".example.net"}, Connections: 5}}, own, "example.com", "rule=d split=#d conns=5"},

		{"an address as next hop", []Rule{{Name: "a", MX: []string{"[192.0.2.1]"}, Connections: 5}}, routeTo("192.0.2.1"), "example.com", "rule=a split= conns=5"},
		{"an address literal", []Rule{{Name: "a", MX: []string{"[2001:db8::1]"}, Connections: 5}}, routeTo("[ipv6:2001:db8::1]"), "[ipv6:2001:db8::1]", "rule=a split= conns=5"},
		{"a rule without a name", []Rule{{MX: []string{"example.net"}, Connections: 5}, {Domain: []string{"example.com"}, TLS: "none"}}, own, "example.com", "rule=example.com split=#example.com conns=5 ([[site]] example.net)"},
		{"two without a name", []Rule{{Domain: []string{"a.example"}, TLS: "none"}, {Domain: []string{"a.example", "example.com"}, Source: "s"}}, own, "example.com", "rule=a.example-2 split=#a.example-2 conns=20 ([pool]) rate=0/d msgs=100 rcpts=0 domains=0 tls=opportunistic source=s"},
	} {
		if got := summary(compiled(t, test.rules...).For(test.to, test.domain)); !strings.HasPrefix(got, test.want) && !strings.Contains(got, test.want) {
			t.Errorf("%s:\n got %s\nwant %s", test.name, got, test.want)
		}
	}
}

// TestQuietByTheWiderRule: status names the rule that has the quiet hours, not the narrowest one.
func TestQuietByTheWiderRule(t *testing.T) {
	terms := compiled(t, Rule{Name: "narrow", MX: []string{"mx.example.net"}, Connections: 5}, Rule{Name: "wide", MX: []string{"example.net"}, Quiet: []string{"00:00-23:59"}}).
		For(routeTo("mx.example.net"), "example.com")
	if _, quiet := terms.ClosedAt(time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)); !quiet || terms.Rule != "narrow" || terms.QuietBy != "[[site]] wide" {
		t.Errorf("%+v", terms)
	}
}

// TestSplitFollowsTerms: domains with one route and one Split have the same terms, because they share a site.
func TestSplitFollowsTerms(t *testing.T) {
	r := compiled(t,
		Rule{Name: "a", Domain: []string{"one.example", ".one.example", "two.example"}, Connections: 5},
		Rule{Name: "b", Domain: []string{".example", "three.example"}, Rate: 3},
		Rule{Name: "c", Domain: []string{"x.one.example"}, Provider: "gmail", TLS: "none"},
		Rule{Name: "d", Domain: []string{"y.one.example"}, MX: []string{"example.net"}, TLS: "none"})
	domains := []string{"one.example", "two.example", "three.example", "four.example", "a.one.example", "b.one.example", "x.one.example", "y.one.example", "example", "other.test"}
	for _, to := range []*route.Route{routeTo("aspmx.l.google.com"), routeTo("mx.example.net"), nil} {
		terms := make(map[string]string)
		for _, d := range domains {
			got := r.For(to, d)
			s := summary(got)
			if old, ok := terms[got.Split]; ok && old != s {
				t.Errorf("%s: %s\nbut another domain of this site has %s", d, s, old)
			}
			terms[got.Split] = s
		}
		if len(terms) < 3 {
			t.Errorf("%d sites", len(terms))
		}
	}
}

// TestBadRules: each mistake has its key and its repair.
func TestBadRules(t *testing.T) {
	ok := Rule{MX: []string{"example.net"}, Connections: 5}
	with := func(change func(*Rule)) Rule {
		r := ok
		change(&r)
		return r
	}
	for _, test := range []struct {
		name string
		rule Rule
		want string
	}{
		{"no condition", Rule{Connections: 5}, "site[1]: the rule has no condition"},
		{"nothing given", Rule{MX: []string{"a.example"}}, "site[1]: the rule gives nothing; give one of connections, rate,"},
		{"empty suffix", with(func(r *Rule) { r.MX = []string{"a.example", ""} }), "site[1].mx[1]: is empty"},
		{"a dot alone", with(func(r *Rule) { r.MX = []string{"."} }), `site[1].mx[0]: "." is no suffix`},
		{"a star", with(func(r *Rule) { r.MX = []string{"*"} }), "site[1].mx[0]: would be every site"},
		{"a shell pattern", with(func(r *Rule) { r.MX = []string{"*.google.com"} }), `write ".google.com"`},
		{"a regular expression", with(func(r *Rule) { r.MX = []string{`\.google\.com$`} }), "a host's name or its end"},
		{"two in one", with(func(r *Rule) { r.MX = []string{"a.example, b.example"} }), "write a list"},
		{"an address of mail", with(func(r *Rule) { r.Domain = []string{"news@example.com"} }), `site[1].domain[0]: "news@example.com" has an @, and is compared with a domain; write "example.com"`},
		{"a domain with a star", with(func(r *Rule) { r.Domain = []string{"*.example.com"} }), `write ".example.com"`},
		{"no domain", with(func(r *Rule) { r.Domain = []string{"a..b"} }), `"a..b" is no domain`},
		{"provider", with(func(r *Rule) { r.Provider = "google" }), `site[1].provider: "google" is not in the table of providers; it knows apple, comcast`},
		{"connections", with(func(r *Rule) { r.Connections = -1 }), "site[1].connections: -1 is less than 1"},
		{"recipients", with(func(r *Rule) { r.RecipientsPerMessage = -1 }), "site[1].recipients_per_message: -1 is less than 1"},
		{"tls", with(func(r *Rule) { r.TLS = "always" }), `site[1].tls: "always" is not a mode; use "opportunistic" or "none"`},
		{"quiet", with(func(r *Rule) { r.Quiet = []string{"25:00-06:00"} }), `site[1].quiet: "25:00-06:00" is no part of a day`},
		{"quiet for ever", with(func(r *Rule) { r.Quiet = []string{"00:00-12:00", "12:00-24:00"} }), "site[1].quiet: leaves no time of the day"},
		{"name", with(func(r *Rule) { r.Name = "my site" }), `site[1].name: "my site" has characters that do not fit in a log line; write it like "my-site"`},
		{"name twice", with(func(r *Rule) { r.Name = "first" }), `site[1].name: "first" is the name of a rule above`},
	} {
		first := Rule{Name: "first", MX: []string{"first.example"}, Connections: 1}
		_, err := CompileRules([]Rule{first, test.rule}, DefaultConfig())
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

// TestOverlaps: rules that keep each other from deciding are named, and only those.
func TestOverlaps(t *testing.T) {
	for _, test := range []struct {
		name  string
		rules []Rule
		want  string
	}{
		{"apart", []Rule{{MX: []string{"a.example"}, Connections: 1}, {MX: []string{"b.example"}, Connections: 1}}, ""},
		{"together, but about other keys", []Rule{{MX: []string{"a.example"}, Connections: 1}, {MX: []string{"a.example"}, Rate: 1}}, ""},
		{"never", []Rule{{Name: "a", MX: []string{"a.example", "b.example"}, Connections: 1, Rate: 1}, {MX: []string{"b.example"}, Connections: 1}},
			"site[1].mx[0]: the rule never decides anything: rule a stands before it, is as narrow, and gives connections too; remove one"},
		{"in part", []Rule{{Name: "a", MX: []string{"a.example"}, Connections: 1}, {MX: []string{"b.example", "a.example"}, Connections: 1}},
			"site[1].mx[1]: is in rule a too, which stands before it, so what that one says of connections holds there"},
		{"the second is narrower", []Rule{{Name: "a", MX: []string{"example"}, Connections: 1, TLS: "none"}, {MX: []string{"a.example"}, Connections: 2}},
			"site[1].mx[0]: matches rule a too; this rule is narrower, so what it says of connections holds here"},
		{"the first is narrower", []Rule{{MX: []string{"a.example"}, Connections: 2}, {Name: "b", MX: []string{"example"}, Connections: 1}},
			"site[0].mx[0]: matches rule b too; this rule is narrower, so what it says of connections holds here"},
		{"mx and provider", []Rule{{Name: "p", Provider: "gmail", Connections: 2}, {MX: []string{"l.google.com"}, Connections: 1}},
			"site[1].mx[0]: matches rule p too; this rule is narrower"},
		{"provider twice", []Rule{{Name: "p", Provider: "gmail", Connections: 2}, {Provider: "gmail", Connections: 1}},
			"site[1].provider: the rule never decides anything: rule p stands before it"},
		{"domain and parent", []Rule{{Name: "p", Domain: []string{".example.com"}, Connections: 2}, {Domain: []string{"a.example.com"}, Connections: 1}},
			"site[1].domain[0]: matches rule p too; this rule is narrower"},
		{"domain and itself with a dot", []Rule{{Name: "p", Domain: []string{".example.com"}, Connections: 2}, {Domain: []string{"example.com"}, Connections: 1}}, ""},
		{"domain and mx depend on DNS", []Rule{{MX: []string{"a.example"}, Connections: 2}, {Domain: []string{"a.example"}, Connections: 1}}, ""},
	} {
		got := ""
		if err := compiled(t, test.rules...).Overlaps(); err != nil {
			got = err.Error()
		}
		if test.want == "" && got != "" || !strings.HasPrefix(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// manyRules are fifty rules of all kinds.
func manyRules() []Rule {
	var rules []Rule
	for i := range 25 {
		rules = append(rules, Rule{MX: []string{fmt.Sprintf("mx%d.example.net", i)}, Connections: 1 + i},
			Rule{Domain: []string{fmt.Sprintf("d%d.example", i), fmt.Sprintf(".d%d.example", i)}, Rate: relay.MessageRate(1 + i), Quiet: []string{"22:00-06:00"}})
	}
	return append(rules, Rule{MX: []string{"google.com"}, Connections: 20}, Rule{Provider: "gmail", Rate: 50})
}

// TestForAllocatesNothing: it may be asked for each message.
func TestForAllocatesNothing(t *testing.T) {
	r := compiled(t, manyRules()...)
	for _, test := range []struct {
		to     *route.Route
		domain string
	}{
		{gmailRoute(), "gmail.com"}, {gmailRoute(), "d7.example"}, {routeTo("mx3.example.net", "mx4.example.net"), "a.d7.example"}, {nil, "example.com"},
	} {
		if n := testing.AllocsPerRun(100, func() { r.For(test.to, test.domain) }); n > 0 {
			t.Errorf("%s: %v allocations", test.domain, n)
		}
	}
}

func gmailRoute() *route.Route {
	return routeTo("gmail-smtp-in.l.google.com", "20 alt1.gmail-smtp-in.l.google.com", "30 alt2.gmail-smtp-in.l.google.com", "40 alt3.gmail-smtp-in.l.google.com", "50 alt4.gmail-smtp-in.l.google.com")
}

func BenchmarkFor(b *testing.B) {
	r := compiled(b, manyRules()...)
	for _, test := range []struct {
		name   string
		to     *route.Route
		domain string
	}{{"gmail", gmailRoute(), "gmail.com"}, {"small", routeTo("mx1.example.org", "mx2.example.org"), "example.org"}, {"domain", routeTo("mx3.example.net"), "a.d7.example"}} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				r.For(test.to, test.domain)
			}
		})
	}
}

// TestKeyOf: the key that is found without the terms is the one that is found with them, whether some rule makes a site of its own or none.
func TestKeyOf(t *testing.T) {
	for name, rules := range map[string][]Rule{
		"no rule": nil, "a rule by MX": {{Name: "m", MX: []string{".big.test"}, Connections: 5}}, "a rule by domain": {{Name: "d", Domain: []string{"own.test"}, Connections: 5}},
	} {
		m := &Manager{}
		m.policy.Store(Policy{Rules: compiled(t, rules...)}.withDefaults(DefaultConfig()))
		m.cfg.Store(&Config{})
		keys := make(map[string]bool)
		for _, domain := range []string{"own.test", "other.test"} {
			for _, r := range []*route.Route{{Domain: domain, Site: "mx.big.test"}, {Domain: domain, Err: &route.Error{}}} {
				k := relay.Key{Domain: domain}
				if got, want := m.keyOf(k, r), m.siteOf(k, r).key; got != want {
					t.Errorf("%s, %s: %q, want %q", name, domain, got, want)
				}
				keys[m.keyOf(k, r)] = true
			}
		}
		if splits := len(keys) > 3; splits != (name == "a rule by domain") {
			t.Errorf("%s: %v", name, keys)
		}
	}
}
