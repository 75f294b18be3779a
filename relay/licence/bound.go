package licence

import (
	"fmt"
	"time"

	"github.com/millrace/millrace/relay"
)

// Span is what a bound counts over.
type Span uint8

// Spans.
const (
	SpanDay        Span = iota // a day of the calendar
	SpanMonth                  // a month of the calendar
	SpanTotal                  // since the first start
	SpanLicence                // since the licence was first in force
	SpanEvaluation             // since the allowance was first looked at
	SpanSlice                  // since the first start, up to the ceiling of a slice
)

var spans = [...]struct{ name, words string }{
	{"day", "today"}, {"month", "this month"}, {"total", "in all"}, {"licence", "of the licence"}, {"evaluation", "for evaluation"}, {"slice", "of the slice"},
}

// String is the span's stable name, for JSON and metrics.
func (s Span) String() string { return spans[s].name }

// bound is one limit that is in force.
type bound struct {
	span   Span
	by     string // who sets it: "allowance", or "licence 17"
	most   uint64
	base   uint64    // what had been sent at its beginning
	period string    // the name of the period
	resets time.Time // zero: never
	closed string    // nothing is taken, for this reason; "": the numbers decide
	warned int       // the largest level that was told, in percent
}

// used is how much of the bound was sent.
func (b *bound) used(sent uint64) uint64 { return sent - min(sent, b.base) }

// has reports whether so many recipients more fit in.
func (b *bound) has(sent, pending, more uint64) bool {
	room := b.most
	for _, part := range [...]uint64{b.used(sent), pending, more} {
		if part > room {
			return false
		}
		room -= part
	}
	return true
}

// levels are the parts of a bound, in percent, of which the log is told.
var levels = [...]int{100, 90, 75}

// level is the largest of the levels that is reached, or 0. A slice has none: when half of it is used another is asked for.
func (b *bound) level(taken uint64) int {
	if b.closed != "" || b.span == SpanSlice {
		return 0
	}
	for _, l := range levels {
		if taken >= b.most/100*uint64(l)+(b.most%100*uint64(l)+99)/100 {
			return l
		}
	}
	return 0
}

// mark names the bound in state.Warned. A bound of another size is another one.
func (b *bound) mark(tenant string) string {
	return fmt.Sprintf("%s %s %s %d %q", b.span, b.period, b.by, b.most, tenant)
}

// why says that the bound is used up.
func (b *bound) why(tenant string, sent, pending, more uint64) relay.Reason {
	if b.closed != "" {
		return relay.WaitFor(relay.ReasonAllowance, tenant, b.closed, time.Time{})
	}
	whose := "the"
	if tenant != "" {
		whose = "tenant " + tenant + "'s"
	}
	text := fmt.Sprintf("%s allowance of %d recipients %s (%s) is used up: %d sent, %d on their way, %d more asked for",
		whose, b.most, spans[b.span].words, b.by, b.used(sent), pending, more)
	if !b.resets.IsZero() {
		text += "; it begins again on " + b.resets.Format("2006-01-02 15:04 MST")
	}
	return relay.WaitFor(relay.ReasonAllowance, tenant, text, b.resets)
}

// account is the bounds of the installation, "", or of a tenant.
type account struct {
	tenant     string
	bounds     []bound
	sent, left uint64       // as last read
	reserved   uint64       // recipients of messages that were asked about and are not taken yet
	refusing   relay.Reason // why the last message was refused, if it was
}

// read reads the counter.
func (a *account) read(c Counter) { a.sent, a.left = c.Used(a.tenant) }

// pending is what is on its way.
func (a *account) pending() uint64 { return a.left + a.reserved }

// refuses says why so many recipients more do not fit in; the zero Reason if they do.
func (a *account) refuses(more uint64) relay.Reason {
	a.refusing = relay.Reason{}
	for i := range a.bounds {
		if b := &a.bounds[i]; b.closed != "" || !b.has(a.sent, a.pending(), more) {
			a.refusing = b.why(a.tenant, a.sent, a.pending(), more)
			break
		}
	}
	return a.refusing
}
