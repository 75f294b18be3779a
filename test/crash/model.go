package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// The crash model is a test of package snapshot, because only the package's own tests can replace its file system.
const (
	modelPackage = "github.com/millrace/millrace/snapshot"
	modelTest    = "TestCrashModel"
)

// modelMode has the crash model recover from n states of a file system in memory. A state is what a crash at some
// operation leaves: data that was not synced is lost, kept, torn or reordered.
func modelMode(r *run, n int) (Result, error) {
	return r.model(options{}, "", n)
}

// model builds the test, with this overlay unless it is "", and runs it in the environment of o.
func (r *run) model(o options, overlay string, n int) (Result, error) {
	bin := filepath.Join(r.dir, "snapshot.test")
	args := []string{"test", "-c", "-o", bin}
	if overlay != "" {
		args = append(args, "-overlay", overlay)
	}
	if out, err := exec.Command("go", append(args, modelPackage)...).CombinedOutput(); err != nil {
		return Result{}, fmt.Errorf("build the crash model: %w\n%s", err, out)
	}
	cmd := exec.Command(bin, "-test.run", "^"+modelTest+"$", "-test.timeout", "2h", "-test.v", "-states", fmt.Sprint(n))
	cmd.Env = append(cmd.Environ(), o.env...)
	out, err := cmd.CombinedOutput()
	return modelResult(n, string(out), err), nil
}

var modelLost = regexp.MustCompile(`\b(message|recipient) \d+ is lost`)

// modelResult makes a result of the test's output. The test ends with its first failure, so there is at most one.
func modelResult(n int, out string, err error) Result {
	res := Result{N: n}
	if err == nil && strings.Contains(out, "--- PASS: "+modelTest) {
		return res
	}
	switch {
	case modelLost.MatchString(out):
		res.Lost++
	case strings.Contains(out, "was never offered"):
		res.Phantom++
	case strings.Contains(out, "altered"):
		res.Altered++
	}
	res.violate("the crash model: %v: %.2000s", err, out)
	return res
}
