package daemon

import (
	"reflect"
	"slices"
	"strings"
)

// reloadable are the top-level keys that Reload takes over.
var reloadable = []string{"mode", "bulk", "retry", "handback"}

// needRestart names the top-level keys in which other differs from c and which only a restart changes.
func (c *Config) needRestart(other *Config) []string {
	var keys []string
	old, now := reflect.ValueOf(*c), reflect.ValueOf(*other)
	for i := range old.NumField() {
		key, _, _ := strings.Cut(old.Type().Field(i).Tag.Get("toml"), ",")
		if key == "" {
			key = "ack, journal or snapshot"
		}
		if !slices.Contains(reloadable, key) && !same(old.Field(i), now.Field(i)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// same compares two tables; the log level is none of the restart's business.
func same(a, b reflect.Value) bool {
	x, y := a.Interface(), b.Interface()
	if l, ok := x.(LogConfig); ok {
		l.Level = y.(LogConfig).Level
		x = l
	}
	return reflect.DeepEqual(x, y)
}
