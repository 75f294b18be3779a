package setup

import (
	"slices"
	"strings"
)

// restrictionLists are the lists of smtpd that may ask access tables and policy servers.
var restrictionLists = []string{
	"smtpd_client_restrictions", "smtpd_helo_restrictions", "smtpd_sender_restrictions", "smtpd_relay_restrictions",
	"smtpd_recipient_restrictions", "smtpd_data_restrictions", "smtpd_end_of_data_restrictions", "smtpd_etrn_restrictions",
}

// restriction is one element of a list of restrictions that asks somebody else.
type restriction struct {
	setting setting
	verb    string // "check_sender_access", "check_policy_service", ...
	what    string // the table, or the server
}

// restrictions are the elements with an argument in all lists of a listener, restriction classes unfolded.
func (l listener) restrictions() []restriction {
	var all []restriction
	for _, name := range restrictionLists {
		s := l.postfix.of(l.smtpd, name)
		all = append(all, l.unfold(s, words(s.value), 0)...)
	}
	return all
}

// classDepth bounds restriction classes that name each other.
const classDepth = 10

func (l listener) unfold(s setting, list []string, depth int) []restriction {
	var all []restriction
	classes := words(l.postfix.of(l.smtpd, "smtpd_restriction_classes").value)
	for i := 0; i < len(list); i++ {
		word, _ := unbraced(list[i])
		switch {
		case strings.HasPrefix(word, "check_") && strings.ContainsAny(word, " \t"): // { check_policy_service inet:host:port, timeout=5s }
			verb, what := cutBlank(word)
			all = append(all, restriction{s, verb, strings.Trim(words(what)[0], ",")})
		case strings.HasPrefix(word, "check_") && i+1 < len(list):
			i++
			what, _ := unbraced(list[i])
			if server := words(what); word == "check_policy_service" && len(server) > 0 {
				what = server[0]
			}
			all = append(all, restriction{s, word, what})
		case slices.Contains(classes, word) && depth < classDepth:
			all = append(all, l.unfold(s, words(l.postfix.of(l.smtpd, word).value), depth+1)...)
		}
	}
	return all
}

// accessActions finds hidden actions in access tables.
func accessActions(e *exam) []Place {
	var found places
	for _, l := range e.offering {
		for _, r := range l.restrictions() {
			if strings.HasSuffix(r.verb, "_access") {
				e.tables(r.setting, tablesIn(r.what, e.defaultTable()), &found, hiddenIn)
			}
		}
	}
	return found
}

// headerChecks finds hidden actions in the header and body checks of a cleanup service.
func headerChecks(e *exam) []Place {
	var found places
	for _, l := range e.offering {
		if l.overrides("no_header_body_checks") {
			continue
		}
		for _, name := range []string{"header_checks", "mime_header_checks", "nested_header_checks", "body_checks", "milter_header_checks"} {
			s := l.postfix.of(l.cleanup, name)
			e.tables(s, tablesIn(s.value, e.defaultTable()), &found, hiddenIn)
		}
	}
	return found
}

// policies returns a look for policy servers: those that are known to decide, or those that nobody knows here.
func policies(decide bool) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for _, l := range e.offering {
			for _, r := range l.restrictions() {
				if r.verb != "check_policy_service" {
					continue
				}
				s, command := e.MTA.recognize(policyServers(), r.what)
				switch {
				case s == nil && !decide:
					found.note(r.setting, r.what)
				case s != nil && decide && s.acts(command, e.MTA.ReadFile):
					found.note(r.setting, s.name+" at "+r.what)
				}
			}
		}
		return found
	}
}
