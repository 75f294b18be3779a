package console

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/user"
	"strconv"
	"strings"
	"unicode"
)

// peer is the process at the other end of the control socket, as the kernel knows it from the moment it connected. It is the
// remote address of the connection: net/http hands a connection over wrapped, and only its addresses come through.
type peer struct {
	uid, gid uint32
	pid      int32 // 0: a process that this one cannot see, as in another container
	known    bool
}

// nobody is a peer that the system tells nothing about.
const nobody = "unknown"

// Network implements net.Addr.
func (p peer) Network() string { return "unix" }

// String implements net.Addr.
func (p peer) String() string {
	if !p.known {
		return nobody
	}
	return fmt.Sprintf("uid %d, pid %d", p.uid, p.pid)
}

// who is p with the user's name. To find the name may take a network's time where users stand in a directory, so only an act
// asks for it.
func (p peer) who() string {
	if !p.known {
		return nobody
	}
	u, err := user.LookupId(strconv.FormatUint(uint64(p.uid), 10))
	if err != nil || strings.ContainsFunc(u.Username, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return p.String() // a user of another container has no name here, and a name that cannot be printed is none
	}
	return fmt.Sprintf("%s (%s)", u.Username, p)
}

// peers is a listener whose connections know their peer.
type peers struct{ net.Listener }

// Accept implements net.Listener.
func (l peers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return known{conn, peerOf(conn)}, nil
}

// known is a connection whose remote address is its peer.
type known struct {
	net.Conn
	peer peer
}

// RemoteAddr implements net.Conn.
func (k known) RemoteAddr() net.Addr { return k.peer }

// peerKey is the key of the peer in a request's context.
type peerKey struct{}

// withPeer is the ConnContext of the server.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, peerKey{}, conn.RemoteAddr())
}

// whoAsks says who sent r. What r says itself counts for nothing.
func whoAsks(r *http.Request) string {
	p, _ := r.Context().Value(peerKey{}).(peer)
	return p.who()
}
