package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/millrace/millrace/test/standin"
)

const demoClients = 50 // SMTP clients of the stand-in MTA at the same time

// demoMTA stands in for Postfix: it offers a campaign to the milter door and notes what was taken.
type demoMTA struct {
	d     *demo
	net   *demoNet
	text  []byte // the body all messages have in common
	next  atomic.Int64
	taken atomic.Int64

	sums  []([sha256.Size]byte) // of message i, if it was taken
	moved []bool                // whether message i was taken
}

func newDemoMTA(d *demo, net *demoNet) *demoMTA {
	line := []byte("The news of the week, all of it, in lines of moderate length, dear reader.\r\n")
	text := bytes.Repeat(line, d.size/len(line)+1)[:max(d.size-2, 0)]
	return &demoMTA{
		d: d, net: net, text: append(bytes.TrimRight(text, "\r"), "\r\n"...),
		sums: make([][sha256.Size]byte, d.messages), moved: make([]bool, d.messages),
	}
}

// feed offers the whole campaign over several connections.
func (m *demoMTA) feed(ctx context.Context, socket string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range demoClients {
		wg.Go(func() { // ends with the campaign or the first error
			if err := m.client(ctx, socket); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

func (m *demoMTA) client(ctx context.Context, socket string) error {
	c, err := standin.Dial("unix", socket, standin.Options{ClientName: "listmonk.test", ClientAddr: "192.0.2.80"})
	if err != nil {
		return err
	}
	defer c.Close()
	for ctx.Err() == nil {
		i := int(m.next.Add(1)) - 1
		if i >= m.d.messages {
			return nil
		}
		if err := m.offer(c, i); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

// offer sends message i. Its sum is noted first: what is taken may arrive at once.
func (m *demoMTA) offer(c *standin.Conn, i int) error {
	raw := m.message(i)
	m.sums[i] = sha256.Sum256(raw)
	msg := &standin.Message{QueueID: fmt.Sprintf("4D%07d", i), From: fmt.Sprintf("news+%d@sender.test", i), Rcpts: standin.To(m.rcpt(i))}
	msg.Header, msg.Body = standin.Parse(raw)
	v, err := c.Send(msg)
	if err != nil {
		return err
	}
	if v.Taken() {
		m.moved[i] = true
		m.taken.Add(1)
	}
	return nil
}

func (m *demoMTA) rcpt(i int) string {
	return fmt.Sprintf("reader%d@%s", i, m.net.domains[i%len(m.net.domains)].name)
}

// message is the i-th of the campaign.
func (m *demoMTA) message(i int) []byte {
	b := fmt.Appendf(nil, "X-Ledger: %d\r\nFrom: News <news@sender.test>\r\nTo: <%s>\r\nSubject: News of the week\r\n"+
		"List-Id: <news.sender.test>\r\nList-Unsubscribe: <https://sender.test/off/%d>\r\nPrecedence: bulk\r\n\r\n", i, m.rcpt(i), i)
	own := int(m.d.personal * float64(len(m.text)))
	for n := 0; n < own; {
		line := fmt.Appendf(nil, "Reader %d, this line %d is for you alone.\r\n", i, n)
		b = append(b, line...)
		n += len(line)
	}
	return append(b, m.text[min(own, len(m.text)-2):]...)
}
