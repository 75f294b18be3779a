package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// load says how much mail a generator offers, and which.
type load struct {
	conns    int           // connections, each of them one SMTP client of the MTA
	messages int           // in all; 0: until the generator is stopped
	backlog  int           // the generator waits while more recipients than this are answered for and not delivered; 0: never
	pause    time.Duration // at most between two messages of a connection
	seed     uint64
	prefix   string // of the ids
	plain    bool   // no receiver refuses or defers, and no client goes away
}

// generator plays the MTA: it offers mail over several connections, and offers a message again that was not answered.
type generator struct {
	sandbox *sandbox
	load    load
	next    atomic.Int64
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	done    chan struct{} // closed when the last client has ended
}

// generate starts a generator; stop ends it.
func (s *sandbox) generate(l load) *generator {
	g := &generator{sandbox: s, load: l, done: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	g.cancel = cancel
	for i := range l.conns {
		c := &client{g: g, sandbox: g.sandbox, byLetters: i%3 == 2, rng: rand.New(rand.NewPCG(l.seed, uint64(i)))}
		g.wg.Go(func() { c.run(ctx) }) // ends when the messages are used up, or with ctx
	}
	go func() { g.wg.Wait(); close(g.done) }() // ends with the clients
	return g
}

// stop ends the generator. Messages that are being offered stay unanswered.
func (g *generator) stop() {
	g.cancel()
	<-g.done
}

// wait waits until all messages are answered. It reports false when limit is over or enough is closed before; the
// generator goes on then.
func (g *generator) wait(limit time.Duration, enough <-chan struct{}) bool {
	select {
	case <-g.done:
		return true
	case <-enough:
	case <-time.After(limit):
	}
	return false
}

// crowded reports whether the generator must wait because of load.backlog.
func (g *generator) crowded() bool {
	taken, _ := g.sandbox.ledger.answers()
	return g.load.backlog > 0 && taken-g.sandbox.arrived() > g.load.backlog
}

// client is one connection of the MTA to the daemon. It connects again when the connection breaks.
type client struct {
	g       *generator
	sandbox *sandbox
	rng     *rand.Rand
	conn    way // nil: none is open

	byLetters bool // its messages come by the SMTP door
}

func (c *client) run(ctx context.Context) {
	defer c.hangUp()
	for ctx.Err() == nil {
		if c.g.crowded() {
			rest(ctx, 2*time.Millisecond)
			continue
		}
		n := c.g.next.Add(1)
		if c.g.load.messages > 0 && n > int64(c.g.load.messages) {
			return
		}
		c.mail(ctx, newMail(c.rng, fmt.Sprintf("%s%d", c.g.load.prefix, n), c.g.load.plain))
		if c.g.load.pause > 0 {
			rest(ctx, time.Duration(c.rng.Int64N(int64(c.g.load.pause))))
		}
	}
}

// mail offers m until it is answered.
func (c *client) mail(ctx context.Context, m *mail) {
	d := m.offer()
	if !c.g.load.plain && c.rng.IntN(25) == 0 {
		d.StopAt = []byte{standin.Rcpt, standin.Header, standin.Body, standin.EndOfBody}[c.rng.IntN(4)]
	}
	for c.connected(ctx) {
		c.sandbox.ledger.intend(m)
		v, err := c.conn.send(m, d)
		if c.heard(m, d, v, err) && (err == nil || d.StopAt != 0) {
			if err != nil {
				c.hangUp()
			}
			c.refused(ctx, v, d)
			return
		}
		c.hangUp()
	}
}

// heard records the answer to an offer in the ledger. It reports false when there was none.
func (c *client) heard(m *mail, d *standin.Message, v standin.Verdict, err error) bool {
	l, f, taken := c.sandbox.ledger, aborted, []string(nil)
	if d.StopAt == 0 {
		f, taken = verdictOf(v, m)
	}
	if (d.StopAt != 0 || err == nil) && l.answer(m.id, f, taken) {
		return true
	}
	l.broken(m.id)
	return false
}

// verdictOf says what the answer v means for m, and for which recipients the daemon answers from now on.
func verdictOf(v standin.Verdict, m *mail) (f fate, taken []string) {
	switch {
	case v.Taken():
		return answered, m.rcpts
	case len(v.Deleted) > 0:
		for _, r := range v.Deleted {
			taken = append(taken, strings.Trim(r, "<>"))
		}
		return answered, taken
	}
	return passed, nil
}

// refused waits a little after a message that the daemon did not take, so that a daemon that takes nothing is not
// flooded.
func (c *client) refused(ctx context.Context, v standin.Verdict, d *standin.Message) {
	if d.StopAt == 0 && !v.Taken() && len(v.Deleted) == 0 {
		rest(ctx, 5*time.Millisecond)
	}
}

// connected makes a connection if there is none. It waits until the power is on and the daemon is up; it reports false
// when ctx is done before.
func (c *client) connected(ctx context.Context) bool {
	for ctx.Err() == nil {
		if c.sandbox.ledger.dark() {
			rest(ctx, 2*time.Millisecond)
			continue
		}
		if c.conn != nil {
			return true
		}
		if c.conn = c.dial(); c.conn == nil {
			rest(ctx, 2*time.Millisecond)
		}
	}
	return false
}

// dial makes a connection; nil: it cannot be made now.
func (c *client) dial() way {
	if c.byLetters {
		if l, err := newLetterbox(c.sandbox.letterbox()); err == nil {
			return l
		}
		return nil
	}
	if conn, err := standin.Dial("unix", c.sandbox.door(), standin.Options{}); err == nil {
		return milterWay{conn}
	}
	return nil
}

func (c *client) hangUp() {
	if c.conn != nil {
		c.conn.hangUp()
		c.conn = nil
	}
}

// rest waits for d or until ctx is done.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
