package mta

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Setting is one "name = value".
type Setting struct{ Name, Value string }

// Service is one entry of master.cf.
type Service struct {
	Name, Type string
	Line       string // the whole first line, columns separated by one blank
	Options    []Setting
}

// Fragment is what contrib/postfix adds to a Postfix: settings for main.cf and services for master.cf. Of a service
// that Postfix has already, only the options are added.
type Fragment struct {
	Main   []Setting
	Master []Service
}

// ReadFragment reads the files main.cf and master.cf in dir.
func ReadFragment(dir string) (*Fragment, error) {
	var f Fragment
	lines, err := logicalLines(filepath.Join(dir, "main.cf"))
	if err != nil {
		return nil, err
	}
	for _, line := range lines {
		s, err := parseSetting(line)
		if err != nil {
			return nil, err
		}
		f.Main = append(f.Main, s)
	}
	if lines, err = logicalLines(filepath.Join(dir, "master.cf")); err != nil {
		return nil, err
	}
	for _, line := range lines {
		s, err := parseService(line)
		if err != nil {
			return nil, err
		}
		f.Master = append(f.Master, s)
	}
	return &f, nil
}

// Commands returns the sh blocks below a heading of second level in a page of contrib, in their order. There is at least one.
func Commands(page, heading string) ([]string, error) {
	text, err := os.ReadFile(page)
	if err != nil {
		return nil, fmt.Errorf("mta: read commands: %w", err)
	}
	_, section, _ := strings.Cut(string(text), "\n## "+heading+"\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var blocks []string
	for _, rest := range strings.Split(section, "```sh\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		blocks = append(blocks, block)
	}
	if len(blocks) == 0 {
		return nil, fmt.Errorf("mta: %s has no commands below %q", page, heading)
	}
	return blocks, nil
}

// What contrib/sendmail calls Millrace's milter door, and its own listener for mail that Millrace hands in.
const (
	sendmailMilter = "unix:/run/millrace/milter.sock"
	sendmailInject = "Addr=127.0.0.1, Port=10026"
)

// ReadSendmailFragment reads the file millrace.mc in dir, for SendmailConfig.Fragment. The milter is at addr, which is
// host:port or the path of a unix socket, and the listener at inject, host:port, instead of the documented addresses.
func ReadSendmailFragment(dir, addr, inject string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, "millrace.mc"))
	if err != nil {
		return "", fmt.Errorf("mta: read fragment: %w", err)
	}
	host, port, _ := strings.Cut(inject, ":")
	mc := string(text)
	for old, new := range map[string]string{sendmailMilter: sendmailSocket(addr), sendmailInject: "Addr=" + host + ", Port=" + port} {
		if !strings.Contains(mc, old) {
			return "", fmt.Errorf("mta: millrace.mc does not name %s", old)
		}
		mc = strings.ReplaceAll(mc, old, new)
	}
	return mc, nil
}

// sendmailSocket is host:port or a path in the form of Sendmail's configuration.
func sendmailSocket(addr string) string {
	if filepath.IsAbs(addr) {
		return "unix:" + addr
	}
	host, port, _ := strings.Cut(addr, ":")
	return "inet:" + port + "@" + host
}

// logicalLines reads a Postfix file. It drops comments and empty lines, and joins a line that begins with a blank to
// the line before it.
func logicalLines(name string) ([]string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("mta: read fragment: %w", err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, " \t\r\n")
		switch {
		case strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "#"):
		case strings.ContainsAny(line[:1], " \t") && len(lines) > 0:
			lines[len(lines)-1] += " " + strings.TrimSpace(line)
		default:
			lines = append(lines, line)
		}
	}
	return lines, nil
}

func parseSetting(text string) (Setting, error) {
	name, value, ok := strings.Cut(text, "=")
	if name = strings.TrimSpace(name); !ok || name == "" || strings.ContainsAny(name, " \t") {
		return Setting{}, fmt.Errorf("mta: not a setting: %q", text)
	}
	return Setting{name, strings.TrimSpace(value)}, nil
}

// columns is the number of columns of a master.cf entry before the arguments of its command.
const columns = 8

func parseService(line string) (Service, error) {
	fields := strings.Fields(line)
	if len(fields) < columns || len(fields)%2 != columns%2 {
		return Service{}, fmt.Errorf("mta: not a service: %q", line)
	}
	s := Service{Name: fields[0], Type: fields[1], Line: strings.Join(fields[:columns], " ")}
	for args := fields[columns:]; len(args) > 0; args = args[2:] {
		option, err := parseSetting(args[1])
		if args[0] != "-o" || err != nil {
			return Service{}, fmt.Errorf("mta: not an option of a service: %q", args[:2])
		}
		s.Options = append(s.Options, option)
	}
	return s, nil
}

// Replace returns a copy with old replaced by new in every name and value, for instance the documented address by a
// free one.
func (f *Fragment) Replace(old, new string) *Fragment {
	swap := func(s string) string { return strings.ReplaceAll(s, old, new) }
	settings := func(list []Setting) []Setting {
		var out []Setting
		for _, s := range list {
			out = append(out, Setting{swap(s.Name), swap(s.Value)})
		}
		return out
	}
	r := Fragment{Main: settings(f.Main)}
	for _, s := range f.Master {
		r.Master = append(r.Master, Service{swap(s.Name), s.Type, swap(s.Line), settings(s.Options)})
	}
	return &r
}

// apply changes the configuration of p with the postconf commands that an administrator would use.
func (f *Fragment) apply(p *Postfix) error {
	edit := []string{"-e"}
	for _, s := range f.Main {
		if s.Name == "smtpd_milters" {
			before, err := p.Postconf("-h", s.Name)
			if err != nil {
				return err
			}
			if before = strings.TrimSpace(before); before != "" {
				s.Value = before + ", " + s.Value
			}
		}
		edit = append(edit, s.Name+" = "+s.Value)
	}
	if _, err := p.Postconf(edit...); err != nil {
		return err
	}
	for _, s := range f.Master {
		if err := s.apply(p); err != nil {
			return err
		}
	}
	return nil
}

func (s Service) apply(p *Postfix) error {
	key := s.Name + "/" + s.Type
	present, err := p.Postconf("-M", key)
	if err != nil {
		return err
	}
	if strings.TrimSpace(present) == "" {
		if _, err := p.Postconf("-M", key+"="+s.Line); err != nil {
			return err
		}
	}
	edit := []string{"-P"}
	for _, o := range s.Options {
		edit = append(edit, key+"/"+o.Name+"="+o.Value)
	}
	if len(edit) > 1 {
		_, err = p.Postconf(edit...)
	}
	return err
}
