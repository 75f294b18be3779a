package filter

import (
	"strings"
	"testing"
)

func TestDefaultIsValid(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	c := DefaultConfig()
	c.Rule = DefaultRules()
	if err := c.Validate(); err != nil {
		t.Errorf("default rules: %v", err)
	}
}

func TestValidateNamesRuleAndKey(t *testing.T) {
	rule := func(r Rule) Config {
		c := DefaultConfig()
		c.Rule = []Rule{{Name: "fine", Header: "List-Id"}, r}
		return c
	}
	with := func(change func(*Config)) Config {
		c := DefaultConfig()
		change(&c)
		return c
	}
	for _, tt := range []struct {
		name   string
		config Config
		want   []string
	}{
		{"size", with(func(c *Config) { c.SizeLimit = 0 }), []string{"size_limit: 0", "52428800"}},
		{"hops", with(func(c *Config) { c.MaxHops = -1 }), []string{"max_hops: -1"}},
		{"mailers", with(func(c *Config) { c.Mailers = nil }), []string{"mailers: is empty", `["smtp", "esmtp"]`}},
		{"too many rules", with(func(c *Config) { c.Rule = make([]Rule, 257) }), []string{"rules, the default ones included, are more than 256"}},
		{"local domain with @", with(func(c *Config) { c.LocalDomains = []string{"a.example", "x@y"} }), []string{`local_domains[1]: "x@y"`}},
		{"local domain of dots", with(func(c *Config) { c.LocalDomains = []string{"."} }), []string{`local_domains[0]: "."`}},
		{"no condition", rule(Rule{Name: "x"}), []string{"rule[1].header: the rule has no condition"}},
		{"name", rule(Rule{Name: "my rule", Header: "X"}), []string{`rule[1].name: "my rule"`, `"my-rule"`}},
		{"name of signs", rule(Rule{Name: "=>", Header: "X"}), []string{`rule[1].name: "=>"`, `"my-rule"`}},
		{"no rule at all", with(func(c *Config) { c.Defaults = false }), []string{"defaults: is false", "nothing would be taken"}},
		{"too many with the default ones", with(func(c *Config) { c.Rule = make([]Rule, 250) }), []string{"rules, the default ones included"}},
		{"field with colon", rule(Rule{Header: "List-Id:"}), []string{`rule[1].header: "List-Id:"`, "without colon"}},
		{"star within", rule(Rule{Header: "X-*-Id"}), []string{`rule[1].header: "X-*-Id"`}},
		{"value without header", rule(Rule{Sender: "a@b", Value: "x"}), []string{"rule[1].value: needs a header"}},
		{"bad pattern", rule(Rule{Header: "X", Value: "(a"}), []string{"rule[1].value: ", "RE2"}},
		{"bad address", rule(Rule{Client: "10.0.0.0/99"}), []string{`rule[1].client: "10.0.0.0/99"`, "192.0.2.0/24"}},
		{"half an address", rule(Rule{Client: "10.0.0"}), []string{`rule[1].client: "10.0.0"`}},
		{"regular expression for a sender", rule(Rule{Sender: `@billing\.example\.org$`}), []string{"rule[1].sender: ", "*@news.example.com"}},
		{"regular expression for a login", rule(Rule{SASLUser: "^news"}), []string{`rule[1].sasl_user: "^news"`}},
		{"a name twice", with(func(c *Config) {
			c.Rule = []Rule{{Name: "news", Header: "X-A"}, {Header: "X-B"}, {Header: "X-B"}, {Name: "news", Header: "X-C"}}
		}), []string{`rule[3].name: "news"`}},
		{"two listeners in one", rule(Rule{Listener: "smtp,submission"}), []string{`rule[1].listener: "smtp,submission"`, "a rule for each"}},
		{"the null sender", rule(Rule{Sender: "<>"}), []string{`rule[1].sender: "<>"`, "never taken"}},
		{"regular expression for a listener", rule(Rule{Listener: "bulk$"}), []string{`rule[1].listener: "bulk$"`}},
		{"an unknown lane", rule(Rule{Header: "X", Lane: "fast"}), []string{`rule[1].lane: "fast"`, `use "bulk" or "urgent"`}},
		{"a lane for mail that is not taken", rule(Rule{Header: "X", Lane: LaneUrgent, Take: new(bool)}), []string{"rule[1].lane: ", "leave lane out"}},
		{"macro without name", rule(Rule{Macro: "=news"}), []string{"rule[1].macro: "}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.config.Validate()
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not contain %q", err, want)
				}
			}
			if _, err := Compile(tt.config, "mx.example.org", nil); err == nil {
				t.Error("Compile accepts what Validate refuses")
			}
		})
	}
}

func TestCompileRefusesHostnames(t *testing.T) {
	for _, h := range []string{"", "mx example", "mx\r\nX: y", "a;b", "(x)"} {
		if _, err := Compile(DefaultConfig(), h, nil); err == nil {
			t.Errorf("hostname %q was accepted", h)
		}
	}
}

func TestRuleWithoutNameGetsOne(t *testing.T) {
	c := DefaultConfig()
	c.Rule = []Rule{{Header: "X-Campaign*"}, {Client: "192.0.2.1"}, {Header: "X/Class"}}
	f, err := Compile(c, "mx.example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := f.Status()
	if got[0].Rule != "x-campaign" || got[1].Rule != "rule-2" || got[2].Rule != "x-class" {
		t.Errorf("names %q, %q and %q", got[0].Rule, got[1].Rule, got[2].Rule)
	}
}
