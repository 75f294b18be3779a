package setup

import (
	"cmp"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
)

// Subject is what Examine looks at.
type Subject struct {
	MTA    *MTA
	Config *config.Config
	// Inject is what a try of bounce.inject has led to, nil if it answers.
	Inject error
}

// Examine holds the MTA against Millrace's configuration. The findings stand in the order of the checks, the severest first.
// The error is that of rules which do not compile; config.Load has refused such a file before.
func Examine(s Subject) ([]Finding, error) {
	f, err := filter.Compile(s.Config.Bulk, s.Config.Hostname, nil) // no mail is marked, so no secret is needed
	if err != nil {
		return nil, err
	}
	e := &exam{Subject: s, filter: f}
	e.survey()
	var found []Finding
	for _, c := range checks() {
		look := c.postfix
		if s.MTA.Sendmail != nil {
			look = c.sendmail
		}
		if look == nil {
			continue
		}
		if places := look(e); len(places) > 0 {
			found = append(found, Finding{Code: c.code, Severity: c.severity, Text: c.text, Action: c.action, Places: places})
		}
	}
	slices.SortStableFunc(found, func(a, b Finding) int { return cmp.Compare(b.Severity, a.Severity) })
	return found, nil
}

// exam is one run of the checks.
type exam struct {
	Subject
	filter *filter.Filter

	// offering are the listeners of Postfix that offer their mail to Millrace. If there is none, before the set-up, they are
	// all listeners but that of bounce.inject: the findings then say what would happen.
	offering []listener
	asked    bool     // some listener does offer its mail
	silent   []Place  // tables that might have hidden actions and cannot be read
	daemons  []Daemon // of Sendmail, like offering
}

// survey finds the listeners that offer mail.
func (e *exam) survey() {
	if s := e.MTA.Sendmail; s != nil {
		e.surveySendmail(s)
		return
	}
	all := e.MTA.Postfix.listeners()
	for _, l := range all {
		if e.ours(l.milters()) >= 0 {
			e.offering, e.asked = append(e.offering, l), true
		}
	}
	for _, l := range all {
		if !e.asked && l.port() != e.injectPort() {
			e.offering = append(e.offering, l)
		}
	}
}

func (e *exam) surveySendmail(s *Sendmail) {
	for _, d := range s.Daemons {
		if e.ours(s.refs(d)) >= 0 {
			e.daemons, e.asked = append(e.daemons, d), true
		}
	}
	if !e.asked {
		e.daemons = s.Daemons
	}
}

// ours is the index of Millrace in a list of milters, or -1.
func (e *exam) ours(list []milterRef) int {
	return slices.IndexFunc(list, func(m milterRef) bool { return m.meets(e.Config.Milter.Listen) })
}

func (e *exam) injectPort() string {
	_, port, _ := net.SplitHostPort(e.Config.Bounce.Inject)
	return port
}

// places collects Places, each setting once: many listeners see one setting of main.cf.
type places []Place

func (p *places) note(s setting, detail string) {
	if !slices.ContainsFunc(*p, func(q Place) bool { return q.Setting == s.place && q.Detail == detail }) {
		*p = append(*p, Place{Setting: s.place, Value: s.value, Detail: detail})
	}
}

// received looks at settings of the smtpd of each offering listener. wrong returns a detail and whether the setting is a
// finding; nil stands for "is set".
func received(wrong func(value string) (string, bool), names ...string) func(*exam) []Place {
	return eachListener(func(l listener) *Service { return l.smtpd }, wrong, names)
}

// cleaned looks at settings of the cleanup service behind each offering listener.
func cleaned(wrong func(value string) (string, bool), names ...string) func(*exam) []Place {
	return eachListener(func(l listener) *Service { return l.cleanup }, wrong, names)
}

func eachListener(of func(listener) *Service, wrong func(string) (string, bool), names []string) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for _, l := range e.offering {
			for _, name := range names {
				found.judge(l.postfix.of(of(l), name), wrong)
			}
		}
		return found
	}
}

// sent looks at settings of the services that would deliver the mail which Millrace takes.
func sent(wrong func(value string) (string, bool), names ...string) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for _, mailer := range e.Config.Bulk.Mailers {
			service := e.MTA.Postfix.service(mailer)
			if service == nil {
				continue // a mailer of Sendmail
			}
			for _, name := range names {
				found.judge(e.MTA.Postfix.of(service, name), wrong)
			}
		}
		return found
	}
}

func (p *places) judge(s setting, wrong func(string) (string, bool)) {
	detail, bad := "", s.value != ""
	if wrong != nil {
		detail, bad = wrong(s.value)
	}
	if bad {
		p.note(s, detail)
	}
}

// is returns a judge that finds these values.
func is(values ...string) func(string) (string, bool) {
	return func(value string) (string, bool) { return "", slices.Contains(values, strings.ToLower(value)) }
}

// tables looks into the tables of one setting for what find knows. A table that cannot be read is kept for the check
// table-unreadable: nobody can say that it is harmless.
func (e *exam) tables(s setting, list []table, found *places, find func([]entry) string) {
	for _, t := range list {
		entries, err := t.entries(e.MTA.ReadFile)
		if err != nil {
			e.unreadable(s, t, err)
			continue
		}
		if what := find(entries); what != "" {
			found.note(s, fmt.Sprintf("%s has %s", t, what))
		}
	}
}

func (e *exam) unreadable(s setting, t table, err error) {
	silent := places(e.silent)
	silent.note(s, fmt.Sprintf("%s: %v", t, err))
	e.silent = silent
}

// defaultTable is the kind of a table that is named by its path alone.
func (e *exam) defaultTable() string {
	return cmp.Or(e.MTA.Postfix.Main["default_database_type"], "hash")
}
