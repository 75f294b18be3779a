package pool

import "time"

// ceiling is how many connections a site allows, as far as it has told by refusing one. Trying one more costs a connection
// attempt, which some receivers count against us, so the tries are few: one for every 25 connections made at most, and fewer
// the more often they were in vain.
type ceiling struct {
	n    int           // connections that the site allows; 0: not known
	last int           // the n that was known last
	vain int           // tries above n in a row that were refused
	at   time.Time     // of the last refusal
	wait time.Duration // from then on, before one more is tried
	made int           // connections made since
	need int           // connections that must be made before one more is tried
	high int           // connections that worked at the same time
	run  int           // messages done in a row while more were at work than are known to be allowed
	low  int           // the fewest at work in that run
	row  int           // refusals since a connection was last made
	top  int           // the most that high has been
	fell time.Time     // when n fell far below top; zero: it did not

	dips int // n is a dip, the so manieth in a row; 0: it is not
	from int // the n before the dip
	full int // the window before it
}

const (
	tryFirst   = 20 * time.Second // before one more than n is tried, when n is new: several were being dialled when it showed
	tryAfter   = time.Minute      // and 25 connections, after one was tried in vain
	tryMost    = 10 * time.Minute // doubling up to this
	tryMade    = 25
	tryOften   = 2 * time.Minute  // when four times as many connections are made, or the limit has fallen lately
	tryRare    = 5 * time.Minute  // when fewer connections are made, after the first
	tryRarer   = 20 * time.Minute // and after the next
	fallFor    = 30 * time.Minute
	softAfter  = 30 * time.Second // before a window is tried that a request to slow down has cut
	softMost   = 5 * time.Minute
	dipFor     = 5 * time.Second // the first time, then three times as long
	maxDips    = 2
	mostVain   = 10
	dyingTime  = 30 * time.Second
	cohortTime = 2 * time.Second // connections that are being made at the same time end within it
)

// refused notes that a connection was refused while open others worked, with the given window. It returns the window from now
// on. Where more have worked at the same time, a connection of ours that is being closed may still count at the
// receiver: then the window dips for seconds. The third refusal in a row says that the limit has become lower.
func (l *ceiling) refused(now time.Time, open, window int) int {
	l.run = 0
	if l.n > 0 && now.Sub(l.at) < cohortTime { // they were dialled at the same time, and the last to be refused tells most
		l.n = min(l.n, open)
		if l.dips == 0 {
			l.last, l.high = l.n, min(l.high, l.n)
		}
		return min(window, l.n)
	}
	l.row++
	l.at, l.made = now, 0
	if open < l.high && l.dips < maxDips && l.row <= maxDips {
		l.dip(open, window)
		return open + 1 // as soon as the dip is over
	}
	if 4*open <= 3*l.top && open < l.last {
		l.fell = now
	}
	l.set(open)
	l.arm()
	return open
}

func (l *ceiling) dip(open, window int) {
	if l.dips == 0 {
		l.from, l.full = l.n, window
	}
	l.dips++
	l.n = open
	l.wait, l.need = dipFor, 0
	if l.dips > 1 {
		l.wait = 3 * dipFor
	}
}

// set makes n the ceiling. Near the last one, what was in vain before still counts.
func (l *ceiling) set(n int) {
	switch {
	case n < l.last-1 || n > l.last+1:
		l.vain = 0
	case n >= l.last:
		l.vain = min(l.vain+1, mostVain)
	}
	l.n, l.last, l.dips, l.high = n, n, 0, min(l.high, n)
}

// arm says when one connection more than n may be tried.
func (l *ceiling) arm() {
	l.wait, l.need = tryFirst, 0
	if l.vain > 0 {
		l.wait, l.need = min(tryAfter<<min(l.vain-1, 4), tryMost), tryMade
	}
}

// approach notes that more than n agents were too many, by a request to slow down.
func (l *ceiling) approach(now time.Time, n int) {
	if n < 1 || l.n > 0 && l.n <= n {
		return
	}
	l.set(n)
	l.at, l.made = now, 0
	l.wait, l.need = min(softAfter<<min(l.vain, 4), softMost), 0
}

// restart is for a site that has been closed. What was refused on the way there was no limit.
func (l *ceiling) restart(now time.Time) {
	if l.dips > 0 {
		l.n, l.dips = l.from, 0
	}
	if now.Sub(l.at) < dyingTime {
		l.n, l.vain, l.fell = 0, 0, time.Time{}
	}
	l.run, l.row = 0, 0
}

// connected notes that a connection was made.
func (l *ceiling) connected() {
	l.made++
	l.row = 0
}

// worked notes that a message was done while busy agents were at work. Agents that are still connecting are among them, so only
// a run of messages shows that so many work. It returns the window to go back to when a dip has ended, else 0.
func (l *ceiling) worked(busy int) (window int) {
	known := l.high
	if l.n > 0 {
		known = min(l.n, l.high)
	}
	if busy <= known {
		l.run = 0
		return 0
	}
	if l.run == 0 || busy < l.low {
		l.low = busy
	}
	if l.run++; l.run < 2*l.low {
		return 0
	}
	l.run, l.high = 0, max(l.high, l.low)
	l.top = max(l.top, l.high)
	if l.low <= l.n {
		return 0
	}
	if l.dips == 0 {
		l.n = 0
		return 0
	}
	l.n, l.dips = l.from, 0
	l.arm()
	return l.full
}

// rises reports whether the window w may double: one more than the ceiling works again, and much more did before the limit fell.
func (l *ceiling) rises(w int) bool {
	if l.n > 0 || l.fell.IsZero() {
		return false
	}
	l.fell = time.Time{}
	return 2*w <= l.top
}

// allows is how many agents may be at work now, of at most most.
func (l *ceiling) allows(now time.Time, most int) int {
	switch {
	case l.n == 0:
		return most
	case l.due(now):
		return min(most, l.n+1)
	}
	return min(most, l.n)
}

// due reports whether one more connection than n may be tried.
func (l *ceiling) due(now time.Time) bool {
	since := now.Sub(l.at)
	switch {
	case since >= l.wait && l.made >= l.need || since >= tryOften && l.made >= 4*l.need:
		return true
	case now.Sub(l.fell) < fallFor: // a limit that has fallen may rise again
		return since >= tryOften
	case l.vain <= 1:
		return since >= tryRare
	}
	return since >= tryRarer
}
