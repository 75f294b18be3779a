package pool

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/millrace/millrace/relay"
)

// model is a receiver, and agents that feed it as their Pace says, on a simulated clock.
type model struct {
	// The receiver. Zero: no limit.
	conns   int           // connections
	linger  time.Duration // a connection that we have ended still counts so long
	rate    float64       // messages a second, in a bucket of one second
	quota   int           // messages in each minute of the clock
	latency time.Duration // of a reply
	jitter  float64       // of latency, as a part of it
	serial  time.Duration // messages are taken one after the other, each in this time
	atMail  int           // transactions at the same time; one more is refused
	dead    bool          // connections are refused

	// The sender.
	p       Pace
	offered int           // messages that wait
	perConn int           // messages of a connection
	patient time.Duration // how long an agent waits for the receiver to end a connection

	now     time.Time
	random  *rand.Rand
	events  events
	agents  int // at work
	open    int // connections that the receiver counts, but for those that we have ended
	working int // connections that were greeted
	gone    int // connections ended that still count
	making  int // connections being made
	busy    int // transactions under way at the receiver
	tokens  float64
	filled  time.Time
	inMin   int
	minAt   time.Time
	free    time.Time // of serial

	taken, refused, attempts, turned, peak int
	byMinute                               []minute
	begin                                  time.Time
	waiting                                bool // a look at the window is planned
}

// minute is what happened in one.
type minute struct {
	taken, refused, attempts, turned int
	window                           int
	rate                             float64
}

type event struct {
	at  time.Time
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at.Before(e[j].at) || e[i].at.Equal(e[j].at) && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

// newModel returns a model with mail without end, and at most most connections.
func newModel(most int) *model {
	cfg := DefaultConfig()
	m := &model{offered: 1 << 30, perConn: 100, latency: 30 * time.Millisecond, random: rand.New(rand.NewPCG(1, 2))}
	m.p = newPace(configured(cfg), relay.ReasonSite, "model.test")
	m.p.Limit(Limits{Connections: most})
	m.now = time.Date(2026, 11, 25, 8, 0, 0, 0, time.UTC)
	m.begin, m.minAt = m.now, m.now
	return m
}

var seq int

func (m *model) in(d time.Duration, do func()) {
	seq++
	heap.Push(&m.events, event{m.now.Add(d), seq, do})
}

// run lets so much time go by.
func (m *model) run(d time.Duration) *model {
	end := m.now.Add(d)
	m.look()
	for len(m.events) > 0 && !m.events[0].at.After(end) {
		e := heap.Pop(&m.events).(event)
		m.now = e.at
		e.do()
	}
	m.now = end
	m.minute()
	return m
}

// minute is the present minute's record.
func (m *model) minute() *minute {
	n := int(m.now.Sub(m.begin) / time.Minute)
	for len(m.byMinute) <= n {
		v := m.p.View(m.now)
		m.byMinute = append(m.byMinute, minute{window: v.Window, rate: v.Rate})
	}
	return &m.byMinute[n]
}

// look starts agents while the window allows it, now and every 50 ms.
func (m *model) look() {
	if !m.waiting {
		m.waiting = true
		m.in(50*time.Millisecond, func() { m.waiting = false; m.look() })
	}
	for m.offered > 0 && m.agents < m.p.Window(m.now) {
		m.agents++
		m.dial()
	}
}

// reply is how long the receiver takes for one.
func (m *model) reply() time.Duration {
	return time.Duration(float64(m.latency) * (1 + m.jitter*(2*m.random.Float64()-1)))
}

func (m *model) dial() {
	m.attempts++
	m.minute().attempts++
	admitted := !m.dead && (m.conns == 0 || m.open+m.gone < m.conns)
	if admitted {
		m.open++
		m.peak = max(m.peak, m.open)
	}
	m.making++
	m.in(m.reply(), func() {
		m.making--
		if !admitted {
			m.agents--
			m.turned++
			m.minute().turned++
			m.p.TurnedAway(m.now, m.working+m.making, "421 4.7.0 too many connections")
			return
		}
		m.working++
		m.p.Connected(m.now)
		m.next(m.perConn)
	})
}

// end ends an agent.
func (m *model) end() {
	m.hangUp()
	m.agents--
}

// hangUp ends a connection.
func (m *model) hangUp() {
	m.open--
	m.working--
	if m.linger > 0 {
		m.gone++
		m.in(m.linger, func() { m.gone-- })
	}
}

// next begins the next message over a connection that may carry n more.
func (m *model) next(n int) {
	if m.offered == 0 || m.agents > m.p.Window(m.now) {
		m.end()
		return
	}
	if n == 0 {
		m.hangUp()
		m.in(min(m.linger, m.patient), m.dial)
		return
	}
	if wait := m.p.Ask(m.now); wait > 0 {
		m.in(wait, func() { m.next(n) })
		return
	}
	m.offered--
	m.send(n)
}

// send sends a message.
func (m *model) send(n int) {
	began := m.now
	if m.atMail > 0 && m.busy >= m.atMail || !m.admits() {
		m.in(m.reply(), func() {
			m.refused++
			m.minute().refused++
			m.p.Slowed(m.now, began, m.agents, "451 4.7.28 slow down")
			m.next(n - 1)
		})
		return
	}
	m.busy++
	takes := m.reply()
	if m.serial > 0 {
		m.free = later(m.free, m.now).Add(m.serial)
		takes += m.free.Sub(m.now)
	}
	m.in(takes, func() {
		m.busy--
		m.taken++
		m.minute().taken++
		m.p.Done(m.now, began, m.working, takes)
		m.next(n - 1)
	})
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// admits takes one of the messages that the receiver's rate allows.
func (m *model) admits() bool {
	if minute := m.now.Truncate(time.Minute); minute.After(m.minAt) {
		m.minAt, m.inMin = minute, 0
	}
	if m.quota > 0 && m.inMin >= m.quota {
		return false
	}
	m.inMin++
	if m.rate == 0 {
		return true
	}
	if m.filled.IsZero() {
		m.filled, m.tokens = m.now, max(1, m.rate)
	}
	m.tokens = min(max(1, m.rate), m.tokens+m.now.Sub(m.filled).Seconds()*m.rate)
	m.filled = m.now
	if m.tokens < 1 {
		return false
	}
	m.tokens--
	return true
}
