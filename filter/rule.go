package filter

import (
	"fmt"
	"regexp"
	"strings"
	"sync/atomic"
)

// test is one condition that the offer alone decides.
type test func(*Offer) bool

// rule is a Rule made ready. Its conditions are sorted by the stage of the dialogue at which they can be decided.
type rule struct {
	name    string
	take    bool
	urgent  bool
	reason  string // why what it matches passes, when take is false
	connect []test // decided once for the connection
	mail    []test // decided at MAIL
	header  *headerTest

	passed, chosen, observed, taken atomic.Uint64 // see Count
}

// headerTest is the condition on one header field.
type headerTest struct {
	name  string // lower case
	value *regexp.Regexp
}

func holds(tests []test, o *Offer) bool {
	for _, t := range tests {
		if !t(o) {
			return false
		}
	}
	return true
}

// verdict is what the rule says about a message that it matches.
func (r *rule) verdict() Verdict {
	v := Verdict{Decision: Take, Rule: r.name, rule: r}
	if !r.take {
		v.Decision, v.Reason = Pass, r.reason
	}
	return v
}

func compileRule(c Rule, index int) (*rule, error) {
	r := &rule{name: c.Name, take: c.takes(), urgent: c.Lane == LaneUrgent}
	if r.name == "" {
		r.name = nameFor(c, index)
	}
	r.reason = "passed by rule " + r.name + ": take = false"
	if err := r.addConnect(c); err != nil {
		return nil, err
	}
	r.addMail(c)
	if c.Header == "" {
		return r, nil
	}
	r.header = &headerTest{name: lower(c.Header)}
	if c.Value == "" {
		return r, nil
	}
	re, err := regexp.Compile("(?i:" + c.Value + ")")
	if err != nil {
		return nil, fmt.Errorf("value: %w", err)
	}
	r.header.value = re
	return r, nil
}

func (r *rule) addConnect(c Rule) error {
	if c.Client != "" {
		t, err := parseClient(c.Client)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		r.connect = append(r.connect, t)
	}
	if c.Listener != "" {
		p := newPattern(c.Listener)
		r.connect = append(r.connect, func(o *Offer) bool { return p.match(o.Listener) || p.match(o.Port) })
	}
	return nil
}

func (r *rule) addMail(c Rule) {
	if c.Sender != "" {
		p := senderPattern(c.Sender)
		r.mail = append(r.mail, func(o *Offer) bool { return p.match(o.Sender) })
	}
	if c.SASLUser != "" {
		p := newPattern(c.SASLUser)
		r.mail = append(r.mail, func(o *Offer) bool { return o.SASLUser != "" && p.match(o.SASLUser) })
	}
	if c.Macro != "" {
		name, value := splitMacro(c.Macro)
		r.mail = append(r.mail, func(o *Offer) bool {
			got := o.macro(name)
			return got != "" && value.match(got)
		})
	}
}

// splitMacro takes "name=pattern" apart. Without a pattern any value fits that is not empty.
func splitMacro(s string) (name string, value pattern) {
	name, rest, found := strings.Cut(s, "=")
	if !found {
		rest = "*"
	}
	return strings.Trim(strings.TrimSpace(name), "{}"), newPattern(strings.TrimSpace(rest))
}

// nameFor makes a name for a rule that has none in the configuration.
func nameFor(c Rule, index int) string {
	if c.Header != "" {
		return strings.TrimSuffix(lower(c.Header), "*")
	}
	return fmt.Sprintf("rule-%d", index+1)
}
