package console

import (
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
)

// TestWho: the name is the system's, and a user without one is shown by the number.
func TestWho(t *testing.T) {
	for _, test := range []struct {
		peer peer
		want string
	}{
		{peer{}, "unknown"},
		{peer{uid: 0, pid: 12, known: true}, "root (uid 0, pid 12)"},
		{peer{uid: 4_000_000_000, known: true}, "uid 4000000000, pid 0"},
	} {
		if got := test.peer.who(); got != test.want {
			t.Errorf("%+v: %q, want %q", test.peer, got, test.want)
		}
	}
}

// TestPeerOf: both ends of this test are this process.
func TestPeerOf(t *testing.T) {
	ln, err := net.Listen("unix", t.TempDir()+"/p.sock")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	far, err := net.Dial("unix", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	near, err := peers{ln}.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	want := peer{uid: uint32(os.Getuid()), gid: uint32(os.Getgid()), pid: int32(os.Getpid()), known: true}
	if runtime.GOOS != "linux" {
		want = peer{}
	}
	if near.RemoteAddr() != net.Addr(want) {
		t.Errorf("%+v, want %+v", near.RemoteAddr(), want)
	}
	if pipe, _ := net.Pipe(); !strings.Contains(peerOf(pipe).String(), nobody) {
		t.Error("a pipe has a peer")
	}
}
