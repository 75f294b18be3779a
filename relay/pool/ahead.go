package pool

const (
	// firstAhead and mostAhead bound how many messages an agent lets the journal expect.
	firstAhead = 8
	mostAhead  = 32
	// easeAfter is how many messages in a row must not wait for the journal before fewer are expected.
	easeAfter = 50
)

// ahead is how many messages an agent lets the journal expect beyond those that it has in hand. A receiver at a distance takes longer
// over a message than the disk over its record: then it is none. One that is faster would wait for the disk with each message.
type ahead struct {
	messages int
	told     int // messages since the journal was told last
	ease     int // messages since one waited for the journal
}

// due counts a message, and is how many the journal must be told to expect now; 0: none.
func (a *ahead) due() int {
	if a.ease++; a.ease >= easeAfter {
		a.ease, a.messages = 0, max(a.messages-1, 0)
	}
	if a.told++; a.told < a.messages/4 {
		return 0
	}
	a.told = 0
	return a.messages
}

// waited notes that a message had to wait for the journal.
func (a *ahead) waited() { a.ease, a.messages = 0, min(max(2*a.messages, firstAhead), mostAhead) }
