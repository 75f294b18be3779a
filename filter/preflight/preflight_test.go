package preflight

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// now is when the campaigns of testdata are examined.
var now = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// prepared are the campaigns of testdata, each with the faults that it has.
var prepared = map[string][]string{
	"good":                {},
	"good-two-signatures": {},
	"good-subdomain":      {},
	"good-oversigned":     {},

	"not-signed":         {"dkim-missing"},
	"not-aligned":        {"dkim-not-aligned"},
	"not-aligned-suffix": {"dkim-not-aligned"},
	"expired":            {"dkim-expired"},
	"from-the-future":    {"dkim-future"},
	"length":             {"dkim-length"},
	"twice-a-tag":        {"dkim-unreadable"},
	"no-selector":        {"dkim-unreadable"},
	"subject-not-signed": {"dkim-fields"},
	"post-not-signed":    {"unsubscribe-unsigned"},

	"no-unsubscribe":  {"unsubscribe-missing"},
	"mailto-alone":    {"unsubscribe-not-https"},
	"bare-address":    {"unsubscribe-unreadable"},
	"no-one-click":    {"one-click-missing"},
	"wrong-one-click": {"one-click-wrong"},

	"no-from":                        {"from-missing"},
	"two-from":                       {"from-repeated"},
	"broken-from":                    {"from-unreadable"},
	"two-authors":                    {"from-several"},
	"no-date-no-id":                  {"date-missing", "message-id-missing"},
	"two-dates-two-ids-two-subjects": {"date-repeated", "message-id-repeated", "subject-repeated"},
	"broken-date":                    {"date-unreadable"},
	"old-date":                       {"date-far"},
	"eight-bit":                      {"header-8bit"},
	"large":                          {"large"},
}

func codes(all []Fault) []string {
	list := []string{}
	for _, f := range all {
		list = append(list, f.Code)
	}
	return list
}

// TestPrepared: each fault of a prepared campaign is named, and no other.
func TestPrepared(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.eml")
	if err != nil || len(paths) != len(prepared) {
		t.Fatalf("%d files for %d campaigns, %v", len(paths), len(prepared), err)
	}
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want := prepared[strings.TrimSuffix(filepath.Base(path), ".eml")]
		for _, ends := range []string{"\r\n", "\n"} {
			got := Examine(Letter{Header: bytes.ReplaceAll(raw, []byte("\r\n"), []byte(ends)), Size: int64(len(raw)), Time: now})
			if !slices.Equal(codes(got), want) {
				t.Errorf("%s: %+v, want %q", path, got, want)
			}
			for _, f := range got {
				if f.Text == "" || f.Repair == "" {
					t.Errorf("%s: %+v says too little", path, f)
				}
			}
		}
	}
}

// TestEveryCode: no code stands without a campaign or a machine that has it.
func TestEveryCode(t *testing.T) {
	seen := map[string]bool{"ptr-missing": true, "ptr-not-back": true, "ptr-not-helo": true, "tls-off": true, "unsubscribe-repeated": true}
	for _, list := range prepared {
		for _, code := range list {
			seen[code] = true
		}
	}
	for _, code := range Codes() {
		if !seen[code] {
			t.Errorf("%s is never shown", code)
		}
		delete(seen, code)
	}
	if len(seen) > 0 {
		t.Errorf("no codes: %v", seen)
	}
}

// TestPageListsThem: the page for users has every code.
func TestPageListsThem(t *testing.T) {
	page, err := os.ReadFile("../../contrib/PREFLIGHT.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range Codes() {
		if !bytes.Contains(page, []byte("`"+code+"`")) {
			t.Errorf("%s is not in contrib/PREFLIGHT.md", code)
		}
	}
}

