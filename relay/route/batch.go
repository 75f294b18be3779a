package route

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

// state of a question within a batch.
type state uint8

const (
	asking  state = iota // no reply in this try yet
	cut                  // truncated over UDP, to be asked over TCP
	useless              // this try brought nothing, the next may
	settled
)

// batch is a set of questions on their way.
type batch struct {
	deadline time.Time
	qs       []question
	ids      []uint16
	plain    []bool // ask without EDNS: the server knows none
	state    []state
	answers  []answer
	heard    bool           // the server of this try has replied to something
	server   netip.AddrPort // of this try

	mail   chan []byte // packets that a port received for it
	broken chan error  // the port of this try has failed
}

func newBatch(qs []question) *batch {
	b := &batch{
		qs:      qs,
		ids:     make([]uint16, len(qs)),
		plain:   make([]bool, len(qs)),
		state:   make([]state, len(qs)),
		answers: make([]answer, len(qs)),
		mail:    make(chan []byte, 2*len(qs)+2),
		broken:  make(chan error, 1),
	}
	for i := range b.answers {
		b.answers[i] = answer{kind: silent, of: qs[i]}
	}
	return b
}

// hand gives the batch a packet. One that there is no room for is lost, as
// packets are: the sender must not wait.
func (b *batch) hand(packet []byte) {
	select {
	case b.mail <- packet:
	default:
	}
}

// interrupt tells the batch that its port has failed.
func (b *batch) interrupt(err error) {
	select {
	case b.broken <- err:
	default:
	}
}

// listen waits for the answers to all open questions, until the try or ctx ends.
func (b *batch) listen(ctx context.Context) {
	late := time.NewTimer(time.Until(b.deadline))
	defer late.Stop()
	for b.count(asking) > 0 {
		select {
		case packet := <-b.mail:
			b.receive(packet)
		case err := <-b.broken:
			b.give(err)
			return
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// begin starts a try. Every question that is not settled is asked anew, under a new
// id: a late reply to the try before must not count for the next server.
func (b *batch) begin(server netip.AddrPort, try time.Duration) {
	b.deadline, b.heard, b.server = time.Now().Add(try), false, server
	select {
	case <-b.broken: // of the try before
	default:
	}
	for i := range b.qs {
		b.ids[i] = uint16(rand.Uint32())
		if b.state[i] != settled {
			b.state[i] = asking
		}
	}
}

// unsettled is how many questions still want an answer.
func (b *batch) unsettled() int { return len(b.qs) - b.count(settled) }

// count is how many questions are in a state.
func (b *batch) count(s state) int {
	n := 0
	for _, have := range b.state {
		if have == s {
			n++
		}
	}
	return n
}

// packed is the query for question i, with a length in front for TCP.
func (b *batch) packed(i int, tcp bool) []byte {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(b.qs[i].name), b.qs[i].qtype)
	m.Id = b.ids[i]
	if !b.plain[i] {
		m.SetEdns0(udpSize, false)
	}
	out, err := m.Pack()
	if err != nil {
		return nil // cannot happen, because names are checked before; an empty packet gets no answer
	}
	if tcp {
		out = append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)
	}
	return out
}

// receive reads one packet. A packet that answers no open question is ignored: it
// is late, or forged (RFC 5452 §9).
func (b *batch) receive(packet []byte) {
	var m dns.Msg
	err := m.Unpack(packet)
	i := b.asked(&m)
	if i < 0 || !m.Truncated && (err != nil || !whole(packet, &m)) {
		return
	}
	b.heard = true
	if m.Truncated {
		b.state[i] = cut
		return
	}
	b.resolve(i, &m)
}

// whole reports whether all records that a packet announces are there. The
// library takes a packet that ends between two records for a shorter one, and
// an answer without its records would say that there are none.
func whole(packet []byte, m *dns.Msg) bool {
	count := func(at int) int { return int(binary.BigEndian.Uint16(packet[at:])) }
	return len(packet) >= 12 &&
		len(m.Question) == count(4) && len(m.Answer) == count(6) &&
		len(m.Ns) == count(8) && len(m.Extra) == count(10)
}

// asked finds the open question that a message replies to; -1 is none.
func (b *batch) asked(m *dns.Msg) int {
	for i, id := range b.ids {
		if id == m.Id && b.state[i] == asking && b.qs[i].matches(m) {
			return i
		}
	}
	return -1
}

// resolve books the reply to question i. A server that fails does not have the last
// word: the next try asks another server.
func (b *batch) resolve(i int, m *dns.Msg) {
	b.answers[i] = b.qs[i].read(m)
	b.answers[i].of, b.answers[i].from = b.qs[i], b.server
	b.state[i] = settled
	if b.answers[i].kind == failing {
		b.state[i] = useless
		b.plain[i] = m.Rcode == dns.RcodeFormatError
	}
}

// give ends a try with an error of the socket. A refused connection is an
// answer of a sort; a timeout is not.
func (b *batch) give(err error) {
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return
	}
	k := failing
	if short(err) {
		k = unasked
	}
	for i := range b.state {
		if b.state[i] == asking {
			b.state[i] = useless
			b.answers[i] = answer{kind: k, why: networkText(err), of: b.qs[i], from: b.server}
		}
	}
}

// short reports whether err is for want of something that every socket needs.
func short(err error) bool {
	for _, want := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		if errors.Is(err, want) {
			return true
		}
	}
	return false
}

// networkText is an error of the socket in the words of the system.
func networkText(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return "connection timed out"
	}
	return "the name server closed the connection"
}

// blameTCP says why the questions whose replies came truncated have no answer.
func (b *batch) blameTCP(err error) {
	for i := range b.state {
		if a := &b.answers[i]; b.state[i] == cut && a.kind == silent {
			a.from, a.why = b.server, "the answer is too long for UDP, and over TCP: "+networkText(err)
		}
	}
}

// sign says how long nothing came, and of whom it was wanted last.
func (b *batch) sign(waited time.Duration) {
	for i := range b.answers {
		if a := &b.answers[i]; a.kind == silent && a.why == "" {
			a.from, a.why = b.server, "no answer within "+waited.Round(100*time.Millisecond).String()
		}
	}
}

// overTCP asks one question over TCP; after an error the connection is of no
// further use, and the question counts as cut.
func (b *batch) overTCP(conn net.Conn, i int, buf []byte) (err error) {
	b.state[i] = asking
	defer func() {
		if err != nil {
			b.state[i] = cut
		}
	}()
	if _, err := conn.Write(b.packed(i, true)); err != nil {
		return err
	}
	for b.state[i] == asking {
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			return err
		}
		n := binary.BigEndian.Uint16(buf)
		if _, err := io.ReadFull(conn, buf[:n]); err != nil {
			return err
		}
		b.receive(buf[:n])
	}
	return nil
}

// line is a connection that the end of a context interrupts.
type line struct {
	net.Conn
	stop func() bool
}

// hangUp closes the connection.
func (l *line) hangUp() {
	l.stop()
	l.Close()
}
