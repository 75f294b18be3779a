package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"github.com/millrace/millrace/test/load"
)

// eventsBench sends the same mail through two daemons: one writes an event file and has a webhook whose receiver takes requests and never
// answers, the other has no events.
type eventsBench struct{ rows rowBench }

func (b *eventsBench) run(write func(figure) error) (err error) {
	stuck, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer stuck.Close()
	go swallow(stuck) // ends with the listener
	with, err := b.rows.newStoreWith("with", fmt.Sprintf("[[events.file]]\npath = %q\n[[events.webhook]]\nurl = \"http://%s/\"\nallow_private = true\n",
		filepath.Join(b.rows.dir, "with", "events.json"), stuck.Addr()))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, with.end()) }()
	without, err := b.rows.newStoreWith("without", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, without.end()) }()
	c := load.Config{Messages: b.rows.count(10_000, 300), MinSize: b.rows.size, Conns: 20, Personal: 0.05}
	ours := sending("with events", c, with.entry, with.to, with.meter())
	plain := sending("without", c, without.entry, without.to, without.meter())
	if err := takeTurns(b.rows.turns(5), ours, plain); err != nil {
		return err
	}
	return write(ours.faster(14, "the SMTP door with delivery, an event file and a stuck webhook: speed to the same without events", plain, 0.98))
}

// swallow reads all that is sent to a listener, and answers nothing.
func swallow(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() { // ends when the other side hangs up
			defer c.Close()
			_, _ = io.Copy(io.Discard, c) // what is read is of no interest
		}()
	}
}
