package sink

import (
	"strings"
	"testing"
)

func TestParsePath(t *testing.T) {
	for _, c := range []struct {
		args, path, params string
		ok                 bool
	}{
		{"FROM:<a@b.test>", "a@b.test", "", true},
		{"from:<a@b.test> SIZE=10 BODY=8BITMIME", "a@b.test", "SIZE=10 BODY=8BITMIME", true},
		{"FROM:<>", "", "", true},
		{"FROM: <a@b.test>", "a@b.test", "", true},
		{`FROM:<"a>\"b"@c.test> RET=HDRS`, `"a>\"b"@c.test`, "RET=HDRS", true},
		{"FROM:<\xc3\xa4@b.test> SMTPUTF8", "\xc3\xa4@b.test", "SMTPUTF8", true},
		{"FROM:a@b.test", "", "", false},
		{"FROM:<a@b.test", "", "", false},
		{"FROM:<a@b.test>SIZE=1", "", "", false},
		{"FROM:<a b@c.test>", "", "", false},
		{"FROM:<a\x00b@c.test>", "", "", false},
		{"TO:<a@b.test>", "", "", false},
		{"FROM", "", "", false},
		{"", "", "", false},
	} {
		path, params, ok := parsePath([]byte(c.args), "FROM")
		if path != c.path || params != c.params || ok != c.ok {
			t.Errorf("%q: %q, %q, %v", c.args, path, params, ok)
		}
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add([]byte("TO:<a@b> NOTIFY=NEVER"))
	f.Add([]byte(`TO:<"\>"@b>`))
	f.Add([]byte("TO:<\"\\\x00\"@b>"))
	f.Fuzz(func(t *testing.T, args []byte) {
		path, params, ok := parsePath(args, "TO")
		if ok && (!strings.Contains(string(args), "<"+path+">") || strings.HasPrefix(params, " ")) {
			t.Fatalf("%q: %q, %q", args, path, params)
		}
		if strings.ContainsAny(path, "\r\n\x00") {
			t.Fatalf("control character in %q", path)
		}
	})
}

func TestParamsValue(t *testing.T) {
	p := Params{Mail: "RET=HDRS ENVID=a+2Bb SMTPUTF8", Rcpt: "notify=NEVER"}
	for key, want := range map[string]string{"RET": "HDRS", "envid": "a+2Bb", "SMTPUTF8": "", "NOTIFY": "NEVER"} {
		if v, ok := p.Value(key); !ok || v != want {
			t.Errorf("%s: %q, %v", key, v, ok)
		}
	}
	if _, ok := p.Value("ORCPT"); ok {
		t.Error("found what was not given")
	}
}
