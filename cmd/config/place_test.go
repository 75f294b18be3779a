package config

import (
	"fmt"
	"os"
	"testing"
)

func TestPlaces(t *testing.T) {
	const text = `# a comment with [brackets] and key = 1
top = 1
"quoted key" = 2
'lit' . "esc\u0061ped" = 3

[ a . 'b.c' ] # comment
x = """
y = 1
[no]
""""	# five quotes in all
z = '''
it's'''
list = [ # comment ]
  1, [2, "]"], # nested
  { p = 1, "q" = { r.s = [ true ] } },
]
é"" = 0
[[t.u]]
n = 1
[t.u.v]
m = 1
[[t.u]]
n = 2
[[t.u.w]]
[[t.u.w]]
	last = 1979-05-27T07:32:00Z`
	p := locate(text)
	for _, test := range []struct {
		path         string
		line, column int
	}{
		{"top", 2, 7},
		{`"quoted key"`, 3, 16},
		{"lit.escaped", 4, 26},
		{"a", 6, 1},
		{`a."b.c"`, 6, 1},
		{`a."b.c".x`, 7, 5},
		{`a."b.c".z`, 11, 5},
		{`a."b.c".list`, 13, 8},
		{`a."b.c".list[0]`, 14, 3},
		{`a."b.c".list[1][1]`, 14, 10},
		{`a."b.c".list[2].p`, 15, 9},
		{`a."b.c".list[2].q.r.s[0]`, 15, 28},
		{"t.u", 18, 1},
		{"t.u[0].n", 19, 5},
		{"t.u[0].v.m", 21, 5},
		{"t.u[1]", 22, 1},
		{"t.u[1].n", 23, 5},
		{"t.u[1].w[1].last", 26, 9},
		// Not there: the nearest thing around it.
		{"t.u[1].w[0].none", 24, 1},
		{"t.u[7].none", 18, 1},
		{"none", 0, 0},
		{"", 0, 0},
	} {
		if line, column := p.position(test.path); line != test.line || column != test.column {
			t.Errorf("%s: %d:%d, want %d:%d", test.path, line, column, test.line, test.column)
		}
	}
	for path := range p.offset {
		if path == "y" || path == "no" {
			t.Errorf("%s was found inside a string", path)
		}
	}
}

func TestColumnsCountCharacters(t *testing.T) {
	if line, column := locate(`"é" = [ "ü", 1 ]`).position(`"é"[1]`); line != 1 || column != 14 {
		t.Errorf("%d:%d", line, column)
	}
}

// FuzzPlaces: every key that the parser finds in a text it accepts has a place.
func FuzzPlaces(f *testing.F) {
	for _, b := range badConfigs {
		f.Add(b.text)
	}
	text, err := os.ReadFile("testdata/full.toml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{
		string(text), "a.b.c = 1\na.d = {e.f = [[], [{g = 1}]]}", "[[a]]\n[[a.b]]\n[a.b.c]\n[[a.b]]", "a = '''x''''\nb = \"\"\"\\\"\"\"\"\"\"",
		"\"\\u00e9\" = 1\r\n'' = 2", "a = [\n#]\n]\nb = 1", "[[[", "a = {{{", "a = [[[[", "=", "a = \"", "a.", "[a", "\xff = 1",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p := locate(text)
		for path, off := range p.offset {
			if off < 0 || off > len(text) {
				t.Fatalf("%s at %d of %d", path, off, len(text))
			}
		}
		given, err := parse(text)
		if err == nil && len(text) < 10*maxNesting {
			checkPlaces(t, p, "", given)
		}
	})
}

func checkPlaces(t *testing.T, p *places, path string, given any) {
	if _, ok := p.offset[path]; !ok && path != "" {
		t.Fatalf("%s has no place in %q", path, p.text)
	}
	if table, ok := given.(map[string]any); ok {
		for key, v := range table {
			checkPlaces(t, p, join(path, key), v)
		}
	}
	if list, ok := elements(given); ok {
		for i, v := range list {
			checkPlaces(t, p, fmt.Sprintf("%s[%d]", path, i), v)
		}
	}
}
