package daemon

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/millrace/millrace/cmd/config"
)

// The file's group may read the mail log under the umask of contrib/systemd; a mode that somebody gave a file stays.
func TestMailLogMode(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077))
	cfg := config.DefaultConfig()
	cfg.Log.Mail = filepath.Join(t.TempDir(), "mail.log")
	mode := func(want os.FileMode, when string) {
		t.Helper()
		st, err := os.Stat(cfg.Log.Mail)
		if err != nil {
			t.Fatal(err)
		}
		if got := st.Mode().Perm(); got != want {
			t.Errorf("%s: mode %o, want %o", when, got, want)
		}
	}
	l, err := openMailLog(cfg, appendTo)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	mode(0o640, "a new file")
	if err := os.Rename(cfg.Log.Mail, cfg.Log.Mail+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	mode(0o640, "after rotation")
	if err := os.Chmod(cfg.Log.Mail, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	mode(0o600, "chosen by somebody")
}
