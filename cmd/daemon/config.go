package daemon

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/milter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/bounce"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/snapshot"
)

// Config is the configuration file. Every table belongs to the part it configures; what a file does not name has the
// value Default gives it.
type Config struct {
	Hostname string `toml:"hostname"`  // fully qualified; the name we greet with and sign our trace fields with
	StateDir string `toml:"state_dir"` // journal and snapshots; belongs to one daemon
	Mode     string `toml:"mode"`      // "observe" takes nothing, "deliver" does

	Milter   milter.Config        `toml:"milter"`
	Bulk     filter.Config        `toml:"bulk"`
	Queue    relay.QueueConfig    `toml:"queue"`
	Retry    relay.RetryConfig    `toml:"retry"`
	Handback relay.HandbackConfig `toml:"handback"`
	Route    map[string]string    `toml:"route"` // domain, ".parent" or "*" to next hop
	Bounce   bounce.Config        `toml:"bounce"`
	DNS      route.Config         `toml:"dns"`
	Pool     pool.Config          `toml:"pool"`
	Snapshot snapshot.Config      `toml:",inline"` // ack, [journal], [snapshot]
	Control  console.Config       `toml:"control"`
	Log      LogConfig            `toml:"log"`
}

// LogConfig is the [log] table.
type LogConfig struct {
	Level string `toml:"level"` // of the technical log: "trace", "debug", "info", "warn", "error" or "off"
	Mail  string `toml:"mail"`  // where the mail log goes: "stderr", "syslog", "off" or the path of a file
	Name  string `toml:"name"`  // what its lines are tagged with, before "/smtp" and the like
}

// Default is the configuration of an empty file, but for the host's name, which only Load asks for.
func Default() *Config {
	return &Config{
		StateDir: "/var/lib/millrace",
		Mode:     milter.Observe, // nothing is taken before somebody has looked at what would be

		Milter:   milter.Default(),
		Bulk:     filter.Default(),
		Queue:    relay.DefaultQueueConfig(),
		Retry:    relay.DefaultRetryConfig(),
		Bounce:   bounce.DefaultConfig(),
		Pool:     pool.DefaultConfig(),
		Snapshot: snapshot.DefaultConfig(),
		Control:  console.DefaultConfig(),
		Log:      LogConfig{Level: "info", Mail: "stderr", Name: "postfix/millrace"},
	}
}

// Validate returns everything that is wrong as ConfigErrors, or nil. Every part judges its own table.
func (c *Config) Validate() error {
	var v verdict
	v.of("hostname", validateHostname(c.Hostname))
	if !filepath.IsAbs(c.StateDir) {
		v.of("state_dir", fmt.Errorf("%q is not a path from the root; write it like %q", c.StateDir, Default().StateDir))
	}
	v.of("mode", oneOf(c.Mode, milter.Observe, milter.Deliver))
	v.table("milter", c.Milter.Validate())
	v.table("bulk", c.Bulk.Validate())
	v.table("queue", c.Queue.Validate())
	v.table("retry", c.Retry.Validate())
	v.table("handback", c.Handback.Validate())
	for _, domain := range sortedKeys(c.Route) {
		_, err := route.ParseTable(map[string]string{domain: c.Route[domain]}) // one by one: each has a line of its own
		v.of(join("route", domain), trimRoute(err, domain))
	}
	v.table("bounce", c.Bounce.Validate())
	v.table("dns", c.DNS.Validate())
	v.table("pool", c.Pool.Validate())
	v.table("", c.Snapshot.Validate())
	v.table("control", c.Control.Validate())
	v.table("log", c.Log.Validate())
	v.crosscheck(c)
	return v.errs.orNil()
}

// Validate returns what is wrong, naming the key.
func (c LogConfig) Validate() error {
	if err := oneOf(c.Level, "trace", "debug", "info", "warn", "error", "off"); err != nil {
		return fmt.Errorf("level: %w", err)
	}
	switch c.Mail {
	case "stderr", "syslog", "off":
	default:
		if !filepath.IsAbs(c.Mail) {
			return fmt.Errorf(`mail: %q is neither "stderr", "syslog" or "off" nor a file's path from the root`, c.Mail)
		}
	}
	if c.Name == "" || strings.ContainsFunc(c.Name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("[]:", r) }) {
		return fmt.Errorf("name: %q is no syslog tag; use letters, digits, - and /", c.Name)
	}
	return nil
}

// LogLevel is Level as hclog has it.
func (c LogConfig) LogLevel() hclog.Level { return hclog.LevelFromString(c.Level) }

// verdict collects what is wrong.
type verdict struct{ errs ConfigErrors }

// of adds an error about that key, if it is one.
func (v *verdict) of(key string, err error) {
	if err != nil {
		v.errs = append(v.errs, &ConfigError{Key: key, Text: err.Error()})
	}
}

// table adds what a part's Validate says, each error of a joined one on its own. Those begin with the key they mean.
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
	v.errs = append(v.errs, &ConfigError{Key: name + key, Text: text})
}

// crosscheck is about keys of different tables.
func (v *verdict) crosscheck(c *Config) {
	for i, spec := range c.Milter.Listen {
		if network, path, err := milter.ParseListen(spec); err == nil && network == "unix" && path == c.Control.Socket {
			v.of(fmt.Sprintf("milter.listen[%d]", i), errors.New("is the control socket too; give each its own"))
		}
	}
	if len(v.errs) == 0 {
		_, err := route.ParseTable(c.Route) // each entry is right; two may still be one domain
		v.of("route", err)
	}
}

// cutKey takes "rule[1].value: is wrong" apart. An error that does not begin with a key has none.
func cutKey(text string) (key, rest string) {
	key, rest, found := strings.Cut(text, ": ")
	if !found || key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyz0123456789_.[]") != "" {
		return "", text
	}
	return key, rest
}

// trimRoute takes away what a ParseTable error says of the key, which the place says already.
func trimRoute(err error, domain string) error {
	if err == nil {
		return nil
	}
	return errors.New(strings.TrimPrefix(err.Error(), fmt.Sprintf("route %q: ", domain)))
}

// oneOf says which words may stand where the given one does not.
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

// fill completes what a file need not say: the host's name, and what a part has to know of another's table.
func (c *Config) fill(hostname func() (string, error)) error {
	if c.Hostname == "" {
		name, err := hostname()
		switch {
		case err != nil:
			return fmt.Errorf("is not given, and the system does not say: %w", err)
		case !strings.Contains(name, "."):
			return fmt.Errorf(`is not given, and this host calls itself %q only; write hostname = "mail.example.org"`, name)
		}
		c.Hostname = name
	}
	c.DNS.Hostname = c.Hostname
	return nil
}
