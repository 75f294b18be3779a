package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
)

// clients is how many SMTP clients the stand-in MTA serves at the same time. Half of the process limit that Postfix has by
// default is enough to keep the door busy. An application without an MTA has as many connections.
const clients = 50

// mta stands in for Postfix: it offers a campaign to the milter door and notes which messages were taken. With Options.NoMTA it is the
// application itself, which has only our listener for submissions. It has no lock.
// The notes of each message belong to the one goroutine of feed that offers it; after feed has returned all may be read.
type mta struct {
	o     Options
	net   *internet
	text  []byte       // the body that all messages have in common
	next  atomic.Int64 // number of the next message to offer
	taken atomic.Int64

	sums  []([sha256.Size]byte) // of message i, if it was taken
	moved []bool                // whether message i was taken
}

// newMTA makes the common text once: to make 20 KB for each message would slow the campaign down, and not Millrace.
func newMTA(o Options, net *internet) *mta {
	line := []byte("The news of the week, all of it, in lines of moderate length, dear reader.\r\n")
	text := bytes.Repeat(line, o.Size/len(line)+1)[:max(o.Size-2, 0)]
	return &mta{
		o: o, net: net, text: append(bytes.TrimRight(text, "\r"), "\r\n"...),
		sums: make([][sha256.Size]byte, o.Messages), moved: make([]bool, o.Messages),
	}
}

// feed offers the whole campaign over several connections. The first error ends all of them: a campaign with a hole could
// not add up.
func (m *mta) feed(ctx context.Context, dir string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() { // ends with the campaign or the first error
			if err := m.client(ctx, dir); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// client offers one message after another over a connection of its own, as Postfix's smtpd does. It asks for the next
// number instead of having a share of its own: a client that is slow then holds up nobody.
func (m *mta) client(ctx context.Context, dir string) error {
	c, err := m.connect(ctx, dir)
	if err != nil {
		return err
	}
	defer c.Close()
	for ctx.Err() == nil {
		i := int(m.next.Add(1)) - 1
		if i >= m.o.Messages {
			return nil
		}
		if err := m.send(c, i); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	return nil
}

// send brings message i. The sum is noted before, because the message may arrive at the sink before the door has answered
// here.
func (m *mta) send(c client, i int) error {
	raw := m.compose(i)
	m.sums[i] = sha256.Sum256(raw)
	taken, err := c.bring(i, raw)
	if taken {
		m.moved[i] = true
		m.taken.Add(1)
	}
	return err
}

// senderDomain is where notifications go.
const senderDomain = "sender.test"

// sender is the return path of message i.
func sender(i int) string { return fmt.Sprintf("news+%d@%s", i, senderDomain) }

// rcpt is the recipient of message i. Messages go round the domains, so that message i is also in row i of the result.
func (m *mta) rcpt(i int) string {
	return fmt.Sprintf("reader%d@%s", i, m.net.domains[i%len(m.net.domains)].name)
}

// compose makes the i-th message of the campaign. The header carries its number, by which the tally finds it again, and the
// fields by which the default rules know bulk mail. Personal lines come before the common text.
func (m *mta) compose(i int) []byte {
	b := fmt.Appendf(nil, "X-Ledger: %d\r\nFrom: News <news@sender.test>\r\nTo: <%s>\r\nSubject: News of the week\r\n"+
		"List-Id: <news.sender.test>\r\nList-Unsubscribe: <https://sender.test/off/%d>\r\nPrecedence: bulk\r\n\r\n", i, m.rcpt(i), i)
	own := int(m.o.Personal * float64(len(m.text)))
	for n := 0; n < own; {
		line := fmt.Appendf(nil, "Reader %d, this line %d is for you alone.\r\n", i, n)
		b = append(b, line...)
		n += len(line)
	}
	return append(b, m.text[min(own, len(m.text)-2):]...)
}
