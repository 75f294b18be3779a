package console

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// leaveSocket makes a socket that nobody answers, as kill -9 does.
func leaveSocket(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	ln.Close()
}

func TestListen(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(t *testing.T, dir string)
		path    string // below dir
		want    string // part of the error; empty for none
	}{
		{"new", func(*testing.T, string) {}, "c.sock", ""},
		{"directory missing", func(*testing.T, string) {}, "run/c.sock", ""},
		{"two directories missing", func(*testing.T, string) {}, "run/millrace/c.sock", "make its directory: no such file"},
		{"stale socket", func(t *testing.T, dir string) { leaveSocket(t, filepath.Join(dir, "c.sock")) }, "c.sock", ""},
		{"a file", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "c.sock"), []byte("mine"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "c.sock", "is not a socket"},
		{"a link", func(t *testing.T, dir string) {
			if err := os.Symlink("elsewhere", filepath.Join(dir, "c.sock")); err != nil {
				t.Fatal(err)
			}
		}, "c.sock", "is not a socket"},
		{"directory is a file", func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "run"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "run/c.sock", "not a directory"},
		{"too long", func(*testing.T, string) {}, strings.Repeat("x", 120), "a unix socket allows 107"},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			test.prepare(t, dir)
			path := filepath.Join(dir, test.path)
			ln, err := Listen(Config{Socket: path})
			if test.want != "" {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Fatalf("%v, want %q", err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkMode(t, path)
			ln.Close()
			if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the socket is left behind: %v", err)
			}
		})
	}
}

func checkMode(t *testing.T, path string) {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode() != fs.ModeSocket|0o660 {
		t.Errorf("mode %s", info.Mode())
	}
}

func TestListenInUse(t *testing.T) {
	path := serve(t, &fakeSource{n: 1})
	if _, err := Listen(Config{Socket: path}); !errors.Is(err, ErrInUse) {
		t.Fatalf("%v, want ErrInUse", err)
	}
	if _, err := dial(t, path).Status(t.Context()); err != nil {
		t.Errorf("the first one was disturbed: %v", err)
	}
}

func TestUnreachable(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	leaveSocket(t, stale)
	for _, path := range []string{filepath.Join(dir, "none.sock"), stale} {
		_, err := dial(t, path).Status(t.Context())
		if !errors.Is(err, ErrUnreachable) || !strings.Contains(err.Error(), path) {
			t.Errorf("%v", err)
		}
	}
}

func TestNoPermission(t *testing.T) {
	err := NewClient("/run/c.sock").explain(&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", fs.ErrPermission)})
	if !errors.Is(err, fs.ErrPermission) || errors.Is(err, ErrUnreachable) {
		t.Error(err)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, test := range []struct{ socket, want string }{
		{DefaultConfig().Socket, ""},
		{"", "socket: "},
		{"run/c.sock", "socket: "},
		{"/" + strings.Repeat("x", 106), ""},
		{"/" + strings.Repeat("x", 107), "socket: "},
	} {
		err := Config{Socket: test.socket}.Validate()
		if (err == nil) != (test.want == "") || err != nil && !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%q: %v", test.socket, err)
		}
	}
}
