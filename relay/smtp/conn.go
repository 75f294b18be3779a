package smtp

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// quitPatience bounds the writing of QUIT, which nobody waits for.
const quitPatience = 1 * time.Second

// Addr is one address of one host that takes mail.
type Addr struct {
	Host     string // its name, for SNI and logs
	AddrPort netip.AddrPort
}

// String returns the address in the form of Postfix's relay= field.
func (a Addr) String() string {
	return a.Host + "[" + a.AddrPort.Addr().String() + "]:" + portString(a.AddrPort.Port())
}

// Conn is one connection to one receiver. It starts no goroutine and has no lock:
// every method but Close must be called by one goroutine at a time.
type Conn struct {
	to         Addr
	timeouts   Timeouts
	sock       net.Conn       // as it was dialled
	nc         net.Conn       // sock, or TLS over it
	tcp        *net.TCPConn   // sock, if it is TCP and there is no TLS; else nil. It takes many slices in one write
	tls        *tls.Conn      // nil in clear
	roots      *x509.CertPool // the CAs to know the peer by; nil for the system's
	tlsFault   *Error         // why the connection is in clear although the peer offers TLS
	rd         reader
	ext        Extensions
	greeting   string    // the peer's name for itself
	uses       int       // transactions begun
	limit      int       // most transactions; 0 for no limit
	rcptLimit  int       // recipients that a transaction may name; 0: as many as the standard allows
	lockstep   bool      // the peer says lines that are no reply, so no command goes out before the last is answered
	noAhead    bool      // Config.NoLookAhead
	aheadLost  bool      // see AheadLost
	oneDomain  bool      // see OneDomain
	chunk      int       // see Chunk
	batchRoom  int       // messages of the next batch, as far as the peer is concerned
	chunksLost bool      // see ChunksLost
	left       time.Time // when the batch under way was written; zero: it was not
	silent     bool      // the last reply did not come, and the peer may have waited for us meanwhile
	aborted    bool      // a transaction was left open: RSET goes before the next MAIL
	closed     atomic.Bool
	stage      atomic.Uint32 // see GiveUp

	// Memory that Deliver uses again for every message.
	flights [2]flight
	turn    int
	probe   *probe    // nil until readable was asked
	fleet   []flight  // of a batch
	sent    []*flight // of a batch
	out     []byte
	bufs    [][]byte
	vec     net.Buffers
}

// Extensions returns the extensions that the peer announced last.
func (c *Conn) Extensions() Extensions { return c.ext }

// Peer returns the address the connection was made to.
func (c *Conn) Peer() Addr { return c.to }

// Greeting returns the name the peer gave itself in its reply to EHLO or HELO,
// by which a host can tell that it talks to itself.
func (c *Conn) Greeting() string { return c.greeting }

// TLS returns the state of the encryption; false in clear.
func (c *Conn) TLS() (tls.ConnectionState, bool) {
	if c.tls == nil {
		return tls.ConnectionState{}, false
	}
	return c.tls.ConnectionState(), true
}

// TLSBroken reports whether the peer offered TLS but it did not work, and the
// connection is in clear for that reason. The caller should remember it for the host.
func (c *Conn) TLSBroken() bool { return c.tlsFault != nil }

// TLSFault is the reason for TLSBroken: the peer's refusal of STARTTLS, or what happened in place of a handshake. It is
// nil when TLS works or was not wanted.
func (c *Conn) TLSFault() *Error { return c.tlsFault }

// pipelining reports whether commands may be written before earlier ones are answered.
func (c *Conn) pipelining() bool { return c.ext.Pipelining && !c.lockstep }

// interrupts reports whether the peer has said something that nobody asked for. Lines that are no reply say nothing.
func (c *Conn) interrupts() bool {
	for range maxSkipped {
		if c.rd.pending() {
			return true
		}
		if c.tcp == nil || !c.readable() {
			return false
		}
		if !c.rd.fill() {
			return true // closed
		}
	}
	return true
}

// AheadLost reports that the peer seems to have lost the envelope that was written behind the end of a body, although
// it offers PIPELINING. The caller should remember it for the host: see Config.NoLookAhead.
func (c *Conn) AheadLost() bool { return c.aheadLost }

// Uses returns how many transactions have been begun on the connection.
func (c *Conn) Uses() int { return c.uses }

// Limit makes Deliver stop after n transactions on this connection, counted from
// its beginning; 0 is no limit. The peer's own limit (MAILMAX) holds in any case.
func (c *Conn) Limit(n int) { c.limit = n }

// LimitRcpts sets how many recipients a transaction names to the peer, besides the limits of the standard and of the peer; 0 for no
// limit of our own. The others of a transaction are Again.
func (c *Conn) LimitRcpts(n int) { c.rcptLimit = n }

// spent reports whether no other transaction may be begun.
func (c *Conn) spent() bool { return c.spentBy(0) }

// spentBy reports whether no other transaction may be begun behind n that are not begun yet.
func (c *Conn) spentBy(n int) bool {
	m := c.ext.Limits.MailMax
	return c.limit > 0 && c.uses+n >= c.limit || m > 0 && c.uses+n >= m
}

// Alive reports whether an idle connection may be used again. A peer has nothing
// to say to an idle client except that it closes. So anything that can be read
// means that the connection is over: a reply does, and so does the end of input.
func (c *Conn) Alive() bool {
	return !c.closed.Load() && !c.rd.pending() && !c.readable()
}

// Quit ends the session in good order: it writes QUIT and closes without
// waiting for the reply.
func (c *Conn) Quit() {
	if c.closed.Swap(true) {
		return
	}
	// The peer may be gone, which is no reason to say anything to anybody.
	if c.nc.SetWriteDeadline(time.Now().Add(quitPatience)) == nil {
		_, _ = c.nc.Write([]byte("QUIT\r\n"))
	}
	_ = c.nc.Close()
}

// closePatience is how long a receiver is waited for that has answered QUIT and has not closed the connection.
const closePatience = 250 * time.Millisecond

// Leave ends the session in good order and waits until the receiver has ended
// it too, for patience at most. A receiver with a limit of connections counts
// this one until then, and would refuse the next that is made in its place.
func (c *Conn) Leave(patience time.Duration) {
	if c.closed.Swap(true) {
		return
	}
	defer c.nc.Close()
	if c.nc.SetDeadline(time.Now().Add(patience)) != nil {
		return
	}
	_, err := c.nc.Write([]byte("QUIT\r\n"))
	var buf [512]byte
	for answered := false; err == nil; {
		var n int
		n, err = c.nc.Read(buf[:])
		if !answered && bytes.IndexByte(buf[:n], '\n') >= 0 {
			answered = true
			err = cmp.Or(err, c.nc.SetReadDeadline(time.Now().Add(min(patience, closePatience))))
		}
	}
}

// Close ends the connection at once. Another goroutine may call it to break off
// a Deliver; the body then in flight may be delivered twice.
func (c *Conn) Close() error {
	if c.closed.Swap(true) {
		return nil
	}
	// Not TLS's Close, which would wait for room to say goodbye in.
	return c.sock.Close()
}
