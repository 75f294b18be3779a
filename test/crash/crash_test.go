package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/millrace/millrace/test/daemon"
)

func TestMain(m *testing.M) {
	if launched() {
		os.Exit(launch(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// TestModes runs each mode with small numbers. A mode that cannot run on this machine is skipped, or fails when CI is
// set.
func TestModes(t *testing.T) {
	small := map[string]int{
		"kill": 6, "stop": 3, "power": 6, "corrupt": 12, "every": 150, "ioerr": 120, "selftest": 3, "model": 1000,
	}
	dir, err := workDir("")
	if err != nil {
		t.Fatal(err)
	}
	r := &run{dir: dir, seed: 1, places: new(atomic.Int64)}
	if r.bin, err = daemon.Build(dir); err != nil {
		t.Fatal(err)
	}
	for _, m := range modes() {
		t.Run(m.name, func(t *testing.T) { tryMode(t, r, m, small[m.name]) })
	}
	if t.Failed() {
		t.Log("the working directory is kept:", dir)
	} else if err := os.RemoveAll(dir); err != nil {
		t.Error(err)
	}
}

func tryMode(t *testing.T, r *run, m mode, n int) {
	res, err := r.one(m, settings{n: n})
	if err != nil {
		t.Fatal(err)
	}
	if res.Unavailable != "" && os.Getenv("CI") == "" {
		t.Skip(res.Unavailable)
	}
	if !res.held() || res.N == 0 || n == 0 || res.Unavailable != "" || m.name == "selftest" && res.Caught != n {
		t.Errorf("%+v", res)
	}
}

// TestCommand: a pipeline reads one JSON object and an exit status.
func TestCommand(t *testing.T) {
	var out, errs bytes.Buffer
	status := command([]string{"-mode", "kill", "-n", "1", "-json", "-quiet"}, &out, &errs)
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil || status != 0 || r.Mode != "kill" || r.N < 1 {
		t.Errorf("status %d, %v: %s%s", status, err, &out, &errs)
	}
}

func TestFlags(t *testing.T) {
	for _, tt := range []struct {
		args   string
		status int
		says   string
	}{
		{"-mode nonsense", 2, `"nonsense" is none of kill, `},
		{"-profile some", 2, `neither "ci" nor "full"`},
		{"kill", 2, "only flags"},
		{"-n many", 2, "invalid value"},
		{"-help", 2, "-seed"},
	} {
		var out, errs bytes.Buffer
		status := command(strings.Fields(tt.args), &out, &errs)
		if status != tt.status || !strings.Contains(errs.String(), tt.says) {
			t.Errorf("%s: status %d, %s", tt.args, status, &errs)
		}
	}
}

func TestChosen(t *testing.T) {
	all, err := chosen("all")
	if err != nil || len(all) != len(modes()) {
		t.Errorf("all: %d modes, %v", len(all), err)
	}
	two, err := chosen("power,kill")
	if err != nil || len(two) != 2 || two[0].name != "power" {
		t.Errorf("power,kill: %v, %v", two, err)
	}
}
