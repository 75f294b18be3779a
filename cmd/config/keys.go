package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// fields maps the keys of the table type t to its fields. An inline struct adds its keys to those of t; a field without a
// tag is no key. The tags are the only list of keys, so a key cannot be known to the decoder and missing from the
// suggestions.
func fields(t reflect.Type) map[string][]int {
	known := make(map[string][]int)
	for i := range t.NumField() {
		f := t.Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case option == "inline":
			for key, index := range fields(f.Type) {
				known[key] = append([]int{i}, index...)
			}
		case name != "" && name != "-":
			known[name] = f.Index
		}
	}
	return known
}

// join makes the path of a key in a table. A key that is not bare is quoted, so that a path names one key only.
func join(table, key string) string {
	if key == "" || strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") != "" {
		key = fmt.Sprintf("%q", key)
	}
	if table == "" {
		return key
	}
	return table + "." + key
}

// parent is the path of the table or list that path is in. A dot within a quoted key may cut the path at the wrong place.
// That does no harm: no key has the path that is left then, so position goes on to the next parent.
func parent(path string) string {
	return path[:max(0, strings.LastIndexAny(path, ".["))]
}

// sortedKeys makes errors come in the same order each time; a map has none.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
