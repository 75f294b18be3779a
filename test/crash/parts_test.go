package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/test/standin"
)

// TestResultKeys: programs read the JSON by these names.
func TestResultKeys(t *testing.T) {
	var out bytes.Buffer
	r := Result{Mode: "kill", N: 3}
	if err := r.writeJSON(&out); err != nil {
		t.Fatal(err)
	}
	var keys map[string]any
	if err := json.Unmarshal(out.Bytes(), &keys); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"mode", "n", "lost", "phantom", "altered", "wrong_recipient", "duplicates", "window", "caught"} {
		if _, ok := keys[k]; !ok {
			t.Errorf("no key %q in %s", k, &out)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
}

func TestTable(t *testing.T) {
	broken := &Result{Mode: "power", N: 2, Lost: 1}
	for range 10 {
		broken.violate("lost: %s", "m1")
	}
	var out bytes.Buffer
	if err := writeTable(&out, []*Result{{Mode: "kill", N: 1}, broken, {Mode: "every", Unavailable: "no loop devices"}}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"held", "BROKEN", "not run: no loop devices", "power: lost: m1; and more like this"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, &out)
		}
	}
	if n := strings.Count(out.String(), "lost: m1"); n != maxViolations {
		t.Errorf("%d violations of a kind are told, not %d", n, maxViolations)
	}
}

// TestMailIsItself: the message that the stand-in offers is, byte for byte, the message that the ledger expects to
// arrive.
func TestMailIsItself(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		m := newMail(rng, "id7", false)
		d := m.offer()
		var raw bytes.Buffer
		for _, f := range d.Header {
			raw.WriteString(f.Name + ":" + strings.ReplaceAll(f.Value, "\n", "\r\n") + "\r\n")
		}
		raw.WriteString("\r\n")
		raw.Write(d.Body)
		if !bytes.Equal(raw.Bytes(), m.raw) {
			t.Fatalf("offered %q\nwant %q", raw.Bytes(), m.raw)
		}
		if id, ok := idOfSender(d.From); !ok || id != m.id {
			t.Fatalf("sender %q is of message %q", d.From, id)
		}
		for line := range strings.SplitSeq(string(m.raw), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("line of %d bytes is no mail: %.40q", len(line), line)
			}
		}
	}
	if _, ok := idOfSender("somebody@sender.test"); ok {
		t.Error("a sender that is not ours has an id")
	}
}

func TestPlainMail(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	for range 300 {
		m := newMail(rng, "x", true)
		if m.local != "" || slices.ContainsFunc(m.rcpts, func(r string) bool { return isRefused(r) || strings.HasSuffix(r, domains[2]) }) {
			t.Fatalf("plain mail for %q %q", m.rcpts, m.local)
		}
	}
}

func TestVerdictOf(t *testing.T) {
	m := &mail{id: "m1", rcpts: []string{"a@x", "b@y"}}
	for _, tt := range []struct {
		v     standin.Verdict
		fate  fate
		taken string
	}{
		{standin.Verdict{Action: standin.Discard}, answered, "a@x b@y"},
		{standin.Verdict{Action: standin.Accept, Deleted: []string{"<b@y>"}}, answered, "b@y"},
		{standin.Verdict{Action: standin.Accept}, passed, ""},
		{standin.Verdict{Action: standin.Tempfail}, passed, ""},
	} {
		f, taken := verdictOf(tt.v, m)
		if f != tt.fate || strings.Join(taken, " ") != tt.taken {
			t.Errorf("%+v: fate %d, taken %q", tt.v, f, taken)
		}
	}
}

// TestSpoil: each damage changes the data, and only where it was written.
func TestSpoil(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	kinds := make(map[string]int)
	for range 300 {
		data := append(bytes.Repeat([]byte{7}, 6000), make([]byte, 9000)...)
		got, what := spoil(slices.Clone(data), rng)
		if bytes.Equal(got, data) {
			t.Fatalf("%s changed nothing", what)
		}
		if len(got) == len(data) && !bytes.Equal(got[6000:], data[6000:]) {
			t.Fatalf("%s changed what was never written", what)
		}
		kinds[strings.Fields(what)[1]]++
	}
	if len(kinds) != 3 {
		t.Errorf("kinds of damage: %v", kinds)
	}
}

