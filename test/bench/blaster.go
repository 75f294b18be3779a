package main

import (
	"bufio"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
)

// piece is one message for a blaster: its envelope, and its bytes as they go over the wire: over DATA with dots stuffed.
type piece struct {
	from, rcpt   string
	head, common []byte // the message is both; common is the same for many
}

// blaster sends as fast as a program can that only sends: it asks nothing, keeps nothing, and knows no other receiver. How much it
// sends bounds all that sends in its form.
type blaster struct {
	addr     string
	conns    int
	messages int
	piece    func(i int, scratch []byte) piece // the i-th message; its head is appended to scratch
	// ahead is how many transactions may be without their reply, over BDAT. 0: DATA, with the next envelope behind each body, which
	// is the form of relay/smtp.
	ahead int

	next atomic.Int64
}

// run sends all messages and returns when each has its reply.
func (b *blaster) run() error {
	var wg sync.WaitGroup
	failed := make([]error, b.conns)
	for i := range b.conns {
		wg.Go(func() { failed[i] = b.converse() }) // ends when no message is left
	}
	wg.Wait()
	for _, err := range failed {
		if err != nil {
			return err
		}
	}
	return nil
}

// take draws the number of the next message; -1: there is none.
func (b *blaster) take() int {
	if i := int(b.next.Add(1)) - 1; i < b.messages {
		return i
	}
	return -1
}

// stream is one connection of a blaster.
type stream struct {
	*blaster
	nc      net.Conn
	in      *bufio.Reader
	scratch []byte
	command []byte
}

func (b *blaster) converse() error {
	nc, err := net.Dial(networkOf(b.addr), b.addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	s := &stream{blaster: b, nc: nc, in: bufio.NewReaderSize(nc, 16<<10)}
	if err := hear(s.in, 1); err != nil {
		return err
	}
	fmt.Fprint(nc, "EHLO blaster.test\r\n")
	if err := hear(s.in, 1); err != nil {
		return err
	}
	if b.ahead > 0 {
		return s.chunks()
	}
	return s.data()
}

// data sends by DATA. The body of a message and the envelope of the next one leave in one write.
func (s *stream) data() error {
	i := s.take()
	if i < 0 {
		return nil
	}
	p := s.piece(i, nil)
	if _, err := s.nc.Write(s.envelope(p)[len(".\r\n"):]); err != nil {
		return err
	}
	var spare []byte // head of the message before this one
	for owed := 3; ; owed = 4 {
		if err := hear(s.in, owed); err != nil {
			return err
		}
		vec := net.Buffers{p.head, p.common, nil}
		if i = s.take(); i < 0 {
			vec[2] = endOfData[2:]
			if _, err := vec.WriteTo(s.nc); err != nil {
				return err
			}
			return hear(s.in, 1)
		}
		p, spare = s.piece(i, spare[:0]), p.head
		vec[2] = s.envelope(p)
		if _, err := vec.WriteTo(s.nc); err != nil {
			return err
		}
	}
}

// envelope ends the message before it too.
func (s *stream) envelope(p piece) []byte {
	s.command = fmt.Appendf(s.command[:0], ".\r\nMAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA\r\n", p.from, p.rcpt)
	return s.command
}

// chunks sends by BDAT, with several transactions under way.
func (s *stream) chunks() error {
	for owed := 0; ; {
		for owed < s.ahead {
			i := s.take()
			if i < 0 {
				return hear(s.in, 3*owed)
			}
			p := s.piece(i, s.scratch[:0])
			size := len(p.head) + len(p.common)
			s.command = fmt.Appendf(s.command[:0], "MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nBDAT %d LAST\r\n", p.from, p.rcpt, size)
			vec := net.Buffers{s.command, p.head, p.common}
			if _, err := vec.WriteTo(s.nc); err != nil {
				return err
			}
			s.scratch, owed = p.head, owed+1
		}
		if err := hear(s.in, 3); err != nil {
			return err
		}
		owed--
	}
}
