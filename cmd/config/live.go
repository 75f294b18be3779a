package config

import (
	"reflect"
	"slices"
	"strings"
)

// liveKeys are the top-level keys that a running daemon takes over. Every other key is tied to something that cannot be
// exchanged under load: a socket, the state directory, the sizes of queues that already hold mail.
var liveKeys = []string{"mode", "bulk", "retry", "handback", "smtp"}

// TakeOver returns the configuration that is in force after a reload: c with the live keys of next. It also names the
// top-level keys in which next differs and which only a restart changes. Neither c nor next is changed, because readers
// hold c without a lock.
func (c *Config) TakeOver(next *Config) (inForce *Config, needRestart []string) {
	changed := *c
	old, now := reflect.ValueOf(&changed).Elem(), reflect.ValueOf(next).Elem()
	for i := range old.NumField() {
		key, _, _ := strings.Cut(old.Type().Field(i).Tag.Get("toml"), ",")
		if key == "" {
			key = "ack, journal or snapshot" // the inline field: its keys stand at the top of the file
		}
		switch {
		case slices.Contains(liveKeys, key):
			old.Field(i).Set(now.Field(i))
		case !same(old.Field(i), now.Field(i)):
			needRestart = append(needRestart, key)
		}
	}
	changed.Log.Level = next.Log.Level // the only live key within a table
	return &changed, needRestart
}

// same compares two tables. It ignores log.level, which is live although the rest of [log] is not: an operator raises it
// while the trouble is there.
func same(a, b reflect.Value) bool {
	x, y := a.Interface(), b.Interface()
	if l, ok := x.(LogConfig); ok {
		l.Level = y.(LogConfig).Level
		x = l
	}
	return reflect.DeepEqual(x, y)
}
