package setup

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Postfix is what postconf says of one instance.
type Postfix struct {
	Main     map[string]string // every parameter of main.cf with its default; $names are expanded
	Services []Service         // in the order of master.cf
}

// Service is one entry of master.cf.
type Service struct {
	Name, Type string
	Command    string // the daemon, for instance "smtpd"
	Chroot     bool
	MaxProc    string            // column maxproc of master.cf; "-" is default_process_limit
	Options    map[string]string // -o name=value; $names are expanded
}

// ParsePostfix takes apart what "postconf -x", "postconf -M" and "postconf -xP" print. It returns an error if main or
// services cannot be their output.
func ParsePostfix(main, services, options string) (*Postfix, error) {
	p := &Postfix{Main: make(map[string]string)}
	for line := range strings.Lines(main) {
		if name, value, ok := assignment(line); ok && name != "" {
			p.Main[name] = value
		}
	}
	for line := range strings.Lines(services) {
		if fields := strings.Fields(line); len(fields) >= 8 && !strings.HasPrefix(line, " ") {
			p.Services = append(p.Services, Service{
				Name: fields[0], Type: fields[1], Chroot: p.chroots(fields[4]), MaxProc: fields[6], Command: filepath.Base(fields[7]), Options: make(map[string]string),
			})
		}
	}
	if p.Main["mail_version"] == "" || len(p.Services) == 0 {
		return nil, fmt.Errorf("postconf printed %d settings and %d services; this is no configuration of Postfix", len(p.Main), len(p.Services))
	}
	p.parseOptions(options)
	return p, nil
}

// chroots reads the column chroot of master.cf. The default was "y" before Postfix 3.0, and is with its compatibility level.
func (p *Postfix) chroots(column string) bool {
	return column == "y" || column == "-" && strings.HasPrefix(p.Main["compatibility_level"], "0")
}

// parseOptions reads lines like "smtp/inet/smtpd_milters = inet:127.0.0.1:8895".
func (p *Postfix) parseOptions(options string) {
	for line := range strings.Lines(options) {
		place, value, ok := assignment(line)
		i := strings.LastIndexByte(place, '/')
		if !ok || i < 0 {
			continue
		}
		for k := range p.Services {
			if s := &p.Services[k]; s.Name+"/"+s.Type == place[:i] {
				s.Options[place[i+1:]] = value
			}
		}
	}
}

// setting is a parameter as one service sees it.
type setting struct {
	place string // where the administrator finds it
	value string
}

// of returns a parameter as the service sees it: its own -o option, or main.cf. s may be nil.
func (p *Postfix) of(s *Service, name string) setting {
	if s != nil {
		if value, ok := s.Options[name]; ok {
			return setting{fmt.Sprintf("master.cf: %s/%s: %s", s.Name, s.Type, name), value}
		}
	}
	return setting{"main.cf: " + name, p.Main[name]}
}

// processes is how many processes the service may have, 0 for any number, and where that is set.
func (p *Postfix) processes(s *Service) (int, setting) {
	at := setting{fmt.Sprintf("master.cf: %s/%s: maxproc", s.Name, s.Type), s.MaxProc}
	if s.MaxProc == "-" {
		at = setting{"main.cf: default_process_limit", p.Main["default_process_limit"]}
	}
	n, _ := strconv.Atoi(at.value) // what Postfix would refuse is no limit that it has
	return n, at
}

// service finds a service that other parts of Postfix use, or nil. A listener of the network may have the same name.
func (p *Postfix) service(name string) *Service {
	for i := range p.Services {
		if p.Services[i].Name == name && p.Services[i].Type != "inet" {
			return &p.Services[i]
		}
	}
	return nil
}

// listener is a service that receives mail by SMTP, and the cleanup service that it hands the mail to.
type listener struct {
	postfix        *Postfix
	smtpd, cleanup *Service
}

// listeners are all services that run smtpd.
func (p *Postfix) listeners() []listener {
	var all []listener
	for i := range p.Services {
		if s := &p.Services[i]; s.Command == "smtpd" {
			all = append(all, listener{p, s, p.service(p.of(s, "cleanup_service_name").value)})
		}
	}
	return all
}

// milters are the milters that the listener asks, in their order. One that switches milters off for itself asks none.
func (l listener) milters() []milterRef {
	if l.overrides("no_milters") {
		return nil
	}
	return l.postfix.milters(l.smtpd, "smtpd_milters")
}

// milters reads a list of milters as one service sees it.
func (p *Postfix) milters(s *Service, name string) []milterRef {
	var all []milterRef
	queue, chroot := p.Main["queue_directory"], s != nil && s.Chroot
	for _, word := range words(p.of(s, name).value) {
		m := parseMilter(word)
		m.resolve(queue, chroot)
		m.place = p.of(s, name).place
		all = append(all, m)
	}
	return all
}

// overrides reports whether receive_override_options of the listener has this word.
func (l listener) overrides(word string) bool {
	return slices.Contains(words(l.postfix.of(l.smtpd, "receive_override_options").value), word)
}

// servicePorts are the names of ports that master.cf usually has.
var servicePorts = map[string]string{"smtp": "25", "smtps": "465", "submissions": "465", "submission": "587"}

// port is the TCP port of a listener, "" for one that has none.
func (l listener) port() string {
	if l.smtpd.Type != "inet" {
		return ""
	}
	name := l.smtpd.Name[strings.LastIndexByte(l.smtpd.Name, ':')+1:]
	if number, ok := servicePorts[name]; ok {
		return number
	}
	return name
}
