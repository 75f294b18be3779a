package setup

// milterServers are the milters that are known here. Those that do not decide change headers and bodies at most, refuse or
// quarantine, and a milter behind them sees that.
var milterServers = []server{
	// -b and -B send spam to another recipient, -B instead of the one that the client named.
	{name: "spamass-milter", marks: []string{"spamass"}, decides: true, option: "/etc/default/spamass-milter", says: []string{" -b", "\"-b"}},
	{name: "MIMEDefang", marks: []string{"mimedefang"}, decides: true},
	{name: "mailfromd", marks: []string{"mailfrom"}, decides: true},
	{name: "amavisd-milter", marks: []string{"amavis"}, decides: true},
	{name: "an SRS milter", marks: []string{"srs"}, decides: true},
	{name: "batv-milter", marks: []string{"batv"}, decides: true},
	{name: "opendkim", marks: []string{":8891", ":12301", "opendkim", "dkim"}},
	{name: "opendmarc", marks: []string{":8893", ":54321", "opendmarc", "dmarc"}},
	{name: "openarc", marks: []string{"openarc"}},
	{name: "clamav-milter", marks: []string{"clamav", ":7357"}},
	{name: "milter-greylist", marks: []string{"milter-greylist"}},
	{name: "pyspf-milter", marks: []string{"spf"}},
}

// lists are the milters of each listener or daemon that offers mail.
func (e *exam) lists() [][]milterRef {
	var all [][]milterRef
	for _, l := range e.offering {
		all = append(all, l.milters())
	}
	for _, d := range e.daemons {
		all = append(all, e.MTA.Sendmail.refs(d))
	}
	return all
}

// inFront returns a look for milters in front of Millrace: those known to change the envelope, or those that nobody knows
// here. Before the set-up all milters would stand in front.
func inFront(changing bool) func(*exam) []Place {
	return func(e *exam) []Place {
		var found places
		for _, list := range e.lists() {
			if i := e.ours(list); i >= 0 {
				list = list[:i]
			}
			for _, m := range list {
				if e.meant(m) {
					continue // check milter-elsewhere has it
				}
				s := known(milterServers, m.address)
				if s == nil {
					s = known(milterServers, m.text)
				}
				switch {
				case s == nil && !changing:
					found.note(setting{place: m.place, value: m.text}, "")
				case s != nil && changing && s.acts(e.MTA.ReadFile):
					found.note(setting{place: m.place, value: m.text}, s.name)
				}
			}
		}
		return found
	}
}

// behind finds milters behind Millrace.
func behind(e *exam) []Place {
	var found places
	for _, list := range e.lists() {
		i := e.ours(list)
		if i < 0 {
			continue
		}
		for _, m := range list[i+1:] {
			if !m.meets(e.Config.Milter.Listen) {
				found.note(setting{place: m.place, value: m.text}, "")
			}
		}
	}
	return found
}
