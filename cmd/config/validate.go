package config

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// Validate returns every mistake as Errors, or nil. Each part judges its own table; keys that must agree across tables
// are judged in crosscheck.
func (c *Config) Validate() error {
	var v verdict
	v.of("hostname", validateHostname(c.Hostname))
	if !filepath.IsAbs(c.StateDir) {
		v.of("state_dir", fmt.Errorf("%q is not a path from the root; write it like %q", c.StateDir, DefaultConfig().StateDir))
	}
	v.of("mode", oneOf(c.Mode, filter.Observe, filter.Deliver))
	v.table("milter", c.Milter.Validate())
	v.table("smtpd", c.SMTPD.Validate())
	v.table("bulk", c.Bulk.Validate())
	v.tenants(c)
	v.table("queue", c.Queue.Validate())
	v.table("gate", c.Gate.Validate())
	v.table("retry", c.Retry.Validate())
	v.table("handback", c.Handback.Validate())
	for _, domain := range sortedKeys(c.Route) {
		v.of(join("route", domain), validateRoute(domain, c.Route[domain]))
	}
	if err := transport(c.Bounce.Inject); err != nil {
		v.of("bounce.inject", err)
	} else {
		v.table("bounce", c.Bounce.Validate())
	}
	v.table("preflight", c.Preflight.Validate())
	v.table("stop", c.Stop.Validate())
	v.table("dns", c.DNS.Validate())
	v.table("pool", c.Pool.Validate())
	v.smtp(c.SMTP)
	v.sources(c.Source)
	v.sites(c)
	v.table("", c.Snapshot.Validate())
	v.table("control", c.Control.Validate())
	v.table("history", c.History.Validate())
	v.table("log", c.Log.Validate())
	v.table("events", c.Events.Validate())
	v.allowance(c)
	v.table("statistics", c.Statistics.Validate())
	v.crosscheck(c)
	return v.errs.orNil()
}

// Validate returns the first mistake. The error begins with its key. Whether the file can be opened shows at the start: the
// check may run as another user.
func (c LogConfig) Validate() error {
	if err := oneOf(c.Level, "trace", "debug", "info", "warn", "error", "off"); err != nil {
		return fmt.Errorf("level: %w", err)
	}
	switch c.Mail {
	case "stderr", "syslog", "off":
	default:
		if !filepath.IsAbs(c.Mail) || strings.HasSuffix(c.Mail, "/") {
			return fmt.Errorf(`mail: %q is neither "stderr", "syslog" or "off" nor a file's path from the root`, c.Mail)
		}
	}
	if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("[]:", r) }) {
		return fmt.Errorf("name: %q is no syslog tag; use letters, digits, - and /", c.Name)
	}
	return nil
}

// verdict collects mistakes. The loader adds their places later: only the loader knows the text.
type verdict struct{ errs Errors }

// of notes an error about that key; nil is no mistake.
func (v *verdict) of(key string, err error) {
	if err != nil {
		v.errs = append(v.errs, &Error{Key: key, Text: err.Error()})
	}
}

// ofTwo notes an error about a key and another one, whose line the error names.
func (v *verdict) ofTwo(key, other string, err error) {
	v.errs = append(v.errs, &Error{Key: key, Other: other, Text: err.Error()})
}

// table notes the error of a part's Validate. A joined error is taken apart, so that each mistake gets a line. By
// convention the text of each begins with the key within the table.
func (v *verdict) table(name string, err error) {
	if err == nil {
		return
	}
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			v.table(name, err)
		}
		return
	}
	key, text := cutKey(err.Error())
	if name != "" && key != "" {
		key = "." + key
	}
	v.errs = append(v.errs, &Error{Key: name + key, Text: text})
}

// smtp judges the [smtp] table. A table in a file is stricter than a smtp.Config in a program: a zero timeout in a program
// stands for the default, a zero in a file was written by somebody. The name in EHLO may be empty in a file, for the host's
// name.
func (v *verdict) smtp(c smtp.Config) {
	v.table("smtp", c.Timeouts.Validate())
	c.Timeouts = smtp.DefaultTimeouts()
	if literal := strings.HasPrefix(c.Hostname, "["); c.Hostname != "" && !literal {
		v.of("smtp.helo_name", validateHostname(c.Hostname))
		c.Hostname = ""
	}
	c.Hostname = cmp.Or(c.Hostname, "host.invalid") // judged above, or with the key hostname
	v.table("smtp", c.Validate())
}

