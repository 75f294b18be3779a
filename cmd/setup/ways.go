package setup

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/millrace/millrace/filter"
)

// Lookup asks a table of Postfix, named as in main.cf, for many keys, and returns the values of those that it has. The program postmap
// is one: it reads tables of every kind, also those that are not kept as text.
type Lookup func(ctx context.Context, table string, keys []string) (map[string]string, error)

// Pair is the sender and one recipient of a message in Postfix's queue.
type Pair struct{ Sender, Rcpt string }

// Staying says of each pair why its mail is for Postfix alone, or "": Postfix would send the mail to the recipient's own domain, or to a
// next hop that bulk.next_hops lists. It is the question that filter answers by what Postfix tells a milter, asked of mail that Postfix
// tells nobody of. A table that cannot be asked is an error: nobody could say which mail is local.
func Staying(ctx context.Context, s Subject, lookup Lookup, pairs []Pair) ([]string, error) {
	f, err := filter.Compile(s.Config.Bulk, s.Config.Hostname, nil)
	if err != nil {
		return nil, err
	}
	w := &ways{exam: &exam{Subject: s, filter: f}, lookup: lookup, found: make(map[string]map[string]string), lists: make(map[string][]string)}
	if err := w.ask(ctx, pairs); err != nil {
		return nil, err
	}
	why := make([]string, len(pairs))
	for i, p := range pairs {
		why[i] = w.stays(p)
	}
	return why, nil
}

// ways knows what Postfix's tables say about some addresses.
type ways struct {
	*exam
	lookup Lookup
	found  map[string]map[string]string // by table and key
	lists  map[string][]string          // the words of listsOfOwn
}

// The settings that name the domains which Postfix does not send to their own mail servers.
var listsOfOwn = []string{"mydestination", "virtual_alias_domains", "virtual_mailbox_domains", "relay_domains"}

// The settings with tables of routes, by recipient and by sender.
const (
	byRcpt        = "transport_maps"
	bySender      = "sender_dependent_default_transport_maps"
	bySenderRelay = "sender_dependent_relayhost_maps"
)

// plainRcpt is an address that Postfix and a table of it read in one way only.
var plainRcpt = regexp.MustCompile(`^[A-Za-z0-9.$&'*+/=?^_{|}~-][A-Za-z0-9.#$&'*+/=?^_{|}~-]*@[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9_-]*[A-Za-z0-9])?)+$`)

