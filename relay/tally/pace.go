package tally

import "math"

// paceSpan is the time in seconds over which a pace is averaged: what is older counts less than 1/e.
const paceSpan = 60

// pace is how many recipients are settled a second, lately. It costs no clock of its own: time comes with the events.
type pace struct {
	since, at int64   // the first and the last second that is counted, Unix
	weight    float64 // what was settled before the second at, as it counts then
	now       float64 // what was settled in it
}

// add counts one recipient in a second. A clock that was set back begins anew.
func (p *pace) add(second int64) {
	if second != p.at {
		p.turn(second)
	}
	p.now++
}

func (p *pace) turn(second int64) {
	if second < p.at || p.at == 0 {
		*p = pace{since: second, at: second}
		return
	}
	p.weight = (p.weight + p.now) * math.Exp(-float64(second-p.at)/paceSpan)
	p.at, p.now = second, 0
	if p.weight < 1e-3 {
		p.weight, p.since = 0, second
	}
}

// rate is the pace at a second: recipients a second.
func (p pace) rate(second int64) float64 {
	if p.at == 0 || second < p.at {
		return 0
	}
	p.turn(second + 1) // this second counts as if it were over
	span := float64(second + 1 - p.since)
	return p.weight / (paceSpan * (1 - math.Exp(-span/paceSpan)))
}
