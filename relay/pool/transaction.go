package pool

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// done settles the visits that a transaction carried, and tells the site what the transaction showed about it: once, because
// a receiver that turns the transaction away has not refused each of its nodes.
func (a *agent) done(t *smtp.Transaction) {
	a.moved()
	a.answered()
	if a.m.hosts.learnDomains(a.conn, time.Now()) {
		a.m.log.Info("host refuses several domains in one transaction: each domain goes alone there", "host", a.peer, "for", oneDomainFor)
	}
	p := t.Tag.(*parcel)
	results := t.Results
	best, why := nothing, ""
	for i, v := range p.visits {
		n := len(v.Node.Rcpts())
		v.Site, v.Relay, v.ConnUse, v.Ended = a.site.Key, a.peer, t.ConnUse, t.Done
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
	a.learn(t, best, why)
	a.recycle(p)
	if best == works && a.onTrial {
		a.over = true // the site works: agents with a channel go on from here, over the connection
	}
}

// learn tells pace and bounds what a transaction showed about the site. What a [[reply]] rule says takes the place of what we would
// make of the reply.
func (a *agent) learn(t *smtp.Transaction, n news, why string) {
	now := time.Now()
	slowed := a.site.throttled(t)
	if n == works && a.holds() == slowToken {
		a.site.noteTook(now)
	}
	if slowed != nil || t.Full > 0 || t.Ended != nil {
		defer a.m.lessons.taught(a.site)
	}
	switch {
	case a.site.obeys(t, now):
		if n == works {
			a.site.pace.Answered()
		}
	case a.site.learnBounds(t, now):
	case slowed != nil:
		a.site.pace.Slowed(now, t.Started, a.site.conns.busy(), errorReply(a.peer, slowed).String())
	case n == works:
		a.site.pace.Done(now, t.Started, a.site.conns.busy(), dotTime(t))
	case n == trouble:
		a.site.pace.Trouble(now, why)
	}
}

// dotTime is how long the receiver took over the message; 0: nobody knows, because the replies to several came at once.
func dotTime(t *smtp.Transaction) time.Duration {
	if t.Batch > 1 {
		return 0
	}
	return t.Done.Sub(t.Accepted)
}

// throttled is the first answer by which the receiver asks us to slow down, or nil. A refusal of our own is none. Nor is the end of
// a connection that has carried mail, unless its status is about policy (RFC 3463 section 3.8), its words are about a rate, and others
// have carried more: it may as well be the limit of messages per connection.
func (s *Site) throttled(t *smtp.Transaction) *smtp.Error {
	if e := t.Ended; e != nil && strings.HasPrefix(e.Enhanced, "4.7.") && e.Throttle() && s.overrun(t.ConnUse) {
		return e
	}
	for _, r := range t.Results {
		if r.Err != nil && !r.Bystander && !r.Err.Local && r.Err.Throttle() {
			return r.Err
		}
	}
	return nil
}

// judge turns the results for one node into fates. It returns what they show about the site.
func (a *agent) judge(v *relay.Visit, t *smtp.Transaction, results []smtp.Result) (news, string) {
	c := classifier{
		node: v.Node, peer: a.peer, dsn: a.conn.Extensions().DSN, first: t.ConnUse == 1,
		patient: a.site.pace.Proven(), otherHost: v.Node.Avoid() == "" && a.site.hasOther(a.conn.Peer().Host),
	}
	for i, r := range results {
		f := c.fate(v.Node.Rcpts()[i], r)
		if f.Outcome == relay.Bounced && a.m.brake != nil && a.m.brake.Spares(v, a.site.Key, f.Reply) {
			f.Outcome = relay.Deferred
		}
		v.Fates = append(v.Fates, f)
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

// parcel is the visits that go in one transaction. Its memory is the agent's, and is used again. That of the message's bytes is used
// by all agents in turn: most of them wait for a reply and need none.
type parcel struct {
	tx       smtp.Transaction
	visits   []*relay.Visit  // all of one message
	assembly *relay.Assembly // of the content
}

func (a *agent) newParcel() *parcel {
	if last := len(a.parcels) - 1; last >= 0 {
		p := a.parcels[last]
		a.parcels = a.parcels[:last]
		return p
	}
	p := new(parcel)
	p.tx.Tag = p
	p.tx.Cleared = func() error { return a.recorded(p.visits) }
	return p
}

// recycle keeps the memory of p, whose visits are settled, and nothing of what is in it.
func (a *agent) recycle(p *parcel) {
	for _, v := range p.visits {
		a.handler.Recycle(v)
	}
	if p.assembly != nil {
		a.m.assemblies.Put(p.assembly.Empty())
		p.assembly = nil
	}
	clear(p.visits)
	clear(p.tx.Rcpts)
	clear(p.tx.Results)
	p.visits = p.visits[:0]
	p.tx = smtp.Transaction{Tag: p, Cleared: p.tx.Cleared, Rcpts: p.tx.Rcpts[:0], Results: p.tx.Results[:0]}
	a.parcels = append(a.parcels, p)
}

// join puts the content of m together in the memory of b.
func (p *parcel) join(m *relay.Message, b *relay.Assembly) (err error) {
	p.assembly = b
	p.tx.Content, err = b.Pieces(&m.Content)
	return err
}

// transaction puts the visits' nodes into one SMTP transaction. The content is put together already.
func (p *parcel) transaction() *smtp.Transaction {
	m, t := p.visits[0].Node.Message, &p.tx
	t.Form = m.Content.Form()
	if t.Size = t.Form.Size; t.Size == 0 {
		t.Size = m.Content.Size()
	}
	t.From, t.EightBit, t.UTF8, t.Ret, t.EnvID = m.From(), t.Form.Traits.Has(smtp.EightBit), m.UTF8(), m.Ret(), m.EnvID()
	for _, v := range p.visits {
		for _, i := range v.Node.Rcpts() {
			t.Rcpts = append(t.Rcpts, smtp.Rcpt(m.Rcpt(i)))
		}
	}
	return t
}

// recorded waits until it is on record that the visits were begun, or until what is not sent must not be sent any more.
func (a *agent) recorded(visits []*relay.Visit) error {
	for _, v := range visits {
		waited, err := v.Recorded(a.m.unsent)
		if waited {
			a.ahead.waited()
		}
		if err != nil {
			return err
		}
	}
	return nil
}
