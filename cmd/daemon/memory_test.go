package daemon

import (
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
)

// TestMemoryThatIsNotThere: a start with more memory than the machine has is refused, with the key and the repair.
func TestMemoryThatIsNotThere(t *testing.T) {
	cfg := config.DefaultConfig()
	cfg.File, cfg.Hostname, cfg.StateDir, cfg.Log.Mail = "millrace.toml", "mail.example.org", t.TempDir(), "off"
	cfg.Queue.MaxBytes = 1 << 60
	d, err := New(cfg, hclog.NewNullLogger())
	if !errors.As(err, new(config.Errors)) || !strings.HasPrefix(err.Error(), "millrace.toml: queue.max_bytes: 1152921504606846976 and a fifth") ||
		!strings.Contains(err.Error(), "give at most ") {
		t.Errorf("%v, %v", d, err)
	}
}
