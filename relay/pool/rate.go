package pool

import "time"

// Ask takes one message of the site's rate, for the visit that begins now. 0: the visit may begin. Anything else: nothing was
// taken, and the caller asks again after so long.
func (p *Pace) Ask(now time.Time) time.Duration { return 0 }

// Unask gives the message back that Ask took: its visit never was.
func (p *Pace) Unask(now time.Time) {}

// rateWords says how fast the site may be fed, and who said so.
func (p *Pace) rateWords(now time.Time) string { return "" }
