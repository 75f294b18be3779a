package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// Source is a client of the MTA that sends a campaign: the MTA offers each of its messages to the milter door. The MTA behaves as
// Postfix with milter_default_action = accept: what the door does not answer it delivers itself. In a scenario it is
//
//	source NAME to=SITE,SITE count=N rate=N sessions=N rcpts=N size=BYTES start=D sender=DOMAIN header=NAME:VALUE workers=N patience=D door=ROLE
//
// A source with a door comes by the SMTP door: see letter. The roles are filter, lmtp, proxy and submission.
//
// A source with patience is an application that never tries again, as listmonk: its workers share the sessions, and a message is lost
// if its worker waits longer than that for a session, or if the answer is a 4xx. Another source keeps a message that gets 4xx.
type Source struct {
	name     string
	to       []string // names of sites
	count    int      // messages
	rate     float64  // a second; 0: as fast as the door answers
	sessions int
	rcpts    int // of each message, all in one domain
	size     int // bytes of the body, which all messages share
	start    time.Duration
	sender   string // domain of the envelope sender
	header   string // one more line of the header, "Name: value"; "": none
	workers  int    // that send, and share the sessions; 0: as many as there are sessions
	patience time.Duration
	door     string // "": the milter
}

// parseSource reads the words of a source.
func parseSource(words []string) (s Source, err error) {
	s = Source{name: words[0], count: 1, sessions: 4, rcpts: 1, size: 2000, sender: "sender.test"}
	for _, w := range words[1:] {
		name, value, _ := strings.Cut(w, "=")
		switch name {
		case "to":
			s.to = strings.Split(value, ",")
		case "count":
			err = setNumber(&s.count, value)
		case "sessions":
			err = setNumber(&s.sessions, value)
		case "rcpts":
			err = setNumber(&s.rcpts, value)
		case "size":
			err = setNumber(&s.size, value)
		case "rate":
			_, err = fmt.Sscanf(value, "%g", &s.rate)
		case "workers":
			err = setNumber(&s.workers, value)
		case "patience":
			err = setDuration(&s.patience, value)
		case "start":
			err = setDuration(&s.start, value)
		case "sender":
			s.sender = value
		case "door":
			if s.door = value; letterPorts[value] == "" {
				err = fmt.Errorf("there is no such door")
			}
		case "header":
			s.header = strings.Replace(value, ":", ": ", 1) + "\r\n"
		default:
			err = fmt.Errorf("%q is nothing that a source has", w)
		}
		if err != nil {
			return s, fmt.Errorf("source %s: %w", w, err)
		}
	}
	return s, nil
}

// campaign is a source at work.
type campaign struct {
	Source
	book  *Ledger
	by    *Sender
	tell  func(format string, args ...any) // into the trace
	sites []*Site
	dial  func(ctx context.Context) (net.Conn, error)
	next  atomic.Int64
	text  []byte
	desks chan *standin.Conn // connections to the door that nobody uses; nil is one that is not made yet

	dialLetters func(ctx context.Context) (net.Conn, error) // to the SMTP door
}

// run sends everything, or as much as goes before ctx is done.
func (c *campaign) run(ctx context.Context) {
	begin := time.Now().Add(c.start)
	c.text = []byte(strings.Repeat("A line of the newsletter that everybody gets.\r\n", c.size/47+1))
	if c.door != "" {
		c.postAll(ctx, begin)
		return
	}
	c.desks = make(chan *standin.Conn, c.sessions)
	for range c.sessions {
		c.desks <- nil
	}
	var workers sync.WaitGroup
	for range cmp.Or(c.workers, c.sessions) {
		workers.Go(func() { c.work(ctx, begin) }) // ends with the campaign or ctx
	}
	workers.Wait()
	for range c.sessions {
		if door := <-c.desks; door != nil {
			door.Close()
		}
	}
}

// work offers one message after another, each over a connection that nobody else uses then.
func (c *campaign) work(ctx context.Context, begin time.Time) {
	for {
		i := int(c.next.Add(1)) - 1
		if i >= c.count || !waitUntil(ctx, c.due(begin, i)) {
			return
		}
		door, got := c.desk(ctx)
		switch {
		case !got && ctx.Err() == nil:
			c.keep(i, dropped)
			continue
		case !got:
			return
		case door == nil:
			door = c.open(ctx)
		}
		if door == nil {
			c.keep(i, left)
		} else if !c.offer(door, i) {
			door.NetConn().Close()
			door = nil
		}
		c.desks <- door
	}
}

