package config

import (
	"strings"
	"testing"
)

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"order", "order", 0},
		{"odrer", "order", 1}, {"oder", "order", 1}, {"orderr", "order", 1}, {"orden", "order", 1},
		{"max_lenght", "max_length", 1}, {"kitten", "sitting", 3}, {"ab", "ba", 1}, {"abcd", "badc", 2},
	} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("%q %q: %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestNearest(t *testing.T) {
	words := []string{"ack", "hostname", "max_age", "max_bytes", "max_length", "mode", "order"}
	for given, want := range map[string]string{
		"mode": "mode", "MODE": "mode", "hostnme": "hostname", "host_name": "hostname", "max-length": "max_length",
		"maxlength": "max_length", "xyz": "", "m": "", "": "", "colour": "", strings.Repeat("m", 1000): "",
	} {
		if got := nearest(given, words); got != want {
			t.Errorf("%q: %q, want %q", given, got, want)
		}
	}
}
