package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/millrace/millrace/relay/pool"
)

// sites judges the [[site]] and [[reply]] tables, and whether the tables that they name exist.
func (v *verdict) sites(c *Config) {
	rules, err := pool.CompileRules(c.Site, c.Pool)
	v.table("", err)
	for i, s := range c.Site {
		if s.Source != "" && !slices.ContainsFunc(c.Source, func(t pool.SourceConfig) bool { return t.Name == s.Source }) {
			v.of(fmt.Sprintf("site[%d].source", i), fmt.Errorf("%q is the name of no [[source]]; give one of that name, or take it out", s.Source))
		}
	}
	_, err = pool.CompileReplies(c.Reply)
	v.table("", err)
	for i, r := range c.Reply {
		if r.Site != "" && !rules.Has(r.Site) {
			v.of(fmt.Sprintf("reply[%d].site", i), fmt.Errorf("%q is the name of no [[site]]; give one of that name, or take it out", r.Site))
		}
	}
}

// siteWarnings finds rules about sites that other rules keep from deciding.
func (v *verdict) siteWarnings(c *Config) {
	if rules, err := pool.CompileRules(c.Site, c.Pool); err == nil { // else an error is told
		v.table("", rules.Overlaps())
	}
}

// zeros refuses a 0 that is written in a [[site]] or [[reply]]. To the rules it is a key that is not given; its author may have meant
// "nothing is sent", or "no limit".
func (l *loader) zeros(c *Config) {
	for i, s := range c.Site {
		path := fmt.Sprintf("site[%d]", i)
		l.zero(path+".connections", s.Connections)
		l.zero(path+".messages_per_connection", s.MessagesPerConnection)
		l.zero(path+".recipients_per_message", s.RecipientsPerMessage)
		l.zero(path+".domains_per_transaction", s.DomainsPerTransaction)
	}
	for i, r := range c.Reply {
		path := fmt.Sprintf("reply[%d]", i)
		l.zero(path+".window", r.Window)
		l.zero(path+".messages_per_connection", r.MessagesPerConnection)
		l.zero(path+".for", int(r.For))
	}
}

func (l *loader) zero(key string, value int) {
	if _, given := l.places.offset[key]; given && value == 0 {
		l.refuse(key, "%v", errors.New("0 is no limit here; leave the key out, so that a wider rule decides"))
	}
}