// desk waits for a connection, as long as the application's patience lasts.
func (c *campaign) desk(ctx context.Context) (door *standin.Conn, got bool) {
	if c.patience > 0 {
		var done context.CancelFunc
		ctx, done = context.WithTimeout(ctx, c.patience)
		defer done()
	}
	select {
	case door = <-c.desks:
		return door, true
	case <-ctx.Done():
		return nil, false
	}
}

// due is when message i is sent.
func (c *campaign) due(begin time.Time, i int) time.Time {
	if c.rate == 0 {
		return begin
	}
	return begin.Add(time.Duration(float64(i) / c.rate * float64(time.Second)))
}

func waitUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// open connects to the door; nil: the MTA goes on without it.
func (c *campaign) open(ctx context.Context) *standin.Conn {
	nc, err := c.dial(ctx)
	if err != nil {
		return nil
	}
	door, err := standin.New(nc, standin.Options{ClientName: "listmonk.test", ClientAddr: "192.0.2.80"})
	if err != nil {
		nc.Close()
		return nil
	}
	return door
}

// rcptsOf are the recipients of message i. No other message has one of them.
func (c *campaign) rcptsOf(i int) (*Site, []string) {
	site := c.sites[i%len(c.sites)]
	domain := site.domains[i/len(c.sites)%len(site.domains)]
	var list []string
	for k := range c.rcpts {
		list = append(list, fmt.Sprintf("%s-%d-%d@%s", c.name, i, k, domain))
	}
	return site, list
}

// note writes message i into the ledger.
func (c *campaign) note(i int) (rcpts []string, raw []byte) {
	site, rcpts := c.rcptsOf(i)
	raw = fmt.Appendf(nil, "From: News <news@sender.test>\r\nTo: <%s>\r\nSubject: News\r\nList-Id: <%s.sender.test>\r\n"+
		"List-Unsubscribe: <https://sender.test/off/%d>\r\nPrecedence: bulk\r\n%s\r\nDear reader %d,\r\n%s", rcpts[0], c.name, i, c.header, i, c.text)
	of := &content{len(raw), sha256.Sum256(raw)}
	for _, r := range rcpts {
		c.book.offer(r, c.by, site, of)
	}
	return rcpts, raw
}

// keep notes a message that never came to the door.
func (c *campaign) keep(i int, v verdict) {
	rcpts, _ := c.note(i)
	c.hearAll(rcpts, v)
}

// offer offers message i. It reports whether the connection is still of use.
func (c *campaign) offer(door *standin.Conn, i int) bool {
	rcpts, raw := c.note(i)
	m := &standin.Message{QueueID: fmt.Sprintf("4%s%07d", strings.ToUpper(c.name[:1]), i), From: fmt.Sprintf("%s+%d@%s", c.name, i, c.sender), Rcpts: standin.To(rcpts...)}
	m.Header, m.Body = standin.Parse(raw)
	asked := time.Now()
	v, err := door.Send(m)
	c.by.answered(asked)
	switch {
	case err != nil:
		c.hearAll(rcpts, unanswered)
		return false
	case v.Taken():
		c.hearAll(rcpts, taken)
	case later(v) && c.patience > 0:
		c.hearAll(rcpts, dropped)
	case later(v):
		c.hearAll(rcpts, told4xx)
	default:
		c.hearAll(rcpts, left)
	}
	return true
}

// later reports whether the answer, or the one to a recipient, was a 4xx. A source has one recipient, or several that are answered alike.
func later(v standin.Verdict) bool {
	return v.Action == standin.Tempfail || v.Action == standin.ReplyCode && v.Text[0] == '4' || len(v.Rejected) > 0
}

func (c *campaign) hearAll(rcpts []string, v verdict) {
	c.tell("%-20s %s: %s", c.name, verdicts[v], strings.Join(rcpts, " "))
	for _, r := range rcpts {
		c.book.hear(r, v)
	}
}
