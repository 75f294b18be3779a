package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
)

// called is a tenant of that name, else as a file has it.
func called(name string, c TenantConfig) TenantConfig {
	c.SetDefaults()
	c.Name = name
	return c
}

func compileTenants(t testing.TB, tenants ...TenantConfig) *Tenants {
	t.Helper()
	made, err := CompileTenants(tenants)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// TestOwner: the first tenant whose conditions all hold.
func TestOwner(t *testing.T) {
	tenants := compileTenants(t,
		called("news", TenantConfig{Header: "X-Class", Value: "^news$"}),
		called("acme", TenantConfig{SASLUser: "*@acme.example"}),
		called("acme-host", TenantConfig{Client: "192.0.2.0/24", Sender: "acme.example"}),
		called("door", TenantConfig{Listener: "10025"}),
		called("campaign", TenantConfig{Header: "X-Campaign*"}),
		called("shop", TenantConfig{Sender: "*@*.shop.example", Header: "x-class", Value: "shop"}),
		called("rest", TenantConfig{Sender: "*@rest.example"}),
	)
	login := func(name string) func(*Offer) { return func(o *Offer) { o.SASLUser = name } }
	sender := func(addr string) func(*Offer) { return func(o *Offer) { o.Sender = addr } }
	for _, tt := range []struct {
		name   string
		change func(*Offer)
		header []byte
		want   string
	}{
		{"nobody", func(*Offer) {}, lines("Subject: hi"), ""},
		{"no header at all", func(*Offer) {}, nil, ""},
		{"a login", login("joe@ACME.example"), nil, "acme"},
		{"a login of another", login("joe@b.example"), nil, ""},
		{"a header before a login", login("joe@acme.example"), lines("X-Class: News"), "news"},
		{"the header says something else", login("joe@acme.example"), lines("X-Class: newsletter"), "acme"},
		{"a folded header", func(*Offer) {}, lines("X-Class:", " news"), "news"},
		{"the second of two fields", func(*Offer) {}, lines("X-Class: a", "x-class: news"), "news"},
		{"a login before another header", login("joe@acme.example"), lines("X-Campaign-Id: 1"), "acme"},
		{"two conditions", sender("a@acme.example"), nil, "acme-host"},
		{"one of two conditions", func(o *Offer) { o.Sender, o.ClientAddr = "a@acme.example", ParseAddr("198.51.100.1") }, nil, ""},
		{"a listener", func(o *Offer) { o.Port = "10025" }, nil, "door"},
		{"a prefix of a field", func(*Offer) {}, lines("X-CampaignId: 1"), "campaign"},
		{"sender and header", sender("a@b.shop.example"), lines("X-Class: shop"), "shop"},
		{"header without the sender", sender("a@b.example"), lines("X-Class: shop"), ""},
		{"behind those with headers", sender("a@rest.example"), lines("X-Class: shop"), "rest"},
	} {
		o := offer()
		tt.change(o)
		if got := tenants.owner(o, tt.header); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := (*Tenants)(nil).owner(offer(), nil); got != "" {
		t.Errorf("without tenants: %q", got)
	}
	o, header := offer(), lines("Subject: hi", "X-Class: shop")
	if n := testing.AllocsPerRun(100, func() { tenants.owner(o, header) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestTheOwnerIsKept: a message has the tenant that it was taken for; a reload is for later messages.
func TestTheOwnerIsKept(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	s.in.Reload(compile(t), compileTenants(t, called("acme", TenantConfig{SASLUser: "acme"})), Deliver)
	door := &lineDoor{in: s.in, client: Offer{SASLUser: "acme"}}
	m := s.in.Begin(door.client, nil)
	s.in.Reload(compile(t), nil, Deliver)
	for line := range strings.SplitSeq(newsletter(end...), "\n") {
		door.digest(m, line)
	}
	door.send(newsletter(end...))
	if len(s.heart.taken) != 2 || s.heart.taken[0].Flow().Tenant != "acme" || s.heart.taken[1].Flow().Tenant != "" {
		t.Fatalf("%+v", s.heart.taken)
	}
	if again := s.in.Flow(s.heart.taken[0]); again != s.heart.taken[0].Flow() {
		t.Errorf("restored: %+v, taken: %+v", again, s.heart.taken[0].Flow())
	}
}

// TestObserveNamesTheTenant: an operator sees whose mail it would be before any is taken.
func TestObserveNamesTheTenant(t *testing.T) {
	s := newSite(t, Observe, wideLimits())
	s.in.Reload(compile(t), compileTenants(t, called("acme", TenantConfig{Sender: "example.com"})), Observe)
	(&lineDoor{in: s.in}).send(newsletter(end...))
	if !strings.Contains(s.log.String(), "tenant=acme flow=l.example.com\n") {
		t.Error(s.log)
	}
}

func TestValidateTenants(t *testing.T) {
	for _, tt := range []struct {
		name   string
		tenant TenantConfig
		want   string
	}{
		{"no name", TenantConfig{Sender: "a@b.example"}, `tenant[1].name: is empty`},
		{"a blank in the name", called("acme inc", TenantConfig{Sender: "a@b.example"}), `write it like "acme-inc"`},
		{"a slash in the name", called("acme/eu", TenantConfig{Sender: "a@b.example"}), `write it like "acme-eu"`},
		{"a long name", called(strings.Repeat("x", 65), TenantConfig{Sender: "a@b.example"}), "tenant[1].name: has 65 characters"},
		{"no condition", called("x", TenantConfig{}), "tenant[1].sasl_user: the tenant has no condition"},
		{"a value alone", called("x", TenantConfig{Value: "x"}), "tenant[1].sasl_user: the tenant has no condition"},
		{"value without header", called("x", TenantConfig{Sender: "a@b.example", Value: "x"}), "tenant[1].value: needs a header"},
		{"bad pattern", called("x", TenantConfig{Header: "X", Value: "(a"}), "tenant[1].value: "},
		{"regular expression", called("x", TenantConfig{SASLUser: "^acme"}), `tenant[1].sasl_user: "^acme" looks like a regular expression`},
		{"two senders", called("x", TenantConfig{Sender: "a@b.example, c@b.example"}), "write a tenant for each"},
		{"null sender", called("x", TenantConfig{Sender: "<>"}), "leave the tenant out"},
		{"half an address", called("x", TenantConfig{Client: "10.0.0"}), `tenant[1].client: "10.0.0"`},
		{"listener with its address", called("x", TenantConfig{Listener: "127.0.0.1:25"}), `tenant[1].listener: "127.0.0.1:25"`},
		{"weight", TenantConfig{TenantConfig: relay.TenantConfig{Name: "x"}, Sender: "a@b.example"}, "tenant[1].weight: is 0"},
		{"connections", TenantConfig{TenantConfig: relay.TenantConfig{Name: "x", Weight: 1, Connections: -1}, Sender: "a@b.example"}, "tenant[1].connections: -1"},
		{"rate", TenantConfig{TenantConfig: relay.TenantConfig{Name: "x", Weight: 1, Rate: -0.5}, Sender: "a@b.example"}, "tenant[1].rate: -0.5"},
	} {
		tenants := []TenantConfig{called("fine", TenantConfig{Sender: "a@b.example"}), tt.tenant}
		err := ValidateTenants(tenants)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.HasPrefix(err.Error(), "tenant[1].") {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
		if _, err := CompileTenants(tenants); err == nil {
			t.Errorf("%s: CompileTenants accepts what ValidateTenants refuses", tt.name)
		}
	}
	many := make([]TenantConfig, MaxTenants+1)
	for i := range many {
		many[i] = called(fmt.Sprint("t", i), TenantConfig{Sender: "a@b.example"})
	}
	if err := ValidateTenants(many); err == nil || !strings.HasPrefix(err.Error(), "tenant: 1001 tables") {
		t.Errorf("too many: %v", err)
	}
	if err := ValidateTenants(many[1:]); err != nil {
		t.Errorf("as many as there may be: %v", err)
	}
}

func TestCovers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      TenantConfig
		other  TenantConfig
		covers bool
	}{
		{"the same", TenantConfig{SASLUser: "a"}, TenantConfig{SASLUser: "A"}, true},
		{"another", TenantConfig{SASLUser: "a"}, TenantConfig{SASLUser: "b"}, false},
		{"one condition more", TenantConfig{SASLUser: "a"}, TenantConfig{SASLUser: "a", Sender: "x@y.example"}, true},
		{"one condition less", TenantConfig{SASLUser: "a", Sender: "x@y.example"}, TenantConfig{SASLUser: "a"}, false},
		{"another condition", TenantConfig{SASLUser: "a"}, TenantConfig{Sender: "a"}, false},
		{"any sender", TenantConfig{Sender: "*"}, TenantConfig{Client: "192.0.2.1"}, true},
		{"any listener", TenantConfig{Listener: "*"}, TenantConfig{Client: "192.0.2.1"}, true},
		{"any client", TenantConfig{Client: "*"}, TenantConfig{SASLUser: "a"}, true},
		{"any login is not everybody", TenantConfig{SASLUser: "*"}, TenantConfig{Client: "192.0.2.1"}, false},
		{"any login", TenantConfig{SASLUser: "*"}, TenantConfig{SASLUser: "a"}, true},
		{"a pattern and one of its names", TenantConfig{SASLUser: "*@a.example"}, TenantConfig{SASLUser: "joe@a.example"}, true},
		{"a pattern and a narrower one", TenantConfig{Sender: "*@*.example"}, TenantConfig{Sender: "news@*.example"}, true},
		{"a pattern and a wider one", TenantConfig{Sender: "news@*.example"}, TenantConfig{Sender: "*@*.example"}, false},
		{"a domain and an address", TenantConfig{Sender: "a.example"}, TenantConfig{Sender: "joe@a.example"}, true},
		{"a question mark for a star", TenantConfig{SASLUser: "?"}, TenantConfig{SASLUser: "*"}, false},
		{"a question mark again", TenantConfig{SASLUser: "a?"}, TenantConfig{SASLUser: "a?"}, true},
		{"a network and an address", TenantConfig{Client: "192.0.2.0/24"}, TenantConfig{Client: "192.0.2.1"}, true},
		{"a network and a smaller one", TenantConfig{Client: "2001:db8::/32"}, TenantConfig{Client: "2001:db8:1::/48"}, true},
		{"a network and a larger one", TenantConfig{Client: "192.0.2.0/24"}, TenantConfig{Client: "192.0.0.0/16"}, false},
		{"a network and a name", TenantConfig{Client: "192.0.2.0/24"}, TenantConfig{Client: "*.a.example"}, false},
		{"the same field", TenantConfig{Header: "X-A"}, TenantConfig{Header: "x-a", Value: "b"}, true},
		{"the same value", TenantConfig{Header: "X-A", Value: "b"}, TenantConfig{Header: "x-a", Value: "b"}, true},
		{"a value that nobody can compare", TenantConfig{Header: "X-A", Value: "b|c"}, TenantConfig{Header: "x-a", Value: "b"}, false},
		{"any value of the field", TenantConfig{Header: "X-A", Value: "b"}, TenantConfig{Header: "x-a"}, false},
		{"a prefix of the field", TenantConfig{Header: "X-*"}, TenantConfig{Header: "x-a"}, true},
		{"a field and a sender", TenantConfig{Header: "X-*"}, TenantConfig{Sender: "a@b.example"}, false},
	} {
		if got := tt.c.Covers(tt.other); got != tt.covers {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
