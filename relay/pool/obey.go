package pool

import (
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// obeys does what the [[reply]] rules say about the refusals of t. It reports false when no rule speaks of them.
func (s *Site) obeys(t *smtp.Transaction, now time.Time) bool {
	if t.Ended != nil && s.obey(t.Ended, sender(t), now) {
		return true
	}
	var last *smtp.Error
	for _, r := range t.Results {
		if r.Err == nil || r.Bystander || r.Err == last {
			continue
		}
		last = r.Err
		if s.obey(last, sender(t), now) {
			return true
		}
	}
	return false
}

// sender is the domain of the sender of t.
func sender(t *smtp.Transaction) string {
	return t.Tag.(*parcel).visits[0].Node.Message.Flow().Sender
}

// obey does what the [[reply]] rules say about a refusal. It reports false when no rule speaks of it.
func (s *Site) obey(e *smtp.Error, sender string, now time.Time) bool {
	s.mu.Lock()
	t := s.terms
	s.mu.Unlock()
	act, ok := s.m.policy.Load().Replies.Match(e, t.Provider, t.Rule)
	if !ok {
		return false
	}
	words := e.Reply().String()
	if s.newRule(act, sender, now) {
		s.m.log.Info("a receiver's reply is met by a rule", "site", s.Key, "rule", act.Rule, "for", act.For, "reply", words)
	}
	switch act.Scope {
	case ReplySender:
		s.suspend(sender, relay.WaitFor(relay.ReasonSite, s.Key, "mail of "+sender+" waits by rule "+act.Rule+": "+words, now.Add(act.For)))
	case ReplySite:
		for _, other := range s.m.sitesOf(s.Key) {
			other.override(act, words, now)
		}
	default:
		s.override(act, words, now)
	}
	return true
}

// newRule reports whether the rule is to be logged: a receiver may say the same to every message, which is told once in the time for
// which the rule holds.
func (s *Site) newRule(act ReplyAction, sender string, now time.Time) bool {
	name := act.Rule
	if act.Scope == ReplySender {
		name += " " + sender
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Before(s.ruled[name]) {
		return false
	}
	for old, until := range s.ruled {
		if len(s.ruled) >= maxSuspended || !now.Before(until) {
			delete(s.ruled, old)
		}
	}
	if s.ruled == nil {
		s.ruled = make(map[string]time.Time)
	}
	s.ruled[name] = now.Add(act.For)
	return true
}

// override changes the site's pace for a while.
func (s *Site) override(act ReplyAction, words string, now time.Time) {
	s.pace.Override(now, Override{
		Window: act.Window, Rate: float64(act.Rate.Of(relay.MessageRate(s.pace.View(now).Goodput))), Suspend: act.Suspend, For: act.For,
		Why: words + " (rule " + act.Rule + ")",
	})
	if act.MessagesPerConnection > 0 {
		s.mu.Lock()
		s.bounds.Uses, s.bounds.UsesUntil = act.MessagesPerConnection, now.Add(act.For).Unix()
		s.mu.Unlock()
	}
}

// maxSuspended is how many senders a site remembers as suspended.
const maxSuspended = 1000

// suspend lets the mail of a sender's domain wait here.
func (s *Site) suspend(sender string, why relay.Reason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, old := range s.suspended {
		if len(s.suspended) >= maxSuspended || !old.Until.After(time.Now()) {
			delete(s.suspended, name)
		}
	}
	if s.suspended == nil {
		s.suspended = make(map[string]relay.Reason)
	}
	s.suspended[sender] = why
}

// suspends is why the mail of a sender's domain waits here, or the zero Reason.
func (s *Site) suspends(sender string, now time.Time) relay.Reason {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why := s.suspended[sender]; why.Until.After(now) {
		return why
	}
	return relay.Reason{}
}

// sitesOf lists the sites with this key, one for each source that has sent there.
func (m *Manager) sitesOf(key string) (all []*Site) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, src := range m.sources.each() {
		if s := m.sites[siteID{key, src}]; s != nil {
			all = append(all, s)
		}
	}
	return all
}
