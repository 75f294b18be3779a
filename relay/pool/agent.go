package pool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// agent is a delivery agent: it serves the line of one site over one connection after the other, in a goroutine of its own. It
// asks the site for each visit. The package comment says when it ends. All fields but those under mu belong to that goroutine:
// the site knows only how many agents it has.
type agent struct {
	site    *Site
	m       *Manager
	handler Handler
	onTrial bool        // it began on probation
	patient bool        // it began without a channel, because its site is slow
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
	calls   int            // of nextTransaction
	ahead   ahead          // how far the journal looks ahead for it
	turn    int            // visits since its turn with a channel began
	began   time.Time      // when that was
	pause   time.Duration  // no node may go before so long
	out     []*relay.Visit // handed to the connection and not settled
	parcels []*parcel      // memory for transactions to come
	pending *relay.Visit   // the visit in hand: not for this connection's host, or it cannot be recorded now
	over    bool           // it ends although there may be work left
}

// slowAfter is how long a receiver may be without an answer before its agent gives its channel back. Receivers that check
// content take a second or two over a message; one that takes longer must not keep others from theirs.
const slowAfter = 5 * time.Second

// turnTime is how long an agent keeps its channel while others wait for one, if its messages are slow.
const turnTime = 250 * time.Millisecond

// leaveTime is how long a receiver is waited for at the end of a connection in whose place another is made.
const leaveTime = 2 * time.Second

// breath is how long an agent that is alone at its site waits for the site's rate with its connection in hand. Where the wait is
// longer it ends, because a channel is for work that moves.
const breath = 100 * time.Millisecond

// chunkAgain is after how many messages an agent asks again whether they may go by BDAT.
const chunkAgain = 16

func newAgent(s *Site, t token) *agent {
	return &agent{site: s, m: s.m, handler: s.m.handler, token: t, onTrial: t == probationToken, patient: t == slowToken, silent: true}
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
	a.began = time.Now()
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
		a.site.conns.noteOpen(-1)
		a.conn = nil
	}
	if a.pending != nil {
		a.out, a.pending = append(a.out, a.pending), nil
	}
	if len(a.out) == 0 { // somebody must be charged, or the same queue would bring the fault about again at once
		if v := a.site.serve(time.Now()); v != nil {
			a.out = append(a.out, v)
		}
	}
	for _, v := range a.out {
		v.Site, v.Relay = a.site.Key, cmp.Or(a.peer, "none")
		v.Broken(smtp.Reply{Code: 451, Enhanced: "4.3.0", Lines: []string{fmt.Sprintf("internal error: %v", fault)}})
		a.handler.Settle(v)
	}
	a.out = nil
	a.over = true // what waits in the line goes on with another agent
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

// moved notes that the receiver has answered. An agent that was slow ends behind what it has begun, so that its site's mail waits
// for a channel like any other.
func (a *agent) moved() {
	a.watch.Reset(a.m.patience())
	if !a.patient && a.holds() == slowToken {
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

// retire gives the connection to the site, which sees to it that its line moves on.
func (a *agent) retire() {
	a.site.retire(a.conn, a.tooMany)
	if a.resigns {
		a.m.channels.resigned()
	}
}

// deliver sends what the queues hold, until the manager cuts it.
func (a *agent) deliver() error {
	conn := a.conn
	a.peer = relayName(conn.Peer())
	conn.Limit(a.site.perConnection())
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
		a.site.unspend(v)
		v.PutBack()
		a.handler.Settle(v)
		a.site.pace.Unask(time.Now())
	}
}

// more reports whether there is something to do. An agent that is alone waits for the site's rate for a moment.
func (a *agent) more() bool {
	switch {
	case a.m.ending(), a.handler.Unwritable() != nil:
		return false
	case a.pending != nil:
		return true
	case a.pause > breath, a.pause > 0 && !a.site.alone():
		return false
	case a.pause > 0:
		a.wait(a.pause)
		a.pause = 0
	}
	return a.site.line.AtLeast(1)
}

// wait waits so long, or until the manager stops.
func (a *agent) wait(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-a.m.stopped:
	}
}

