package main

import (
	"bufio"
	"cmp"
	"fmt"
	"net/netip"
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
//	large                              it takes minutes: see Scenario.large
//	row     N                          of the table in the issue that asks for it
//	title   words                      what is shown
//	config  key = value                a line of millrace.toml, as "retry.lifetime = \"24h\""
//	toml                               the lines from here to "end" are the end of millrace.toml: tables
//	address IP...                      the daemon's machine has these addresses too
//	site    NAME mood...               a receiver: its name is its domain; domains=N gives it N, latency=D sets its distance;
//	                                   copies=N makes N receivers of it, 0.NAME and so on, which NAME stands for everywhere
//	source  NAME to=A,B count=N ...    a client of the MTA: see Source
//	at      D action...                see World.act
//	run     D                          how long; ends before when nothing is left to do, unless "run D whole"
//	baseline SOURCE...                 it is run once more with these sources alone: their figures get a ratio, as p99_ratio
//	expect  NAME figure OP number      NAME is a site, a source, a site from one address (as five.test/192.0.2.11), "all", or A:B for the ratio
//	goal    NAME figure OP number      the same, but a miss is only told: nobody can meet it yet
type Scenario struct {
	name      string
	text      string
	seed      uint64 // of a random day; else 0
	title     string
	row       int
	config    []string
	toml      []string
	addresses []netip.Addr
	sites     []siteLine
	sources   []Source
	actions   []action
	length    time.Duration
	whole     bool
	slow      bool // takes seconds: the tests leave it out under the race detector
	large     bool // takes minutes: the tests leave it out
	baselines [][]string
	aims      []aim
}

type siteLine struct {
	name    string
	of      string // NAME, if it is one of several copies
	domains int
	latency time.Duration
	mood    Mood
}

// action is something that happens.
type action struct {
	at    time.Duration
	words []string
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
	n, table := 0, false
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		n++
		line := strings.TrimSpace(lines.Text())
		if table && line != "end" {
			s.toml = append(s.toml, lines.Text())
			continue
		}
		if table = line == "toml"; table || line == "end" {
			continue
		}
		line, _, _ = strings.Cut(line, "#")
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" {
			continue
		}
		if err := s.statement(word, strings.TrimSpace(rest)); err != nil {
			return nil, fmt.Errorf("%s:%d: %s: %w", name, n, word, err)
		}
	}
	if len(s.sites) == 0 {
		return nil, fmt.Errorf("%s: no site", name)
	}
	return s, nil
}

func (s *Scenario) statement(word, rest string) (err error) {
	switch word {
	case "slow":
		s.slow = true
		return nil
	case "large":
		s.large = true
		return nil
	case "title":
		s.title = rest
		return nil
	case "config":
		s.config = append(s.config, rest)
		return nil
	}
	words := strings.Fields(rest)
	if len(words) == 0 {
		return fmt.Errorf("nothing follows")
	}
	switch word {
	case "row":
		s.row, err = strconv.Atoi(words[0])
	case "address":
		return s.address(words)
	case "site":
		return s.site(words)
	case "source":
		var src Source
		src, err = parseSource(words)
		s.sources = append(s.sources, src)
	case "at":
		return s.at(words)
	case "run":
		s.whole = len(words) > 1 && words[1] == "whole"
		s.length, err = time.ParseDuration(words[0])
	case "baseline":
		s.baselines = append(s.baselines, words)
	case "expect", "goal":
		var a aim
		a, err = parseAim(words, word == "expect")
		s.aims = append(s.aims, a)
	default:
		return fmt.Errorf("this is no statement")
	}
	return err
}

func (s *Scenario) at(words []string) error {
	at, err := time.ParseDuration(words[0])
	if err != nil || len(words) < 2 {
		return fmt.Errorf("write a time and an action: %v", err)
	}
	s.actions = append(s.actions, action{at, words[1:]})
	return nil
}

func (s *Scenario) address(words []string) error {
	for _, w := range words {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return err
		}
		s.addresses = append(s.addresses, a)
	}
	return nil
}

func (s *Scenario) site(words []string) (err error) {
	l := siteLine{name: words[0], domains: 1, latency: 10 * time.Millisecond}
	var mood []string
	copies := 0
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "domains":
			err = setNumber(&l.domains, value)
		case "latency":
			err = setDuration(&l.latency, value)
		case "copies":
			err = setNumber(&copies, value)
		default:
			mood = append(mood, w)
		}
		if err != nil {
			return err
		}
	}
	l.mood, err = parseMood(mood)
	if copies == 0 {
		s.sites = append(s.sites, l)
	}
	for i := range copies {
		l.of = words[0]
		l.name = fmt.Sprintf("%d.%s", i, l.of)
		s.sites = append(s.sites, l)
	}
	return err
}

// named are the sites that a name stands for.
func (s *Scenario) named(name string) (list []string) {
	for _, l := range s.sites {
		if l.name == name || l.of == name {
			list = append(list, l.name)
		}
	}
	return list
}

// phases are the times in which a receiver has one mood, from the start to the end of the run.
func (s *Scenario) phases(l siteLine) []phase {
	all := []phase{{mood: l.mood, to: s.length}}
	for _, a := range s.actions {
		if a.words[0] != l.name && a.words[0] != l.of {
			continue
		}
		mood, err := parseMood(a.words[1:])
		if err != nil {
			continue // a cut, and the like
		}
		all = append(all, phase{from: a.at, to: s.length, mood: mood})
	}
	slices.SortStableFunc(all, func(a, b phase) int { return cmp.Compare(a.from, b.from) })
	for i := range all[1:] {
		all[i].to = all[i+1].from
	}
	return all
}

// only is the scenario with these sources alone.
func (s *Scenario) only(sources []string) *Scenario {
	other := *s
	other.sources = slices.DeleteFunc(slices.Clone(s.sources), func(src Source) bool { return !slices.Contains(sources, src.name) })
	return &other
}
