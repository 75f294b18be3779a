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
	// The commands: they start the daemon, ask it through the console, and read the state directory without it.
	"cmd/millrace": {"cmd/config", "cmd/daemon", "cmd/demo", "relay", "relay/console", "snapshot"},
	// The demonstration brings its own MTA and its own internet, which are those of the tests.
	"cmd/demo": {"cmd/config", "cmd/daemon", "relay/console", "test/sink", "test/standin"},
	// The wiring hands the parts to each other, so it knows them all.
	"cmd/daemon": {"cmd/config", "filter", "filter/milter", "filter/smtpd", "relay", "relay/smtp", "relay/route", "relay/pool", "relay/bounce", "relay/console", "snapshot"},
	// The configuration is made of the parts' own tables; it imports their types and runs none of them.
	"cmd/config":    {"filter", "filter/milter", "filter/smtpd", "relay", "relay/smtp", "relay/route", "relay/pool", "relay/bounce", "relay/console", "snapshot"},
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
	"github.com/BurntSushi/toml":    {"cmd/config"},
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

// TestPackagersLeaveTheDemoOut: a program built with -tags nodemo holds nothing of the tests. A mail server has no use for
// a sink that accepts everything.
func TestPackagersLeaveTheDemoOut(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-tags", "nodemo", "./cmd/millrace")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := strings.Fields(string(out))
	if !slices.Contains(deps, module+"cmd/daemon") {
		t.Fatalf("%d packages, and the daemon is none of them", len(deps))
	}
	for _, dep := range deps {
		if strings.HasPrefix(dep, module+"test/") || dep == module+"cmd/demo" || dep == "testing" {
			t.Errorf("cmd/millrace with -tags nodemo links %s", dep)
		}
	}
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
