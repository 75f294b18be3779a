package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// office offers letters to a milter door, over several connections at a time.
type office struct {
	desk  chan *standin.Message
	told  func(*standin.Message) // of each message that was taken, in the moment; nil: nobody
	wg    sync.WaitGroup
	taken atomic.Int64
	left  atomic.Int64 // with the MTA, which has to deliver them itself

	mu     sync.Mutex
	failed error
}

// openOffice connects to the unix socket of a milter door.
func openOffice(socket string, conns int) (*office, error) {
	return openOfficeFor(socket, conns, nil)
}

// openOfficeFor is openOffice for somebody who wants to be told.
func openOfficeFor(socket string, conns int, told func(*standin.Message)) (*office, error) {
	o := &office{desk: make(chan *standin.Message, conns), told: told}
	for range conns {
		c, err := standin.Dial("unix", socket, standin.Options{})
		if err != nil {
			return nil, errors.Join(err, o.close())
		}
		o.wg.Go(func() { o.serve(c) }) // ends when the desk is closed
	}
	return o, nil
}

func (o *office) serve(c *standin.Conn) {
	defer func() { c.Close() }()
	broken := false
	for m := range o.desk {
		if broken {
			continue // post must not block for ever
		}
		v, err := c.Send(m)
		switch {
		case err != nil:
			broken = true
			o.mu.Lock()
			o.failed = errors.Join(o.failed, err)
			o.mu.Unlock()
		case v.Taken():
			o.taken.Add(1)
			if o.told != nil {
				o.told(m)
			}
		default:
			o.left.Add(1)
		}
	}
}

// post offers a letter. It blocks while all connections are busy.
func (o *office) post(m *standin.Message) { o.desk <- m }

// close returns when the last letter was offered.
func (o *office) close() error {
	close(o.desk)
	o.wg.Wait()
	return o.failed
}

// stream posts a letter whenever one is due, until ctx is done. due is told of the time that each letter should have been
// offered at, whether it was or had to wait for the door.
func (o *office) stream(ctx context.Context, perSecond float64, letter func(i int) *standin.Message, due func(i int, at time.Time)) {
	begin := time.Now()
	for i := 0; ; i++ {
		at := begin.Add(time.Duration(float64(i) / perSecond * float64(time.Second)))
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(at)):
		}
		if due != nil {
			due(i, at)
		}
		o.post(letter(i))
	}
}

var letterBody = bodyOf("All the news that fits on a line of seventy characters, and no more.\r\n", 14*70)

// letter is a message of the list of its sender's domain.
func letter(id, from string, rcpts ...string) *standin.Message {
	_, domain, _ := strings.Cut(from, "@")
	return &standin.Message{
		QueueID: "4A" + id, From: from, Rcpts: standin.To(rcpts...), Body: letterBody,
		Header: []standin.Field{
			{Name: "X-Ledger", Value: " " + id}, {Name: "From", Value: fmt.Sprintf(" News <%s>", from)}, {Name: "Subject", Value: " News"},
			{Name: "Precedence", Value: " bulk"}, {Name: "List-Id", Value: fmt.Sprintf(" <news.%s>", domain)},
		},
	}
}

// addresses are n recipients in a domain, different for each i.
func addresses(i, n int, domain string) []string {
	list := make([]string, n)
	for k := range list {
		list[k] = fmt.Sprintf("u%d-%d@%s", i, k, domain)
	}
	return list
}
