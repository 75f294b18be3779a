package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
)

// pull gives the daemon an order about the mail that waits, and has the ledger hold the daemon to its answer:
//
//	pull VERB FIELD=VALUE...   FIELD is domain, site, sender, campaign, older, or until (from now on)
//
// A daemon that is down gets no order.
func (w *World) pull(words []string) error {
	act, err := parseAct(words, time.Now())
	if err != nil || w.machine == nil {
		return err
	}
	if _, drains := w.machine.daemon.Lever().Draining(); act.Verb == relay.VerbUndrain && !drains {
		return nil
	}
	before := w.present()
	w.book.relax(act)
	rep, err := w.machine.daemon.Lever().Do(context.Background(), act)
	w.tell("%s: %+v, %v", strings.Join(words, " "), rep, err)
	if fault := (*relay.ActError)(nil); errors.As(err, &fault) {
		return err
	}
	w.book.oblige(act, before, w.present(), err == nil)
	return nil
}

func parseAct(words []string, now time.Time) (act relay.Act, err error) {
	if len(words) == 0 {
		return act, fmt.Errorf("pull what?")
	}
	act = relay.Act{Verb: relay.Verb(words[0]), Reason: "a test", Who: "the world"}
	texts := map[string]*string{"domain": &act.Selector.Domain, "site": &act.Selector.Site, "sender": &act.Selector.Sender, "campaign": &act.Selector.Campaign}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		var d time.Duration
		switch text := texts[name]; {
		case text != nil:
			*text = value
		case name == "older":
			err = setDuration(&act.Selector.Older, value)
		case name == "until":
			err = setDuration(&d, value)
			act.Until = now.Add(d)
		default:
			err = fmt.Errorf("%q selects nothing", word)
		}
		if err != nil {
			return act, err
		}
	}
	return act, act.Validate(now)
}

// present is who waits in the daemon, and whether he is being sent to.
func (w *World) present() map[string]bool {
	busy := make(map[string]bool)
	for l := range w.machine.daemon.Overview().Messages(0) {
		for _, r := range l.Recipients {
			busy[r.Address] = r.State == "busy"
		}
	}
	return busy
}

// pause is an order that lets nothing be sent for a time.
type pause struct {
	act   relay.Act
	from  time.Time
	until time.Time       // zero: until it is resumed
	busy  map[string]bool // those who were being sent to then: they may get the message
}

// edge is how long before and after the age of a selector it is not sure which message is older: the daemon notes another moment than
// the ledger.
const edge = 10 * time.Second

// match reports whether a selector is about a recipient, and whether that is sure.
func (l *Ledger) match(s relay.Selector, rcpt string, f *fate) (selected, sure bool) {
	_, domain, _ := strings.Cut(rcpt, "@")
	switch {
	case s.Domain != "" && s.Domain != domain, s.Site != "" && s.Site != "mx."+f.site.name:
		return false, true
	case s.Sender != "" && strings.TrimPrefix(s.Sender, "@") != f.sender.domain, s.Campaign != "" && s.Campaign != f.sender.campaign:
		return false, true
	case s.Older > 0:
		age := time.Since(f.came())
		return age > s.Older-edge, age > s.Older+edge || age < s.Older-edge
	}
	return true, true
}

// relax ends what an order ends, before the daemon hears it.
func (l *Ledger) relax(act relay.Act) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch act.Verb {
	case relay.VerbRelease:
		for rcpt, f := range l.of {
			if selected, _ := l.match(act.Selector, rcpt, f); selected {
				f.held = false
			}
		}
	case relay.VerbResume:
		for _, p := range l.pauses {
			if p.until.IsZero() || p.until.After(time.Now()) {
				if act.Selector.IsZero() || act.Selector == p.act.Selector {
					p.until = time.Now()
				}
			}
		}
	case relay.VerbPause: // it replaces a pause of the same
		for _, p := range l.pauses {
			if p.act.Selector == act.Selector {
				p.until = time.Now()
			}
		}
	}
}

// oblige notes what must not happen any more after the daemon's answer to an order. before and after are who waited then, and whether he
// was being sent to. done is false if the daemon said that something went wrong: it may have done a part.
func (l *Ledger) oblige(act relay.Act, before, after map[string]bool, done bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if act.Verb == relay.VerbPause && done {
		l.pauses = append(l.pauses, &pause{act: act, from: time.Now(), until: act.Until, busy: busyIn(before, after)})
		return
	}
	for rcpt := range before {
		f := l.of[rcpt]
		if f == nil { // a notification
			continue
		}
		selected, sure := l.match(act.Selector, rcpt, f)
		if !selected {
			continue
		}
		if act.Selector.Site != "" && act.Verb != relay.VerbHold { // nobody may know yet where the mail goes: a deed leaves it alone then
			sure = false
		}
		busy, stays := after[rcpt]
		l.charge(act.Verb, rcpt, f, sure && done && !before[rcpt] && !busy && !f.back, stays)
	}
}

// charge notes what an order means for one recipient. sure: he was selected, was not being sent to, and the order was carried out.
func (l *Ledger) charge(verb relay.Verb, rcpt string, f *fate, sure, stays bool) {
	f.back = f.back || verb == relay.VerbHandback || verb == relay.VerbDrain
	switch verb {
	case relay.VerbHold:
		f.held = f.held || sure && stays
	case relay.VerbDelete:
		f.deleted, f.dead = true, f.dead || sure
	case relay.VerbBounce, relay.VerbHandback:
		f.leaves = f.leaves || sure
	}
	if sure && stays && (verb == relay.VerbDelete || verb == relay.VerbBounce) {
		l.broken = append(l.broken, fmt.Sprintf("still there after the answer to %s: %s", verb, rcpt))
	}
}

// crashed notes that the daemon has died: what was on its way to the sender or to the MTA may be sent to its recipients again.
func (l *Ledger) crashed() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.of {
		f.leaves = false
	}
}

func busyIn(lists ...map[string]bool) map[string]bool {
	all := make(map[string]bool)
	for _, list := range lists {
		for rcpt, busy := range list {
			if busy {
				all[rcpt] = true
			}
		}
	}
	return all
}

// forbidden says why a recipient must not get his message now; "": he may. The mutex is held.
func (l *Ledger) forbidden(rcpt string, f *fate) string {
	switch {
	case f.dead || f.leaves:
		return "an admin had ended it"
	case f.held:
		return "an admin holds it"
	}
	now := time.Now()
	for _, p := range l.pauses {
		if now.Before(p.from) || !p.until.IsZero() && !now.Before(p.until) || p.busy[rcpt] {
			continue
		}
		if selected, _ := l.match(p.act.Selector, rcpt, f); selected {
			return "an admin paused it"
		}
	}
	return ""
}
