package pool

import (
	"context"
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
	a.learn(t, best, why)
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
		a.site.pace.Done(now, t.Started, a.site.conns.busy(), t.Done.Sub(t.Accepted))
	case n == trouble:
		a.site.pace.Trouble(now, why)
	}
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
		patient: a.site.pace.Proven(), otherHost: v.Node.Avoid == "" && a.site.hasOther(a.conn.Peer().Host),
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
		From: m.From, Size: m.Content.Size(), EightBit: m.Content.Form().Traits.Has(smtp.EightBit), UTF8: m.UTF8, Ret: m.Ret, EnvID: m.EnvID,
		Content: m.Content.Pieces(), Form: m.Content.Form(), Tag: visits,
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
