package setup

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/config"
)

// fakeTables answers as postmap does.
type fakeTables map[string]map[string]string

func (f fakeTables) look(_ context.Context, table string, keys []string) (map[string]string, error) {
	entries, ok := f[table]
	if !ok {
		return nil, errors.New("no table " + table)
	}
	got := make(map[string]string)
	for _, key := range keys {
		if value, ok := entries[key]; ok {
			got[key] = value
		}
	}
	return got, nil
}

// waysWorld is a Postfix with routes and domains of its own, and the Millrace beside it.
func waysWorld() (tables fakeTables, main map[string]string, cfg *config.Config, mta *MTA) {
	tables = fakeTables{
		"hash:/local":      {"hosted.example": "x"},
		"pcre:/transports": {"a@pattern.example": "smtp:[filter.example]", "pattern.example": "the key of no address", "example": "neither"},
		"inline:{ { routed.example = smtp:[hub.example] }, { .below.example = slow: }, { same.example = smtp:same.example } }": {
			"routed.example": "smtp:[hub.example]", ".below.example": "slow:", "same.example": "smtp:same.example", "plain.example": ":", "below.example": "smtp:",
			"boss@plain.example": "uucp:home",
		},
		"hash:/senders": {"@gold.example": "gold:", "vip@silver.example": "DUNNO", "@silver.example": "gold:"},
		"hash:/relays":  {"@relayed.example": "[out.example]", "<>": "[bounces.example]"},
	}
	main = map[string]string{
		"mydestination":                           "mx.example, /etc/more",
		"virtual_alias_domains":                   "hash:/local",
		"relay_domains":                           "backup.example",
		"transport_maps":                          "pcre:/transports, inline:{ { routed.example = smtp:[hub.example] }, { .below.example = slow: }, { same.example = smtp:same.example } }",
		"sender_dependent_default_transport_maps": "hash:/senders",
		"sender_dependent_relayhost_maps":         "hash:/relays",
		"default_transport":                       "smtp",
	}
	cfg = config.DefaultConfig()
	cfg.Hostname = "millrace.example"
	cfg.Bulk.LocalDomains = []string{"ours.example"}
	mta = &MTA{Postfix: &Postfix{Main: main}, ReadFile: func(path string) (string, error) {
		if path != "/etc/more" {
			return "", errors.New("no such file")
		}
		return "# more\nsecond.example\n!third.example third.example\n", nil
	}}
	return tables, main, cfg, mta
}

func TestStaying(t *testing.T) {
	tables, main, cfg, mta := waysWorld()
	for _, tt := range []struct{ sender, rcpt, want string }{
		{"s@x.example", "a@far.example", ""},
		{"s@x.example", "A@FAR.example", ""},
		{"s@x.example", "a@mx.example", "mydestination"},
		{"s@x.example", "a@Second.example", "mydestination"},
		{"s@x.example", "a@third.example", ""},
		{"s@x.example", "a@hosted.example", "virtual_alias_domains"},
		{"s@x.example", "a@sub.backup.example", "relay_domains"},
		{"s@x.example", "a@ours.example", "local for Millrace"},
		{"s@x.example", "a@routed.example", "transport_maps sends it by smtp:[hub.example]"},
		{"s@x.example", "a@deep.below.example", "transport_maps sends it by slow"},
		{"s@x.example", "a@same.example", ""},
		{"s@x.example", "a@plain.example", ""},
		{"s@x.example", "Boss@plain.example", "transport_maps sends it by uucp:home"},
		{"s@x.example", "a@pattern.example", "transport_maps sends it by smtp:[filter.example]"},
		{"s@x.example", "b@pattern.example", ""},
		{"s@gold.example", "a@far.example", "sender_dependent_default_transport_maps sends it by gold"},
		{"vip@silver.example", "a@far.example", ""},
		{"s@relayed.example", "a@far.example", "sender_dependent_relayhost_maps sends it by smtp:[out.example]"},
		{"MAILER-DAEMON", "a@far.example", "sender_dependent_relayhost_maps sends it by smtp:[bounces.example]"},
		{"s@x.example", "a%b@far.example", "two ways"},
		{"s@x.example", "a@[192.0.2.1]", "two ways"},
		{"s@x.example", "\"a b\"@far.example", "two ways"},
		{"s@x.example", "#a@far.example", "two ways"},
		{"s@x.example", "a", "two ways"},
	} {
		got, err := Staying(t.Context(), Subject{MTA: mta, Config: cfg}, tables.look, []Pair{{tt.sender, tt.rcpt}})
		if err != nil {
			t.Fatal(err)
		}
		if got[0] != tt.want && (tt.want == "" || !strings.Contains(got[0], tt.want)) {
			t.Errorf("%s to %s: %q, want %q", tt.sender, tt.rcpt, got[0], tt.want)
		}
	}
	main["relayhost"] = "[smart.example]:587"
	for hops, want := range map[string]string{"": "relayhost sends it by smtp:[smart.example]:587", "[smart.example]:587": ""} {
		cfg.Bulk.NextHops = []string{hops}
		if hops == "" {
			cfg.Bulk.NextHops = nil
		}
		got, err := Staying(t.Context(), Subject{MTA: mta, Config: cfg}, tables.look, []Pair{{"s@x.example", "a@far.example"}})
		if err != nil || got[0] != want {
			t.Errorf("next_hops %q: %q %v, want %q", hops, got, err, want)
		}
	}
}

// TestStayingNeedsItsTables: without an answer nobody knows which domains are local.
func TestStayingNeedsItsTables(t *testing.T) {
	cfg := config.DefaultConfig()
	cfg.Hostname = "millrace.example"
	for name, value := range map[string]string{"mydestination": "/gone", "virtual_mailbox_domains": "mysql:/down", "transport_maps": "ldap:down"} {
		mta := &MTA{Postfix: &Postfix{Main: map[string]string{name: value}}, ReadFile: func(string) (string, error) { return "", errors.New("gone") }}
		_, err := Staying(t.Context(), Subject{MTA: mta, Config: cfg}, fakeTables{}.look, []Pair{{"s@x.example", "a@far.example"}})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s = %s: %v", name, value, err)
		}
	}
}
