package main

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/standin"
)

// noReplies are all steps for which a filter may ask that the MTA does not wait for a reply.
const noReplies = standin.NoHeaderReply | standin.NoConnReply | standin.NoHeloReply | standin.NoMailReply | standin.NoRcptReply |
	standin.NoDataReply | standin.NoEOHReply | standin.NoBodyReply

// bareMilter is a milter that decides without a look: "discard" hears every message and takes it at its end, and gives no reply but
// that one; "accept" accepts at CONNECT and hears nothing more. What an MTA does beside the first bounds what it can do beside any
// milter that takes bulk, and the second is the least that a milter can cost.
type bareMilter struct{ accepts bool }

// serveMilter is the role "milter": an address, and "discard" or "accept".
func serveMilter(args []string) error {
	ln, err := net.Listen(networkOf(args[0]), args[0])
	if err != nil {
		return err
	}
	if networkOf(args[0]) == "unix" {
		if err := os.Chmod(args[0], 0o666); err != nil { // Postfix connects as another user
			return err
		}
	}
	m := bareMilter{accepts: len(args) > 1 && args[1] == "accept"}
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go m.serve(nc) // ends with its connection
	}
}

// serve answers on one connection until the MTA goes.
func (m bareMilter) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReaderSize(nc, 64<<10)
	for {
		var head [5]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return
		}
		size, code := int(binary.BigEndian.Uint32(head[:]))-1, head[4]
		var answer []byte
		if code == standin.Negotiate {
			offer := make([]byte, size)
			if _, err := io.ReadFull(in, offer); err != nil || size < 12 {
				return
			}
			answer = m.negotiate(offer)
		} else if _, err := in.Discard(size); err != nil {
			return
		} else {
			answer = m.answer(code)
		}
		if _, err := nc.Write(answer); err != nil {
			return
		}
	}
}

// negotiate asks for no replies, as far as the MTA offers that.
func (m bareMilter) negotiate(offer []byte) []byte {
	steps := uint32(0)
	if !m.accepts {
		steps = binary.BigEndian.Uint32(offer[8:]) & noReplies
	}
	b := binary.BigEndian.AppendUint32(nil, 6)
	b = binary.BigEndian.AppendUint32(b, 0)
	return standin.AppendFrame(nil, standin.Negotiate, binary.BigEndian.AppendUint32(b, steps)...)
}

func (m bareMilter) answer(code byte) []byte {
	switch {
	case code == standin.EndOfBody:
		return standin.AppendFrame(nil, standin.Discard)
	case code == standin.Connect && m.accepts:
		return standin.AppendFrame(nil, standin.Accept)
	}
	return nil
}

// peerMilter is a bareMilter in a process of its own.
type peerMilter struct {
	*process.Process
	socket string
}

// startMilter starts a bare milter at a unix socket in a folder of that name.
func startMilter(dir, does string) (*peerMilter, error) {
	p := &peerMilter{socket: filepath.Join(dir, does+".sock")}
	var err error
	p.Process, err = startPeer(dir, "milter", p.socket, does)
	return p, err
}
