package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// agent is a delivery agent: it empties queues of one site over one connection after the other, in a goroutine of its own.
// The package comment says when it ends. All fields but those under mu belong to that goroutine: the site knows only how many
// agents it has.
type agent struct {
	site    *Site
	m       *Manager
	handler Handler
	queue   *relay.Queue
	onTrial bool        // it began on probation
	watch   *time.Timer // fires when the receiver has not answered for a while; calls slowDown

	mu     sync.Mutex
	token  token // what Manager.launch gave it, or a slowToken
	ended  bool  // token is being given back
	silent bool  // the receiver has not answered about a message since the agent began, or for a while

	tooMany bool // it ends because its site may have fewer agents: see Site.asks
	resigns bool // it ends because there may be fewer channels: see Channels.resign
	conn    *smtp.Conn
	peer    string         // how the mail log names conn's host
	setup   time.Duration  // what making conn took; charged to its first visit
	turn    int            // visits of queue since its turn began
	out     []*relay.Visit // handed to the connection and not settled
	pending *relay.Visit   // the visit in hand: not for this connection's host, or it cannot be recorded now
	over    bool           // it ends although there may be work left: the queue goes back to the handler's line
}

// slowAfter is how long a receiver may be without an answer before its agent gives its channel back. Receivers that check
// content take a second or two over a message; one that takes longer must not keep others from theirs.
const slowAfter = 5 * time.Second

func newAgent(s *Site, q *relay.Queue, t token) *agent {
	return &agent{site: s, m: s.m, handler: s.m.handler, queue: q, token: t, onTrial: t == probationToken, silent: true}
}

// run works until the agent ends, and returns the token that must be given back. Manager.launch calls it in the agent's own
// goroutine, and retire behind it.
func (a *agent) run() (t token) {
	a.watch = time.AfterFunc(a.m.patience(), a.slowDown)
	defer func() {
		if fault := recover(); fault != nil {
			a.m.noteFault("delivery agent", fault)
			a.breakDown(fault)
			t = a.end()
		}
	}()
	for !a.over && a.more() {
		if !a.connect() {
			break
		}
		if err := a.deliver(); err != nil {
			a.drop(err)
		}
	}
	a.putBack()
	return a.end()
}

// breakDown gives up what the agent had in hand when it met a fault of our own.
func (a *agent) breakDown(fault any) {
	if a.conn != nil {
		a.conn.Close()
		a.conn = nil
	}
	if a.pending != nil {
		a.out, a.pending = append(a.out, a.pending), nil
	}
	if len(a.out) == 0 { // somebody must be charged, or the same queue would bring the fault about again at once
		if v := a.handler.Visit(a.queue); v != nil {
			a.out = append(a.out, v)
		}
	}
	for _, v := range a.out {
		v.Relay = cmp.Or(a.peer, "none")
		v.Broken(smtp.Reply{Code: 451, Enhanced: "4.3.0", Lines: []string{fmt.Sprintf("internal error: %v", fault)}})
		a.handler.Settle(v)
	}
	a.out = nil
	a.over = true // what waits in the queue goes on with another agent
}

// slowDown exchanges the agent's token for a slow one, because its receiver has not answered for a while. When there is none,
// the agent keeps what it has, and tries again later: so many hang that the rest must wait. It runs in a goroutine of the
// timer.
func (a *agent) slowDown() {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.ended || a.token == slowToken:
	case !a.m.channels.acquire(slowToken):
		a.watch.Reset(a.m.slowAfter)
	default:
		a.m.channels.giveBack(a.token)
		a.token = slowToken
		a.site.noteSlow(1)
		if !a.silent {
			a.silent = true
			a.site.noteSilent(1)
		}
	}
}

// patience is how long an agent may be without an answer before it counts as slow. It is short while others wait for a channel.
func (m *Manager) patience() time.Duration {
	if m.crowded() {
		return m.slowAfter / 5
	}
	return m.slowAfter
}

// answered notes that the receiver has answered about a message.
func (a *agent) answered() {
	a.mu.Lock()
	spoke := a.silent
	a.silent = false
	a.mu.Unlock()
	if spoke {
		a.site.noteSilent(-1)
	}
}

// moved notes that the receiver has answered. An agent that was slow ends behind what it has begun, so that its queue waits
// for a channel like any other.
func (a *agent) moved() {
	a.watch.Reset(a.m.patience())
	if a.holds() == slowToken {
		a.over = true
	}
}

// holds is the token that the agent has now.
func (a *agent) holds() token {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.token
}

// end returns the token that the agent has at its end; from then on it keeps it.
func (a *agent) end() token {
	a.watch.Stop()
	a.mu.Lock()
	a.ended = true
	t := a.token
	a.mu.Unlock()
	a.answered() // it is not waited for any more
	if t == slowToken {
		a.site.noteSlow(-1)
	}
	return t
}

