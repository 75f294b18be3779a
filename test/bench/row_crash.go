package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// crashes is row 13: the crash harness, which is a program of its own.
func (b *rowBench) crashes() ([]figure, error) {
	const name = "crashes of all modes, with personalised campaigns: "
	if b.quick {
		return []figure{unmeasured(13, name+"broken promises", "at most 0", "not in the quick form: go test ./test/crash")}, nil
	}
	args := []string{"run", "./test/crash", "-json", "-profile", "ci"}
	if b.messages > 0 {
		args = append(args, "-n", strconv.Itoa(b.messages))
	}
	cmd := exec.Command("go", args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	var status *exec.ExitError
	if err != nil && !(errors.As(err, &status) && len(out) > 0) { // its status says what the figures say
		return nil, fmt.Errorf("%v: %w", cmd.Args, err)
	}
	return readCrashes(name, out)
}

// broken are the promises that a mode of the crash harness counts.
var broken = []string{"lost", "phantom", "altered", "wrong_recipient", "unexplained"}

// readCrashes adds the modes up, an object each.
func readCrashes(name string, out []byte) (list []figure, err error) {
	sums := make(map[string]float64)
	var ran, missing []string
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		mode := make(map[string]any)
		if err := d.Decode(&mode); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		if why, _ := mode["unavailable"].(string); why != "" {
			missing = append(missing, fmt.Sprintf("%v: %s", mode["mode"], why))
			continue
		}
		ran = append(ran, fmt.Sprint(mode["mode"]))
		for _, what := range broken {
			n, _ := mode[what].(float64)
			sums[what] += n
		}
	}
	note := strings.Join(ran, ", ")
	for _, what := range broken {
		list = append(list, atMost(13, name+strings.ReplaceAll(what, "_", " "), sums[what], 0, note))
	}
	for _, m := range missing {
		list = append(list, unmeasured(13, name+"a mode that cannot run here", "", m))
	}
	return list, nil
}
