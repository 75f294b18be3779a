package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Scenario is one file of test/sim/scenarios. Each line is a statement; the first word says of which kind. "#" begins a comment.
//
//	slow                               it takes seconds: see Scenario.slow
//	title   words                      what is shown
//	config  key = value                a line of millrace.toml, as "retry.lifetime = \"24h\""
//	site    NAME mood...               a receiver: its name is its domain; domains=N gives it N, latency=D sets its distance
//	source  NAME to=A,B count=N ...    a client of the MTA: rate=N a second, sessions=N, rcpts=N, size=BYTES, start=D
//	at      D action...                see World.act
//	run     D                          how long; ends before when nothing is left to do, unless "run D whole"
//	expect  NAME figure OP number      NAME is a site, or "all"; a duration counts in seconds
type Scenario struct {
	name    string
	text    string
	seed    uint64 // of a random day; else 0
	title   string
	config  []string
	sites   []siteLine
	sources []Source
	actions []action
	length  time.Duration
	whole   bool
	slow    bool // takes seconds: the tests leave it out under the race detector
	expects []expect
}

type siteLine struct {
	name    string
	domains int
	latency time.Duration
	mood    Mood
}

// action is something that happens.
type action struct {
	at    time.Duration
	words []string
}

// expect is what must hold at the end.
type expect struct {
	name, figure, op string
	value            float64
	text             string
}

// readScenario reads a file.
func readScenario(path string) (*Scenario, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseScenario(strings.TrimSuffix(filepath.Base(path), ".txt"), string(text))
}

// parseScenario reads a scenario. Its errors name the line.
func parseScenario(name, text string) (*Scenario, error) {
	s := &Scenario{name: name, text: text, length: time.Hour}
	n := 0
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		n++
		line, _, _ := strings.Cut(lines.Text(), "#")
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" {
			continue
		}
		if err := s.statement(word, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	if len(s.sites) == 0 {
		return nil, fmt.Errorf("%s: no site", name)
	}
	return s, nil
}

func (s *Scenario) statement(word, rest string) (err error) {
	words := strings.Fields(rest)
	switch word {
	case "slow":
		s.slow = true
		return nil
	case "title":
		s.title = rest
		return nil
	case "config":
		s.config = append(s.config, rest)
		return nil
	}
	if len(words) == 0 {
		return fmt.Errorf("%s: nothing follows", word)
	}
	switch word {
	case "site":
		return s.site(words)
	case "source":
		src, err := parseSource(words)
		s.sources = append(s.sources, src)
		return err
	case "at":
		at, err := time.ParseDuration(words[0])
		if err != nil || len(words) < 2 {
			return fmt.Errorf("at: write a time and an action: %v", err)
		}
		s.actions = append(s.actions, action{at, words[1:]})
		return nil
	case "run":
		s.whole = len(words) > 1 && words[1] == "whole"
		s.length, err = time.ParseDuration(words[0])
		return err
	case "expect":
		return s.expect(words)
	}
	return fmt.Errorf("%q is no statement", word)
}

func (s *Scenario) site(words []string) (err error) {
	l := siteLine{name: words[0], domains: 1, latency: 10 * time.Millisecond}
	var mood []string
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "domains":
			err = setNumber(&l.domains, value)
		case "latency":
			err = setDuration(&l.latency, value)
		default:
			mood = append(mood, w)
		}
		if err != nil {
			return err
		}
	}
	l.mood, err = parseMood(mood)
	s.sites = append(s.sites, l)
	return err
}

func (s *Scenario) expect(words []string) error {
	if len(words) != 4 {
		return fmt.Errorf("expect: write a name, a figure, an operator and a number")
	}
	e := expect{name: words[0], figure: words[1], op: words[2], text: strings.Join(words, " ")}
	if d, err := time.ParseDuration(words[3]); err == nil {
		e.value = d.Seconds()
	} else if e.value, err = strconv.ParseFloat(words[3], 64); err != nil {
		return err
	}
	s.expects = append(s.expects, e)
	return nil
}

// disturbs reports whether something happens to a site.
func (s *Scenario) disturbs(site string) bool {
	return slices.ContainsFunc(s.actions, func(a action) bool { return a.words[0] == site })
}

// judge compares the figures with what was expected.
func (s *Scenario) judge(figures map[string]map[string]float64) (violations []string) {
	for _, e := range s.expects {
		have, found := figures[e.name][e.figure]
		ok := false
		switch e.op {
		case "=":
			ok = have == e.value
		case "<=":
			ok = have <= e.value
		case ">=":
			ok = have >= e.value
		}
		if !found || !ok {
			violations = append(violations, fmt.Sprintf("expected %s; it is %g", e.text, have))
		}
	}
	return violations
}
