// Package config reads the configuration file. Its types mirror the tables of the file; each table's type, defaults and
// validation belong to the part that the table configures.
//
// The package is strict on purpose. An operator who misspells a key would otherwise run on a default without knowing it,
// so an unknown key is an error, and each error has the file, the line, the key and the repair. The whole file is
// checked before anything of it is used: one run of "millrace check" shows every mistake.
//
// It is the only package that imports the TOML parser. It knows nothing of the running daemon and does not look at the
// system, except for the host's name.
package config

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/milter"
	"github.com/millrace/millrace/filter/smtpd"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/bounce"
	"github.com/millrace/millrace/relay/brake"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/history"
	"github.com/millrace/millrace/relay/licence"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/relay/stream"
	"github.com/millrace/millrace/relay/tally"
	"github.com/millrace/millrace/snapshot"
)

// Config is the configuration file. A key that the file does not name has the value of DefaultConfig.
type Config struct {
	Hostname string `toml:"hostname"`  // fully qualified; stands in EHLO and in our trace fields
	StateDir string `toml:"state_dir"` // holds journal and snapshots; one daemon at a time
	Mode     string `toml:"mode"`      // "observe" only counts the bulk mail; "deliver" takes it

	Milter   milter.Config        `toml:"milter"`
	SMTPD    smtpd.Config         `toml:"smtpd"`
	Bulk     filter.Config        `toml:"bulk"`
	Queue    relay.QueueConfig    `toml:"queue"`
	Gate     relay.GateConfig     `toml:"gate"`
	Retry    relay.RetryConfig    `toml:"retry"`
	Handback relay.HandbackConfig `toml:"handback"`
	Route    map[string]string    `toml:"route"` // domain, ".parent" or "*" to next hop
	Bounce   bounce.Config        `toml:"bounce"`
	DNS      route.Config         `toml:"dns"`
	Pool     pool.Config          `toml:"pool"`
	SMTP     smtp.Config          `toml:"smtp"`
	Source   []pool.SourceConfig  `toml:"source"`  // none: mail goes as [smtp] says
	Snapshot snapshot.Config      `toml:",inline"` // ack, [journal], [snapshot]
	Control  console.Config       `toml:"control"`
	History  history.Config       `toml:"history"`
	Log      LogConfig            `toml:"log"`
	Events   stream.Config        `toml:"events"`

	Statistics tally.Config `toml:"statistics"`

	Tenant []filter.TenantConfig `toml:"tenant"` // first match wins; mail of no tenant shares one part
	Site   []pool.Rule           `toml:"site"`   // the narrowest wins, key by key
	Reply  []pool.ReplyRule      `toml:"reply"`  // the first that matches wins

	Preflight filter.PreflightConfig `toml:"preflight"`
	Stop      brake.Config           `toml:"stop"`
	Allowance licence.Config         `toml:"allowance"` // how many recipients may be sent to; an empty table: any number

	File string `toml:"-"` // where Load read it; "": it came from no file
}

// LogConfig is the [log] table.
type LogConfig struct {
	Level string `toml:"level"` // least level of the technical log: "trace", "debug", "info", "warn", "error" or "off"
	Mail  string `toml:"mail"`  // the mail log's place: "stderr", "syslog", "off" or the path of a file
	Name  string `toml:"name"`  // first part of each line's tag; "/smtp" and the like follow it
}

// DefaultConfig is the configuration of an empty file, without the host's name: Load asks the system for that.
func DefaultConfig() *Config {
	return &Config{
		StateDir: "/var/lib/millrace",
		Mode:     filter.Observe, // an operator sees first which mail would be taken

		Milter:   milter.DefaultConfig(),
		SMTPD:    smtpd.DefaultConfig(),
		Bulk:     filter.DefaultConfig(),
		Queue:    relay.DefaultQueueConfig(),
		Gate:     relay.DefaultGateConfig(),
		Retry:    relay.DefaultRetryConfig(),
		Bounce:   bounce.DefaultConfig(),
		Pool:     pool.DefaultConfig(),
		SMTP:     smtp.DefaultConfig(),
		Snapshot: snapshot.DefaultConfig(),
		Control:  console.DefaultConfig(),
		History:  history.DefaultConfig(),
		Log:      LogConfig{Level: "info", Mail: "stderr", Name: "postfix"},

		Allowance:  licence.DefaultConfig(),
		Preflight:  filter.DefaultPreflightConfig(),
		Stop:       brake.DefaultConfig(),
		Events:     stream.DefaultConfig(),
		Statistics: tally.DefaultConfig(),
	}
}

// Wire returns the settings of every outbound connection. Without smtp.helo_name our name in EHLO is the host's. It is
// filled in here and not at load: a reload keeps the host's name in force and must not bring the new one in by way of EHLO.
func (c *Config) Wire() smtp.Config {
	wire := c.SMTP
	wire.Hostname = cmp.Or(wire.Hostname, c.Hostname)
	wire.TLS = smtp.TLSOpportunistic
	if c.Pool.TLS == "none" {
		wire.TLS = smtp.TLSNone
	}
	return wire
}

// LogLevel is Level in hclog's type. Validate knows the same words, so a level that hclog does not know never comes here.
func (c LogConfig) LogLevel() hclog.Level { return hclog.LevelFromString(c.Level) }

// fill completes the values that a file need not give: the host's name, and the values that one table takes from another.
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
