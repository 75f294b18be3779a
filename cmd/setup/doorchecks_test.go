package setup

import (
	"testing"

	"github.com/millrace/millrace/cmd/config"
)

// TestDoors: the SMTP door as a filter of Postfix is no stranger to it, and mail must not go round.
func TestDoors(t *testing.T) {
	doors := func(c *config.Config) {
		c.SMTPD.Filter, c.SMTPD.Proxy, c.SMTPD.Reinject = []string{"inet:127.0.0.1:8896", "unix:/run/millrace/f.sock"}, []string{"inet:127.0.0.1:8898"}, "[127.0.0.1]:10026"
	}
	const itself = "127.0.0.1:10026/inet/"
	for _, l := range []layout{
		{name: "a filter that is ours", main: "content_filter = smtp:[127.0.0.1]:8896", options: itself + "content_filter =\n", config: doors},
		{name: "ours by a socket", main: "content_filter = lmtp:unix:/run/millrace/f.sock", options: itself + "content_filter =\n", config: doors},
		{name: "ours, with a transport of its own", main: "content_filter = millrace:localhost:8896", options: itself + "content_filter =\n", config: doors},
		{name: "another filter", main: "content_filter = smtp:[127.0.0.1]:10024", config: doors, want: "content-filter"},
		{name: "another socket", main: "content_filter = lmtp:unix:/run/f.sock", config: doors, want: "content-filter"},
		{name: "mail goes round", main: "content_filter = smtp:[127.0.0.1]:8896", options: itself + "content_filter = smtp:[127.0.0.1]:8896\n", config: doors, want: "reinject-loop"},
		{name: "a proxy that is ours", services: amavis, options: "127.0.0.1:10025/inet/smtpd_proxy_filter = inet:127.0.0.1:8898\n", config: doors},
		{name: "refusals are changed", services: amavis, options: "127.0.0.1:10025/inet/smtpd_proxy_filter = inet:127.0.0.1:8898\n127.0.0.1:10025/inet/smtpd_reject_filter_maps = regexp:/etc/postfix/r\n",
			config: doors, want: "reject-filter"},
		{name: "no milter", main: "smtpd_milters =", config: doors},
	} {
		l.run(t)
	}
}
