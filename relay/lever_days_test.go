package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// day is a random day of an admin: mail comes and goes, acts are given, and the daemon is killed now and then. A plain model says what
// must be held.
type day struct {
	t     *testing.T
	rnd   *rand.Rand
	x     *levered
	stop  func()
	given []Act       // holds, releases, in order
	when  []time.Time // they were
	pause []Act       // in force

	mu   sync.Mutex
	luck *rand.Rand          // of receivers
	ends map[string][]string // by recipient
	sent int
}

var (
	dayDomains   = []string{"a", "b", "c", "d"}
	dayCampaigns = []string{"june", "july", ""}
	dayTenants   = []string{"shop", "club"}
)

func pick[T any](r *rand.Rand, all []T) T { return all[r.IntN(len(all))] }

// begin starts a heart: the first, or the one after a kill.
func (d *day) begin(x *levered, answer func(*Node, int) Fate) {
	d.x = x
	x.deps.Listener = listener(d.note)
	x.c.answer = answer
	x.c.channels = 2
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.h.Run(ctx) })
	wg.Go(func() { x.l.Run(ctx) })
	wg.Go(func() { x.c.run(ctx) })
	d.stop = func() { cancel(); wg.Wait() }
}

func (d *day) note(e *Event) {
	if e.Kind != EventSettled || !e.Outcome.Final() {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	a := e.Message.Rcpt(e.Rcpt).Addr
	d.ends[a] = append(d.ends[a], e.Outcome.String())
}

// answer is what receivers say. No node may come to them that must wait.
func (d *day) answer(n *Node, r int) Fate {
	d.mu.Lock()
	defer d.mu.Unlock()
	if by := d.x.decrees.Load().of(n, n.Class(), time.Now()); by != nil {
		d.t.Errorf("%s was visited, and must wait by %+v", n.Message.Rcpt(r).Addr, by.act)
	}
	code := map[Outcome]int{Sent: 250, Deferred: 451, Again: 421, Bounced: 550}
	o := pick(d.luck, []Outcome{Sent, Sent, Deferred, Deferred, Again, Bounced})
	if n.Class() == ClassInject {
		o = pick(d.luck, []Outcome{Sent, Sent, Deferred})
	}
	return fixed(o, code[o])(n, r)
}

func (d *day) send() {
	m := testMessage()
	m.Slip.From = pick(d.rnd, []string{"list@n.example", "news@o.example"})
	m.Slip.Flow = FlowName{Tenant: pick(d.rnd, dayTenants), Name: pick(d.rnd, dayCampaigns), Urgent: d.rnd.IntN(4) == 0}
	m.Slip.QueueID = fmt.Sprintf("4Z%d", d.rnd.IntN(20))
	for range 1 + d.rnd.IntN(4) {
		d.sent++
		m.Slip.Rcpts = append(m.Slip.Rcpts, Rcpt{Addr: fmt.Sprintf("u%d@%s", d.sent, pick(d.rnd, dayDomains))})
	}
	if err := d.x.Accept(m); err != nil && !errors.Is(err, ErrDraining) {
		d.t.Fatal(err)
	} else if err != nil {
		d.sent -= m.RcptCount()
	}
}

func (d *day) selector(v Verb) (s Selector) {
	maybe := func() bool { return d.rnd.IntN(3) == 0 }
	if maybe() {
		s.Domain = pick(d.rnd, dayDomains)
	}
	if maybe() {
		s.Campaign = pick(d.rnd, dayCampaigns)
	}
	if maybe() {
		s.Tenant = pick(d.rnd, dayTenants)
	}
	if maybe() {
		s.Sender = pick(d.rnd, []string{"list@n.example", "o.example"})
	}
	if v == VerbPause || v == VerbResume {
		return s
	}
	if d.rnd.IntN(6) == 0 {
		s.ID = fmt.Sprintf("4Z%d", d.rnd.IntN(20))
	}
	if d.rnd.IntN(6) == 0 {
		s.Older = time.Duration(d.rnd.IntN(180)) * time.Minute
	}
	return s
}

// act gives a random act, and notes what the model needs.
func (d *day) act() {
	a := Act{Verb: pick(d.rnd, []Verb{
		VerbHold, VerbHold, VerbRelease, VerbRelease, VerbPause, VerbPause, VerbResume, VerbFlush, VerbDelete, VerbBounce, VerbHandback,
	}), Who: "root"}
	a.Selector = d.selector(a.Verb)
	if a.Verb == VerbPause && d.rnd.IntN(2) == 0 {
		a.Until = time.Now().Add(time.Duration(1+d.rnd.IntN(300)) * time.Minute)
	}
	_, err := d.x.l.Do(context.Background(), a)
	var bad *ActError
	if errors.As(err, &bad) {
		return
	}
	if err != nil {
		d.t.Fatal(a, err)
	}
	switch a.Verb {
	case VerbHold, VerbRelease:
		d.given, d.when = append(d.given, a), append(d.when, time.Now())
	case VerbPause:
		d.pause = append(slices.DeleteFunc(d.pause, func(p Act) bool { return p.Selector == a.Selector }), a)
	case VerbResume:
		d.pause = slices.DeleteFunc(d.pause, func(p Act) bool { return a.Selector.covers(p.Selector) })
	}
}

// selects is the model of a selector.
func selects(s Selector, m *Message, domain string, at time.Time) bool {
	return (s.Domain == "" || s.Domain == domain) && (s.Campaign == "" || s.Campaign == m.Flow().Name) && (s.Tenant == "" || s.Tenant == m.Flow().Tenant) &&
		(s.Sender == "" || s.Sender == m.From() || strings.HasSuffix(m.From(), "@"+s.Sender)) && (s.ID == "" || s.ID == m.QueueID()) &&
		(s.Older == 0 || at.Sub(m.Arrived()) >= s.Older)
}

// check compares what waits with the model.
func (d *day) check() {
	d.t.Helper()
	d.x.walk(func(some []*Message) bool {
		for _, m := range some {
			for _, n := range m.Nodes {
				d.checkNode(n, time.Now())
			}
		}
		return true
	})
}

func (d *day) checkNode(n *Node, now time.Time) {
	m, s := n.Message, d.x.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.state == stateGone || n.Class() != m.Class() {
		return
	}
	held, paused := false, false
	for i, a := range d.given {
		if !m.Taken().After(d.when[i]) && selects(a.Selector, m, n.Domain, d.when[i]) {
			held = a.Verb == VerbHold
		}
	}
	for _, p := range d.pause {
		paused = paused || (p.Until.IsZero() || now.Before(p.Until)) && selects(p.Selector, m, n.Domain, now)
	}
	if got := n.state == stateHeld; held && !got || got && !held && !paused || paused && n.state == stateActive {
		d.t.Errorf("%s is %s; held %t, paused %t", m.Rcpt(n.Rcpts()[0]).Addr, n.state, held, paused)
	}
}

// kill ends the daemon between two commits, and starts the next.
func (d *day) kill() {
	d.stop()
	d.begin(d.x.killed(d.t), d.answer)
}

// TestDays: whatever is done in whatever order, over kills, each recipient ends exactly once, nothing is lost, what must wait waits, and
// at the end of the day nothing is left behind, on no account.
func TestDays(t *testing.T) {
	days := 60
	if underRace {
		days = 10 // test/run has them all without the race detector
	}
	for seed := range days {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := &day{t: t, rnd: rand.New(rand.NewPCG(uint64(seed), 7)), luck: rand.New(rand.NewPCG(uint64(seed), 8)), ends: make(map[string][]string)}
				d.begin(newLevered(t, retryEvery(20*time.Minute, 12*time.Hour), HandbackConfig{After: time.Duration(seed%3) * 5 * time.Hour}), d.answer)
				for range 150 {
					switch r := d.rnd.IntN(20); {
					case r < 9:
						d.send()
					case r < 14:
						d.act()
					case r < 18:
						time.Sleep(time.Duration(d.rnd.IntN(30)) * time.Minute)
					case r == 18:
						d.kill()
					default:
						d.x.l.prune()
					}
					synctest.Wait()
					d.check()
					time.Sleep(time.Second)
				}
				d.evening(seed)
			})
		})
	}
}

