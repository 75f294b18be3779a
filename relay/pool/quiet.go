package pool

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// quietHours is a part of the day, in seconds from midnight by the clock on the wall. An end that is not behind the begin is on
// the next day.
type quietHours struct{ from, to int }

// secondsADay are those of a day without a change of the clock.
const secondsADay = 24 * 60 * 60

// parseQuiet reads quiet hours like "22:00-06:00".
func parseQuiet(list []string) ([]quietHours, error) {
	var all []quietHours
	for _, s := range list {
		q, err := parseHours(s)
		if err != nil {
			return nil, err
		}
		all = append(all, q)
	}
	if len(all) > 0 && !slices.ContainsFunc(edges(all), func(s int) bool { return !quietAt(all, s) }) {
		return nil, errors.New("leaves no time of the day in which mail may be sent; leave some out")
	}
	return all, nil
}

// edges are the times at which quiet hours end. If some time is not quiet, one of them is not.
func edges(all []quietHours) []int {
	var ends []int
	for _, q := range all {
		ends = append(ends, q.to%secondsADay)
	}
	return ends
}

func parseHours(s string) (q quietHours, err error) {
	from, to, found := strings.Cut(s, "-")
	begin, ok := parseClock(from)
	end, fine := parseClock(to)
	switch {
	case !found || !ok || !fine || begin == secondsADay:
		return q, fmt.Errorf(`%q is no part of a day; write it like "22:00-06:00"; hours go from 00 to 23, and 24:00 is an end`, s)
	case begin == end:
		return q, fmt.Errorf("%q begins when it ends; give another end", s)
	}
	return quietHours{begin, end}, nil
}

// parseClock reads "06:30" as seconds from midnight. "24:00" is the end of the day.
func parseClock(s string) (seconds int, ok bool) {
	if len(s) != len("06:30") || s[2] != ':' || strings.Trim(s[:2]+s[3:], "0123456789") != "" {
		return 0, false
	}
	hours := int(s[0]-'0')*10 + int(s[1]-'0')
	minutes := int(s[3]-'0')*10 + int(s[4]-'0')
	seconds = hours*3600 + minutes*60
	return seconds, minutes < 60 && seconds <= secondsADay
}

// holds reports whether a time of the day, in seconds from midnight, is within.
func (q quietHours) holds(seconds int) bool {
	if q.from < q.to {
		return q.from <= seconds && seconds < q.to
	}
	return q.from <= seconds || seconds < q.to
}

func quietAt(all []quietHours, seconds int) bool {
	return slices.ContainsFunc(all, func(q quietHours) bool { return q.holds(seconds) })
}

// ends is when quiet hours that hold at now end. When the clock is changed before, they may end with the change, or later by the
// hour that is set back.
func (q quietHours) ends(now time.Time) time.Time {
	for {
		left := (q.to - wallClock(now) + secondsADay) % secondsADay
		end := now.Truncate(time.Second).Add(time.Duration(left) * time.Second)
		_, change := now.ZoneBounds()
		switch {
		case change.IsZero() || !change.Before(end):
			return end
		case !q.holds(wallClock(change)):
			return change
		}
		now = change
	}
}

// wallClock is the time of the day in seconds from midnight, as a clock in now's location shows it.
func wallClock(now time.Time) int {
	h, m, s := now.Clock()
	return h*3600 + m*60 + s
}

// ClosedAt reports whether nothing may be sent at now because of quiet hours, and until when. The hours are those of now's
// location.
func (t Terms) ClosedAt(now time.Time) (until time.Time, quiet bool) {
	until = now
	for range len(t.quiet) + 1 { // hours that follow each other; the next question finds what may follow then
		i := slices.IndexFunc(t.quiet, func(q quietHours) bool { return q.holds(wallClock(until)) })
		if i < 0 {
			break
		}
		until, quiet = t.quiet[i].ends(until), true
	}
	if !quiet {
		return time.Time{}, false
	}
	return until, true
}
