package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// ideal is a client that knows what a receiver allows and does exactly that. A twin of each receiver is fed by one, at the same
// time: what the twin gets is what the receiver could have had on this machine in these minutes.
type ideal struct {
	to    string
	most  int          // connections, all the time
	limit atomic.Int64 // connections now
	rcpts []int        // recipients of its transactions, in turn
	turn  turns        // at the rate that it knows
}

// turns gives out moments at a rate.
type turns struct {
	every time.Duration // 0: at once

	mu   sync.Mutex
	next time.Time
}

// await waits for the next moment, or for ctx.
func (t *turns) await(ctx context.Context) {
	if t.every == 0 {
		return
	}
	t.mu.Lock()
	if now := time.Now(); t.next.Before(now) {
		t.next = now
	}
	at := t.next
	t.next = at.Add(t.every)
	t.mu.Unlock()
	pause(ctx, time.Until(at))
}

// pause waits for d, or for ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// run sends until ctx is done.
func (c *ideal) run(ctx context.Context) {
	var wg sync.WaitGroup
	for i := range c.most {
		wg.Go(func() { // ends with ctx
			for ctx.Err() == nil {
				if int64(i) < c.limit.Load() {
					_ = c.converse(ctx, i) // the receiver may be shut: the next attempt follows
				}
				pause(ctx, 10*time.Millisecond)
			}
		})
	}
	wg.Wait()
}

// converse sends over one connection, until the receiver ends it or allows fewer.
func (c *ideal) converse(ctx context.Context, i int) error {
	nc, err := (&net.Dialer{}).DialContext(ctx, "tcp", c.to)
	if err != nil {
		return err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	in := bufio.NewReader(nc)
	if err := hear(in, 1); err != nil {
		return err
	}
	fmt.Fprint(nc, "EHLO ideal.test\r\n")
	if err := hear(in, 1); err != nil {
		return err
	}
	for k := 0; int64(i) < c.limit.Load(); k++ {
		c.turn.await(ctx)
		n := c.rcpts[k%len(c.rcpts)]
		fmt.Fprint(nc, "MAIL FROM:<a@ideal.test>\r\n", strings.Repeat("RCPT TO:<b@receiver.test>\r\n", n), "DATA\r\n")
		if err := hear(in, n+2); err != nil {
			return err
		}
		fmt.Fprint(nc, "Subject: ideal\r\n\r\n", string(letterBody), ".\r\n")
		if err := hear(in, 1); err != nil {
			return err
		}
	}
	fmt.Fprint(nc, "QUIT\r\n")
	return hear(in, 1)
}

// hear reads n replies. Any refusal is an error: an ideal client is never refused by a receiver that is up.
func hear(in *bufio.Reader, n int) error {
	for n > 0 {
		line, err := in.ReadSlice('\n')
		switch {
		case err != nil:
			return err
		case len(line) < 4 || line[0] > '3':
			return errors.New(string(line))
		case line[3] != '-':
			n--
		}
	}
	return nil
}
