package setup

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConnect: a stranger, a member of the group and the owner before a socket in a directory.
func TestConnect(t *testing.T) {
	dir, err := os.MkdirTemp("", "mr") // short: the path of a socket is bounded
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	owner := identity{"owner", uint32(os.Getuid()), nil}
	member := identity{"member", 54321, []uint32{1, uint32(os.Getgid())}}
	stranger := identity{"stranger", 54321, []uint32{54321}}
	if err := stranger.connect(filepath.Join(filepath.Dir(dir), "none")); err != nil && os.Getenv("CI") != "" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("a stranger cannot come as far as the test's directory: %v", err)
	}
	for _, tt := range []struct {
		who         identity
		dir, socket os.FileMode
		obstacle    string // what the error names
	}{
		{stranger, 0o755, 0o666, ""}, {stranger, 0o755, 0o660, path}, {stranger, 0o750, 0o666, dir},
		{member, 0o755, 0o660, ""}, {member, 0o750, 0o660, ""}, {member, 0o750, 0o606, path}, {member, 0o700, 0o660, dir},
		{owner, 0o700, 0o600, ""},
	} {
		if err := os.Chmod(dir, tt.dir); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, tt.socket); err != nil {
			t.Fatal(err)
		}
		err := tt.who.connect(path)
		if (err == nil) != (tt.obstacle == "") || err != nil && !strings.Contains(err.Error(), "pass "+tt.obstacle+" ") {
			t.Errorf("%s, directory %o, socket %o: %v", tt.who.name, tt.dir, tt.socket, err)
		}
	}
	if err := stranger.connect("/none/s"); err != nil {
		t.Errorf("a socket that is not there: %v", err)
	}
}

func TestLookUser(t *testing.T) {
	id, err := lookUser("root")
	if err != nil || id.uid != 0 || len(id.groups) == 0 {
		t.Errorf("%+v, %v", id, err)
	}
	if _, err := lookUser("nobody-of-that-name"); err == nil {
		t.Error("a user who is not there was found")
	}
}
