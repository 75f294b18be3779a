// Package test holds what needs real parts; this file holds the house to its plan.
package test

import (
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/millrace/millrace/"

// allowed says which of our packages each may import. A folder not named here may import nothing of ours; "x/..." names
// a folder and all below it. Imports run one way: what stands above may import what stands below.
var allowed = map[string][]string{
	"cmd/millrace":  {"cmd/daemon", "relay", "relay/console", "relay/smtp", "snapshot", "test/sink", "test/standin"}, // the demo brings its own internet
	"cmd/daemon":    {"filter", "filter/milter", "filter/smtpd", "relay", "relay/smtp", "relay/route", "relay/pool", "relay/bounce", "relay/console", "snapshot"},
	"filter/milter": {"filter", "relay"},
	"filter/smtpd":  {"filter", "relay"},
	"filter":        {"relay"},
	"relay/pool":    {"relay", "relay/route", "relay/smtp"}, // asks route where mail goes
	"relay/route":   {},
	"relay/bounce":  {"relay", "relay/smtp"},
	"relay/console": {"relay"},
	"snapshot":      {"relay", "relay/smtp"},
	"relay":         {"relay/smtp"},
	"relay/smtp":    {},
}

// only says which packages may import a library.
var only = map[string][]string{
	"github.com/emersion/go-milter": {"filter/milter"},
	"github.com/miekg/dns":          {"relay/route", "test/dns"},
	"github.com/BurntSushi/toml":    {"cmd/daemon"},
	"net/http":                      {"relay/console"},
	"testing":                       {"test/..."},
}

type listed struct {
	ImportPath string
	Imports    []string
}

func TestImportsRunOneWay(t *testing.T) {
	for _, p := range packages(t) {
		name := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			checkHouse(t, name, imp)
			checkLibrary(t, name, imp)
		}
	}
}

func checkHouse(t *testing.T, name, imp string) {
	target, ours := strings.CutPrefix(imp, module)
	if !ours || strings.HasPrefix(name, "test") {
		return
	}
	if !slices.Contains(allowed[name], target) {
		t.Errorf("%s imports %s, against the house's plan", name, target)
	}
}

func checkLibrary(t *testing.T, name, imp string) {
	who, limited := only[imp]
	if !limited {
		return
	}
	for _, w := range who {
		if w == name || strings.HasSuffix(w, "/...") && strings.HasPrefix(name, strings.TrimSuffix(w, "...")) {
			return
		}
	}
	t.Errorf("%s imports %s; only %s may", name, imp, strings.Join(who, ", "))
}

func packages(t *testing.T) []listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []listed
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	if len(all) < 8 {
		t.Fatalf("go list names only %d packages", len(all))
	}
	return all
}
