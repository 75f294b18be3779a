package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// maxSpan is the longest span that can be meant: it is far over any lifetime of a message.
const maxSpan = 10 * 365 * 24 * time.Hour

// errSpan is the repair of every span that cannot be read.
var errSpan = errors.New("is no time; write it like 90s, 45m, 12h, 3d or 1d12h")

// parseSpan reads a time as people write it: a number and a unit, once or more often. Go's units stop at the hour, and mail waits
// for days.
func parseSpan(text string) (time.Duration, error) {
	var all float64
	for rest := text; rest != ""; {
		unit := strings.IndexFunc(rest, unicode.IsLetter)
		if unit <= 0 {
			return 0, errSpan
		}
		end := unit + strings.IndexFunc(rest[unit:]+"0", func(r rune) bool { return !unicode.IsLetter(r) })
		d, err := parsePart(rest[:unit], rest[unit:end])
		if err != nil {
			return 0, err
		}
		all += d
		rest = rest[end:]
	}
	switch {
	case all <= 0:
		return 0, errSpan
	case all > float64(maxSpan):
		return 0, errors.New("is longer than 10 years")
	}
	return time.Duration(all), nil
}

// parsePart is a number of units, in nanoseconds.
func parsePart(number, unit string) (float64, error) {
	size := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}[unit]
	n, err := strconv.ParseFloat(number, 64)
	if err != nil || size == 0 || strings.Trim(number, "0123456789.") != "" {
		return 0, errSpan
	}
	return n * float64(size), nil
}

// span is a flag for a time.
type span time.Duration

// Set implements pflag.Value.
func (s *span) Set(text string) error {
	d, err := parseSpan(text)
	*s = span(d)
	return err
}

// String implements pflag.Value.
func (s *span) String() string {
	if *s == 0 {
		return ""
	}
	return inSpan(time.Duration(*s))
}

// Type implements pflag.Value.
func (*span) Type() string { return "time" }

// inSpan writes d as parseSpan reads it, without units that are zero.
func inSpan(d time.Duration) string {
	if days := d / (24 * time.Hour); days > 0 {
		if rest := d % (24 * time.Hour); rest > 0 {
			return fmt.Sprintf("%dd%s", days, inSpan(rest))
		}
		return fmt.Sprintf("%dd", days)
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// parseMoment reads a time of day or a date, in this machine's zone, or a whole time of RFC 3339. A time of day is the next one.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if t, err := time.ParseInLocation("15:04", text, now.Location()); err == nil {
		next := time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), 0, 0, now.Location())
		if !next.After(now) {
			next = time.Date(now.Year(), now.Month(), now.Day()+1, t.Hour(), t.Minute(), 0, 0, now.Location())
		}
		return next, nil
	}
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02", time.RFC3339} {
		t, err := time.ParseInLocation(layout, text, now.Location())
		if err != nil {
			continue
		}
		if !t.After(now) {
			return time.Time{}, fmt.Errorf("%q is over", text)
		}
		return t, nil
	}
	return time.Time{}, fmt.Errorf("%q is no time; write it like 18:30, 2026-12-24 or \"2026-12-24 18:30\"", text)
}
