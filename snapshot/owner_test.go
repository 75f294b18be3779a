package snapshot

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// TestOwnership: what the daemon's user cannot use to the end, or others can change, refuses the start before anything is
// changed, with the repair.
func TestOwnership(t *testing.T) {
	segment := segmentName(1)
	for _, tt := range []struct {
		name string
		do   func(dir string) error
		me   int // -1: the owner
		want string
	}{
		{"as it should be", func(string) error { return nil }, -1, ""},
		{"readable by all", func(dir string) error { return os.Chmod(dir, 0o755) }, -1, ""},
		{"writable by all", func(dir string) error { return os.Chmod(dir, 0o777) }, -1, "mode 0777"},
		{"writable by the group", func(dir string) error { return os.Chmod(dir, 0o770) }, -1, "mode 0770"},
		{"a part writable by all", func(dir string) error { return os.Chmod(filepath.Join(dir, journalDir), 0o777) }, -1, "journal has mode 0777"},
		{"a file writable by the group", func(dir string) error { return os.Chmod(filepath.Join(dir, segment), 0o660) }, -1, segment + " has mode 0660"},
		{"not ours to judge", func(dir string) error { return os.WriteFile(filepath.Join(dir, "notes"), nil, 0o666) }, -1, ""},
		{"after a start as root", func(string) error { return nil }, 4711, "and not to uid 4711"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			must(t, os.Mkdir(dir, 0o700))
			a, err := Open(dir, testConfig(), nil)
			must(t, err)
			must(t, a.Close())
			must(t, tt.do(dir))
			me := tt.me
			if me < 0 {
				me = os.Geteuid()
			}
			err = ownership(dir, me)
			if tt.want == "" {
				must(t, err)
				return
			}
			if err == nil || !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "repair: ch") {
				t.Errorf("the error is: %v", err)
			}
			if b, err := Open(dir, testConfig(), nil); tt.me < 0 && err == nil {
				b.Close()
				t.Error("the start was not refused")
			}
		})
	}
}

// TestStartAsRoot: root does not start in the directory of the service's user.
func TestStartAsRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a directory away")
	}
	dir := filepath.Join(t.TempDir(), "state")
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chown(dir, 4711, 4711))
	if a, err := Open(dir, testConfig(), hclog.NewNullLogger()); err == nil || !strings.Contains(err.Error(), "start as that user") {
		t.Errorf("the error is: %v", err)
		if err == nil {
			a.Close()
		}
	}
	if entries, _ := os.ReadDir(dir); len(entries) > 0 {
		t.Errorf("a refused start has left %v", entries)
	}
}
