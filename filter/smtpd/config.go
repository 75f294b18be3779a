package smtpd

import (
	"fmt"
	"iter"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/filter"
)

// Config is the [smtpd] table.
type Config struct {
	filter.Access `toml:",inline"`

	Filter     []string `toml:"filter"`     // listeners for an MTA's after-queue filter or transport: "inet:host:port", "inet6:[host]:port" or "unix:/path"
	Proxy      []string `toml:"proxy"`      // listeners for smtpd_proxy_filter
	Submission []string `toml:"submission"` // listeners for applications

	Reinject string `toml:"reinject"` // the MTA's listener that takes what is not ours, "[host]:port"; "": there is no MTA

	XForwardHosts []netip.Prefix `toml:"xforward_hosts"` // who may say which client a message came from; loopback and unix sockets always may
	XClientHosts  []netip.Prefix `toml:"xclient_hosts"`  // who may speak as another client, with another login; nobody is the default

	Users   string `toml:"users"`    // file of the users that may log in on a submission listener; "": nobody
	TLSCert string `toml:"tls_cert"` // file of the certificate for STARTTLS; "": no STARTTLS
	TLSKey  string `toml:"tls_key"`  // and of its key

	Flush []string `toml:"flush"` // command that has the MTA on this host offer a message again, "{id}" for its queue id; none: the MTA does so by its own times

	BareNewline string `toml:"bare_newline"` // BareNormalize or BareReject: what becomes of CR, LF and NUL that end no line

	CommandTimeout time.Duration `toml:"command_timeout"` // for a client's next command, and for writing a reply
	DataTimeout    time.Duration `toml:"data_timeout"`    // for the next bytes of a message
	MinRate        int64         `toml:"min_rate"`        // bytes a second; a message that comes more slowly is ended
	AnswerTimeout  time.Duration `toml:"answer_timeout"`  // from the end of a message to our answer; what cannot be recorded in that time is not taken
	StopGrace      time.Duration `toml:"stop_grace"`      // how long Stop keeps connections open that are between messages

	MaxErrors      int   `toml:"max_errors"`       // of a client; then it is hung up on
	MaxIdle        int   `toml:"max_idle"`         // commands without a message behind them (NOOP, RSET, VRFY ...); then the client is hung up on
	MaxSessions    int   `toml:"max_sessions"`     // connections; one more is answered 421
	MaxPerClient   int   `toml:"max_per_client"`   // connections of one address, loopback and unix sockets left out
	MaxSize        int64 `toml:"max_size"`         // bytes of a message
	MaxRcpts       int   `toml:"max_rcpts"`        // recipients of a message; one more is answered 452
	MaxHeaderBytes int   `toml:"max_header_bytes"` // a message with a larger header is not taken
	MaxBuffered    int64 `toml:"max_buffered"`     // bytes of messages not yet taken, all connections together
}

// What is done with CR and LF that do not stand together, and with NUL, in the words of Postfix's smtpd_forbid_bare_newline.
const (
	// BareNormalize makes a line end of LF, a blank of CR, and nothing of NUL. Only CR LF "." CR LF ends a message.
	BareNormalize = "normalize"
	// BareReject refuses the message.
	BareReject = "reject"
)

// DefaultConfig is the [smtpd] table of an empty file: there are no listeners.
//
// AnswerTimeout is below the shortest patience of those who wait: smtpd_proxy_timeout is 100 seconds. The timeouts of commands and
// data are Postfix's smtpd_timeout, and the 10 minutes that RFC 5321 section 4.5.3.2 has for the whole are kept by MinRate.
func DefaultConfig() Config {
	return Config{
		Access: filter.DefaultAccess(), BareNewline: BareNormalize,
		CommandTimeout: 5 * time.Minute, DataTimeout: 3 * time.Minute, MinRate: 500, AnswerTimeout: 90 * time.Second, StopGrace: 5 * time.Second,
		MaxErrors: 20, MaxIdle: 100, MaxSessions: 1000, MaxPerClient: 50, MaxSize: 50 << 20, MaxRcpts: 1000,
		MaxHeaderBytes: 1 << 20, MaxBuffered: 512 << 20,
	}
}

// On reports whether there is any listener.
func (c *Config) On() bool { return len(c.Filter)+len(c.Proxy)+len(c.Submission) > 0 }