// ask asks each table once, for all keys of all pairs.
func (w *ways) ask(ctx context.Context, pairs []Pair) error {
	var domains, rcpts, senders keySet
	for _, p := range pairs {
		if !plainRcpt.MatchString(p.Rcpt) {
			continue
		}
		domains.add(domainAndParents(domainOf(p.Rcpt))...)
		rcpts.add(strings.ToLower(p.Rcpt))
		senders.add(senderKeys(p.Sender)...)
	}
	for _, name := range listsOfOwn {
		if err := w.readList(name); err != nil {
			return err
		}
		for _, word := range w.lists[name] {
			if word = strings.TrimPrefix(word, "!"); isTable(word) {
				if err := w.askTable(ctx, word, domains.list); err != nil {
					return fmt.Errorf("%s: %w", name, err)
				}
			}
		}
	}
	for name, keys := range map[string]keySet{byRcpt: rcpts, bySender: senders, bySenderRelay: senders} {
		for _, table := range words(w.MTA.Postfix.Main[name]) {
			all := keys.list
			if name == byRcpt && !wholeKeys(table) {
				all = append(append(all[:len(all):len(all)], domains.list...), "*")
			}
			if err := w.askTable(ctx, table, all); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

func (w *ways) askTable(ctx context.Context, table string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	got, err := w.lookup(ctx, table, keys)
	if err != nil {
		return err
	}
	if w.found[table] == nil {
		w.found[table] = make(map[string]string)
	}
	for k, v := range got {
		w.found[table][k] = v
	}
	return nil
}

// stays is why mail of a pair is for Postfix alone, or "".
func (w *ways) stays(p Pair) string {
	domain := domainOf(p.Rcpt)
	switch {
	case !plainRcpt.MatchString(p.Rcpt):
		return "its address can be read in two ways"
	case !w.filter.Takes("", domain):
		return "its domain is local for Millrace (hostname, bulk.local_domains)"
	}
	for _, name := range listsOfOwn {
		if w.owns(name, domain) {
			return "its domain is in " + name
		}
	}
	hop, by := w.nextHop(p, domain)
	if w.fate(hop, domain) == stays {
		return fmt.Sprintf("%s sends it by %s", by, strings.TrimSuffix(cmp.Or(hop.transport, "smtp")+":"+hop.host, ":"))
	}
	return ""
}

// owns reports whether a list of domains has this one. The first word that matches decides, and one behind "!" says no.
func (w *ways) owns(name, domain string) bool {
	keys := []string{domain}
	if name == "relay_domains" { // also what is below such a domain, unless parent_domain_matches_subdomains says otherwise: then it stays all the same
		keys = domainAndParents(domain)
	}
	for _, word := range w.lists[name] {
		word, no := strings.CutPrefix(word, "!")
		for _, key := range keys {
			_, in := w.found[word][key]
			if in || strings.EqualFold(word, key) {
				return !no
			}
		}
	}
	return false
}

// readList reads the words of a list of domains, those of files included.
func (w *ways) readList(name string) error {
	var all []string
	for _, word := range words(w.MTA.Postfix.Main[name]) {
		file, no := strings.CutPrefix(word, "!")
		if !filepath.IsAbs(file) {
			all = append(all, word)
			continue
		}
		text, err := w.MTA.ReadFile(file)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, line := range logicalLines(text) {
			for _, inner := range words(line) {
				if no {
					inner = "!" + inner
				}
				all = append(all, inner)
			}
		}
	}
	w.lists[name] = all
	return nil
}

// nextHop is where Postfix would send mail of a pair, and the setting that says so.
func (w *ways) nextHop(p Pair, domain string) (hop nextHop, by string) {
	main := w.MTA.Postfix.Main
	if value, ok := w.first(byRcpt, w.transportKeys(p.Rcpt, domain)); ok {
		return parseNextHop(value), byRcpt
	}
	hop, by = parseNextHop(main["default_transport"]), "default_transport"
	if value, ok := w.first(bySender, senderKeys(p.Sender)); ok && !strings.EqualFold(value, "DUNNO") {
		hop, by = parseNextHop(value), bySender
	}
	if hop.host != "" {
		return hop, by
	}
	if value, ok := w.first(bySenderRelay, senderKeys(p.Sender)); ok {
		if !strings.EqualFold(value, "DUNNO") {
			hop.host, by = value, bySenderRelay
		}
		return hop, by
	}
	if relay := main["relayhost"]; relay != "" {
		hop.host, by = relay, "relayhost"
	}
	return hop, by
}

// transportKeys are the keys of transport_maps in their order (transport(5)). It depends on a setting whether a domain stands for those
// below it, or only with a dot before it.
func (w *ways) transportKeys(rcpt, domain string) []string {
	keys := []string{strings.ToLower(rcpt), domain}
	bare := slices.Contains(words(w.MTA.Postfix.Main["parent_domain_matches_subdomains"]), byRcpt)
	for _, parent := range domainAndParents(domain)[1:] {
		if strings.HasPrefix(parent, ".") != bare {
			keys = append(keys, parent)
		}
	}
	return append(keys, "*")
}

// first looks the keys up in the tables of a setting, as Postfix does: each key in all tables before the next key.
func (w *ways) first(name string, keys []string) (value string, ok bool) {
	tables := words(w.MTA.Postfix.Main[name])
	for _, key := range keys {
		for _, table := range tables {
			if value, ok = w.found[table][key]; ok {
				return value, true
			}
		}
	}
	return "", false
}

// isTable reports whether a word of a list of domains is a table.
func isTable(word string) bool { return strings.Contains(word, ":") }

// wholeKeys reports whether a table is asked for whole addresses only: its patterns would find a domain in another sense.
func wholeKeys(table string) bool {
	kind, _, _ := strings.Cut(strings.TrimPrefix(table, "proxy:"), ":")
	return kind == "regexp" || kind == "pcre" || kind == "tcp"
}

// domainOf is the domain of an address in lower case.
func domainOf(addr string) string { return strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:]) }

// domainAndParents are the keys that Postfix looks a domain up by: itself, and the domains above it, with a dot and without: which of
// both counts is a setting.
func domainAndParents(domain string) []string {
	keys := []string{domain}
	for i := strings.IndexByte(domain, '.'); i >= 0; {
		parent := domain[i+1:]
		keys = append(keys, "."+parent, parent)
		next := strings.IndexByte(parent, '.')
		if next < 0 {
			break
		}
		i += next + 1
	}
	return keys
}

// senderKeys are the keys of a sender.
func senderKeys(sender string) []string {
	if sender == "" || sender == "MAILER-DAEMON" {
		return []string{"<>"}
	}
	sender = strings.ToLower(sender)
	return []string{sender, "@" + domainOf(sender)}
}

// keySet keeps keys in the order of their first coming.
type keySet struct {
	list []string
	seen map[string]bool
}

func (k *keySet) add(keys ...string) {
	if k.seen == nil {
		k.seen = make(map[string]bool)
	}
	for _, key := range keys {
		if !k.seen[key] {
			k.seen[key] = true
			k.list = append(k.list, key)
		}
	}
}
