package filter

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// rule is a Rule made ready.
type rule struct {
	matcher
	name     string
	take     bool
	urgent   bool
	overflow string // what is done with its mail for which there is no room; "": what the gate's table says
	reason   string // why what it matches passes, when take is false

	passed, chosen, observed, taken atomic.Uint64 // see Count
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
	m, err := c.condition().compile()
	if err != nil {
		return nil, err
	}
	r := &rule{matcher: m, name: c.Name, take: c.takes(), urgent: c.Lane == LaneUrgent, overflow: c.Overflow}
	if r.name == "" {
		r.name = nameFor(c, index)
	}
	r.reason = "passed by rule " + r.name + ": take = false"
	return r, nil
}

// nameFor makes a name for a rule that has none in the configuration.
func nameFor(c Rule, index int) string {
	if c.Header != "" {
		return fitName(strings.TrimSuffix(lower(c.Header), "*"))
	}
	return fmt.Sprintf("rule-%d", index+1)
}
