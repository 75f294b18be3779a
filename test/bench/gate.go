package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// gateBench shows what the gate takes from the MTA, and how the lever moves what waits. Its parts, for -only:
//
//	room     a domain that defers beside a fast one, and a small limit
//	rates    two sites, one ten times as fast as the other
//	postfix  a source that is too fast, through a real Postfix
//	replies  held replies when the gate opens
//	listmonk an application that never tries again, through a real Postfix, and receivers that stall
//	acts     an admin's orders about a million messages that wait
//	drain    a drain beside a real Postfix
type gateBench struct {
	bin, dir string
	only     string // a part of the names of the parts to run; "": all

	quick    bool
	rates    time.Duration // of the second part
	pressure time.Duration // of the third part
	stall    time.Duration // of the receivers, in the fifth part

	waiting   int           // messages, while an admin gives orders
	actsAlone time.Duration // before that
	draining  int           // messages that wait when a drain beside a Postfix begins
	profile   string        // a folder for profiles of the acts; "": none
}

func newGateBench(bin, dir, only string) *gateBench {
	return &gateBench{bin: bin, dir: dir, only: only, rates: 4 * time.Minute, pressure: fullPressure, stall: time.Minute, waiting: 1_000_000, actsAlone: 15 * time.Second, draining: 20_000}
}

// hurry makes all parts so short that their figures mean nothing.
func (b *gateBench) hurry() {
	b.quick, b.rates, b.pressure, b.stall = true, 6*time.Second, 10*time.Second, 6*time.Second
	b.waiting, b.actsAlone, b.draining = 5000, 3*time.Second, 300
}

// fullPressure is how long the third part lasts; the room is as much smaller as it is shorter.
const fullPressure = 5 * time.Minute

func (b *gateBench) scale() float64 { return min(1, float64(b.pressure)/float64(fullPressure)*4) }

func (b *gateBench) run(write func(figure) error) error {
	for _, part := range []struct {
		name string
		run  func() ([]figure, error)
	}{{"room", b.room}, {"rates", b.twoRates}, {"postfix", b.postfix}, {"replies", b.replies}, {"listmonk", b.impatient}, {"acts", b.acts}, {"drain", b.drain}} {
		if !strings.Contains(part.name, b.only) {
			continue
		}
		list, err := part.run()
		if err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		for _, f := range list {
			if err := write(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// open starts a daemon for a part.
func (b *gateBench) open(name, plain, wanted string, receivers map[string]sink.Character) (*hall, error) {
	return openHall(b.bin, filepath.Join(b.dir, name), plain, wanted, receivers)
}

// The receivers of the first two parts.
const (
	laterTest = "later.test"
	fastTest  = "fast.test"
	slowTest  = "slow.test"
)

// room is the first part: the limit is 500 messages, one domain answers 451 to all and offers 500, and then a fast one offers 200.
func (b *gateBench) room() (list []figure, err error) {
	defers := sink.Fault{Stage: sink.Rcpt, Do: sink.Reply451, Text: "451 4.3.0 Try again later"}
	h, err := b.open("room", "queue.max_messages = 500\n", "", map[string]sink.Character{laterTest: {Faults: []sink.Fault{defers}}, fastTest: {}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	later, err := h.offer(laterTest, 500)
	if err != nil {
		return nil, err
	}
	fast, err := h.offer(fastTest, 200)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	for h.net.far.Counts(fastTest).Deliveries < fast && time.Since(begin) < 30*time.Second {
		time.Sleep(20 * time.Millisecond)
	}
	note := fmt.Sprintf("of the domain that defers %d of 500 were taken", later)
	return []figure{
		atLeast(1, "a domain that defers, and a limit of 500: taken of 200 for a fast one", float64(fast), 200, note),
		atLeast(1, "a domain that defers, and a limit of 500: received of 200", float64(h.net.far.Counts(fastTest).Deliveries), 200, ""),
		atMost(1, "a domain that defers, and a limit of 500: taken of its 500", float64(later), 499, "some room is for others"),
	}, nil
}

// offer offers n messages for a domain as fast as they go over ten connections, and returns how many were taken.
func (h *hall) offer(domain string, n int) (taken int64, err error) {
	o, err := openOffice(h.MilterSocket(), 10)
	if err != nil {
		return 0, err
	}
	for i := range n {
		o.post(letter(fmt.Sprintf("%s-%06d", domain, i), "news@sender.test", fmt.Sprintf("u%d@%s", i, domain)))
	}
	err = o.close()
	return o.taken.Load(), err
}

// Two receivers, one ten times as fast as the other, over ten connections each.
const (
	fastDot, slowDot = 100 * time.Millisecond, time.Second
	bothOffered      = 330 // messages a second, in turn for both
	bothLimit        = 2000
)

// twoRates is the second part: the source is faster than both receivers.
func (b *gateBench) twoRates() (list []figure, err error) {
	h, err := b.open("rates", fmt.Sprintf("queue.max_messages = %d\npool.connections_per_site = %d\n", bothLimit, perSite), "",
		map[string]sink.Character{fastTest: takes(fastDot), slowTest: takes(slowDot)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	t := &takings{at: make(map[string][]time.Time)}
	o, err := openOfficeFor(h.MilterSocket(), 40, t.told)
	if err != nil {
		return nil, err
	}
	begin, most := time.Now(), int64(0)
	for i := 0; time.Since(begin) < b.rates; i++ {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / bothOffered)))
		o.post(letter(fmt.Sprintf("both%07d", i), "news@sender.test", fmt.Sprintf("u%d@%s", i, []string{fastTest, slowTest}[i%2])))
		if i%50 == 0 {
			st, err := h.Status()
			if err != nil {
				return nil, errors.Join(err, o.close())
			}
			most = max(most, st.Messages)
		}
	}
	end := time.Now()
	if err := o.close(); err != nil {
		return nil, err
	}
	return t.figures(h, span{begin.Add(b.rates / 2), end}, most, o.left.Load()), nil
}

// takings is when mail was taken, by the domain of its recipient.
type takings struct {
	mu sync.Mutex
	at map[string][]time.Time
}

func (t *takings) told(m *standin.Message) {
	_, domain, _ := strings.Cut(m.Rcpts[0].Addr, "@")
	t.mu.Lock()
	defer t.mu.Unlock()
	t.at[domain] = append(t.at[domain], time.Now())
}

func (t *takings) during(domain string, s span) (n float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, at := range t.at[domain] {
		if s.has(at) {
			n++
		}
	}
	return n
}

// figures are those of the second half.
func (t *takings) figures(h *hall, late span, most, left int64) []figure {
	fast, slow := t.during(fastTest, late), t.during(slowTest, late)
	received := 0.0
	for d := range h.net.far.All() {
		if d.Listener == fastTest && late.has(d.Time) {
			received++
		}
	}
	could := late.took().Seconds() * perSite / fastDot.Seconds()
	note := fmt.Sprintf("%.1f/s and %.1f/s taken; %d left with the MTA in all", fast/late.took().Seconds(), slow/late.took().Seconds(), left)
	return []figure{
		atLeast(2, "two sites 10 : 1 in speed: intake of the fast one, to the slow one", fast/slow, 8, note),
		atMost(2, "two sites 10 : 1 in speed: the same", fast/slow, 12, ""),
		atLeast(2, "two sites 10 : 1 in speed: part of its rate that the fast one gets", received/could, 0.9, ""),
		atMost(2, "two sites 10 : 1 in speed: most messages waiting at one time", float64(most), bothLimit, ""),
	}
}