// TestExamine: what the prepared campaigns do not show.
func TestExamine(t *testing.T) {
	good, err := os.ReadFile("testdata/good.eml")
	if err != nil {
		t.Fatal(err)
	}
	eight, _ := os.ReadFile("testdata/eight-bit.eml")
	without, _ := os.ReadFile("testdata/no-unsubscribe.eml")
	header := func(from, to string) []byte { return []byte(strings.Replace(string(good), from, to, 1)) }
	for _, c := range []struct {
		name   string
		letter Letter
		want   []string
	}{
		{"nothing", Letter{}, []string{"from-missing", "date-missing", "message-id-missing", "dkim-missing", "unsubscribe-missing"}},
		{"8-bit with SMTPUTF8", Letter{Header: eight, UTF8: true}, nil},
		{"urgent", Letter{Header: without, Urgent: true}, nil},
		{"at the hint", Letter{Header: good, Size: SizeHint}, nil},
		{"above it", Letter{Header: good, Size: SizeHint + 1}, []string{"large"}},
		{"an hour ahead", Letter{Header: header("09:00:00", "13:00:00")}, nil},
		{"a day ahead", Letter{Header: header("26 Nov", "27 Nov")}, []string{"date-far"}},
		{"an unknown charset", Letter{Header: header("Shop News", "=?x-none?q?=FE?=")}, nil},
		{"a domain in UTF-8", Letter{Header: []byte(strings.NewReplacer("d=shop", "d=xn--bcher-kva", "@shop", "@bücher").Replace(string(good))), UTF8: true}, nil},
		{"a group", Letter{Header: header("Shop News <news@shop.example>", "nobody:;")}, []string{"from-unreadable"}},
		{"two fields to unsubscribe", Letter{Header: header("\r\nList-Unsubscribe:", "\r\nList-Unsubscribe: <https://a.example/>\r\nList-Unsubscribe:")}, []string{"unsubscribe-repeated"}},
		{"x before t", Letter{Header: header("bh=", "t=2; x=1; bh=")}, []string{"dkim-unreadable"}},
		{"t is no number", Letter{Header: header("bh=", "t=soon; bh=")}, []string{"dkim-unreadable"}},
		{"From is not signed", Letter{Header: header("h=From:", "h=")}, []string{"dkim-unreadable"}},
		{"another version", Letter{Header: header("v=1", "v=2")}, []string{"dkim-unreadable"}},
		{"a body with 8 bits", Letter{Header: append(slices.Clip(good), "\r\nGr\xfc\xdfe\r\n"...)}, nil},
		{"the best of bad signatures", Letter{Header: header("DKIM-Signature: ", "DKIM-Signature: v\r\nDKIM-Signature: l=1; ")}, []string{"dkim-length"}},
	} {
		c.letter.Time = now
		if got := codes(Examine(c.letter)); !slices.Equal(got, append([]string{}, c.want...)) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	if got := codes(ExamineSize(SizeHint + 1)); !slices.Equal(got, []string{"large"}) {
		t.Errorf("%q", got)
	}
}

// TestHostile: what a header has is looked at, and told, up to a bound.
func TestHostile(t *testing.T) {
	long := strings.Repeat("ü", maxDomain)
	if got := asASCII(long); got != long {
		t.Errorf("A-labels were made of %d bytes", len(long))
	}
	if got := asASCII("Bücher.example."); got != "xn--bcher-kva.example" {
		t.Errorf("%q", got)
	}
	for _, value := range parse([]byte("From: " + strings.Repeat("\r\n a", maxLength) + "\r\nDate: x\r\n"))["from"] {
		if len(value) > maxLength {
			t.Errorf("%d bytes of From", len(value))
		}
	}
	const tags = "DKIM-Signature: v=1; a=x; b=x; bh=x; s=s; h=from; l=1; t=99999999999; x=99999999999; d="
	for _, f := range Examine(Letter{Header: []byte("Subject: x\r\n" + tags + strings.Repeat("a", maxLength) + "\r\n"), Time: now}) {
		if len(f.Text) > 3*maxValue {
			t.Errorf("%s: a text of %d bytes", f.Code, len(f.Text))
		}
	}
}

// TestURIs: what RFC 2369 allows in List-Unsubscribe, and what it does not.
func TestURIs(t *testing.T) {
	for value, want := range map[string][]string{
		"":                      nil,
		"<https://a.example/x>": {"https://a.example/x"},
		"<mailto:a@b.example?subject=x> , <https://a.example/>": {"mailto:a@b.example?subject=x", "https://a.example/"},
		"(by <web>) <https://a.example/> (or \\) <not>)":        {"https://a.example/"},
		"<https://a.example/\t x>":                              {"https://a.example/x"},
		"<https://a.example/":                                   nil,
		"<>":                                                    nil,
		"https://a.example/":                                    nil,
	} {
		if got := parseURIs(value); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	for uri, want := range map[string]bool{"https://a.example": true, "HTTPS://a.example/": true, "http://a.example": false, "https:///x": false, "https://%zz": false} {
		if got := anyHTTPS([]string{uri}); got != want {
			t.Errorf("%q: %v", uri, got)
		}
	}
}

// TestMachine: PTR, the way back, and the name in EHLO.
func TestMachine(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.10")
	for want, s := range map[string]Source{
		"ptr-missing":  {Addr: addr, Helo: "a.example"},
		"ptr-not-back": {Addr: addr, Helo: "a.example", Names: []string{"a.example"}},
		"ptr-not-helo": {Addr: addr, Helo: "a.example", Names: []string{"b.example"}, Back: []string{"b.example"}},
		"":             {Addr: addr, Helo: "a.example", Names: []string{"b.example", "A.example."}, Back: []string{"A.example."}},
	} {
		if got := strings.Join(codes(ExamineMachine([]Source{s}, false)), " "); got != want {
			t.Errorf("%+v: %q, want %q", s, got, want)
		}
	}
	literal := Source{Addr: addr, Helo: "[192.0.2.10]", Names: []string{"b.example"}, Back: []string{"b.example"}}
	if got := codes(ExamineMachine([]Source{literal}, true)); !slices.Equal(got, []string{"tls-off"}) {
		t.Errorf("%q", got)
	}
}

// FuzzTags: a tag list that is read has what it says, and reading it again says the same.
func FuzzTags(f *testing.F) {
	for _, seed := range []string{"", "v=1; a=b;", "d=x; d=y", "=;;=", "h = From :\t To ; l=1", strings.Repeat("a=1;", 100)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		tags, err := parseTags(value)
		if err != nil {
			return
		}
		if len(tags) > maxTags {
			t.Fatalf("%d tags", len(tags))
		}
		text := ""
		for name, value := range tags {
			text += fmt.Sprintf("%s=%s;", name, value)
		}
		if again, err := parseTags(text); err != nil || !reflect.DeepEqual(again, tags) {
			t.Errorf("%q: %q, then %q, %v", value, tags, again, err)
		}
		_, _ = parseSignature(value)
	})
}

// FuzzURIs: each address is in the value, but for its blanks, and has no bracket.
func FuzzURIs(f *testing.F) {
	for _, seed := range []string{"<https://a.example/>", "(a(b)c) <x>,<y>", "<\t<>", "\\(<a>"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		uris := parseURIs(value)
		if len(uris) > maxURIs {
			t.Fatalf("%d addresses", len(uris))
		}
		flat := strings.Join(strings.Fields(value), "")
		for _, uri := range uris {
			if uri == "" || strings.ContainsAny(uri, "> \t") || !strings.Contains(flat, uri) {
				t.Errorf("%q: %q", value, uri)
			}
		}
		anyHTTPS(uris)
	})
}

// FuzzExamine: any header has an answer, and every fault a code that is known.
func FuzzExamine(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.eml")
	for _, path := range paths {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw[:min(len(raw), 2000)])
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, fault := range Examine(Letter{Header: raw, Time: now}) {
			if fault.Repair == "" || len(fault.Text) > 2000 {
				t.Errorf("%+v", fault)
			}
		}
	})
}

func BenchmarkExamine(b *testing.B) {
	raw, err := os.ReadFile("testdata/good.eml")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		Examine(Letter{Header: raw, Time: now})
	}
}
