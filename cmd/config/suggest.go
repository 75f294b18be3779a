package config

import (
	"fmt"
	"reflect"
	"strings"
)

// maxKey is longer than any known key. distance takes time with the square of the length, and a file may hold anything.
const maxKey = 64

// unknownKey is the error of a key that does not exist, with the best repair there is. It tries, in this order, a key of
// this table that is spelled much alike, the same key in another table, and the list of all keys of this table.
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

// elsewhere finds the key in another table. For a top-level key it says more, because the mistake is a common one: in
// TOML every line below a table's header belongs to that table.
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

// nearest is the word that takes the fewest edits. It is empty when even that word takes more than a third of the given
// letters: a far guess misleads.
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

// distance counts the letters to insert, drop, replace or swap with their neighbour (optimal string alignment). Swapped
// letters count once, because fingers swap them often.
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
