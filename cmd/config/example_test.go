package config

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// commented is a line of configuration that stands in a comment.
var commented = regexp.MustCompile(`^# (\[\[?[a-z.]+\]\]?|("[^"]+"|[a-z0-9_]+) += .+)`)

// example is contrib/millrace.toml with some of its commented lines in force.
type example []string

// uncomment returns the text with these lines in force.
func (e example) uncomment(numbers ...int) string {
	lines := append([]string(nil), e...)
	for _, n := range numbers {
		lines[n] = strings.TrimPrefix(lines[n], "# ")
	}
	return strings.Join(lines, "\n")
}

// together are keys that a file cannot have without others.
var together = map[string][]string{
	"filter": {"reinject"}, "proxy": {"reinject"}, "submission": {"reinject"}, "users": {"submission", "reinject"},
	"evaluation": {"licence_keys"}, "tls_cert": {"tls_key"}, "tls_key": {"tls_cert"},
}

// with are the lines that the key in line n cannot be without.
func (e example) with(n int) (lines []int) {
	key, _, _ := strings.Cut(strings.TrimPrefix(e[n], "# "), " ")
	for i, line := range e {
		for _, other := range together[key] {
			if strings.HasPrefix(line, "# "+other+" ") {
				lines = append(lines, i)
			}
		}
	}
	return lines
}

// TestTheExampleUncommented takes the comment away from each line of configuration in the example, as an operator does:
// alone, with the header of its table, then table by table, then all at once.
func TestTheExampleUncommented(t *testing.T) {
	text, err := os.ReadFile("../../contrib/millrace.toml")
	if err != nil {
		t.Fatal(err)
	}
	e := example(strings.Split(string(text), "\n"))
	var all, table []int
	try := func(numbers ...int) {
		t.Helper()
		if _, err := loadText(e.uncomment(numbers...)); err != nil {
			t.Errorf("lines %d (counted from 0) uncommented: %v", numbers, err)
		}
	}
	try()
	for n, line := range e {
		switch {
		case !commented.MatchString(line):
			if strings.HasPrefix(line, "#") && strings.Contains(line, " = ") {
				t.Errorf("line %d looks like configuration and is not tested: %s", n+1, line)
			}
			continue
		case strings.HasPrefix(line, "# ["):
			try(table...)
			table = []int{n}
		case len(table) == 0: // a key of the top of the file
			try(n)
		default:
			if !strings.HasPrefix(e[table[0]], "# [[") { // a rule's name alone is no rule
				try(append([]int{table[0], n}, e.with(n)...)...)
			}
			table = append(table, n)
		}
		all = append(all, n)
	}
	try(table...)
	try(all...)
	if len(all) < 30 {
		t.Errorf("only %d lines of configuration", len(all))
	}
}
