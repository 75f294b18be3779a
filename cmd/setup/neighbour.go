package setup

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
				s, command := e.MTA.recognize(milterServers(e.Config.Bulk.KeepAdded), m.address, m.text)
				switch {
				case s == nil && !changing:
					found.note(setting{place: m.place, value: m.text}, "")
				case s != nil && changing && s.acts(command, e.MTA.ReadFile):
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
