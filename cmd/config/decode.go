package config

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The parser's own decoder is not used, for three reasons: it stops at the first wrong type, it takes a bare 60 for 60
// nanoseconds, and it lets "Order" pass for "order". The parser only parses; this file lays the values into the Config and
// notes an error for each value that does not fit.

// loader turns the text of one file into a Config. It goes on after a mistake, so that all are found in one run.
type loader struct {
	file     string
	hostname func() (string, error) // os.Hostname
	places   *places
	errs     Errors
}

// durationType tells durations from whole numbers: to reflection both are an int64.
var durationType = reflect.TypeFor[time.Duration]()

// refuse notes an error about a key. The error has no column, because the whole line is meant.
func (l *loader) refuse(key, format string, args ...any) {
	line, _ := l.places.position(key)
	l.errs = append(l.errs, &Error{File: l.file, Line: line, Key: key, Text: fmt.Sprintf(format, args...)})
}

// refuseValue notes an error about a key's value, with the column of the value.
func (l *loader) refuseValue(key, format string, args ...any) {
	l.refuse(key, format, args...)
	_, l.errs[len(l.errs)-1].Column = l.places.position(key)
}

// table lays the keys of one table into a struct. The keys are taken in the order of the alphabet, so that the same file
// gives the same errors each time; Load sorts them by line afterwards.
func (l *loader) table(path string, given map[string]any, into reflect.Value) {
	known := fields(into.Type())
	for _, key := range sortedKeys(given) {
		if index, ok := known[key]; ok {
			l.value(join(path, key), given[key], into.FieldByIndex(index))
		} else {
			l.refuse(join(path, key), "%s", unknownKey(path, key, known))
		}
	}
}

// value lays given into a field, list element or map value. A type that reads itself from text has the first word:
// netip.Addr, for one, is a struct to reflection and a string in the file.
func (l *loader) value(path string, given any, into reflect.Value) {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if u, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		l.text(path, given, u)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		if t, ok := given.(map[string]any); ok {
			if d, ok := into.Addr().Interface().(interface{ SetDefaults() }); ok { // an element of a list, for which no default stands
				d.SetDefaults()
			}
			l.table(path, t, into)
			return
		}
	case reflect.Map:
		if t, ok := given.(map[string]any); ok {
			l.strings(path, t, into)
			return
		}
	case reflect.Slice:
		if list, ok := elements(given); ok {
			l.array(path, list, into)
			return
		}
	default:
		l.scalar(path, given, into)
		return
	}
	l.mismatch(path, given, into.Type())
}

// numbered is a type that reads itself from a string and takes a plain number too.
type numbered interface{ SetNumber(float64) }

// text lets a type read itself from a string: addresses, prefixes, TLS modes.
func (l *loader) text(path string, given any, into encoding.TextUnmarshaler) {
	if n, ok := into.(numbered); ok {
		switch given := given.(type) {
		case int64:
			n.SetNumber(float64(given))
			return
		case float64:
			n.SetNumber(given)
			return
		}
	}
	s, ok := given.(string)
	if !ok {
		l.mismatch(path, given, reflect.TypeFor[string]())
		return
	}
	if err := into.UnmarshalText([]byte(s)); err != nil {
		l.refuseValue(path, "%q does not fit: %v", s, err)
	}
}

// strings fills a table whose keys are free, like [route].
func (l *loader) strings(path string, given map[string]any, into reflect.Value) {
	into.Set(reflect.MakeMap(into.Type()))
	for _, key := range sortedKeys(given) {
		s, ok := given[key].(string)
		switch {
		case ok:
			into.SetMapIndex(reflect.ValueOf(key), reflect.ValueOf(s))
		case isTable(given[key]):
			l.refuse(join(path, key), `wants a string, not a table; a name with dots needs quotes, like "example.com" = "..."`)
		default:
			l.mismatch(join(path, key), given[key], into.Type().Elem())
		}
	}
}

// array fills a list. Each element has a path of its own, so that its error has its own column: a list may be long.
func (l *loader) array(path string, given []any, into reflect.Value) {
	into.Set(reflect.MakeSlice(into.Type(), len(given), len(given))) // a given list replaces the default one
	for i, v := range given {
		l.value(fmt.Sprintf("%s[%d]", path, i), v, into.Index(i))
	}
}

// elements makes one list type of the parser's two: it returns [[name]] tables in a type of their own.
func elements(given any) ([]any, bool) {
	switch list := given.(type) {
	case []any:
		return list, true
	case []map[string]any: // [[name]]
		all := make([]any, len(list))
		for i, t := range list {
			all[i] = t
		}
		return all, true
	}
	return nil, false
}

// isTable tells the mistake of an unquoted name with dots: TOML reads such a name as a table within a table.
func isTable(given any) bool {
	_, ok := given.(map[string]any)
	return ok
}