// crosscheck judges keys of different tables against each other: no part sees more than its own table.
func (v *verdict) crosscheck(c *Config) {
	v.sockets(c)
	v.noMTA(c)
	if len(v.errs) == 0 {
		_, err := route.ParseTable(c.Route) // each entry is right, but two entries may name one domain
		v.of("route", err)
	}
}

// noMTA judges keys that give mail back to an MTA where there is none.
func (v *verdict) noMTA(c *Config) {
	if !c.Bounce.IsDirect() {
		return
	}
	const repair = `gives mail back to the MTA, and bounce.inject = "direct" says that there is none; leave this key out, or name a listener of the MTA in bounce.inject`
	if c.Handback.Visits > 0 {
		v.ofTwo("handback.visits", "bounce.inject", errors.New(repair))
	}
	if c.Handback.After > 0 {
		v.ofTwo("handback.after", "bounce.inject", errors.New(repair))
	}
}

// cutKey splits "rule[1].value: is wrong" into key and text. A text that does not begin with a key has an empty one. The
// other way would be errors with a field for the key; every part would then import a type for it.
func cutKey(text string) (key, rest string) {
	key, rest, found := strings.Cut(text, ": ")
	if !found || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_.[]") != "" {
		return "", text
	}
	return key, rest
}

// validateRoute judges one entry of [route], so that each error has its own line. In TOML every line below [route] belongs
// to it, so a key of the top of the file that stands too low would be a domain that nobody ever mails to.
func validateRoute(domain, nextHop string) error {
	if _, ok := fields(reflect.TypeFor[Config]())[domain]; ok {
		return errors.New("is a key of the top of the file, not a domain; move the line above all tables")
	}
	if err := transport(nextHop); err != nil {
		return err
	}
	_, err := route.ParseTable(map[string]string{domain: nextHop})
	return trimRoute(err, domain)
}

// transport finds a line of Postfix's transport map, "smtp:[relay.test]:25", where only its next hop is wanted. Postfix's
// transports are programs in its master.cf; Millrace has none.
func transport(nextHop string) error {
	name, rest, found := strings.Cut(nextHop, ":")
	if !found || name == "" || strings.ContainsAny(name, "[].") || strings.Trim(rest, "0123456789") == "" && rest != "" {
		return nil
	}
	if rest == "" {
		return fmt.Errorf("%q is a transport of Postfix without a next hop; write the next hop, like %q", nextHop, "[relay.example.org]:25")
	}
	return fmt.Errorf("%q begins with a transport of Postfix; write the next hop alone: %q", nextHop, rest)
}

// trimRoute drops the key that an error of route.ParseTable begins with: the place of the error names the key already.
func trimRoute(err error, domain string) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), fmt.Sprintf("route %q: ", domain)))
}

// oneOf is nil when given is one of the words. Its error lists them all: an operator must not need the manual for three
// words.
func oneOf(given string, words ...string) error {
	if slices.Contains(words, given) {
		return nil
	}
	last := len(words) - 1
	list := fmt.Sprintf("%q", words[:last])
	list = strings.ReplaceAll(list[1:len(list)-1], " ", ", ")
	return fmt.Errorf("%q is not known; use %s or %q", given, list, words[last])
}

// validateHostname wants a fully qualified name: receivers refuse or distrust any other in EHLO (RFC 5321 section
// 4.1.4).
func validateHostname(name string) error {
	if name == "" {
		return errors.New(`is empty; write hostname = "mail.example.org", the name this host's address resolves to`)
	}
	labels := strings.Split(name, ".")
	if len(labels) < 2 {
		return fmt.Errorf(`%q is not fully qualified; write it like "mail.example.org"`, name)
	}
	for _, label := range labels {
		if !isLabel(label) {
			return fmt.Errorf(`%q is not a host name; %q cannot be a part of one`, name, label)
		}
	}
	if len(name) > 253 {
		return fmt.Errorf("has %d characters; a host name has at most 253", len(name))
	}
	if strings.Trim(labels[len(labels)-1], "0123456789") == "" {
		return fmt.Errorf("%q is an address; give the host's name", name)
	}
	return nil
}

// isLabel reports whether s is letters, digits and inner hyphens (RFC 1123 section 2.1). An IDN is written in its
// A-label form, as it goes over the wire.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
		default:
			return false
		}
	}
	return true
}
