package main

import (
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// splitter is the package that splits messages. It measures itself: only its own tests know its parts.
const splitter = "./relay/delta"

// split is row 10.
func (b *rowBench) split() ([]figure, error) {
	const name, exact = "splitting six shapes with 15 links: ", "join(split(x)) = x, truncations and mutations: tests that fail"
	n := b.count(2000, 50)
	out, err := exec.Command("go", "test", splitter, "-v", "-count=1", "-run", "^TestFigures$", "-figures", strconv.Itoa(n)).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("figures of %s: %w: %s", splitter, err, out)
	}
	t := readSplits(string(out))
	note := strings.Join(t.shapes, ", ")
	most := func(what string, goal float64) func(float64) figure {
		return func(v float64) figure { return atMost(10, name+what, v, goal, note) }
	}
	least := func(v float64) figure { return atLeast(10, name+"percent shared, the worst", v, 95, note) }
	list := []figure{
		overWorst(t.shared, slices.Min[[]float64], least),
		overWorst(t.split, slices.Max[[]float64], most("us to split, median of the worst", 40)),
		overWorst(t.late, slices.Max[[]float64], most("us to split, p99 of the worst", 80)),
	}
	if b.quick {
		return append(list, unmeasured(10, exact, "at most 0", "not in the quick form")), nil
	}
	failed, text := 0.0, ""
	mutations := strconv.Itoa(max(n, 100_000))
	if out, err := exec.Command("go", "test", splitter, "-mutations", mutations).CombinedOutput(); err != nil {
		failed, text = float64(max(1, strings.Count(string(out), "--- FAIL"))), ": "+string(out)
	}
	return append(list, atMost(10, exact, failed, 0, mutations+" mutations"+text)), nil
}

// overWorst is the worst shape as a figure, with the best and the worst beside it.
func overWorst(list []float64, worst func([]float64) float64, judge func(float64) figure) figure {
	if len(list) == 0 {
		return over(nil, judge)
	}
	f, least, most := judge(worst(list)), slices.Min(list), slices.Max(list)
	f.Min, f.Max = &least, &most
	return f
}

// splits is the table of the splitter's figures, its columns by shape.
type splits struct {
	shapes              []string
	shared, split, late []float64
}

// Columns of that table.
const (
	splitLinks  = 1
	splitShared = 5
	splitTook   = 6
	splitLate   = 7
	splitAll    = 13
)

// readSplits reads the rows of shapes with personal links.
func readSplits(text string) (t splits) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != splitAll || f[splitLinks] != strconv.Itoa(personalLinks) {
			continue
		}
		t.shapes = append(t.shapes, f[0])
		for at, to := range map[int]*[]float64{splitShared: &t.shared, splitTook: &t.split, splitLate: &t.late} {
			v, err := strconv.ParseFloat(f[at], 64)
			if err == nil {
				*to = append(*to, v)
			}
		}
	}
	return t
}
