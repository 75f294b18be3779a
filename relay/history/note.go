package history

import (
	"encoding/binary"

	"github.com/millrace/millrace/relay"
)

// What a note or a record is about. The numbers are on the disk.
const (
	kindText byte = iota + 1
	kindTaken
	kindSettled
	kindReported
	kindDoubt
	kindGap
)

// Flags of a message taken.
const flagNotice = 1 // it is for our own MTA

// Flags beside the outcome.
const (
	outcomeBits = 0x0f
	flagTwice   = 0x10 // the receiver may have it, and it is sent again
	flagInject  = 0x20 // it went to our own MTA
)

// Why a recipient may get a message twice.
const (
	doubtUnheard     = iota // the MTA may offer it again
	doubtInterrupted        // the daemon ended while it was sent
)

// Bounds of what a stranger can make large.
const (
	maxText      = 400  // bytes of a reply, relay or client
	maxAddress   = 320  // RFC 5321 section 4.5.3.1
	maxMessageID = 500  // bytes
	chunk        = 64   // recipients in a record
	maxRcpts     = 4096 // of a message that one event may bring into the buffer at once
)

// note is one event. In the buffer and in a segment it has different forms, which are read into this one. The bytes belong to the buffer,
// or to the reader of the segment.
type note struct {
	kind byte
	time int64 // Unix milliseconds
	id   uint64
	rcpt int

	// taken
	flags                    byte
	size                     int64
	before                   int64 // milliseconds since its MAIL command came
	queueID, from, messageID []byte
	rule, client, tenant     []byte
	campaign, domain         []byte // as relay.FlowName has Name and Sender
	total, first             int
	rcpts                    [][]byte

	// settled
	outcome     byte // with its flags
	code        int
	relay, site []byte
	reply       []byte // enhanced code and text
	use         int
	delays      [4]int64 // milliseconds

	report []byte // reported
	why    int    // doubt
	count  int64  // gap
	since  int64  // gap: Unix milliseconds
}

// appendNotes appends the notes about e: one, or for a message taken with many recipients several.
func appendNotes(b []byte, e *relay.Event) []byte {
	m := e.Message
	if e.Kind == relay.EventTaken {
		for first := 0; first == 0 || first < min(m.RcptCount(), maxRcpts); first += chunk {
			b = appendTaken(appendHead(b, kindTaken, e), e, first)
		}
		return b
	}
	switch e.Kind {
	case relay.EventSettled:
		return appendSettled(appendHead(b, kindSettled, e), e)
	case relay.EventReported:
		return appendString(appendHead(b, kindReported, e), e.Report, maxText)
	case relay.EventUnheard:
		return append(appendHead(b, kindDoubt, e), doubtUnheard)
	case relay.EventInterrupted:
		return append(appendHead(b, kindDoubt, e), doubtInterrupted)
	}
	return b
}

// wanted reports whether the history has a note of such events. That a message has left follows from the ends of its recipients.
func wanted(k relay.EventKind) bool {
	switch k {
	case relay.EventTaken, relay.EventSettled, relay.EventReported, relay.EventUnheard, relay.EventInterrupted:
		return true
	}
	return false
}

func appendHead(b []byte, kind byte, e *relay.Event) []byte {
	b = append(b, kind)
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Time.UnixMilli()))
	b = binary.LittleEndian.AppendUint64(b, uint64(e.Message.ID))
	return binary.AppendUvarint(b, uint64(max(e.Rcpt, 0)))
}

func appendTaken(b []byte, e *relay.Event, first int) []byte {
	m, flow := e.Message, e.Message.Flow()
	var flags byte
	if m.Class() == relay.ClassInject {
		flags = flagNotice
	}
	b = append(b, flags)
	b = binary.AppendUvarint(b, uint64(max(m.Content.Size(), 0)))
	b = binary.AppendUvarint(b, uint64(max(m.Taken().Sub(m.Arrived()).Milliseconds(), 0)))
	b = appendString(b, m.QueueID(), maxText)
	b = appendString(b, m.From(), maxAddress)
	b = appendString(b, e.MessageID, maxMessageID)
	b = appendString(b, m.Rule(), maxText)
	b = appendString(b, m.Client(), maxText)
	b = appendString(b, flow.Tenant, maxText)
	b = appendString(b, flow.Name, maxText)
	b = appendString(b, flow.Sender, maxAddress)
	n := m.RcptCount()
	b = binary.AppendUvarint(b, uint64(n))
	b = binary.AppendUvarint(b, uint64(first))
	n = min(n-first, chunk)
	b = binary.AppendUvarint(b, uint64(n))
	for i := range n {
		b = appendString(b, m.Rcpt(first+i).Addr, maxAddress)
	}
	return b
}

