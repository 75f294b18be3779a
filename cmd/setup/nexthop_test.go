package setup

import (
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// takes asks filter whether it takes a recipient whose mail the MTA would send there.
func takes(t *testing.T, f *filter.Filter, hop nextHop, domain string) bool {
	t.Helper()
	in, err := filter.NewIntake(filter.Limits{Rcpts: 10, HeaderBytes: 1 << 10, Buffered: 1 << 20}, filter.Deliver, filter.Deps{
		Accept: refuser{}, NewID: func() relay.ID { return 1 }, Filter: f,
		Sendable: func(smtp.Form) error { return nil }, Log: hclog.NewNullLogger(),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := in.Begin(filter.Offer{}, nil)
	defer m.Dismiss()
	m.SetSender(filter.ParseCommand("<news@sender.test>"))
	h := filter.Hop{Mailer: hop.transport, Host: hop.host, Addr: "x@" + domain}
	if h.Mailer == "" {
		h.Mailer = "smtp" // Postfix's own default
	}
	if h.Host == "" {
		h.Host = domain
	}
	m.AddRcpt(filter.ParseCommand("<x@"+domain+">"), h)
	for _, ours := range m.Rcpts() {
		return ours
	}
	return false
}

// refuser takes nothing: the test ends before the content.
type refuser struct{}

func (refuser) Accept(*relay.Message) error { return nil }
func (refuser) Heard(*relay.Message, bool)  {}

// TestRoutesAgree: what the check says about a next hop is what filter does with it.
func TestRoutesAgree(t *testing.T) {
	for _, text := range []string{"smtp:", "smtp:[smart.example]:25", "smtp:a.test", "smtp:A.Test", "smtp:b.test", "SMTP:[Smart.example]:25", "lmtp:unix:private/x", "relay:", ":", ":[smart.example]:25", "esmtp", "error:5.1.1 gone", "[smart.example]:25", "smtp:a.test:2525"} {
		for _, listed := range [][]string{nil, {"[smart.example]:25"}, {"b.test"}} {
			cfg := defaults()
			cfg.Bulk.NextHops = listed
			f, err := filter.Compile(cfg.Bulk, cfg.Hostname, nil)
			if err != nil {
				t.Fatal(err)
			}
			e := &exam{Subject: Subject{Config: cfg}, filter: f}
			hop := parseNextHop(text)
			if said, does := e.fate(hop, "a.test") != stays, takes(t, f, hop, "a.test"); said != does {
				t.Errorf("%q with next_hops %q: the check says that it is taken: %t; filter: %t", text, listed, said, does)
			}
		}
	}
}

func TestSameHop(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"[a.test]", "[A.test]:25", true}, {"[a.test]:smtp", "[a.test]", true}, {"a.test.", "a.test", true},
		{"[a.test]:587", "[a.test]", false}, {"a.test", "[a.test]", false}, {"", "[a.test]", false}, {"[2001:db8::25]", "[2001:db8::25]:25", true},
	} {
		if got := sameHop(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %t", tt.a, tt.b, got)
		}
	}
}
