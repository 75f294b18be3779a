package setup

import (
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/config"
)

// sendmailCF has the lines of a sendmail.cf that m4 makes with contrib/sendmail's, and a listener for bounce.inject.
const sendmailCF = `# comment
DZ8.17.1.9
DS
O SuperSafe=PostMilter
O DaemonPortOptions=Port=smtp, Name=MTA
O DaemonPortOptions=Port=10026, Addr=127.0.0.1, Name=inject, InputMailFilters=
O InputMailFilters=opendkim, millrace
O MaxMessageSize=0
Xopendkim, S=inet:8891@localhost
Xmillrace, S=unix:/run/millrace/milter.sock, T=C:2s;S:10s;R:10s;E:1m
Mesmtp,		P=[IPC], F=mDFMuXa, S=EnvFromSMTP/HdrFromSMTP,
		A=TCP $h
`

// changed is sendmailCF with each first of a pair replaced by the second.
func changed(t *testing.T, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(sendmailCF, pairs[i]) {
			t.Fatalf("sendmail.cf has no %q", pairs[i])
		}
	}
	return strings.NewReplacer(pairs...).Replace(sendmailCF)
}

// TestSendmail: what sendmail.cf shows.
func TestSendmail(t *testing.T) {
	swap := func(pairs ...string) string { return changed(t, pairs...) }
	const times = "T=C:2s;S:10s;R:10s;E:1m"
	for _, tt := range []struct {
		name, cf string
		config   func(*config.Config)
		want     string
	}{
		{"contrib", sendmailCF, nil, ""},
		{"not asked", swap("opendkim, millrace", "opendkim"), nil, "milter-not-asked"},
		{"another socket", swap("/run/millrace/", "/tmp/millrace/"), nil, "milter-not-asked milter-elsewhere"},
		{"defined nowhere", swap("Xmillrace", "Xmill"), nil, "milter-not-asked milter-elsewhere"},
		{"F=T", swap(", "+times, ", F=T, "+times), nil, "milter-default-action"},
		{"no times", swap(", "+times, ""), nil, "milter-connect-timeout"},
		{"slow to answer", swap("R:10s", "R:60s"), nil, "milter-command-timeout"},
		{"impatient", swap("E:1m", "E:5s"), nil, "milter-content-timeout"},
		{"slow to connect", swap("C:2s", "C:1m"), nil, "milter-connect-timeout"},
		{"a filter behind", swap("opendkim, millrace", "millrace, opendkim"), nil, "milter-behind"},
		{"an unknown filter in front", swap("S=inet:8891@localhost", "S=inet:4242@localhost", "opendkim", "other"), nil, "front-milter"},
		{"spamass-milter", swap("opendkim", "spamassassin", "inet:8891@localhost", "local:/var/run/sendmail/spamass.sock"), nil, "front-changes-envelope"},
		{"TCP", swap("unix:/run/millrace/milter.sock", "inet:8895@127.0.0.1"), func(c *config.Config) { c.Milter.Listen = []string{"inet:127.0.0.1:8895"} }, "milter-tcp"},
		{"inject with filters", swap("Name=inject, InputMailFilters=", "Name=inject"), nil, "inject-offers"},
		{"another daemon without filters", swap("O SuperSafe", "O DaemonPortOptions=Name=MSA, Port=587, M=E, I=opendkim\nO SuperSafe"), nil, "service-not-offered"},
		{"written first", swap("PostMilter", "True"), nil, "writes-first"},
		{"mailertable", swap("DS\n", "Kmailertable hash -o /etc/mail/mailertable\nDS\n"), nil, "transport-maps"},
		{"virtusertable", swap("DS\n", "Kvirtuser hash /etc/mail/virtusertable\nDS\n"), nil, "transport-maps"},
		{"genericstable", swap("DS\n", "Kgenerics hash /etc/mail/genericstable\nDS\n"), nil, "generic-maps"},
		{"masquerading", swap("DS\n", "DMexample.org\nDS\n"), nil, "masquerade"},
		{"smart host", swap("DS\n", "DS[smart.example]\n"), nil, "relay-host"},
		{"smart host by a mailer", swap("DS\n", "DSesmtp:[smart.example]\n"), nil, "relay-host"},
		{"smart host that is listed", swap("DS\n", "DS[smart.example]\n"), func(c *config.Config) {
			c.Bulk.Mailers, c.Bulk.NextHops = append(c.Bulk.Mailers, "relay"), []string{"[smart.example]"}
		}, "route-bypassed"},
		{"smart host that is listed and routed", swap("DS\n", "DS[smart.example]\n"), func(c *config.Config) {
			c.Bulk.Mailers, c.Bulk.NextHops = append(c.Bulk.Mailers, "relay"), []string{"[smart.example]"}
			c.Route = map[string]string{"*": "[smart.example]:25"}
		}, ""},
		{"without mailer", sendmailCF, func(c *config.Config) { c.Bulk.WithoutMailer = true }, "without-mailer"},
	} {
		s, err := ParseSendmail(tt.cf)
		if err != nil {
			t.Fatal(err)
		}
		cfg := defaults()
		cfg.Milter.Listen = []string{"unix:/run/millrace/milter.sock"}
		if tt.config != nil {
			tt.config(cfg)
		}
		got := strings.Join(codes(t, Subject{MTA: &MTA{Sendmail: s, ReadFile: reader(nil)}, Config: cfg}), " ")
		if got != tt.want {
			t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestParseSendmailRefuses(t *testing.T) {
	for _, text := range []string{"", "hello\nworld\n", "O A=b\n", "DZ8.17\n"} {
		if s, err := ParseSendmail(text); err == nil {
			t.Errorf("%q was let pass: %+v", text, s)
		}
	}
}

// TestDefaultDaemon: Sendmail listens on port 25 if no line says otherwise.
func TestDefaultDaemon(t *testing.T) {
	s, err := ParseSendmail("DZ8.17\nO InputMailFilters=a;b\n")
	if err != nil || len(s.Daemons) != 1 || s.Daemons[0].Port != "25" || len(s.Daemons[0].Filters) != 2 {
		t.Errorf("%+v, %v", s, err)
	}
}
