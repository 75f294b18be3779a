package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// recorder keeps what events said, in order.
type recorder struct {
	mu    sync.Mutex
	lines []string
}

func (r *recorder) Event(e *Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case EventTaken:
		r.lines = append(r.lines, "taken "+e.Message.Name())
	case EventRestored:
		r.lines = append(r.lines, "restored "+e.Message.Name())
	case EventHeard:
		r.lines = append(r.lines, "heard "+e.Message.Name())
	case EventHungUp:
		r.lines = append(r.lines, "hung up "+e.Message.Name())
	case EventUnheard:
		r.lines = append(r.lines, "unheard "+e.Message.Rcpt(e.Rcpt).Addr)
	case EventInterrupted:
		r.lines = append(r.lines, "interrupted "+e.Message.Rcpt(e.Rcpt).Addr)
	case EventSettled:
		r.lines = append(r.lines, fmt.Sprintf("%s %s", e.Outcome, e.Message.Rcpt(e.Rcpt).Addr))
	case EventDeferred:
		r.lines = append(r.lines, fmt.Sprintf("deferred node %s visits=%d class=%q", e.Node.Domain, e.Node.Visits, e.Node.Class()))
	case EventRemoved:
		r.lines = append(r.lines, "removed "+e.Message.Name())
	}
}

func (r *recorder) has(line string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.lines, line)
}

func (r *recorder) count(line string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range r.lines {
		if l == line {
			n++
		}
	}
	return n
}

// script is a carrier over a number of channels. It settles every visit at once with what answer says. Queues whose class
// is in closed wait at a site that is closed.
type script struct {
	h        *Handler
	channels int
	answer   func(n *Node, rcpt int) Fate
	closed   func(Key) bool // nil: every site is open
	site     *Line          // of the closed sites; nil: their queues are claimed
	mu       sync.Mutex
	visits   []string // domains, in order of visits
	claimed  []*Queue // by closed
}

// run pulls queues until ctx is done and its goroutines have ended.
func (s *script) run(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	free := make(chan struct{}, s.channels)
	for {
		free <- struct{}{}
		q := s.h.Next(ctx)
		switch {
		case q == nil:
			return
		case s.closed != nil && s.closed(q.Key) && s.site == nil:
			q.Claim(WaitFor(ReasonSite, q.Domain, "closed", time.Now().Add(time.Minute)))
			s.mu.Lock()
			s.claimed = append(s.claimed, q)
			s.mu.Unlock()
			<-free
		case s.closed != nil && s.closed(q.Key):
			s.site.Explain(WaitFor(ReasonSite, q.Domain, "closed", time.Now().Add(time.Minute)))
			s.site.Push(q)
			<-free
		default:
			wg.Go(func() { s.empty(q); <-free }) // ends when q is empty
		}
	}
}

// open opens all sites.
func (s *script) open() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = nil
	for _, q := range s.claimed {
		q.Unclaim()
		s.h.Ready(q)
	}
	s.claimed = nil
}

func (s *script) empty(q *Queue) {
	for v := s.h.Visit(q); v != nil; v = s.h.Visit(q) {
		s.mu.Lock()
		s.visits = append(s.visits, v.Node.Class()+v.Node.Domain)
		s.mu.Unlock()
		for _, r := range v.Node.Rcpts() {
			f := s.answer(v.Node, r)
			f.Rcpt = r
			v.Fates = append(v.Fates, f)
		}
		s.h.Settle(v)
	}
}

// everything is a closed of a script whose sites are all closed.
func everything(Key) bool { return true }

// heart is the queue map and its handler under test.
type heart struct {
	*QueueMap
	h   *Handler
	rec *recorder
	c   *script
}

func newHeart(t testing.TB, retry RetryConfig, back HandbackConfig) *heart {
	t.Helper()
	rec := &recorder{}
	cfg := DefaultQueueConfig()
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}, Listener: rec})
	m.Open()
	h := NewHandler(m, retry, back)
	return &heart{m, h, rec, &script{h: h, channels: 1, site: NewLine(RoundRobin, 0)}}
}

// run runs the handler for the rest of the synctest bubble.
func (x *heart) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { x.h.Run(ctx) })
	wg.Go(func() { x.c.run(ctx) })
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
}

var testID ID = 100

func testMessage(rcpts ...string) *Message {
	testID++
	m := &Message{ID: testID, Content: NewContent(Letter{Header: []byte("Subject: x\r\n"), Body: []byte("hello\r\n")}), Slip: &Slip{Arrived: time.Now(), Taken: time.Now()}}
	m.Slip.From = "list@n.example"
	for _, r := range rcpts {
		m.Slip.Rcpts = append(m.Slip.Rcpts, Rcpt{Addr: r})
	}
	return m
}

func fixed(o Outcome, code int) func(*Node, int) Fate {
	return func(*Node, int) Fate {
		return Fate{Outcome: o, Reply: smtp.Reply{Code: code, Lines: []string{"scripted"}}}
	}
}

func retryEvery(d, lifetime time.Duration) RetryConfig {
	return RetryConfig{Schedule: []time.Duration{d}, Lifetime: lifetime}
}

func TestDeliverOneNodePerDomain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
		x.c.answer = fixed(Sent, 250)
		m := testMessage("a@x", "b@y", "c@x", "A@x")
		if err := x.Accept(m); err != nil {
			t.Fatal(err)
		}
		if m.NodeCount() != 2 || len(m.Node(0).Rcpts()) != 2 {
			t.Fatalf("nodes %+v", m.first)
		}
		x.run(t)
		synctest.Wait()
		for _, want := range []string{"sent a@x", "sent b@y", "sent c@x", "removed " + m.Name()} {
			if x.rec.count(want) != 1 {
				t.Errorf("%q happened %d times; events %q", want, x.rec.count(want), x.rec.lines)
			}
		}
		if s := x.h.Status(); s.Messages != 0 || s.Queues != 0 || s.Bytes != 0 || s.Wrappers != 0 || s.Sent != 3 {
			t.Errorf("left behind: %+v", s)
		}
	})
}

func TestRetryUntilItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(10*time.Minute, 35*time.Minute), HandbackConfig{})
		x.c.answer = fixed(Deferred, 451)
		if err := x.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
		x.run(t)
		time.Sleep(34 * time.Minute)
		synctest.Wait()
		if got := x.rec.count("deferred a@x"); got != 4 {
			t.Errorf("deferred %d times after 34 minutes, want 4", got)
		}
		l := slices.Collect(x.h.Messages)
		if len(l) != 1 || l[0].Recipients[0].DelayReason != "451 scripted" || l[0].Recipients[0].Attempts != 4 || l[0].Recipients[0].NextAttempt == 0 {
			t.Errorf("listing has no reason or next time: %+v", l)
		}
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		if x.rec.count("expired a@x") != 1 || x.h.Status().Messages != 0 {
			t.Errorf("not expired at the end of its life: %q", x.rec.lines)
		}
	})
}

func TestExpiresWithoutEverBeingCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		if err := x.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
		x.c.closed = everything
		go x.keepClosed(t.Context()) // ends with the test
		x.run(t)
		time.Sleep(time.Hour + 2*time.Minute)
		synctest.Wait()
		if x.rec.count("expired a@x") != 1 {
			t.Errorf("events %q", x.rec.lines)
		}
	})
}

func TestAgainIsNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		tries := 0
		x.c.answer = func(*Node, int) Fate {
			if tries++; tries == 1 {
				return Fate{Outcome: Again}
			}
			return Fate{Outcome: Sent, Reply: smtp.Reply{Code: 250}}
		}
		if err := x.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
		x.run(t)
		synctest.Wait()
		if x.rec.count("sent a@x") != 1 || x.h.Status().Deferrals != 0 {
			t.Errorf("events %q", x.rec.lines)
		}
	})
}

func TestAgainForEverBecomesDeferred(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Hour, 2*time.Hour), HandbackConfig{})
		x.c.answer = fixed(Again, 421)
		if err := x.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
		x.run(t)
		synctest.Wait()
		if len(x.c.visits) != maxRequeues+1 || x.rec.count("deferred a@x") != 1 {
			t.Errorf("%d visits, events %q", len(x.c.visits), x.rec.lines)
		}
	})
}

func TestAgainAndDeferredInOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(10*time.Minute, time.Hour), HandbackConfig{})
		seen := map[int]int{}
		x.c.answer = func(_ *Node, r int) Fate {
			seen[r]++
			switch {
			case r == 0 && seen[0] == 1:
				return Fate{Outcome: Deferred, Reply: smtp.Reply{Code: 450, Lines: []string{"grey"}}}
			case r == 2 && seen[2] == 1:
				return Fate{Outcome: Again}
			}
			return Fate{Outcome: Sent, Reply: smtp.Reply{Code: 250}}
		}
		if err := x.Accept(testMessage("a@x", "b@x", "c@x")); err != nil {
			t.Fatal(err)
		}
		x.run(t)
		synctest.Wait()
		if !x.rec.has("sent b@x") || !x.rec.has("sent c@x") || x.rec.has("sent a@x") {
			t.Errorf("before the retry: %q", x.rec.lines)
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if x.rec.count("sent a@x") != 1 || seen[0] != 2 || seen[1] != 1 || seen[2] != 2 {
			t.Errorf("visits per recipient %v, events %q", seen, x.rec.lines)
		}
	})
}

func TestHandback(t *testing.T) {
	cases := []struct {
		name string
		back HandbackConfig
		want int // visits before
	}{
		{"after two visits", HandbackConfig{Visits: 2}, 2},
		{"after 25 minutes", HandbackConfig{After: 25 * time.Minute}, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newHeart(t, retryEvery(10*time.Minute, time.Hour), c.back)
				x.c.answer = func(n *Node, _ int) Fate {
					if n.Class() == ClassInject {
						return Fate{Outcome: Sent, Reply: smtp.Reply{Code: 250}}
					}
					return Fate{Outcome: Deferred, Reply: smtp.Reply{Code: 451}}
				}
				if err := x.Accept(testMessage("a@x")); err != nil {
					t.Fatal(err)
				}
				x.run(t)
				time.Sleep(30 * time.Minute)
				synctest.Wait()
				if x.rec.count("deferred a@x") != c.want || x.rec.count("handedback a@x") != 1 || x.h.Status().Messages != 0 {
					t.Errorf("events %q", x.rec.lines)
				}
			})
		})
	}
}

func TestHandbackOfWhatIsNeverCarried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, 10*time.Hour), HandbackConfig{After: time.Hour})
		x.c.answer = fixed(Sent, 250)
		if err := x.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
		x.c.closed = func(k Key) bool { return k.Class != ClassInject }
		x.run(t)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if x.rec.count("handedback a@x") != 1 {
			t.Errorf("events %q", x.rec.lines)
		}
	})
}

// slipOf is what stood on the slip of an accepted message.
func slipOf(m *Message) *Slip {
	s := &Slip{
		QueueID: m.QueueID(), Envelope: Envelope{From: m.From(), Ret: m.Ret(), EnvID: m.EnvID(), UTF8: m.UTF8()},
		Class: m.Class(), Flow: m.Flow(), Rule: m.Rule(), Client: m.Client(), Arrived: m.Arrived(), Taken: m.Taken(),
	}
	for _, r := range m.Rcpts {
		s.Rcpts = append(s.Rcpts, r)
	}
	return s
}
