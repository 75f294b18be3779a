package setup

import (
	"errors"
	"net"
	"strings"
)

// Sendmail is what sendmail.cf says.
type Sendmail struct {
	Version string
	Options map[string]string // lines O, by name in lower case; the last one wins
	Daemons []Daemon          // options DaemonPortOptions; one with the default values if there is none
	Filters []Filter          // lines X
	Macros  map[string]string // lines D, by name: "S" is the smart host
	Tables  map[string]string // lines K, by name: the type and the path
}

// Daemon is one listener of Sendmail.
type Daemon struct {
	Name, Port string
	Filters    []string // names of those it asks
	Own        bool     // it has a list of filters of its own
}

// Filter is a milter of Sendmail.
type Filter struct {
	Name     string
	Socket   string            // in Postfix's form: "inet:host:port" or "unix:/path"
	Flags    string            // F=
	Timeouts map[string]string // T=, by letter
}

// ParseSendmail takes the text of sendmail.cf apart.
func ParseSendmail(text string) (*Sendmail, error) {
	s := &Sendmail{Options: make(map[string]string), Macros: make(map[string]string), Tables: make(map[string]string)}
	var daemons []string
	for _, line := range logicalLines(text) {
		rest := line[1:]
		switch line[0] {
		case 'O':
			if name, value, ok := assignment(rest); ok && strings.EqualFold(name, "DaemonPortOptions") {
				daemons = append(daemons, value)
			} else if ok {
				s.Options[strings.ToLower(name)] = value
			}
		case 'X':
			s.Filters = append(s.Filters, parseFilter(rest))
		case 'D':
			name, value := cutMacro(rest)
			s.Macros[name] = value
		case 'K':
			name, value := cutBlank(rest)
			s.Tables[name] = value
		}
	}
	if s.Version = s.Macros["Z"]; s.Version == "" || len(s.Options) == 0 {
		return nil, errors.New("this is no configuration of Sendmail: it has no version or no options")
	}
	if len(daemons) == 0 {
		daemons = []string{"Name=MTA"}
	}
	for _, d := range daemons {
		s.Daemons = append(s.Daemons, s.parseDaemon(d))
	}
	return s, nil
}

// cutMacro splits the definition of a macro, whose name is one character or stands in braces.
func cutMacro(text string) (name, value string) {
	if inner, ok := strings.CutPrefix(text, "{"); ok {
		if name, value, ok := strings.Cut(inner, "}"); ok {
			return name, value
		}
	}
	if text == "" {
		return "", ""
	}
	return text[:1], text[1:]
}

// names are the elements of a list of Sendmail's.
func names(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return strings.ContainsRune(",; \t", r) })
}

// parseDaemon reads the value of DaemonPortOptions. Sendmail looks at the first letter of each key alone.
func (s *Sendmail) parseDaemon(text string) Daemon {
	d := Daemon{Port: "25", Filters: names(s.Options["inputmailfilters"])}
	for _, field := range strings.Split(text, ",") {
		key, value, _ := assignment(field)
		if key == "" {
			continue
		}
		switch key[0] {
		case 'N', 'n':
			d.Name = value
		case 'P', 'p':
			d.Port = value
			if number, ok := servicePorts[strings.ToLower(value)]; ok {
				d.Port = number
			}
		case 'I', 'i':
			d.Own, d.Filters = true, names(value)
		}
	}
	return d
}

// parseFilter reads "name, S=socket, F=flags, T=C:2s;S:30s".
func parseFilter(text string) Filter {
	name, rest, _ := strings.Cut(text, ",")
	f := Filter{Name: strings.TrimSpace(name), Timeouts: make(map[string]string)}
	for _, field := range strings.Split(rest, ",") {
		key, value, _ := assignment(field)
		switch key {
		case "S", "s":
			f.Socket = postfixForm(value)
		case "F", "f":
			f.Flags = value
		case "T", "t":
			for _, one := range strings.Split(value, ";") {
				letter, time, _ := strings.Cut(one, ":")
				f.Timeouts[strings.TrimSpace(letter)] = strings.TrimSpace(time)
			}
		}
	}
	return f
}

// postfixForm turns "inet:8891@localhost" into "inet:localhost:8891", and "local:/path" or "/path" into "unix:/path".
func postfixForm(socket string) string {
	kind, rest, ok := strings.Cut(socket, ":")
	switch {
	case !ok:
		return "unix:" + socket
	case kind == "local" || kind == "unix":
		return "unix:" + rest
	}
	port, host, ok := strings.Cut(rest, "@")
	if !ok {
		host = "localhost"
	}
	return kind + ":" + net.JoinHostPort(strings.Trim(host, "[]"), port)
}

// filter finds a filter by its name, or nil.
func (s *Sendmail) filter(name string) *Filter {
	for i := range s.Filters {
		if s.Filters[i].Name == name {
			return &s.Filters[i]
		}
	}
	return nil
}

// refs are the filters of one daemon, as milters.
func (s *Sendmail) refs(d Daemon) []milterRef {
	place := "sendmail.cf: InputMailFilters"
	if d.Own {
		place = "sendmail.cf: DaemonPortOptions Name=" + d.Name + ": InputMailFilters"
	}
	var all []milterRef
	for _, name := range d.Filters {
		m := milterRef{place: place, text: name}
		if f := s.filter(name); f != nil {
			m.address = f.Socket
		}
		all = append(all, m)
	}
	return all
}
