package pool

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// agent is the delivery agent of one channel: it empties queues of one site over one connection after the other, in the
// goroutine Manager.start gave it.
type agent struct {
	site  *Site
	queue *relay.Queue

	conn    *smtp.Conn
	peer    string        // how the mail log names conn's host
	setup   time.Duration // what making conn took; charged to its first visit
	turn    int           // visits of queue since its turn began
	pending *relay.Visit  // taken, but not for this connection's host
	over    bool          // it gives way to others, although there may be work left

	channel   bool // it has one of the handler's channels
	probation bool // it works at a site that has not proven itself, and counts as such
}

// run works until no queue of the site has anything left, the site cannot be reached, or others need the channel more.
func (a *agent) run() {
	for !a.over && a.more() {
		if !a.connect() {
			break
		}
		if err := a.deliver(); err != nil {
			a.drop(err)
		}
	}
	a.putBack()
	a.prove()
	a.site.leave(a.conn)
	if a.channel {
		a.site.m.parts.Handler.Release()
	}
	if a.over && !a.site.m.ending() {
		a.site.m.parts.Handler.Ready(a.queue)
	}
}

// prove ends the probation: the site works, or the agent gives up.
func (a *agent) prove() {
	if a.probation {
		a.probation = false
		a.site.m.probation.leave()
	}
}

// promote is for an agent on probation whose site works: from now on it counts as others do, or, when there is no channel
// for it, ends with what it has begun.
func (a *agent) promote() {
	h := a.site.m.parts.Handler
	if a.channel = h.Acquire(); a.channel {
		a.prove()
	} else {
		a.over = true
	}
	h.Ready(a.queue) // others may join now
}

// deliver sends what the queues hold, until the manager cuts it.
func (a *agent) deliver() error {
	conn := a.conn
	a.peer = relayName(conn.Peer())
	stop := context.AfterFunc(a.site.m.cut, func() { conn.Close() })
	defer stop()
	return conn.Deliver(a.nextTransaction, a.done)
}

// putBack returns the visit in hand, uncharged.
func (a *agent) putBack() {
	if v := a.pending; v != nil {
		a.pending = nil
		v.PutBack()
		a.site.m.parts.Handler.Settle(v)
	}
}

// more reports whether there is something to do, moving on to the site's next queue when this one is empty.
func (a *agent) more() bool {
	if a.site.m.ending() {
		return false
	}
	if a.site.m.unwritable() != nil {
		a.site.hold(a.queue)
		return false
	}
	return a.pending != nil || a.queue.Len() > 0 || a.advance()
}

func (a *agent) advance() bool {
	q := a.site.next()
	if q == nil {
		return false
	}
	a.queue, a.turn = q, 0
	return true
}

// drop gives the connection up: with QUIT when the dialogue is in order.
func (a *agent) drop(err error) {
	if errors.Is(err, smtp.ErrLimit) {
		a.conn.Quit()
	} else {
		a.conn.Close()
	}
	a.conn = nil
}

// connect makes sure there is a connection that the visit in hand may use.
func (a *agent) connect() bool {
	avoid := ""
	if a.pending != nil {
		avoid = a.pending.Node.Avoid
	}
	if a.conn != nil && (avoid == "" || a.conn.Peer().Host != avoid) {
		return true
	}
	if a.conn != nil {
		a.conn.Quit()
	}
	if a.conn = a.site.borrow(avoid); a.conn != nil {
		return true
	}
	if a.site.pace.Window(time.Now()) == 0 {
		a.site.hold(a.queue)
		return false
	}
	return a.dial(avoid)
}

// dial makes a new connection. When no host of the site can be had, the site is closed and one visit is charged for it;
// everything else that waits for the site waits on, uncharged.
func (a *agent) dial(avoid string) bool {
	begin := time.Now()
	conn, err := a.site.dial(avoid)
	switch {
	case err == nil:
		conn.Limit(a.site.m.cfg.MessagesPerConnection)
		a.conn, a.setup = conn, time.Since(begin)
		return true
	case a.site.m.cut.Err() != nil:
		return false
	case ours(err):
		a.site.m.parts.Log.Warn("cannot connect", "site", a.site.Key, "err", err)
		a.site.hold(a.queue)
		return false
	}
	v := a.take()
	if avoid == "" {
		a.site.pace.Failed(time.Now(), err.Error())
		a.site.hold(a.queue)
	}
	if v != nil {
		v.Setup = time.Since(begin)
		v.FailAll(relay.Deferred, errorReply(err))
		a.site.m.parts.Handler.Settle(v)
	}
	return avoid != "" && a.more() && a.connect()
}

// take gives the visit in hand, or the queue's next.
func (a *agent) take() *relay.Visit {
	if v := a.pending; v != nil {
		a.pending = nil
		return v
	}
	return a.site.m.parts.Handler.Visit(a.queue)
}

// nextTransaction hands the connection its next message; nil ends the conversation for now.
func (a *agent) nextTransaction() *smtp.Transaction {
	if a.over || a.site.m.ending() || a.site.m.unwritable() != nil {
		return nil
	}
	v := a.nextVisit()
	if v == nil {
		return nil
	}
	if v.Node.Avoid != "" && v.Node.Avoid == a.conn.Peer().Host {
		a.pending = v // connect finds another host for it
		return nil
	}
	visits := append([]*relay.Visit{v}, a.site.companions(v, a.room()-len(v.Node.Rcpts))...)
	for _, v := range visits {
		a.site.m.parts.Handler.Begin(v)
	}
	t := transaction(visits)
	t.Cleared = func() error { return recorded(a.site.m.cut, visits) }
	return t
}