// scalar lays a string, a truth value or a number into a field. NaN and infinities are no numbers here: no comparison in
// a Validate would catch them.
func (l *loader) scalar(path string, given any, into reflect.Value) {
	if into.Type() == durationType {
		l.duration(path, given, into)
		return
	}
	switch g := given.(type) {
	case string:
		if into.Kind() == reflect.String {
			into.SetString(g)
			return
		}
	case bool:
		if into.Kind() == reflect.Bool {
			into.SetBool(g)
			return
		}
	case int64:
		if l.number(path, g, into) {
			return
		}
	case float64:
		if into.CanFloat() && !math.IsNaN(g) && !math.IsInf(g, 0) {
			into.SetFloat(g)
			return
		}
	}
	l.mismatch(path, given, into.Type())
}

// number reports whether a whole number can stand here at all. A number out of range gets its error here, because it
// does have the right type.
func (l *loader) number(path string, given int64, into reflect.Value) bool {
	switch {
	case into.CanInt() && !into.OverflowInt(given):
		into.SetInt(given)
	case into.CanUint() && given >= 0 && !into.OverflowUint(uint64(given)):
		into.SetUint(uint64(given))
	case into.CanFloat():
		into.SetFloat(float64(given))
	case into.CanInt(), into.CanUint():
		l.refuseValue(path, "%d is out of range; %s", given, bounds(into.Type()))
	default:
		return false
	}
	return true
}

// bounds names the range of a whole number's type.
func bounds(t reflect.Type) string {
	if bits := t.Bits(); t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64 {
		return fmt.Sprintf("it goes from 0 to %d", uint64(math.MaxUint64)>>(64-bits))
	} else {
		return fmt.Sprintf("it goes to %d", int64(math.MaxInt64)>>(64-bits))
	}
}

// duration wants a unit. A bare number is refused even for 0, because half of the readers would take 60 for minutes.
func (l *loader) duration(path string, given any, into reflect.Value) {
	s, ok := given.(string)
	if !ok {
		l.mismatch(path, given, durationType)
		return
	}
	d, err := time.ParseDuration(s)
	switch {
	case err == nil:
		into.SetInt(int64(d))
	case isDays(s):
		days, _ := strconv.Atoi(strings.TrimSuffix(s, "d"))
		l.refuseValue(path, `%q is not a duration: there is no unit for days; write "%dh"`, s, 24*days)
	default:
		l.refuseValue(path, `%q is not a duration; write it like "90s", "5m" or "1h30m"`, s)
	}
}

// isDays reports whether s looks like "5d". Postfix has days and Go's durations do not, so this mistake is common.
func isDays(s string) bool {
	n, err := strconv.Atoi(strings.TrimSuffix(s, "d"))
	return err == nil && strings.HasSuffix(s, "d") && n > 0 && n < 10_000
}

// mismatch notes the value given, the type wanted and, where it is plain, the repair.
func (l *loader) mismatch(path string, given any, want reflect.Type) {
	l.refuseValue(path, "wants %s, not %s%s", wanted(want), described(given), repair(given, want))
}

// wanted describes a type in the words of the file. Go's names mean nothing to an operator.
func wanted(t reflect.Type) string {
	switch {
	case t == durationType:
		return `a duration in quotes, like "5m"`
	case t.Kind() == reflect.String:
		return "a string in quotes"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Float64, t.Kind() == reflect.Float32:
		return "a number"
	case t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Struct && !isText(t.Elem()):
		return "tables, each under its own [[name]]"
	case t.Kind() == reflect.Slice:
		return "a list in brackets"
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		return "a table"
	default:
		return "a whole number"
	}
}

// isText reports whether the file gives a value of type t as a string.
func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// described names the value that the parser found, or its kind if the value is too large for one line.
func described(given any) string {
	switch g := given.(type) {
	case string:
		return fmt.Sprintf("the string %q", cut(g, 40))
	case bool:
		return strconv.FormatBool(g)
	case int64:
		return fmt.Sprintf("the number %d", g)
	case float64:
		return fmt.Sprintf("the number %v", g)
	case map[string]any:
		return "a table"
	case time.Time:
		return "a date or time"
	default:
		return "a list"
	}
}

// cut keeps an error on one line of a terminal. It counts characters, so that no letter is torn.
func cut(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "..."
	}
	return s
}

// repair is the text to write instead, or nothing where a guess might be wrong: a wrong repair costs more trust than none.
func repair(given any, want reflect.Type) string {
	s, isString := given.(string)
	n, isNumber := given.(int64)
	switch {
	case want == durationType && isNumber:
		return fmt.Sprintf(`; write "%ds" for seconds`, n)
	case want.Kind() == reflect.Slice && want.Elem().Kind() == reflect.String && isString:
		return fmt.Sprintf("; write [%q]", cut(s, 40))
	case want.Kind() == reflect.String && isNumber:
		return fmt.Sprintf(`; write "%d"`, n)
	case isString && want.Kind() != reflect.Slice && isBare(s):
		return "; write it without quotes"
	}
	return ""
}

// isBare reports whether s would be a number or a truth value if it stood without quotes.
func isBare(s string) bool {
	_, err := strconv.ParseFloat(s, 64)
	return err == nil || slices.Contains([]string{"true", "false"}, s)
}
