package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestRunNamesWhatThereIs: each test that test/run withholds from the race detector stands in a package that test/run then runs
// without it, and each test that has fewer rows under the race detector is run without it too. Under another name, or elsewhere,
// a test would be left out, and nobody would notice.
func TestRunNamesWhatThereIs(t *testing.T) {
	packages, names := read(t, "computing"), append(read(t, "computed"), read(t, "parted")...)
	all, parted := testsOfTree(t)
	for _, name := range names {
		if in := all[name]; len(in) != 1 || !slices.Contains(packages, in[0]) {
			t.Errorf("test/run looks for %s in %q, and it stands in %q", name, packages, in)
		}
	}
	for _, name := range parted {
		if !slices.Contains(names, name) {
			t.Errorf("%s has fewer rows under the race detector: test/run must run it without, and name it in \"parted\"", name)
		}
	}
}

// read is the words of a variable in test/run.
func read(t *testing.T, variable string) []string {
	t.Helper()
	script, err := os.ReadFile("run")
	if err != nil {
		t.Fatal(err)
	}
	var words []string
	for _, m := range regexp.MustCompile(`(?m)^`+variable+`\+?=['(](.*?)[')]`).FindAllSubmatch(script, -1) {
		words = append(words, strings.FieldsFunc(string(m[1]), func(r rune) bool { return r == '|' || r == ' ' })...)
	}
	if len(words) == 0 {
		t.Fatalf("no %s in test/run", variable)
	}
	return words
}

// testsOfTree is the packages of each test by its name, and the tests that ask whether the race detector is on.
func testsOfTree(t *testing.T) (packages map[string][]string, parted []string) {
	t.Helper()
	packages = make(map[string][]string)
	err := filepath.WalkDir("..", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, "Test") {
				packages[f.Name.Name] = append(packages[f.Name.Name], "."+strings.TrimPrefix(filepath.Dir(path), ".."))
				if asksForRace(f) {
					parted = append(parted, f.Name.Name)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return packages, parted
}

func asksForRace(f *ast.FuncDecl) (asks bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		id, ok := n.(*ast.Ident)
		asks = asks || ok && (id.Name == "underRace" || id.Name == "raceStep")
		return true
	})
	return asks
}
