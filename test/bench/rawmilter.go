package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/letters"
	"github.com/millrace/millrace/test/standin"
)

// marked stands in a script where the number of the message belongs.
var marked = []byte("0000000000")

// script is what an MTA writes to a milter for one message, cut where it waits for a reply.
type script [][]byte

// tape is a connection to a milter that is not there: it answers the offer as a real one did, lets everything pass, and keeps what
// the MTA writes.
type tape struct {
	net.Conn
	offer  []byte // the real milter's answer
	now    []byte // written since the last reply
	done   script
	answer bytes.Reader
}

func (t *tape) Write(p []byte) (int, error) {
	t.now = append(t.now, p...)
	return len(p), nil
}

// Read is called when a reply is due.
func (t *tape) Read(p []byte) (int, error) {
	if t.answer.Len() == 0 {
		code := byte(0)
		for rest := t.now; len(rest) >= 5; rest = rest[4+binary.BigEndian.Uint32(rest):] {
			code = rest[4]
		}
		t.done, t.now = append(t.done, t.now), nil
		reply := standin.AppendFrame(nil, standin.Continue)
		switch code {
		case standin.Negotiate:
			reply = t.offer
		case standin.EndOfBody:
			reply = standin.AppendFrame(nil, standin.Discard)
		}
		t.answer.Reset(reply)
	}
	return t.answer.Read(p)
}

func (t *tape) SetDeadline(time.Time) error { return nil }

// cut returns what was written since the last cut.
func (t *tape) cut() script {
	s := t.done
	t.done = nil
	return s
}

// Forms of recipients, for newRawMilter.
const (
	toTen  = "u%s@d%d.test"  // in ten domains
	toEach = "u@d%s-%d.test" // in a domain of their own
)

// rawMilter is an MTA's side that has all its frames ready: it costs next to nothing, so that the filter decides about the rate.
type rawMilter struct {
	addr  string
	offer []byte            // of all there is
	lines map[string]*lines // by terms

	next atomic.Int64
}

// lines are what an MTA says under some terms.
type lines struct {
	greeting script   // behind the offer
	scripts  []script // of different messages, in turn
}

