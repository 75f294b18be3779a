package sink

import (
	"crypto/sha256"
	"sync"
	"time"
)

const (
	recordsPerBlock = 4096
	textPerBlock    = 1 << 20
)

// ledger is the list of deliveries. A million deliveries must not burden the garbage collector, so records hold no
// pointers, and their strings lie one after the other in large blocks of text.
type ledger struct {
	keep bool

	mu        sync.RWMutex
	n         int
	records   [][]record
	text      [][]byte
	raw       [][]byte // by record; empty unless keep
	listeners []string
	changed   chan struct{} // closed and set to nil at the next delivery; nil when nobody waits

	indexMu sync.Mutex
	index   map[string][]int // numbers of the records of a message id, among the first `indexed` records
	indexed int
}

// record is the compact form of a Delivery.
type record struct {
	sum, core [sha256.Size]byte
	at        int64  // nanoseconds since 1970
	block     uint32 // of text
	offset    uint32 // of from, rcpt, id, MAIL and RCPT arguments, in this order
	size      uint32
	lens      [5]uint16
	listener  uint16
	tls       bool
}

func newLedger(keep bool) *ledger {
	return &ledger{keep: keep, index: make(map[string][]int)}
}

func (l *ledger) addListener(name string) uint16 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, have := range l.listeners {
		if have == name {
			return uint16(i)
		}
	}
	l.listeners = append(l.listeners, name)
	return uint16(len(l.listeners) - 1)
}

// arrival is a message as a session hands it to the ledger.
type arrival struct {
	listener uint16
	tls      bool
	from     string
	params   string // of MAIL
	rcpts    []recipient
	message  []byte
}

// add records the message once for each recipient. When add returns, every reader of the ledger sees the deliveries.
func (l *ledger) add(a arrival) {
	sum, core := sums(a.message)
	id := messageID(a.message)
	r := record{sum: sum, core: core, size: uint32(len(a.message)), listener: a.listener, tls: a.tls}
	var raw []byte
	if l.keep {
		raw = append(raw, a.message...)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.at = time.Now().UnixNano()
	for _, rcpt := range a.rcpts {
		l.write(&r, [5]string{a.from, rcpt.addr, string(id), a.params, rcpt.params})
		l.append(r)
		if l.keep {
			l.raw = append(l.raw, raw)
		}
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// write puts the strings into the text and records their place in r. A string is cut to the largest length that record
// can express: most are bounded by the command line, but the message id comes from a header field, which has no bound.
func (l *ledger) write(r *record, texts [5]string) {
	total := 0
	for i, t := range texts {
		texts[i] = t[:min(len(t), 1<<16-1)]
		total += len(texts[i])
	}
	last := len(l.text) - 1
	if last < 0 || cap(l.text[last])-len(l.text[last]) < total {
		l.text = append(l.text, make([]byte, 0, textPerBlock))
		last++
	}
	b := l.text[last]
	r.block, r.offset = uint32(last), uint32(len(b))
	for i, t := range texts {
		r.lens[i] = uint16(len(t))
		b = append(b, t...)
	}
	l.text[last] = b
}

func (l *ledger) append(r record) {
	last := len(l.records) - 1
	if last < 0 || len(l.records[last]) == recordsPerBlock {
		l.records = append(l.records, make([]record, 0, recordsPerBlock))
		last++
	}
	l.records[last] = append(l.records[last], r)
	l.n++
}

func (l *ledger) count() int {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.n
}

// watch returns the count, and a channel that is closed when the count has grown.
func (l *ledger) watch() (int, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return l.n, l.changed
}

// at returns delivery number i, from 0, or false when there is none yet.
func (l *ledger) at(i int) (Delivery, bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if i >= l.n {
		return Delivery{}, false
	}
	r := &l.records[i/recordsPerBlock][i%recordsPerBlock]
	text := l.text[r.block][r.offset:]
	cut := func(n uint16) string {
		s := string(text[:n])
		text = text[n:]
		return s
	}
	d := Delivery{Listener: l.listeners[r.listener], Sum: r.sum, Core: r.core, Size: int(r.size), TLS: r.tls}
	d.From, d.Rcpt, d.ID = cut(r.lens[0]), cut(r.lens[1]), cut(r.lens[2])
	d.Params.Mail, d.Params.Rcpt = cut(r.lens[3]), cut(r.lens[4])
	d.Time = time.Unix(0, r.at)
	if l.keep {
		d.Raw = l.raw[i]
	}
	return d, true
}

func (l *ledger) all(yield func(Delivery) bool) {
	for i := 0; ; i++ {
		d, ok := l.at(i)
		if !ok || !yield(d) {
			return
		}
	}
}

// byID indexes the deliveries since its last call and looks up the id.
func (l *ledger) byID(id string) []Delivery {
	l.indexMu.Lock()
	defer l.indexMu.Unlock()
	for {
		d, ok := l.at(l.indexed)
		if !ok {
			break
		}
		l.index[d.ID] = append(l.index[d.ID], l.indexed)
		l.indexed++
	}
	var found []Delivery
	for _, i := range l.index[id] {
		d, _ := l.at(i)
		found = append(found, d)
	}
	return found
}
