package stream

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Formats of an output.
const (
	// FormatMillrace has every record, see contrib/events.md.
	FormatMillrace = "millrace"
	// FormatKumoMTA has the names and fields of KumoMTA's log records, for tools that read those.
	FormatKumoMTA = "kumomta"
)

// Config is the [events] table.
type Config struct {
	Buffer  int             `toml:"buffer"` // bytes of records kept in memory for readers that are behind
	File    []FileConfig    `toml:"file"`
	Webhook []WebhookConfig `toml:"webhook"`
}

// FileConfig is an [[events.file]] table.
type FileConfig struct {
	Path    string        `toml:"path"`
	Format  string        `toml:"format"`   // FormatMillrace or FormatKumoMTA
	Kinds   []string      `toml:"kinds"`    // only records of these types; none: all
	MaxSize int64         `toml:"max_size"` // bytes of a file; then the next one is begun
	MaxAge  time.Duration `toml:"max_age"`  // how long a file is written to
	Keep    int           `toml:"keep"`     // files beside the one that is written to, compressed; older ones are removed
}

// WebhookConfig is an [[events.webhook]] table.
type WebhookConfig struct {
	URL          string        `toml:"url"`
	Format       string        `toml:"format"`
	Kinds        []string      `toml:"kinds"`
	MaxBatch     int           `toml:"max_batch"`     // records of one request
	MaxWait      time.Duration `toml:"max_wait"`      // how long a record waits for others
	Timeout      time.Duration `toml:"timeout"`       // of one request
	Secret       string        `toml:"secret"`        // key of the signature; "": requests are not signed
	AllowPrivate bool          `toml:"allow_private"` // the host of the URL may have an address of this host or of a private network
}

// DefaultConfig is the [events] table of an empty file: there are no outputs, and the console serves what is in memory.
func DefaultConfig() Config { return Config{Buffer: 8 << 20} }

// SetDefaults gives a table the values that it need not have.
func (c *FileConfig) SetDefaults() {
	c.Format, c.MaxSize, c.MaxAge, c.Keep = FormatMillrace, 64<<20, 24*time.Hour, 32
}

// SetDefaults gives a table the values that it need not have.
func (c *WebhookConfig) SetDefaults() {
	c.Format, c.MaxBatch, c.MaxWait, c.Timeout = FormatMillrace, 500, 2*time.Second, 10*time.Second
}

// Bounds of the configuration.
const (
	minBuffer, maxBuffer = 1 << 20, 1 << 30
	minSize              = 1 << 20
	maxKeep              = 10_000
	maxRecords           = 10_000
)

// Validate returns every mistake, joined. The text of each begins with its key.
func (c Config) Validate() error {
	var errs []error
	if c.Buffer < minBuffer || c.Buffer > maxBuffer {
		errs = append(errs, fmt.Errorf("buffer: %d is not between %d and %d bytes", c.Buffer, minBuffer, maxBuffer))
	}
	for i, f := range c.File {
		if err := f.validate(); err != nil {
			errs = append(errs, fmt.Errorf("file[%d].%w", i, err))
		}
		if first := slices.IndexFunc(c.File, func(o FileConfig) bool { return filepath.Clean(o.Path) == filepath.Clean(f.Path) }); first < i {
			errs = append(errs, fmt.Errorf("file[%d].path: %q is the path of two tables; give each its own", i, f.Path))
		}
	}
	for i, w := range c.Webhook {
		if err := w.validate(); err != nil {
			errs = append(errs, fmt.Errorf("webhook[%d].%w", i, err))
		}
	}
	return errors.Join(errs...)
}

func (c FileConfig) validate() error {
	switch {
	case !filepath.IsAbs(c.Path) || strings.HasSuffix(c.Path, "/"):
		return fmt.Errorf("path: %q is no file's path from the root; write it like %q", c.Path, "/var/log/millrace/events.json")
	case c.MaxSize < minSize:
		return fmt.Errorf("max_size: %d is below %d bytes", c.MaxSize, minSize)
	case c.MaxAge < time.Minute:
		return fmt.Errorf("max_age: %s is less than 1m", c.MaxAge)
	case c.Keep < 0 || c.Keep > maxKeep:
		return fmt.Errorf("keep: %d is not between 0 and %d files", c.Keep, maxKeep)
	}
	return validateForm(c.Format, c.Kinds)
}

func (c WebhookConfig) validate() error {
	switch {
	case c.MaxBatch < 1 || c.MaxBatch > maxRecords:
		return fmt.Errorf("max_batch: %d is not between 1 and %d records", c.MaxBatch, maxRecords)
	case c.MaxWait < 0 || c.MaxWait > time.Hour:
		return fmt.Errorf("max_wait: %s is not between 0s and 1h", c.MaxWait)
	case c.Timeout < time.Second || c.Timeout > 5*time.Minute:
		return fmt.Errorf("timeout: %s is not between 1s and 5m", c.Timeout)
	}
	if err := c.validateURL(); err != nil {
		return fmt.Errorf("url: %w", err)
	}
	return validateForm(c.Format, c.Kinds)
}

// validateURL refuses what cannot be asked, and an address that would be refused with each request. It quotes nothing of a URL, which may
// have a secret in it.
func (c WebhookConfig) validateURL() error {
	u, err := url.Parse(c.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return fmt.Errorf("is no URL of a web server; write it like %q", "https://hooks.example.org/mail")
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil && !isPublic(a) && !c.AllowPrivate {
		return fmt.Errorf("%s is no public address; write allow_private = true if it is meant", a)
	}
	return nil
}

func validateForm(format string, names []string) error {
	if format != FormatMillrace && format != FormatKumoMTA {
		return fmt.Errorf("format: %q is neither %q nor %q", format, FormatMillrace, FormatKumoMTA)
	}
	for i, name := range names {
		if _, err := ParseKind(name); err != nil {
			return fmt.Errorf("kinds[%d]: %w", i, err)
		}
	}
	return nil
}