// retire gives the connection to the site, and the queue to the handler's line if there may be work left in it.
func (a *agent) retire() {
	a.site.retire(a.conn, a.tooMany)
	if a.resigns {
		a.m.channels.resigned()
	}
	if a.over && !a.m.ending() {
		a.handler.Ready(a.queue)
	}
}

// deliver sends what the queues hold, until the manager cuts it.
func (a *agent) deliver() error {
	conn := a.conn
	a.peer = relayName(conn.Peer())
	conn.Limit(a.m.cfg.Load().MessagesPerConnection)
	stop := context.AfterFunc(a.m.cut, func() { conn.Close() })
	defer stop()
	spare := context.AfterFunc(a.m.unsent, conn.GiveUp)
	defer spare()
	return conn.Deliver(a.nextTransaction, a.done)
}

// putBack puts the visit in hand back to the front of its queue, uncharged.
func (a *agent) putBack() {
	if v := a.pending; v != nil {
		a.pending = nil
		v.PutBack()
		a.handler.Settle(v)
	}
}

// more reports whether there is something to do. It moves on to the site's next queue when this one is empty.
func (a *agent) more() bool {
	if a.m.ending() {
		return false
	}
	if a.handler.Unwritable() != nil {
		a.site.hold(a.queue)
		return false
	}
	return a.pending != nil || a.queue.Len() > 0 || a.advance()
}

// advance moves on to the site's next queue. It reports false when no queue stands in line.
func (a *agent) advance() bool {
	q := a.site.nextQueue()
	if q == nil {
		return false
	}
	a.queue, a.turn = q, 0
	return true
}

// drop gives the connection up. Only one that has reached its limit of messages ends with QUIT: after any other error the
// dialogue may be out of step.
func (a *agent) drop(err error) {
	if errors.Is(err, smtp.ErrLimit) {
		a.conn.Quit()
	} else {
		a.conn.Close()
	}
	if a.m.hosts.review(a.conn) {
		a.m.log.Info("host loses what is pipelined behind a message, which is no longer done there", "host", a.peer, "for", noAheadFor)
	}
	a.conn = nil
}

// connect makes sure that there is a connection that the visit in hand may use: the one it has, an idle one of the site, or a
// new one. It reports false when there is none to be had now.
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

// dial makes a new connection. When no host of the site can be reached, the site is closed and one visit is charged: its
// recipients see the reason, and its message expires some day even if the site never comes back. All other mail for the
// site waits on, uncharged. An error of this machine says nothing about the site, and charges nobody.
func (a *agent) dial(avoid string) bool {
	begin := time.Now()
	conn, failed := a.site.dialHosts(avoid, func(peer string) {
		a.queue.Wait(relay.WaitFor(relay.ReasonAnswer, a.site.Key, fmt.Sprintf("connecting to %s since %s", peer, time.Now().Format(time.TimeOnly)), time.Time{}))
	})
	if a.queue.State() != relay.QueueLined { // parked since, it waits for something else
		a.queue.Resume()
	}
	switch {
	case failed == nil:
		a.conn, a.setup = conn, time.Since(begin)
		a.moved()
		return true
	case a.m.ending():
		return false // the connection was given up, not refused: nobody is charged
	case failed.ourselves && a.queue.Class == relay.ClassRemote:
		a.returnAll(failed)
		return false
	case failed.ours:
		a.site.hold(a.queue)
		return false
	}
	v := a.visit()
	if avoid == "" {
		a.site.pace.Failed(time.Now(), failed.text())
		a.site.hold(a.queue)
	}
	if v != nil {
		v.Setup, v.Relay = time.Since(begin), cmp.Or(failed.peer, "none")
		v.FailAll(relay.Deferred, failed.reply)
		a.handler.Settle(v)
	}
	return avoid != "" && a.more() && a.connect()
}

// returnAll gives everything that waits for this site back to our MTA: the site has turned out to be ourselves.
func (a *agent) returnAll(why *failure) {
	for ok := true; ok && !a.m.ending(); ok = a.advance() {
		for v := a.visit(); v != nil; v = a.visit() {
			v.Relay = why.peer
			v.HandBack(why.reply)
			a.handler.Settle(v)
		}
	}
}

// visit gives the visit in hand, or makes one of the queue's next node.
func (a *agent) visit() *relay.Visit {
	if v := a.pending; v != nil {
		a.pending = nil
		return v
	}
	return a.handler.Visit(a.queue)
}

