package history

import (
	"encoding/binary"

	"github.com/millrace/millrace/relay"
)

// How a string in a record goes on.
const (
	stringPlain = iota
	stringText
	stringTail // plain, then a text
	stringHead // a text, then plain
)

// pen writes notes as records, in frames behind each other.
type pen struct {
	base  base
	at    int64 // offset of the first byte of out
	out   []byte
	words *words

	b []byte // the record in the making
}

// record appends the record of n, and the texts that it needs. It returns the record's offset.
func (p *pen) record(n *note) (offset int64) {
	p.b = append(p.b[:0], n.kind)
	p.b = binary.AppendVarint(p.b, n.time-p.base.time)
	if n.kind != kindGap {
		p.b = binary.AppendVarint(p.b, int64(n.id-p.base.id))
	}
	switch n.kind {
	case kindTaken:
		p.taken(n)
	case kindSettled:
		p.settled(n)
	case kindReported:
		p.number(int64(n.rcpt))
		p.plain(n.report)
	case kindDoubt:
		p.number(int64(n.rcpt))
		p.number(int64(n.why))
	case kindGap:
		p.number(n.count)
		p.b = binary.AppendVarint(p.b, n.since-p.base.time)
	}
	offset = p.at + int64(len(p.out))
	p.out = appendFrame(p.out, p.b)
	return offset
}

func (p *pen) taken(n *note) {
	p.b = append(p.b, n.flags)
	p.number(n.size)
	p.number(n.before)
	p.plain(n.queueID)
	var room [5*maxText + 5]byte
	p.shared(joined(room[:0], n.rule, n.client, n.tenant, n.campaign, n.domain))
	p.split(n.from, splitAddress(n.from), true, true)
	p.split(n.messageID, splitAddress(n.messageID), false, true)
	p.number(int64(n.total))
	p.number(int64(n.first))
	p.number(int64(len(n.rcpts)))
	for _, r := range n.rcpts {
		p.split(r, splitAddress(r), false, true)
	}
}

func (p *pen) settled(n *note) {
	p.number(int64(n.rcpt))
	p.b = append(p.b, n.outcome)
	p.number(int64(n.code))
	var room [2*maxText + 2]byte
	p.shared(joined(room[:0], n.relay, n.site))
	// Replies to mail that was taken differ in their ends; those to mail that was not are often the same as a whole.
	p.split(n.reply, splitReply(n.reply), relay.Outcome(n.outcome&outcomeBits) != relay.Sent, false)
	p.number(int64(n.use))
	for _, d := range n.delays {
		p.number(d)
	}
}

// joined joins strings by NUL, which none of them has.
func joined(b []byte, parts ...[]byte) []byte {
	for i, s := range parts {
		if i > 0 {
			b = append(b, 0)
		}
		for _, c := range s {
			if c == 0 {
				c = '?'
			}
			b = append(b, c)
		}
	}
	return b
}

func (p *pen) number(n int64) { p.b = binary.AppendUvarint(p.b, uint64(max(n, 0))) }

// plain writes a string that no other record will have.
func (p *pen) plain(s []byte) {
	p.number(int64(len(s)) << 2) // stringPlain is 0
	p.b = append(p.b, s...)
}

// shared writes a string that many records have.
func (p *pen) shared(s []byte) {
	if at, ok := p.text(s); ok {
		p.number(int64(at)<<2 | stringText)
	} else {
		p.plain(s)
	}
}

// split writes a string of which many records have a part: what follows cut if tail is set, else what stands before. whole: some have
// all of it.
func (p *pen) split(s []byte, cut int, whole, tail bool) {
	if whole {
		if at, ok := p.text(s); ok {
			p.number(int64(at)<<2 | stringText)
			return
		}
	}
	common, own := s[:cut], s[cut:]
	if tail {
		common, own = own, common
	}
	at, ok := p.text(common)
	switch {
	case !ok:
		p.plain(s)
	case tail:
		p.number(int64(len(own))<<2 | stringTail)
		p.b = append(p.b, own...)
		p.number(int64(at))
	default:
		p.number(int64(at)<<2 | stringHead)
		p.number(int64(len(own)))
		p.b = append(p.b, own...)
	}
}

// text is the offset of the text s, which it writes when s comes for the second time.
func (p *pen) text(s []byte) (at uint32, ok bool) {
	if len(s) < leastText {
		return 0, false
	}
	if at, ok := p.words.at[string(s)]; ok {
		return at, true
	}
	if !p.words.again(s) {
		return 0, false
	}
	at = uint32(p.at) + uint32(len(p.out))
	p.words.learn(s, at)
	p.out = append(p.out, frameMark)
	start := len(p.out)
	p.out = binary.AppendUvarint(p.out, uint64(len(s)+1))
	p.out = append(p.out, kindText)
	p.out = append(p.out, s...)
	p.out = appendSum(p.out, start)
	return at, true
}
