package mta

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// discarder is a milter that takes all mail and drops it.
type discarder struct {
	ln    net.Listener
	taken atomic.Int64
	wg    sync.WaitGroup
}

func startDiscarder(t *testing.T) *discarder {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d := &discarder{ln: ln}
	d.wg.Go(func() { d.serve() }) // ends when the listener is closed
	t.Cleanup(func() { _ = ln.Close(); d.wg.Wait() })
	return d
}

func (d *discarder) serve() {
	for {
		conn, err := d.ln.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			d.wg.Go(func() { d.session(conn) }) // ends when Postfix hangs up or is stopped
		}
	}
}

func (d *discarder) session(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn)
	for {
		var head [5]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint32(head[:]) - 1)); err != nil {
			return
		}
		if _, err := conn.Write(d.answer(head[4])); err != nil {
			return
		}
	}
}

// answer is the reply to a command: version 6 without any wishes to the offer, and none to commands that want none.
func (d *discarder) answer(command byte) []byte {
	switch command {
	case 'O':
		return []byte("\x00\x00\x00\x0dO\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x00")
	case 'D', 'A', 'Q':
		return nil
	case 'E':
		d.taken.Add(1)
		return []byte("\x00\x00\x00\x01d")
	default:
		return []byte("\x00\x00\x00\x01c")
	}
}