// TestFaultsFit: the source still holds each place that a seeded fault changes, once.
func TestFaultsFit(t *testing.T) {
	root, err := moduleRoot()
	if err != nil {
		t.Fatal(err)
	}
	if n := len(faults()); n != 12 {
		t.Errorf("%d faults", n)
	}
	files := make(map[string]string)
	for _, f := range faults() {
		for _, e := range f.edits {
			if err := e.apply(root, files); err != nil {
				t.Errorf("%s: %v", f.name, err)
			}
			if !strings.Contains(e.new, `"`+f.name+`"`) {
				t.Errorf("%s does not wait for its name", f.name)
			}
		}
	}
	if err := (edit{file: "snapshot/doc.go", old: "not there at all"}).apply(root, files); err == nil {
		t.Error("an edit that fits nowhere is no error")
	}
}

func TestModelResult(t *testing.T) {
	for _, tt := range []struct {
		out  string
		err  error
		want Result
	}{
		{"--- PASS: TestCrashModel (1.0s)\nPASS", nil, Result{N: 9}},
		{"testing: warning: no tests to run\nPASS", nil, Result{N: 9, Violations: []string{""}}},
		{"seed 1, cut at call 2: message 7 is lost", os.ErrInvalid, Result{N: 9, Lost: 1}},
		{"message 7: recipient 1 is lost", os.ErrInvalid, Result{N: 9, Lost: 1}},
		{"message 7: was never offered", os.ErrInvalid, Result{N: 9, Phantom: 1}},
		{"message 7: body altered", os.ErrInvalid, Result{N: 9, Altered: 1}},
	} {
		got := modelResult(9, tt.out, tt.err)
		if numbers(got) != numbers(tt.want) || got.N != 9 || got.held() != tt.want.held() {
			t.Errorf("%q: %s, held %v", tt.out, numbers(got), got.held())
		}
	}
}

// tappedEnv makes this binary the program that TestTap puts under a tap.
const tappedEnv = "MILLRACE_CRASH_TAPPED"

// TestTapped is the body of that program. It writes and syncs three times and prints the errors.
func TestTapped(t *testing.T) {
	dir := os.Getenv(tappedEnv)
	if dir == "" {
		t.Skip("is run by TestTap")
	}
	f, err := os.Create(filepath.Join(dir, "in", "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range 3 {
		_, werr := f.WriteAt([]byte("x"), int64(i))
		t.Log("write", i, werr, "sync", f.Sync())
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
}

// TestTap: calls on the state directory are counted in order and decided about. Calls elsewhere pass unseen.
func TestTap(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	var seen []string
	syncs := 0
	p := &tap{state: filepath.Join(dir, "in"), decide: func(c *call) decision {
		seen = append(seen, c.op+" "+c.path)
		if c.op == "fsync" {
			syncs++
		}
		return decision{errno: map[bool]unix.Errno{true: unix.EIO}[c.op == "fsync" && syncs == 2], lie: c.op == "fsync" && syncs == 3}
	}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run", "^TestTapped$", "-test.v")
	cmd.Env = append(os.Environ(), tappedEnv+"="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := p.launch(cmd); errors.Is(err, errUnavailable) && os.Getenv("CI") == "" {
		t.Skip(err)
	} else if err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait()
	<-p.done
	want := "open file, pwrite64 file, fsync file, pwrite64 file, fsync file, pwrite64 file, fsync file"
	if got := strings.Join(seen, ", "); got != want || p.n != 7 || p.err != nil {
		t.Errorf("saw %s, %d, %v\nwant %s", got, p.n, p.err, want)
	}
	for _, line := range []string{"write 0 <nil> sync <nil>", "write 1 <nil> sync sync " + p.state + "/file: input/output error", "write 2 <nil> sync <nil>"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("no %q: %v\n%s", line, err, &out)
		}
	}
}