// newRawMilter asks the filter at addr for its wishes, and writes the scripts for it: so many messages of every shape. rcpt is the form of
// a recipient, of the message's number and a small number.
func newRawMilter(addr string, messages int, rcpt string) (*rawMilter, error) {
	t := &tape{offer: standin.AppendFrame(nil, standin.Negotiate, make([]byte, 12)...)}
	if _, err := standin.New(t, standin.Options{}); err != nil {
		return nil, err
	}
	r := &rawMilter{addr: addr, offer: t.done[0], lines: make(map[string]*lines)}
	for range 2 { // both are open at the same time: a filter need not wish for the same on each connection
		nc, answer, err := r.wishes()
		if err != nil {
			return nil, err
		}
		defer nc.Close()
		if r.lines[terms(answer)] != nil {
			continue
		}
		if r.lines[terms(answer)], err = linesFor(answer, messages, rcpt); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// terms are the protocol's version, the actions and the steps of a filter's answer to an offer.
func terms(answer []byte) string { return string(answer[:min(len(answer), 5+12)]) }

func linesFor(answer []byte, messages int, rcpt string) (*lines, error) {
	t := &tape{offer: answer}
	c, err := standin.New(t, standin.Options{ClientName: "app.sender.test", ClientAddr: "192.0.2.1"})
	if err != nil {
		return nil, err
	}
	l := &lines{greeting: t.cut()[1:]}
	for i := range messages {
		for _, s := range letters.Shapes(15) {
			if _, err := c.Send(offered(s, i, rcpt)); err != nil {
				return nil, err
			}
			l.scripts = append(l.scripts, t.cut())
		}
	}
	return l, nil
}

// offered is a message as an MTA offers it: the field that the MTA has added comes later. The number at its end makes it another
// one each time.
func offered(s letters.Shape, i int, rcpt string) *standin.Message {
	header, body := standin.Parse(s.Message(i))
	body = fmt.Appendf(body, "reader %s\r\n", marked)
	return &standin.Message{
		QueueID: "4A" + string(marked), From: fmt.Sprintf("news+%d@%s.test", i, s.Name), Header: header[1:], Body: body,
		Rcpts: standin.To(fmt.Sprintf(rcpt, marked, i%10)),
	}
}

// wishes is a filter's answer to the offer of everything, and the connection on which it came.
func (r *rawMilter) wishes() (nc net.Conn, answer []byte, err error) {
	if nc, err = net.Dial(networkOf(r.addr), r.addr); err != nil {
		return nil, nil, err
	}
	if _, err = nc.Write(r.offer); err == nil {
		answer, err = readAnswer(nc)
	}
	if err != nil {
		nc.Close()
	}
	return nc, answer, err
}

// readAnswer reads the answer to an offer.
func readAnswer(from io.Reader) ([]byte, error) {
	code, payload, err := standin.ReadFrame(from)
	if err != nil || code != standin.Negotiate {
		return nil, fmt.Errorf("the filter answers the offer with %q: %w", code, err)
	}
	return standin.AppendFrame(nil, code, payload...), nil
}

// run offers so many messages over so many connections and returns when each has its reply. One that was not taken is an error.
func (r *rawMilter) run(messages int64, conns int) error {
	end := r.next.Load() + messages
	var wg sync.WaitGroup
	failed := make([]error, conns)
	for i := range conns {
		wg.Go(func() { failed[i] = r.converse(end) }) // ends when no message is left
	}
	wg.Wait()
	r.next.Store(end) // each connection has drawn one number more
	for _, err := range failed {
		if err != nil {
			return err // the others say the same
		}
	}
	return nil
}

func (r *rawMilter) converse(end int64) error {
	nc, err := net.Dial(networkOf(r.addr), r.addr)
	if err != nil {
		return err
	}
	defer nc.Close()
	in, scratch := bufio.NewReader(nc), []byte(nil)
	l, err := r.greet(nc, in)
	if err != nil {
		return err
	}
	var answer fate
	for i := r.next.Add(1) - 1; i < end; i = r.next.Add(1) - 1 {
		number := fmt.Appendf(nil, "%0*d", len(marked), i)
		for _, piece := range l.scripts[i%int64(len(l.scripts))] {
			scratch = bytes.ReplaceAll(append(scratch[:0], piece...), marked, number)
			if _, err := nc.Write(scratch); err != nil {
				return err
			}
			if answer, err = lastOf(in); err != nil {
				return err
			}
		}
		if answer != takenOver {
			return fmt.Errorf("message %d was not taken", i)
		}
	}
	return nil
}

// greet says what comes before the first message, and returns what comes behind it under the terms that the filter has given.
func (r *rawMilter) greet(nc net.Conn, in *bufio.Reader) (l *lines, err error) {
	if _, err := nc.Write(r.offer); err != nil {
		return nil, err
	}
	wish, err := readAnswer(in)
	if err != nil {
		return nil, err
	}
	if l = r.lines[terms(wish)]; l == nil {
		return nil, errors.New("the filter's wishes are others than before")
	}
	for _, piece := range l.greeting {
		if _, err := nc.Write(piece); err != nil {
			return nil, err
		}
		if _, err := lastOf(in); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// fate is what a reply says about the message.
type fate int

const (
	undecided fate = iota
	takenOver
	notTaken
)

// lastOf reads the reply to a command, with the changes before it.
func lastOf(in *bufio.Reader) (fate, error) {
	for emptied := false; ; {
		var head [5]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return notTaken, err
		}
		if _, err := in.Discard(int(binary.BigEndian.Uint32(head[:])) - 1); err != nil {
			return notTaken, err
		}
		switch code := head[4]; {
		case code == standin.DelRcpt:
			emptied = true
		case code == standin.Discard, code == standin.Accept && emptied:
			return takenOver, nil
		case code == standin.Continue, code == standin.Skip:
			return undecided, nil
		case code != standin.Progress:
			return notTaken, nil
		}
	}
}
