package format

// Totals count what a journal was told since the first start in its state directory: messages taken · recipients taken · sent ·
// handed back · reported · suppressed · removed · visits deferred.
type Totals [8]uint64

// What each of the totals counts. Between recipients and deferred stand the reasons, in the order of Why.
const (
	TotalMessages   = 0
	TotalRecipients = 1
	TotalDeferred   = 7
)

// Why is the reason for which a recipient is done.
type Why byte

const (
	WhyUnknown    Why = iota // by a mark of version 1 or 2, or at the old place of a copy: not counted
	WhySent                  // a receiver has the message
	WhyHandedBack            // our own MTA has it
	WhyReported              // the sender knows that it failed, or need not know
	WhySuppressed            // he was suppressed when the message was taken, or later
	WhyRemoved               // an operator has removed it
	WhyRefused               // the message was not taken after all: its door was told so
	whys
)

var whyNames = [whys]string{"", "sent", "handed back", "reported", "suppressed", "removed", "refused"}

// String is the word "millrace spool dump" uses.
func (w Why) String() string {
	if w < whys {
		return whyNames[w]
	}
	return "unknown"
}

// Take counts a message with n recipients.
func (t *Totals) Take(n int) {
	t[TotalMessages]++
	t[TotalRecipients] += uint64(n)
}

// Done counts n recipients of one message who are done. A message that was refused was not taken: it counts against the takes.
func (t *Totals) Done(why Why, n int) {
	switch {
	case why == WhyRefused:
		t[TotalMessages]--
		t[TotalRecipients] -= uint64(n)
	case why != WhyUnknown:
		t[TotalRecipients+why] += uint64(n)
	}
}

// Add adds other to t.
func (t *Totals) Add(other *Totals) {
	for i := range t {
		t[i] += other[i]
	}
}

// Newest is, for each total, the higher one: of two counts of the same things, that one has seen more.
func (t *Totals) Newest(other *Totals) {
	for i := range t {
		t[i] = max(t[i], other[i])
	}
}
