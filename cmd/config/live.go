package config

import (
	"cmp"
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"time"

	"github.com/millrace/millrace/relay/bounce"
)

// restart says for keys, and for tables with all their keys, why a running daemon cannot take them over. Every other key is
// live, so that a new key is live or has its reason here: TestEveryKeyIsLiveOrSaysWhy knows which is which.
var restart = map[string]string{
	"hostname":  "the MTA, receivers and the bounce server know this host by it, and all parts must change at the same moment",
	"state_dir": "the journal in it is open",
	"milter":    "the door's sockets and sessions are made with it",
	"smtpd":     "the door's sockets and sessions are made with it",
	"ack":       "the journal is open, and has promised this for mail that waits",
	"journal":   "the journal is open, and its files are made with it",
	"snapshot":  "the recovery agent runs with it",
	"control":   "the control socket is open",
	"events":    "its outputs are open, each at a place of its own in the stream",
}

// Change is one key that has another value in a new configuration.
type Change struct {
	Key      string // as "pool.idle"; a domain of [route] is quoted
	Old, New string // as in a file; "" for a domain that [route] does not name
	Restart  string // why only a restart changes it; "": it is live
}

// TakeOver returns the configuration that is in force after a reload: c with the live keys of next. It also names all keys in
// which next differs, in the order of the file's tables. Neither c nor next is changed, because readers hold c without a
// lock.
func (c *Config) TakeOver(next *Config) (inForce *Config, changes []Change) {
	result := *c
	var t takeover
	t.table("", reflect.ValueOf(&result).Elem(), reflect.ValueOf(next).Elem())
	return &result, t.changes
}

// takeover walks over two configurations at once.
type takeover struct{ changes []Change }

// table takes over the keys of one table. Keys of an inline struct belong to the table around it.
func (t *takeover) table(name string, old, next reflect.Value) {
	for i := range old.NumField() {
		key, option, _ := strings.Cut(old.Type().Field(i).Tag.Get("toml"), ",")
		path := name
		switch {
		case option == "inline":
		case key == "" || key == "-":
			continue
		default:
			path = join(name, key)
		}
		if f := old.Field(i); f.Kind() == reflect.Struct && !isText(f.Type()) {
			t.table(path, old.Field(i), next.Field(i))
		} else {
			t.key(path, old.Field(i), next.Field(i))
		}
	}
}

// key takes over one key, if it is live. The [route] table is one key to the daemon, and a change for each domain to people.
func (t *takeover) key(path string, old, next reflect.Value) {
	if reflect.DeepEqual(old.Interface(), next.Interface()) {
		return
	}
	why := cmp.Or(needsRestart(path), otherWay(path, old, next))
	if old.Kind() == reflect.Map {
		t.domains(path, old.Interface().(map[string]string), next.Interface().(map[string]string), why)
	} else {
		change := Change{path, shown(path, old), shown(path, next), why}
		if change.Old == change.New { // as many tables as before
			change.New += ", changed"
		}
		t.changes = append(t.changes, change)
	}
	if why == "" {
		old.Set(next)
	}
}

// domains names the domains whose next hop differs.
func (t *takeover) domains(path string, old, next map[string]string, why string) {
	all := make(map[string]string)
	maps.Copy(all, old)
	maps.Copy(all, next)
	for _, domain := range sortedKeys(all) {
		if old[domain] != next[domain] {
			t.changes = append(t.changes, Change{join(path, domain), quoted(old, domain), quoted(next, domain), why})
		}
	}
}

// quoted is the next hop of a domain as it is written; "" if the table does not name the domain.
func quoted(table map[string]string, domain string) string {
	if hop, ok := table[domain]; ok {
		return fmt.Sprintf("%q", hop)
	}
	return ""
}

// needsRestart is the reason that stands for the key or for the table it is in.
func needsRestart(path string) string {
	table, _, _ := strings.Cut(path, ".")
	return cmp.Or(restart[path], restart[table])
}

// otherWay is the reason of bounce.inject, if it names an MTA and named none, or the other way round.
func otherWay(path string, old, next reflect.Value) string {
	if path != "bounce.inject" || (old.String() == bounce.Direct) == (next.String() == bounce.Direct) {
		return ""
	}
	return "mail that waits on its way to the MTA must find another way, or one to it"
}

// shown is a value as people know it. A zero number in [dns] stands for a default that package route has.
func shown(path string, v reflect.Value) string {
	if strings.HasPrefix(path, "dns.") && v.IsZero() && v.CanConvert(reflect.TypeFor[int64]()) {
		return "the default"
	}
	return written(v)
}

// written is a value as a file has it. A list of tables is told by its length: nobody would read the rules on one line.
func written(v reflect.Value) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return fmt.Sprintf("%q", x.String())
	case encoding.TextMarshaler:
		text, _ := x.MarshalText() // addresses and networks cannot fail
		return fmt.Sprintf("%q", text)
	}
	switch {
	case v.Kind() == reflect.String:
		return fmt.Sprintf("%q", v.String())
	case v.Kind() != reflect.Slice:
		return fmt.Sprint(v.Interface())
	case v.Type().Elem().Kind() == reflect.Struct && !isText(v.Type().Elem()):
		return fmt.Sprintf("%d tables", v.Len())
	}
	var list []string
	for i := range v.Len() {
		list = append(list, written(v.Index(i)))
	}
	return "[" + strings.Join(list, ", ") + "]"
}