// drop gives the connection up. Only one that has reached its limit of messages ends with QUIT: after any other error the
// dialogue may be out of step.
func (a *agent) drop(err error) {
	if errors.Is(err, smtp.ErrLimit) {
		a.conn.Leave(leaveTime) // the next connection must not be refused because this one still counts
	} else {
		a.conn.Close()
	}
	a.m.hosts.review(a.conn)
	if a.conn.AheadLost() {
		a.m.log.Info("host loses what is pipelined behind a message, which is no longer done there", "host", a.peer, "for", noAheadFor)
	}
	if a.conn.ChunksLost() {
		a.m.log.Info("connection broke over BDAT, which is no longer used with this host", "host", a.peer, "error", err, "for", noChunksFor)
	}
	a.site.conns.noteOpen(-1)
	a.conn = nil
}

// connect makes sure that there is a connection that the visit in hand may use: the one it has, an idle one of the site, or a
// new one. It reports false when there is none to be had now.
func (a *agent) connect() bool {
	avoid := ""
	if a.pending != nil {
		avoid = a.pending.Node.Avoid()
	}
	if a.conn != nil && (avoid == "" || a.conn.Peer().Host != avoid) {
		return true
	}
	if a.conn != nil {
		a.conn.Quit()
		a.site.conns.noteOpen(-1)
	}
	a.calls = 0 // what the connection may do is asked anew
	if a.conn = a.site.conns.borrow(avoid); a.conn != nil {
		return true
	}
	return a.site.admits(time.Now()) && a.dial(avoid)
}

// dial makes a new connection. When no host of the site can be reached, the site is closed and one visit is charged: its
// recipients see the reason, and its message expires some day even if the site never comes back. All other mail for the
// site waits on, uncharged. An error of this machine says nothing about the site, and charges nobody. Nor does it when other
// connections to the site are open: then the site takes no more of them, and is not down.
func (a *agent) dial(avoid string) bool {
	begin := time.Now()
	a.site.conns.noteMaking(1)
	conn, failed := a.site.dialHosts(avoid, a.site.noteTrying)
	others := a.site.conns.others()
	a.site.conns.noteMaking(-1)
	a.site.noteTrying("")
	switch now := time.Now(); {
	case failed == nil:
		a.conn, a.setup = conn, now.Sub(begin)
		a.site.conns.noteOpen(1)
		a.site.pace.Connected(now)
		a.moved()
		return true
	case failed.refusal != nil && a.site.obey(failed.refusal, "", now) && !a.site.admits(now): // a rule has closed the site
	case a.m.ending(): // the connection was given up, not refused: nobody is charged
	case failed.ourselves && !a.site.injects():
		a.returnAll(failed)
	case failed.ours:
	case others > 0 && avoid == "":
		a.m.lessons.taught(a.site)
		a.site.pace.TurnedAway(now, others, failed.text())
	default:
		return a.charge(avoid, failed, now.Sub(begin)) && a.more() && a.connect()
	}
	return false
}

// charge notes that the site cannot be reached. It reports true when only the visit in hand may not go to the hosts that can be.
func (a *agent) charge(avoid string, failed *failure, setup time.Duration) bool {
	v := a.visit()
	if avoid == "" {
		a.site.pace.Failed(time.Now(), failed.text())
	}
	if v != nil {
		v.Setup, v.Site, v.Relay = setup, a.site.Key, cmp.Or(failed.peer, "none")
		v.FailAll(relay.Deferred, failed.reply)
		a.handler.Settle(v)
	}
	return avoid != ""
}

// returnAll gives everything that waits for this site back to our MTA: the site has turned out to be ourselves.
func (a *agent) returnAll(why *failure) {
	for v := a.visit(); v != nil; v = a.visit() {
		v.Site, v.Relay = a.site.Key, why.peer
		v.HandBack(why.reply)
		a.handler.Settle(v)
		if a.m.ending() {
			return
		}
	}
}

// visit gives the visit in hand, or makes one of the node that must go next.
func (a *agent) visit() *relay.Visit {
	if v := a.pending; v != nil {
		a.pending = nil
		return v
	}
	return a.site.serve(time.Now())
}

