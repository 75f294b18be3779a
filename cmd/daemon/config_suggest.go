package daemon

import (
	"fmt"
	"reflect"
	"strings"
)

// maxKey is longer than any key there is.
const maxKey = 64

// unknownKey says what may have been meant: a key of this table that is spelled much alike, else the same key of another
// table, else what there is to choose from.
func unknownKey(table, key string, known map[string][]int) string {
	if near := nearest(key, sortedKeys(known)); near != "" {
		return fmt.Sprintf("is not a known key; did you mean %s?", join(table, near))
	}
	if other := elsewhere(key); other != "" {
		return fmt.Sprintf("is not a known key here; did you mean %s?", other)
	}
	where := "at the top of the file"
	if table != "" {
		where = "in [" + table + "]"
	}
	return fmt.Sprintf("is not a known key; %s there are %s", where, strings.Join(sortedKeys(known), ", "))
}

// elsewhere finds a key in the other tables. A key of the top is worth a word: it must stand above the first table.
func elsewhere(key string) string {
	top := reflect.TypeFor[Config]()
	known := fields(top)
	if _, ok := known[key]; ok {
		return key + ", which must stand outside of this table"
	}
	for _, name := range sortedKeys(known) {
		if t := top.FieldByIndex(known[name]).Type; t.Kind() == reflect.Struct {
			if _, ok := fields(t)[key]; ok {
				return join(name, key)
			}
		}
	}
	return ""
}

// nearest is the word that takes the fewest edits, if those are few for its length.
func nearest(given string, words []string) string {
	if len(given) > maxKey {
		return ""
	}
	best, least := "", 1+max(1, min(3, len(given)/3))
	for _, word := range words {
		if d := distance(strings.ToLower(given), word); d < least {
			best, least = word, d
		}
	}
	return best
}

// distance counts the letters to insert, drop, replace or swap with their neighbour (optimal string alignment).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			edit := 1
			if a[i-1] == b[j-1] {
				edit = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+edit)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
