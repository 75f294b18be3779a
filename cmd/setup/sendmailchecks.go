package setup

import (
	"fmt"
	"strings"
	"time"
)

func sendmailNotAsked(e *exam) []Place {
	if e.asked {
		return nil
	}
	return []Place{{Setting: "sendmail.cf: InputMailFilters", Value: e.MTA.Sendmail.Options["inputmailfilters"]}}
}

func sendmailElsewhere(e *exam) []Place {
	var found places
	for _, d := range e.MTA.Sendmail.Daemons {
		e.astray(e.MTA.Sendmail.refs(d), &found)
	}
	return found
}

// ourFilter is Millrace among the filters, or nil.
func (e *exam) ourFilter() *Filter {
	for _, d := range e.daemons {
		list := e.MTA.Sendmail.refs(d)
		if i := e.ours(list); i >= 0 {
			return e.MTA.Sendmail.filter(list[i].text)
		}
	}
	return nil
}

// filterFlags finds an F= that refuses mail while Millrace is down. Sendmail then behaves as if there were no filter only
// without F=.
func filterFlags(e *exam) []Place {
	f := e.ourFilter()
	if f == nil || !strings.ContainsAny(f.Flags, "RT4") {
		return nil
	}
	return []Place{{Setting: "sendmail.cf: X" + f.Name, Value: "F=" + f.Flags}}
}

// filterTimeout returns a look at one of the times behind T= . Sendmail's default holds for one that is not given.
func filterTimeout(letter, standard string, wrong func(time.Duration) bool) func(*exam) []Place {
	return func(e *exam) []Place {
		f := e.ourFilter()
		if f == nil {
			return nil
		}
		text, ok := f.Timeouts[letter]
		if !ok {
			text = standard
		}
		if d, ok := duration(text); !ok || !wrong(d) {
			return nil
		}
		return []Place{{Setting: "sendmail.cf: X" + f.Name, Value: "T=" + letter + ":" + text}}
	}
}

// byTCP finds a filter of Sendmail that is not a unix socket.
func byTCP(e *exam) []Place {
	f := e.ourFilter()
	if f == nil || strings.HasPrefix(f.Socket, "unix:") {
		return nil
	}
	return []Place{{Setting: "sendmail.cf: X" + f.Name, Value: "S=" + f.Socket}}
}

// writesFirst finds a Sendmail that writes a message to disk before it asks Millrace.
func writesFirst(e *exam) []Place {
	value := e.MTA.Sendmail.Options["supersafe"]
	if strings.EqualFold(value, "PostMilter") {
		return nil
	}
	return []Place{{Setting: "sendmail.cf: SuperSafe", Value: value}}
}

// sendmailTable returns a look for a table that sendmail.cf uses.
func sendmailTable(names ...string) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for _, name := range names {
			if value, ok := e.MTA.Sendmail.Tables[name]; ok {
				found.note(setting{"sendmail.cf: K" + name, value}, e.tableSize(value))
			}
		}
		return found
	}
}

// tableSize counts the entries of a table, whose path stands last in its line. The text lies beside the compiled table.
func (e *exam) tableSize(value string) string {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return ""
	}
	text, err := e.MTA.ReadFile(fields[len(fields)-1])
	if err != nil {
		return fmt.Sprintf("cannot be read: %v", err)
	}
	return count(len(parseEntries(text, "hash")), "entry", "entries")
}

func sendmailMasquerade(e *exam) []Place {
	value := e.MTA.Sendmail.Macros["M"]
	if value == "" {
		return nil
	}
	return []Place{{Setting: "sendmail.cf: DM (MASQUERADE_AS)", Value: value}}
}

func sendmailNotOffered(e *exam) []Place {
	var found places
	for _, d := range e.MTA.Sendmail.Daemons {
		if list := e.MTA.Sendmail.refs(d); e.asked && d.Port != e.injectPort() && e.ours(list) < 0 {
			found.note(setting{"sendmail.cf: DaemonPortOptions Name=" + d.Name, "InputMailFilters=" + strings.Join(d.Filters, ";")}, "")
		}
	}
	return found
}

func sendmailInjectOffers(e *exam) []Place {
	var found places
	for _, d := range e.MTA.Sendmail.Daemons {
		if list := e.MTA.Sendmail.refs(d); d.Port == e.injectPort() && e.ours(list) >= 0 {
			found.note(setting{"sendmail.cf: DaemonPortOptions Name=" + d.Name, "Port=" + d.Port}, "bounce.inject is "+e.Config.Bounce.Inject)
		}
	}
	return found
}