// room is how many recipients one transaction may have here.
func (a *agent) room() int {
	const guaranteed = 100 // RFC 5321 section 4.5.3.1.8
	if n := a.conn.Extensions().Limits.RcptMax; n > 0 {
		return min(n, guaranteed)
	}
	return guaranteed
}

// nextVisit takes the next node of the queue, or of the next queue in the site's line when this one is empty or has had
// its turn.
func (a *agent) nextVisit() *relay.Visit {
	if a.pending != nil {
		return a.take()
	}
	a.site.asks()
	if a.turn >= a.site.m.cfg.Slice && !a.yield() {
		return nil
	}
	for {
		if v := a.take(); v != nil {
			a.turn++
			return v
		}
		if !a.advance() {
			return nil
		}
	}
}

// yield ends a turn: another site gets the channel when there are too few, a queue that now belongs to another site goes
// there, and else the site's next queue has its turn. It reports false when the agent is to end.
func (a *agent) yield() bool {
	a.turn = 0
	if a.site.m.parts.Handler.Crowded() || !a.site.serves(a.queue) {
		a.over = true
		return false
	}
	old := a.queue
	if a.advance() && old.Len() > 0 {
		a.site.line.Push(old)
	}
	return true
}

// done settles the visits a transaction carried.
func (a *agent) done(t *smtp.Transaction) {
	visits := t.Tag.([]*relay.Visit)
	results := t.Results
	for i, v := range visits {
		n := len(v.Node.Rcpts)
		v.Relay, v.ConnUse, v.Ended = a.peer, t.ConnUse, t.Done
		if i == 0 && t.ConnUse == 1 {
			v.Setup = a.setup
		}
		if a.judge(v, t, results[:n]) && a.probation && !a.over {
			a.promote()
		}
		results = results[n:]
		a.site.m.parts.Handler.Settle(v)
	}
}

// judge turns the results for one node into fates. It reports true when they show that the site works.
func (a *agent) judge(v *relay.Visit, t *smtp.Transaction, results []smtp.Result) bool {
	c := classifier{
		node: v.Node, unknown: t.Unknown, dsn: a.conn.Extensions().DSN,
		otherHost: v.Node.Avoid == "" && a.site.hasOther(a.conn.Peer().Host),
	}
	for i, r := range results {
		v.Fates = append(v.Fates, c.fate(v.Node.Rcpts[i], r))
	}
	if c.elsewhere {
		v.Avoid = a.conn.Peer().Host
	}
	return a.site.heard(c.news, c.why)
}

// relayName is how the mail log names a host.
func relayName(p smtp.Addr) string {
	return fmt.Sprintf("%s[%s]:%d", p.Host, p.AddrPort.Addr(), p.AddrPort.Port())
}

// transaction puts the visits' nodes, all of one message, into one SMTP transaction.
func transaction(visits []*relay.Visit) *smtp.Transaction {
	m := visits[0].Node.Message
	t := &smtp.Transaction{
		From: m.From, Size: m.Size(), EightBit: m.EightBit, UTF8: m.UTF8, Ret: m.Ret, EnvID: m.EnvID,
		Content: m.Content(), Tag: visits,
	}
	for _, v := range visits {
		for _, i := range v.Node.Rcpts {
			r := m.Rcpts[i]
			t.Rcpts = append(t.Rcpts, smtp.Rcpt{Addr: r.Addr, Notify: r.Notify, ORcpt: r.ORcpt})
		}
	}
	return t
}

// recorded waits until it is on record that the visits were begun, or until cut is done.
func recorded(cut context.Context, visits []*relay.Visit) error {
	for _, v := range visits {
		if err := v.Recorded(cut); err != nil {
			return err
		}
	}
	return nil
}

// dial tries the hosts of a fresh plan in turn, but not the one named avoid.
func (s *Site) dial(avoid string) (*smtp.Conn, error) {
	r := s.current()
	if r.Err != nil {
		return nil, &smtp.Error{Command: "DNS", Enhanced: r.Err.Enhanced, Lines: []string{r.Err.Text}}
	}
	plan, cfg := s.patience(r)
	var last error = &smtp.Error{Command: "connect", Enhanced: "4.4.1", Lines: []string{"no host of the site can be tried now"}}
	ctx, cancel := context.WithCancel(s.m.cut)
	defer cancel()
	for _, addr := range plan {
		if addr.Host == avoid {
			continue
		}
		conn, err := s.m.hosts.dial(ctx, addr, cfg)
		if err == nil && !r.Static {
			err = loops(conn, addr, cfg)
		}
		if err == nil {
			return conn, nil
		}
		last = err
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// hurried is how long a site that has not proven itself is waited for, at each step, while many others are tried too. One
// that needs longer has its turn when there is less to do.
const hurried = 5 * time.Second

// patience gives the addresses to try, those that failed lately last, and the timeouts to allow them.
func (s *Site) patience(r *route.Route) ([]route.Address, *smtp.Config) {
	plan := s.m.hosts.order(r.Plan())
	if r.Static || s.pace.Proven() || !s.m.probation.crowded() {
		return plan, &s.m.parts.SMTP
	}
	cfg := s.m.parts.SMTP
	cfg.Timeouts.Connect, cfg.Timeouts.Banner, cfg.Timeouts.EHLO = hurried, hurried, hurried
	return plan[:min(2, len(plan))], &cfg
}