// evening ends the day: by a drain, by the end of all holds and pauses, or by the end of all mail's life.
func (d *day) evening(seed int) {
	switch end := time.Now().Add(time.Hour); seed % 3 {
	case 0:
		d.x.do(d.t, VerbDrain, Selector{}, until(end))
		d.kill()
		d.send()
		time.Sleep(2 * time.Hour)
	case 1:
		d.x.do(d.t, VerbRelease, Selector{})
		d.x.do(d.t, VerbResume, Selector{})
	}
	time.Sleep(16 * time.Hour)
	synctest.Wait()
	d.x.wantEmpty(d.t)
	d.stop()
	if len(d.ends) != d.sent {
		d.t.Errorf("%d of %d recipients have ended", len(d.ends), d.sent)
	}
	for a, ends := range d.ends {
		if len(ends) != 1 {
			d.t.Errorf("%s ended as %q", a, ends)
		}
	}
	for i := range d.x.shards {
		if s := &d.x.shards[i]; len(s.spots) != 0 || s.holding != 0 {
			d.t.Errorf("a shard keeps %v %d", s.spots, s.holding)
		}
	}
}

// TestActsInTheMidstOfWork: acts, doors, deliveries and the end of pauses at the same time. Each recipient ends once.
func TestActsInTheMidstOfWork(t *testing.T) {
	d := &day{t: t, rnd: rand.New(rand.NewPCG(1, 2)), ends: make(map[string][]string)}
	x := newLevered(t, retryEvery(3*time.Millisecond, time.Hour), HandbackConfig{})
	d.begin(x, func(n *Node, r int) Fate { return fixed(Outcome(rand.IntN(4)), 250)(n, r) })
	defer d.stop()
	const doors, each = 4, 500
	var wg sync.WaitGroup
	for door := range doors {
		wg.Go(func() {
			for i := range each {
				m := &Message{ID: ID(1<<40 + door*each + i), Content: NewContent(Letter{Body: []byte("hello\r\n")}), Slip: &Slip{Arrived: time.Now(), Flow: FlowName{Name: pick(rand.New(rand.NewPCG(uint64(i), 1)), dayCampaigns)}}}
				m.Slip.Rcpts = []Rcpt{{Addr: fmt.Sprintf("%d-%d@a", door, i)}, {Addr: fmt.Sprintf("%d-%d@b", door, i)}}
				if err := x.Accept(m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for working := true; working; {
		select {
		case <-done:
			working = false
		default:
		}
		for _, a := range []Act{
			{Verb: VerbHold, Selector: Selector{Campaign: "june"}}, {Verb: VerbPause, Selector: Selector{Domain: "a"}, Until: time.Now().Add(time.Millisecond)},
			{Verb: VerbDelete, Selector: Selector{Campaign: "july", Domain: "b"}}, {Verb: VerbPause, Selector: Selector{Campaign: "july"}}, {Verb: VerbFlush},
			{Verb: VerbRelease, Selector: Selector{Domain: "a"}}, {Verb: VerbHandback, Selector: Selector{Campaign: "june", Domain: "b"}}, {Verb: VerbResume}, {Verb: VerbRelease},
		} {
			var bad *ActError // a pause of a millisecond may be over
			if _, err := x.l.Do(t.Context(), a); err != nil && !errors.As(err, &bad) {
				t.Error(err)
			}
		}
		x.l.prune()
	}
	x.do(t, VerbRelease, Selector{})
	x.do(t, VerbResume, Selector{})
	for end := time.Now().Add(time.Minute); x.h.Status().Messages > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	x.wantEmpty(t)
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ends) != 2*doors*each {
		t.Errorf("%d of %d recipients have ended", len(d.ends), 2*doors*each)
	}
	for a, ends := range d.ends {
		if len(ends) != 1 {
			t.Errorf("%s ended as %q", a, ends)
		}
	}
}
