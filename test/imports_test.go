// Package test holds what needs real parts; this file holds the house to its plan.
package test

import (
	"cmp"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/millrace/millrace/"

// allowed says which of our packages each may import. A folder not named here may import nothing of ours. Imports run
// one way: what stands above may import what stands below. The reasons stand in direction, by the importing package.
var allowed = map[string][]string{
	// The commands: they start the daemon, ask it through the console, and read the state directory without it.
	"cmd/millrace": {"cmd/config", "cmd/daemon", "cmd/demo", "cmd/rescue", "cmd/setup", "filter/preflight", "relay", "relay/console", "relay/delta", "snapshot", "relay/licence"},
	// The demonstration brings its own MTA and its own internet, which are those of the tests.
	"cmd/demo": {"cmd/config", "cmd/daemon", "relay/console", "test/sink", "test/standin"},
	// The wiring hands the parts to each other, so it knows them all.
	"cmd/daemon": {"cmd/config", "filter", "filter/milter", "filter/smtpd", "relay", "relay/smtp", "relay/route", "relay/pool", "relay/bounce", "relay/console", "relay/tally", "snapshot", "filter/preflight", "relay/brake", "relay/stream", "relay/history", "relay/licence"},
	// The check of the MTA holds the MTA's settings against ours, and asks filter what it would take.
	"cmd/setup": {"cmd/config", "filter", "filter/milter"},
	// A rescue changes the MTA's settings and asks the daemon; the door's package tells it how a rescue is named.
	"cmd/rescue": {"cmd/config", "cmd/setup", "filter", "filter/smtpd", "relay", "relay/console"},
	// The configuration is made of the parts' own tables; it imports their types and runs none of them.
	"cmd/config":       {"filter", "filter/milter", "filter/smtpd", "relay", "relay/smtp", "relay/route", "relay/pool", "relay/bounce", "relay/console", "relay/tally", "snapshot", "relay/brake", "relay/stream", "relay/history", "relay/licence"},
	"filter/milter":    {"filter", "relay"},
	"filter/smtpd":     {"filter", "relay"},
	"filter":           {"filter/preflight", "relay", "relay/smtp"}, // the wire's question what form a message has is answered while it comes
	"relay/pool":       {"relay", "relay/route", "relay/smtp"},      // asks route where mail goes
	"relay/route":      {},
	"relay/bounce":     {"relay", "relay/smtp"},
	"relay/console":    {"relay"},
	"relay/tally":      {"relay", "relay/packed", "relay/smtp"}, // asks the wire which class a refusal is of
	"relay/stream":     {"relay", "relay/smtp"},
	"relay/history":    {"relay", "relay/packed", "relay/smtp"},
	"relay/licence":    {"relay"},
	"snapshot":         {"relay", "snapshot/format"},
	"relay":            {"relay/delta", "relay/smtp"},
	"relay/delta":      {"relay/packed"},
	"relay/packed":     {},
	"relay/smtp":       {},
	"filter/preflight": {},
	"relay/brake":      {"relay", "relay/smtp"},

	"snapshot/format": {"relay/packed"}, // bytes only: the journal must not change when the heart does
}

// direction says, of each package in allowed, why its imports end where they end. The failure message quotes it.
var direction = map[string]string{
	"cmd/millrace": "it is the command line: it starts the daemon, or asks it through the console, or reads a state directory " +
		"without it; work of its own would be out of every test's reach",
	"cmd/demo": "the demonstration brings its own MTA and receivers, which are those of the tests; no other package of the " +
		"product may link test code",
	"cmd/daemon": "it wires the parts and is the only one that knows them all; a part that imported it could not be used or " +
		"tested without all the others",
	"cmd/setup": "it compares two configurations, and decides nothing about mail that filter does not decide; it must be possible to " +
		"run it where no daemon can run",
	"cmd/rescue": "it runs beside the daemon, as root, and speaks to the daemon over its sockets alone; it must be possible to undo a " +
		"rescue where no daemon runs",
	"cmd/config": "the configuration consists of the parts' own tables, so it imports their types; the parts do not import it, " +
		"because they get values and know no file",
	"filter/milter": "a door turns its protocol into filter's questions and relay's messages; which parts stand behind the queue " +
		"map must not matter to it",
	"filter/smtpd": "a door turns its protocol into filter's questions and relay's messages; the doors do not know each other, " +
		"because what they share is in filter",
	"filter": "it decides about an offered message before anything is taken; it must be possible to ask it without a network " +
		"and a disk; of the wire it uses the walk over a message's bytes, which does no I/O",

	"filter/preflight": "it compares a header with rules: a command runs it on a file, without a daemon and without a network",
	"relay/brake":      "it counts what events say and gives an order; where a site belongs it is told, so that it can be tested with events alone",
	"relay/pool":       "it brings visits to connections: it needs the queue's visits, the route and the wire, and no file or door",
	"relay/route":      "an answer of DNS does not depend on mail: the resolver is a leaf that can be tested with names alone",
	"relay/bounce":     "a report is made from a message and the replies of receivers to it, and from nothing else",
	"relay/console":    "it shows what relay's types say; of the parts it gets only values to encode, so that a new part needs no change here",
	"relay/tally": "it counts relay's events and reads and writes its counters as bytes: the journal that keeps them, and the face that shows them, " +
		"are above it",
	"relay/stream":  "records are made of relay's events, and of nothing else: whoever has another kind of event hands over a value",
	"relay/history": "it writes down what relay's events say, and finds it again; who asks for it must not matter to it",
	"relay/licence": "it counts recipients and asks nothing of the other parts: the numbers come through its Counter, and what refuses mail is " +
		"relay's gate",
	"snapshot": "it records relay's messages, with the replies of receivers in them, and gives them back; it must recover " +
		"without doors and network",
	"snapshot/format": "the bytes of the files are a leaf: a tool or a test reads them without an agent",
	"relay": "the heart holds no milter, DNS, TOML, HTTP or file code: the parts import it, and an import back would be a ring; " +
		"its interfaces stand here and are implemented outside",
	"relay/delta":  "it compares bytes with bytes, and what it writes must mean the same to every later version of the program",
	"relay/packed": "it reads fields out of bytes for those who have a format, and knows none of them",
	"relay/smtp":   "the wire is a leaf: it delivers bytes and knows no queue, so that it can be held against transcripts",
}

// only says which packages may import a library. The reasons stand in alone, by the library.
var only = map[string][]string{
	"github.com/emersion/go-milter":      {"filter/milter"},
	"github.com/miekg/dns":               {"relay/route", "test/dns"},
	"github.com/BurntSushi/toml":         {"cmd/config"},
	"net/http":                           {"relay/console", "relay/stream", "relay/licence", "cmd/millrace"},
	"github.com/klauspost/compress/zstd": {"relay/stream"},
	"testing":                            {"test/..."},
}

// alone says why a library may be imported there alone. The failure message quotes it.
var alone = map[string]string{
	"github.com/emersion/go-milter": "its server has faults that the door works around, for instance by one server for each connection; " +
		"another importer would meet them unprotected",
	"github.com/miekg/dns":       "answers are cached in one place, with one idea of how long they hold; the name server of the tests is its peer",
	"github.com/BurntSushi/toml": "the configuration is read strictly, with the place of every error; a second reader would not be strict",
	"net/http": "the daemon serves HTTP on its control socket and nowhere else, so that nobody reaches it over the network by mistake; " +
		"it asks over HTTP for webhooks, through a dialer that keeps out of private networks, and for its licence; " +
		"\"millrace licence serve\" is a program of its own",
	"github.com/klauspost/compress/zstd": "only files that nobody writes to any more are compressed; a format of the disk that depended on a " +
		"library could not be read by another",
	"testing": "what works on a *testing.T is test code; a program of the product would link it and never call it",
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
		t.Errorf("%s must not import %s: %s", name, target, reason(direction[name]))
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
	t.Errorf("%s must not import %s, only %s may: %s", name, imp, strings.Join(who, ", "), reason(alone[imp]))
}

func reason(text string) string {
	return cmp.Or(text, "it is not in the plan; if it should be, add it here with the reason")
}

// TestEveryRuleHasAReason: a failure of TestImportsRunOneWay must say why the rule stands.
func TestEveryRuleHasAReason(t *testing.T) {
	for name := range allowed {
		if direction[name] == "" {
			t.Errorf("allowed names %s, and direction does not say why its imports end there", name)
		}
	}
	for library := range only {
		if alone[library] == "" {
			t.Errorf("only names %s, and alone does not say why it may be imported there alone", library)
		}
	}
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
