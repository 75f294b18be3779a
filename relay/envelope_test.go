package relay

import (
	"slices"
	"testing"
)

func TestDistinct(t *testing.T) {
	cases := []struct {
		name string
		in   []string
		want []string
	}{
		{"one", []string{"a@x"}, []string{"a@x"}},
		{"same", []string{"a@x", "a@x"}, []string{"a@x"}},
		{"case", []string{"Ann@X.Example", "ann@x.example"}, []string{"Ann@X.Example"}},
		{"needless quotes", []string{`"ann"@x`, "ann@x"}, []string{`"ann"@x`}},
		{"escaped in quotes", []string{`"a\nn"@x`, "ann@x"}, []string{`"a\nn"@x`}},
		{"needed quotes", []string{`"a b"@x`, "ab@x"}, []string{`"a b"@x`, "ab@x"}},
		{"at in quotes", []string{`"a@b"@x`, `"a@b"@y`}, []string{`"a@b"@x`, `"a@b"@y`}},
		{"domains differ", []string{"a@x", "a@y"}, []string{"a@x", "a@y"}},
		{"order of first mention", []string{"b@x", "a@x", "b@x", "c@x"}, []string{"b@x", "a@x", "c@x"}},
		{"no domain", []string{"root", "ROOT"}, []string{"root"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var e Envelope
			for _, a := range c.in {
				e.Rcpts = append(e.Rcpts, Rcpt{Addr: a})
			}
			e.Distinct()
			var got []string
			for _, r := range e.Rcpts {
				got = append(got, r.Addr)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestDomain(t *testing.T) {
	for in, want := range map[string]string{"a@x.y": "x.y", `"a@b"@c`: "c", "none": "", "": "", "a@": ""} {
		if got := Domain(in); got != want {
			t.Errorf("Domain(%q) = %q, want %q", in, got, want)
		}
	}
}

func FuzzDistinct(f *testing.F) {
	f.Add("a@x", `"a"@x`)
	f.Add(`"\`, `"@`)
	f.Fuzz(func(t *testing.T, a, b string) {
		e := Envelope{Rcpts: []Rcpt{{Addr: a}, {Addr: b}, {Addr: a}}}
		e.Distinct()
		if len(e.Rcpts) > 2 || e.Rcpts[0].Addr != a {
			t.Fatalf("kept %v", e.Rcpts)
		}
	})
}