// nextTransaction hands the connection its next message; nil ends the conversation for now. A visit that cannot go out
// over this connection, or not before it can be recorded, stays in hand.
func (a *agent) nextTransaction() *smtp.Transaction {
	if a.over || a.m.ending() {
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
	visits, err := a.handler.Begin(v, a.rcptRoom()-len(v.Node.Rcpts), a.site.companions(a.conn.Peer().AddrPort))
	if err != nil {
		a.pending = v // more tells why nothing is sent now
		return nil
	}
	a.out = append(a.out, visits...)
	t := transaction(visits)
	t.Cleared = func() error { return recorded(a.m.unsent, visits) }
	return t
}

// rcptRoom is how many recipients one transaction may have here.
func (a *agent) rcptRoom() int {
	const guaranteed = 100 // RFC 5321 section 4.5.3.1.8
	if n := a.conn.Extensions().Limits.RcptMax; n > 0 {
		return min(n, guaranteed)
	}
	return guaranteed
}

// nextVisit visits the next node of the queue, or of the next queue in the site's line when this one is empty or has had its
// turn: one queue with much mail must not keep the others of its site waiting.
func (a *agent) nextVisit() *relay.Visit {
	if a.pending != nil {
		return a.visit()
	}
	a.tooMany = a.site.asks()
	a.resigns = !a.tooMany && a.holds() == channelToken && a.m.channels.resign()
	if a.tooMany || a.resigns {
		a.over = true
		return nil
	}
	if a.turn >= a.m.cfg.Load().Slice && !a.yield() {
		return nil
	}
	for {
		if v := a.visit(); v != nil {
			a.turn++
			return v
		}
		if !a.advance() {
			return nil
		}
	}
}

// yield ends this queue's turn. The agent ends if other queues wait for a channel or this queue's route has changed;
// otherwise it continues with the next queue in the site's line. yield reports false when the agent must end.
func (a *agent) yield() bool {
	a.turn = 0
	if a.m.crowded() || !a.site.serves(a.queue) {
		a.over = true
		return false
	}
	old := a.queue
	if a.advance() && old.Len() > 0 {
		a.site.line.Push(old) // without a reason: it waits for its next turn only
	}
	return true
}

// done settles the visits that a transaction carried, and tells the site what the transaction showed about it: once, because
// a receiver that turns the transaction away has not refused each of its nodes.
func (a *agent) done(t *smtp.Transaction) {
	a.moved()
	a.answered()
	if a.m.hosts.learnDomains(a.conn, time.Now()) {
		a.m.log.Info("host refuses several domains in one transaction: each domain goes alone there", "host", a.peer, "for", oneDomainFor)
	}
	visits := t.Tag.([]*relay.Visit)
	results := t.Results
	best, why := nothing, ""
	for i, v := range visits {
		n := len(v.Node.Rcpts)
		v.Relay, v.ConnUse, v.Ended = a.peer, t.ConnUse, t.Done
		if i == 0 && t.ConnUse == 1 {
			v.Setup = a.setup
		}
		if shown, words := a.judge(v, t, results[:n]); shown > best {
			best, why = shown, words
		}
		results = results[n:]
		a.out = slices.DeleteFunc(a.out, func(o *relay.Visit) bool { return o == v })
		a.handler.Settle(v)
	}
	if a.site.learn(best, why) && a.onTrial {
		a.prove()
	}
}

// prove ends an agent on probation whose site works, as soon as the transactions that it has begun are settled. Agents with a
// channel go on from here, over its connection. The agent does not take a channel itself: tokens would change hands in a
// third place, and it would overtake queues that have waited for a channel longer.
func (a *agent) prove() {
	if !a.over {
		a.over = true
		a.handler.Ready(a.queue)
	}
}

// judge turns the results for one node into fates. It returns what they show about the site.
func (a *agent) judge(v *relay.Visit, t *smtp.Transaction, results []smtp.Result) (news, string) {
	c := classifier{
		node: v.Node, peer: a.peer, dsn: a.conn.Extensions().DSN, first: t.ConnUse == 1,
		otherHost: v.Node.Avoid == "" && a.site.hasOther(a.conn.Peer().Host),
	}
	for i, r := range results {
		v.Fates = append(v.Fates, c.fate(v.Node.Rcpts[i], r))
	}
	if c.elsewhere {
		v.Avoid = a.conn.Peer().Host
	}
	return c.news, c.why
}

// relayName is how the mail log names a host.
func relayName(p smtp.Addr) string {
	return fmt.Sprintf("%s[%s]:%d", p.Host, p.AddrPort.Addr(), p.AddrPort.Port())
}

// transaction puts the visits' nodes, all of one message, into one SMTP transaction.
func transaction(visits []*relay.Visit) *smtp.Transaction {
	m := visits[0].Node.Message
	t := &smtp.Transaction{
		From: m.From, Size: m.Content.Size(), EightBit: m.Content.EightBit, UTF8: m.UTF8, Ret: m.Ret, EnvID: m.EnvID,
		Content: m.Content.Pieces(), Tag: visits,
	}
	for _, v := range visits {
		for _, i := range v.Node.Rcpts {
			r := m.Rcpts[i]
			t.Rcpts = append(t.Rcpts, smtp.Rcpt{Addr: r.Addr, Notify: r.Notify, ORcpt: r.ORcpt})
		}
	}
	return t
}

// recorded waits until it is on record that the visits were begun, or until ctx is done.
func recorded(ctx context.Context, visits []*relay.Visit) error {
	for _, v := range visits {
		if err := v.Recorded(ctx); err != nil {
			return err
		}
	}
	return nil
}