// nextTransaction hands the connection its next message; nil ends the conversation for now. A visit that cannot go out
// over this connection, or not before it can be recorded, stays in hand.
func (a *agent) nextTransaction() *smtp.Transaction {
	if a.over || a.m.ending() {
		return nil
	}
	if a.calls++; a.calls%chunkAgain == 1 {
		a.conn.Chunk(a.site.batch(a.conn.Peer().AddrPort))
	}
	v := a.nextVisit()
	if v == nil {
		return nil
	}
	if v.Node.Avoid() != "" && v.Node.Avoid() == a.conn.Peer().Host {
		a.pending = v // connect finds another host for it
		return nil
	}
	var sameSite func(relay.Key) bool
	if v.Node.Message.NodeCount() > 1 {
		sameSite = a.site.companions(a.conn.Peer().AddrPort)
	}
	p := a.newParcel()
	if err := p.join(v.Node.Message, a.m.assemblies.Get().(*relay.Assembly)); err != nil {
		a.recycle(p)
		a.unsendable(v, err)
		return nil
	}
	var err error
	if p.visits, err = a.handler.Begin(p.visits, v, a.rcptRoom()-len(v.Node.Rcpts()), sameSite); err != nil {
		a.pending = v // more tells why nothing is sent now
		a.recycle(p)
		return nil
	}
	a.out = append(a.out, p.visits...)
	if n := a.ahead.due(&a.site.told, a.site.conns.busy()); n > 0 {
		a.handler.Foresee(a.site.line, n)
	}
	return p.transaction()
}

// unsendable ends a visit whose message cannot be put together, because its memory was damaged. The node is charged and waits. Our MTA
// could not get the message either. The next start reads it from the disk again; if none comes, the sender is told when it expires.
func (a *agent) unsendable(v *relay.Visit, why error) {
	a.m.log.Error("internal error: please report it; a restart reads the message from the disk again", "message", v.Node.Message.Name(), "error", why)
	a.site.pace.Unask(time.Now())
	v.Site, v.Relay = a.site.Key, "none"
	v.FailAll(relay.Deferred, smtp.Reply{Code: 451, Enhanced: "4.3.0", Lines: []string{"internal error: the message cannot be put together: " + why.Error()}})
	a.handler.Settle(v)
}

// rcptRoom is how many recipients one transaction may have here.
func (a *agent) rcptRoom() int {
	most := a.site.perTransaction()
	a.conn.LimitRcpts(most)
	if n := a.conn.Extensions().Limits.RcptMax; n > 0 {
		return min(n, most)
	}
	return most
}

// nextVisit visits the node that must go next at this site, if pace lets one go now.
func (a *agent) nextVisit() *relay.Visit {
	if a.pending != nil {
		return a.visit()
	}
	now := time.Now()
	if a.tooMany = a.site.asks(now); a.tooMany || a.resign() || a.turnEnds(now) {
		a.over = true
		return nil
	}
	if a.pause = a.site.pace.Ask(now); a.pause > 0 {
		a.site.rest(now.Add(a.pause))
		return nil
	}
	v := a.site.serve(now)
	if v == nil {
		a.site.pace.Unask(now)
		if opens := a.site.line.Opens(now); !opens.IsZero() {
			a.pause = max(opens.Sub(now), time.Millisecond)
		}
		return nil
	}
	a.turn++
	return v
}

// resign reports whether the agent must end because there may be fewer channels.
func (a *agent) resign() bool {
	a.resigns = a.holds() == channelToken && a.m.channels.resign()
	return a.resigns
}

// turnEnds reports whether the agent must leave its channel to others who wait for one: it has had its turn, in messages or in
// time. An agent without a channel ends when its site is not slow any more.
func (a *agent) turnEnds(now time.Time) bool {
	if a.patient {
		return a.site.quick(now, a.turn, now.Sub(a.began))
	}
	if a.turn < a.m.cfg.Load().Slice && now.Sub(a.began) < turnTime {
		return false
	}
	a.turn, a.began = 0, now
	return a.m.crowded()
}