// Listeners yields the listen addresses with their roles.
func (c *Config) Listeners() iter.Seq2[Role, string] {
	return func(yield func(Role, string) bool) {
		for role, list := range [numRoles][]string{c.Filter, c.Proxy, c.Submission} {
			for _, spec := range list {
				if !yield(Role(role), spec) {
					return
				}
			}
		}
	}
}

// Specs yields the listen addresses of all roles.
func (c *Config) Specs() iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, spec := range c.Listeners() {
			if !yield(spec) {
				return
			}
		}
	}
}

// Limits are what the intake of this door needs of the table.
func (c Config) Limits() filter.Limits {
	return filter.Limits{Rcpts: c.MaxRcpts, HeaderBytes: c.MaxHeaderBytes, Buffered: c.MaxBuffered}
}

// Validate returns what is wrong, naming the key and how to repair it.
func (c Config) Validate() error {
	for role, list := range [numRoles][]string{c.Filter, c.Proxy, c.Submission} {
		for i, spec := range list {
			if err := c.validateListener(Role(role), spec); err != nil {
				return fmt.Errorf("%s[%d]: %w", Role(role), i, err)
			}
		}
	}
	if err := c.Access.Validate(); err != nil {
		return err
	}
	if c.Reinject == "" && len(c.Filter)+len(c.Proxy) > 0 {
		return fmt.Errorf(`reinject: is not given, so mail that is not bulk has no way back to the MTA; give its listener, like "[127.0.0.1]:10026"`)
	}
	if err := validateReinject(c.Reinject); err != nil {
		return fmt.Errorf("reinject: %w", err)
	}
	if c.BareNewline != BareNormalize && c.BareNewline != BareReject {
		return fmt.Errorf("bare_newline: %q is neither %q nor %q", c.BareNewline, BareNormalize, BareReject)
	}
	if err := c.validateLogin(); err != nil {
		return err
	}
	if err := c.validateFlush(); err != nil {
		return err
	}
	return c.validateLimits()
}

// validateListener judges one listen address.
func (c *Config) validateListener(role Role, spec string) error {
	network, address, err := filter.ParseListen(spec)
	if err != nil {
		return err
	}
	if filter.Open(network, address) && len(c.Allow) == 0 && (role != Submission || c.Users == "") {
		return fmt.Errorf(`%q is open to other hosts, and whoever reaches it could send mail to anyone; `+
			`name the hosts that may, like allow = ["192.0.2.25/32"], or listen on 127.0.0.1 or a unix: socket`, spec)
	}
	return nil
}

// validateLogin judges what logging in needs. A password that is sent in clear over a network is everybody's.
func (c *Config) validateLogin() error {
	for _, f := range []struct{ key, path string }{{"users", c.Users}, {"tls_cert", c.TLSCert}, {"tls_key", c.TLSKey}} {
		if f.path != "" && !filepath.IsAbs(f.path) {
			return fmt.Errorf("%s: %q is not a path from the root", f.key, f.path)
		}
	}
	switch {
	case (c.TLSCert == "") != (c.TLSKey == ""):
		return fmt.Errorf("tls_cert: a certificate and its key belong together; give both tls_cert and tls_key")
	case c.Users != "" && len(c.Submission) == 0:
		return fmt.Errorf("users: nobody can log in without a submission listener; give submission, or leave users out")
	}
	return nil
}

func (c *Config) validateLimits() error {
	for _, d := range []struct {
		key   string
		value time.Duration
	}{{"command_timeout", c.CommandTimeout}, {"data_timeout", c.DataTimeout}, {"answer_timeout", c.AnswerTimeout}} {
		if d.value <= 0 {
			return fmt.Errorf(`%s: %s is not a positive duration; write it like "1m"`, d.key, d.value)
		}
	}
	if c.StopGrace < 0 {
		return fmt.Errorf("stop_grace: %s is negative; 0 closes idle connections at once", c.StopGrace)
	}
	for _, n := range []struct {
		key   string
		value int64
	}{
		{"min_rate", c.MinRate}, {"max_errors", int64(c.MaxErrors)}, {"max_idle", int64(c.MaxIdle)}, {"max_sessions", int64(c.MaxSessions)},
		{"max_per_client", int64(c.MaxPerClient)}, {"max_size", c.MaxSize}, {"max_rcpts", int64(c.MaxRcpts)},
		{"max_header_bytes", int64(c.MaxHeaderBytes)}, {"max_buffered", c.MaxBuffered},
	} {
		if n.value < 1 {
			return fmt.Errorf("%s: %d is less than 1", n.key, n.value)
		}
	}
	return nil
}
