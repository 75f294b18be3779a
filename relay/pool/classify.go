package pool

import (
	"errors"
	"strings"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/route"
	"github.com/millrace/millrace/relay/smtp"
)

// news is what a visit shows about the site, whatever becomes of its mail.
type news uint8

const (
	nothing news = iota // the peer was not asked, or we refused in its place
	trouble             // it turned the whole transaction away, or broke off
	works               // it answered for some recipient
)

// classifier turns what the wire says about one node's recipients into fates.
type classifier struct {
	node      *relay.Node
	peer      string // how the mail log names the receiver
	dsn       bool   // the peer passes DSN requests on
	otherHost bool   // another host of the site may be tried
	patient   bool   // the site works: when it asks us to slow down, the same message may go again soon
	first     bool   // nothing else had been sent over the connection

	elsewhere bool   // set by fate: another host of the site must be tried
	news      news   // set by fate: the best of all recipients
	why       string // set by fate: the words of trouble
}

// fate says what became of recipient rcpt (RFC 5321 section 4.2.1; section 4.5.4.1 says what may be tried at another host).
func (c *classifier) fate(rcpt int, r smtp.Result) relay.Fate {
	c.note(r)
	f := relay.Fate{Rcpt: rcpt, Reply: r.Reply}
	switch {
	case r.Sent():
		f.Outcome = relay.Sent
		f.Relayed = !c.dsn && strings.Contains(strings.ToUpper(c.node.Message.Rcpt(rcpt).Notify), "SUCCESS")
		return f
	case r.Again:
		// This is not endless: the first transaction on a connection gets a verdict, unless the journal fails.
		f.Outcome, f.Untried = relay.Again, true
	case c.unfit(r.Err):
		f.Outcome, f.Unfit = relay.Deferred, true
	case c.senseless(r):
		f.Outcome, f.Reply = relay.Bounced, errorReply(c.peer, r.Err)
		f.Reply.Enhanced = "5.5.0"
		return f
	default:
		f.Outcome = c.failure(r)
		f.Twice = r.Unknown && f.Outcome == relay.Deferred
	}
	if r.Err != nil {
		f.Reply = errorReply(c.peer, r.Err)
	}
	return f
}

// note keeps the best news that any recipient brings: a site that answers for one recipient works, whatever it says about
// the others. A refusal of our own, and a recipient that was never asked about, bring no news.
func (c *classifier) note(r smtp.Result) {
	switch {
	case r.Bystander, r.Err != nil && r.Err.Local || r.Err == nil && r.Reply.Code == 0:
	case r.Err != nil && (r.Err.Code == 0 || r.Err.Closing()):
		if c.news < trouble {
			c.news, c.why = trouble, errorReply(c.peer, r.Err).String()
		}
	default:
		c.news = works
	}
}

// senseless reports that a receiver answers a message of its own, not for the first time, with a code that cannot stand there,
// such as 354 to the body. Once may be a slip. Postfix bounces such mail at once; to repeat it until it expires would give the
// recipient a copy at every visit, if the receiver takes the message all the same. A 2xx or 3xx on a connection that has carried
// other mail may be the reply to something else.
func (c *classifier) senseless(r smtp.Result) bool {
	if r.Err == nil || r.Err.Code == 0 || r.Bystander || c.node.Visits == 0 {
		return false
	}
	switch r.Err.Code / 100 {
	case 4, 5:
		return false
	case 2, 3:
		return c.first
	}
	return true
}

// unfit reports whether the receiver cannot take the message and our own MTA may know a way: 8-bit content without
// 8BITMIME (RFC 6152), or UTF-8 in header or address without SMTPUTF8 (RFC 6531). Millrace never converts, because that
// would break signatures.
func (c *classifier) unfit(err *smtp.Error) bool {
	return err.Local && (err.Enhanced == "5.6.3" || err.Enhanced == "5.6.7") && c.node.Class() == relay.ClassRemote
}

// failure decides for a recipient that was refused or whose connection broke.
func (c *classifier) failure(r smtp.Result) relay.Outcome {
	err := r.Err
	switch {
	case err.Permanent:
		return relay.Bounced
	case r.Unknown:
		// The receiver may have the message. The retry schedule gives it time to show that it has not, and spares the
		// recipient a second copy at once.
		return relay.Deferred
	case r.Bystander:
		return relay.Again // without the recipient that broke the dialogue; Settle limits how often
	case c.patient && !err.Local && err.Throttle():
		return relay.Again // that says nothing of the message: pace sees to it that it goes slower
	case c.node.Requeues() == 0 && (err.Closing() || err.Code == 0):
		return relay.Again // another connection, at once but only once
	case c.otherHost && !err.Throttle():
		// A host that slows us down speaks for its site: its neighbour would be overrun next.
		c.elsewhere = true
		return relay.Again
	}
	return relay.Deferred
}

// errorReply gives an error the form of a reply, for log, listing and notification.
func errorReply(peer string, err error) smtp.Reply {
	var e *smtp.Error
	if !errors.As(err, &e) {
		return smtp.Reply{Code: 451, Enhanced: "4.3.0", Lines: []string{err.Error()}}
	}
	r := smtp.Reply{Code: e.Code, Enhanced: e.Enhanced, Lines: e.Lines}
	if r.Code == 0 {
		r.Lines = []string{words(peer, e)}
	}
	if r.Enhanced == "" {
		r.Enhanced = enhanced(e)
	}
	return r
}

// enhanced is the status (RFC 3463) of a failure whose reply had none.
func enhanced(e *smtp.Error) string {
	switch {
	case e.Permanent:
		return "5.0.0"
	case e.Code != 0:
		return "4.0.0"
	case e.Command == "connect":
		return "4.4.1"
	}
	return "4.4.2"
}

// routeReply gives an error of DNS the form of a reply.
func routeReply(err *route.Error) smtp.Reply {
	return smtp.Reply{Code: err.Code, Enhanced: err.Enhanced, Lines: []string{err.Text}}
}