func appendSettled(b []byte, e *relay.Event) []byte {
	outcome := byte(e.Outcome) & outcomeBits
	if e.MaybeTwice {
		outcome |= flagTwice
	}
	if e.Message.Class() == relay.ClassInject || e.Node != nil && e.Node.Class() == relay.ClassInject {
		outcome |= flagInject
	}
	b = append(b, outcome)
	b = binary.AppendUvarint(b, uint64(max(e.Reply.Code, 0)))
	b = appendString(b, e.Relay, maxText)
	b = appendString(b, e.Site, maxText)
	b = appendReply(b, e)
	b = binary.AppendUvarint(b, uint64(max(e.ConnUse, 0)))
	d := &e.Delays
	for _, part := range [...]int64{d.Before.Milliseconds(), d.Queue.Milliseconds(), d.Setup.Milliseconds(), d.Transmit.Milliseconds()} {
		b = binary.AppendUvarint(b, uint64(max(part, 0)))
	}
	return b
}

// appendReply appends the enhanced code and the lines, with a blank between them. The length stands in two bytes, because it is not known
// before.
func appendReply(b []byte, e *relay.Event) []byte {
	at := len(b)
	b = append(b, 0, 0)
	b = append(b, e.Reply.Enhanced...)
	for _, line := range e.Reply.Lines {
		if room := maxText - (len(b) - at - 2); room <= 0 {
			break
		} else if line = line[:min(len(line), room)]; line == "" {
			continue
		}
		if len(b) > at+2 {
			b = append(b, ' ')
		}
		b = append(b, line...)
	}
	binary.LittleEndian.PutUint16(b[at:], uint16(min(len(b)-at-2, maxText)))
	return b[:at+2+min(len(b)-at-2, maxText)]
}

func appendString[T string | []byte](b []byte, s T, most int) []byte {
	s = s[:min(len(s), most)]
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// buffered reads what appendNotes wrote. It is our own memory, so nothing is checked.
type buffered struct{ b []byte }

func (r *buffered) next(n *note) bool {
	if len(r.b) == 0 {
		return false
	}
	*n = note{kind: r.byte(), rcpts: n.rcpts[:0]}
	n.time, n.id, n.rcpt = int64(r.fixed()), r.fixed(), int(r.number())
	switch n.kind {
	case kindTaken:
		r.taken(n)
	case kindSettled:
		r.settled(n)
	case kindReported:
		n.report = r.string()
	case kindDoubt:
		n.why = int(r.byte())
	}
	return true
}

func (r *buffered) taken(n *note) {
	n.flags, n.size, n.before = r.byte(), int64(r.number()), int64(r.number())
	n.queueID, n.from, n.messageID = r.string(), r.string(), r.string()
	n.rule, n.client, n.tenant, n.campaign, n.domain = r.string(), r.string(), r.string(), r.string(), r.string()
	n.total, n.first = int(r.number()), int(r.number())
	for range r.number() {
		n.rcpts = append(n.rcpts, r.string())
	}
}

func (r *buffered) settled(n *note) {
	n.outcome, n.code, n.relay, n.site = r.byte(), int(r.number()), r.string(), r.string()
	size := binary.LittleEndian.Uint16(r.b)
	n.reply, r.b = r.b[2:2+size], r.b[2+size:]
	n.use = int(r.number())
	for i := range n.delays {
		n.delays[i] = int64(r.number())
	}
}

func (r *buffered) byte() byte {
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *buffered) fixed() uint64 {
	v := binary.LittleEndian.Uint64(r.b)
	r.b = r.b[8:]
	return v
}

func (r *buffered) number() uint64 {
	v, n := binary.Uvarint(r.b)
	r.b = r.b[n:]
	return v
}

func (r *buffered) string() []byte {
	n := r.number()
	s := r.b[:n:n]
	r.b = r.b[n:]
	return s
}
