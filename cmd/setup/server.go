package setup

import (
	"path/filepath"
	"slices"
	"strings"
)

// server is a program beside an MTA that is known here: a milter or a policy server.
type server struct {
	name    string
	command string   // the name of its program, if its command line says more than its address
	marks   []string // parts of its usual sockets; one that begins with a colon is a port
	decides bool     // it may decide what Millrace would undo

	// A program that decides by some of its options only. Its command line has them as flags; the file that Debian's
	// package starts it from, or its rules, have them as words.
	flags  []string
	option string
	words  []string
}

// milterServers are milters. Those that do not decide change headers and bodies at most, refuse or quarantine, and a milter
// behind them sees that.
//
// keepsAdded says that recipients which a milter adds get their mail from the MTA (bulk.keep_added).
func milterServers(keepsAdded bool) []server {
	// -b and -B send spam to another recipient; -b takes it from the one that the client named.
	spamass := server{name: "spamass-milter", command: "spamass-milter", marks: []string{"spamass"}, decides: true, flags: []string{"-b", "-B"},
		option: "/etc/default/spamass-milter", words: []string{" -b", "\"-b", " -B", "\"-B"}}
	if keepsAdded {
		spamass.flags, spamass.words = spamass.flags[:1], spamass.words[:2]
	}
	return []server{
		spamass,
		{name: "MIMEDefang", marks: []string{"mimedefang"}, decides: true},
		{name: "mailfromd", marks: []string{"mailfrom"}, decides: true},
		{name: "amavisd-milter", command: "amavisd-milter", marks: []string{"amavis"}, decides: true},
		{name: "an SRS milter", marks: []string{"srs"}, decides: true},
		{name: "batv-milter", command: "batv-milter", marks: []string{"batv"}, decides: true},
		{name: "opendkim", command: "opendkim", marks: []string{":8891", ":12301", "dkim"}},
		{name: "opendmarc", command: "opendmarc", marks: []string{":8893", ":54321", "dmarc"}},
		{name: "openarc", command: "openarc", marks: []string{"openarc"}},
		{name: "clamav-milter", command: "clamav-milter", marks: []string{"clamav", ":7357"}},
		{name: "milter-greylist", command: "milter-greylist", marks: []string{"milter-greylist"}},
		{name: "pyspf-milter", marks: []string{"spf"}},
	}
}

// policyServers are policy servers. What PREPEND adds, milters see.
func policyServers() []server {
	return []server{
		{name: "postfwd", marks: []string{":10040", "postfwd"}, decides: true, option: "/etc/postfix/postfwd.cf", words: []string{"HOLD", "REDIRECT", "FILTER", "BCC", "hold", "redirect", "filter", "bcc"}},
		{name: "policyd (cluebringer)", marks: []string{":10031", "cluebringer"}, decides: true},
		{name: "postgrey", marks: []string{":10023", "postgrey"}},
		{name: "policyd-spf", marks: []string{"spf"}},
		{name: "policyd-weight", marks: []string{":12525", "policyd-weight"}},
	}
}

// recognize finds the program behind a socket, by what one of the texts says of it, or by a running command that names the
// socket. command is its command line, nil if it is not known.
func (m *MTA) recognize(list []server, texts ...string) (s *server, command []string) {
	for i := range list {
		s := &list[i]
		for _, args := range m.Commands {
			if s.runs(args) && slices.ContainsFunc(args[1:], func(arg string) bool { return namesSocket(arg, texts[0]) }) {
				return s, args
			}
		}
	}
	for i := range list {
		if s := &list[i]; slices.ContainsFunc(texts, s.marked) {
			return s, m.only(s)
		}
	}
	return nil, nil
}

// runs reports whether a command line is that of the program.
func (s *server) runs(args []string) bool {
	return s.command != "" && len(args) > 0 && filepath.Base(args[0]) == s.command
}

// only is the command line of a program that runs once. Of two nobody can tell which has the socket.
func (m *MTA) only(s *server) []string {
	var found [][]string
	for _, args := range m.Commands {
		if s.runs(args) {
			found = append(found, args)
		}
	}
	if len(found) != 1 {
		return nil
	}
	return found[0]
}

// marked reports whether a text has one of the server's marks.
func (s *server) marked(text string) bool {
	return slices.ContainsFunc(s.marks, func(mark string) bool {
		if strings.HasPrefix(mark, ":") {
			return strings.HasSuffix(text, mark)
		}
		return strings.Contains(strings.ToLower(text), mark)
	})
}

// namesSocket reports whether an argument of a command is about the socket at an address like "inet:127.0.0.1:8891" or
// "unix:/path". Programs write sockets in many forms; all of them have the port, or the end of the path.
func namesSocket(arg, address string) bool {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return len(path) > 1 && strings.HasSuffix(arg, "/"+filepath.Base(path))
	}
	port := address[strings.LastIndexByte(address, ':')+1:]
	numbers := strings.FieldsFunc(arg, func(r rune) bool { return r < '0' || r > '9' })
	return port != "" && slices.Contains(numbers, port)
}

// acts reports whether the server decides something, as far as its command line or its options say. What cannot be read may
// say it.
func (s *server) acts(command []string, read func(string) (string, error)) bool {
	if !s.decides {
		return false
	}
	if command != nil && len(s.flags) > 0 {
		return slices.ContainsFunc(command[1:], func(arg string) bool {
			return slices.ContainsFunc(s.flags, func(flag string) bool { return strings.HasPrefix(arg, flag) })
		})
	}
	text, err := "", error(nil)
	if s.option != "" {
		text, err = read(s.option)
	}
	if s.option == "" || err != nil {
		return true
	}
	text = strings.Join(logicalLines(text), "\n")
	return slices.ContainsFunc(s.words, func(word string) bool { return strings.Contains(text, word) })
}
