package smtp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

const (
	blockBytes  = 64 << 10        // bytes written at a time; Timeouts.Block bounds one block
	blockSlices = 256             // slices in one write, for a body of nothing but dots
	stallProbe  = 1 * time.Second // how often a blocked write looks whether the peer has spoken
)

var (
	errEarly       = errors.New("receiver replied before the end of data")
	errOdd         = errors.New("lines of the reply do not belong together")
	errUnsolicited = fmt.Errorf("%w: reply to no command", errProtocol)
)

// blocks keeps the buffers that bodies are copied into where a connection takes
// only one slice at a time. It is shared by all connections because an idle one
// has no use for 64 KB.
var blocks = sync.Pool{New: func() any { return new([blockBytes]byte) }}

// gather collects slices and writes them with as few system calls as it can:
// writev on a plain TCP connection, else through one buffer.
type gather struct {
	c     *Conn
	bufs  [][]byte // waiting to be written
	size  int      // bytes in bufs
	sent  int64    // bytes written
	end   int64    // of the message: where its last dot is out
	until time.Time
	deaf  bool // the peer speaks while we write, and that means nothing
}

// room is how many bytes one write may have. Nobody looks between the blocks of a batch, so that it needs none.
func (g *gather) room() int {
	if g.deaf && g.c.tcp != nil {
		return batchBytes + maxChunk
	}
	return blockBytes
}

// patience is how long the slices that wait may take.
func (g *gather) patience() time.Duration {
	return g.c.timeouts.Block * time.Duration(1+max(g.size-1, 0)/blockBytes)
}

var lineEnd = []byte("\r\n")

// collect keeps b for the next write; b must stay unchanged until then. It writes when a block is full.
func (g *gather) collect(b []byte) error {
	for room := g.room(); len(b) > 0; {
		if g.size == room || len(g.bufs) == blockSlices {
			if err := g.writeBlock(); err != nil {
				return err
			}
		}
		n := min(len(b), room-g.size)
		g.bufs = append(g.bufs, b[:n])
		g.size += n
		b = b[n:]
	}
	return nil
}

// writeBlock writes the slices that wait. Between blocks it looks whether the peer
// has refused the message already.
func (g *gather) writeBlock() error {
	if !g.deaf && g.sent > 0 && g.c.tcp != nil && g.c.readable() { // under TLS the bytes may be of TLS itself, not of a reply
		return errEarly
	}
	if last := g.sent + int64(g.size); g.sent < g.end && last >= g.end && !g.c.commit() {
		return errGivenUp
	}
	until := earlier(time.Now().Add(g.patience()), g.until)
	var n int64
	var err error
	if g.c.tcp != nil {
		n, err = g.c.writev(g.bufs, until, g.deaf)
	} else {
		n, err = g.c.writeCopy(g.bufs, until)
	}
	g.sent += n
	clear(g.bufs)
	g.bufs, g.size = g.bufs[:0], 0
	return err
}

// returnSlices gives the slice memory back to the connection, without the message in it.
func (g *gather) returnSlices() {
	clear(g.bufs)
	g.c.bufs = g.bufs[:0]
}

// writev writes bufs to the socket. While the peer does not read, it looks from
// time to time whether the peer has spoken: one that refuses a message and waits
// for us to stop would otherwise cost the whole timeout. deaf: it does not look.
func (c *Conn) writev(bufs [][]byte, until time.Time, deaf bool) (int64, error) {
	var sent int64
	c.vec = bufs
	defer func() { c.vec = nil }()
	for {
		if err := c.tcp.SetWriteDeadline(earlier(time.Now().Add(stallProbe), until)); err != nil {
			return sent, err
		}
		n, err := c.vec.WriteTo(c.tcp) // takes the written bytes out of vec
		sent += n
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !time.Now().Before(until) {
			return sent, err
		}
		if !deaf && c.readable() {
			return sent, errEarly
		}
	}
}

// writeCopy writes bufs, at most one block, through one buffer: TLS makes a
// record of every write.
func (c *Conn) writeCopy(bufs net.Buffers, until time.Time) (int64, error) {
	block := blocks.Get().(*[blockBytes]byte)
	defer blocks.Put(block)
	out := block[:0]
	for _, b := range bufs {
		out = append(out, b...)
	}
	if err := c.nc.SetWriteDeadline(until); err != nil {
		return 0, err
	}
	n, err := c.nc.Write(out)
	return int64(n), err
}
