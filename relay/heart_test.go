package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
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
	case EventSettled:
		r.lines = append(r.lines, fmt.Sprintf("%s %s", e.Outcome, e.Message.Rcpts[e.Rcpt].Addr))
	case EventDeferred:
		r.lines = append(r.lines, fmt.Sprintf("deferred node %s visits=%d class=%q", e.Node.Domain, e.Node.Visits, e.Node.Class))
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

// script is a carrier that settles every visit at once with what answer says.
type script struct {
	h      *Handler
	answer func(n *Node, rcpt int) Fate
	mu     sync.Mutex
	visits []string // domains, in order of visits
}

func (s *script) Carry(q *Queue) bool {
	go func() {
		defer s.h.Release()
		for v := s.h.Visit(q); v != nil; v = s.h.Visit(q) {
			s.mu.Lock()
			s.visits = append(s.visits, v.Node.Class+v.Node.Domain)
			s.mu.Unlock()
			for _, r := range v.Node.Rcpts {
				f := s.answer(v.Node, r)
				f.Rcpt = r
				v.Fates = append(v.Fates, f)
			}
			s.h.Settle(v)
		}
	}()
	return true
}

// heart is the queue map and its handler under test.
type heart struct {
	*QueueMap
	h   *Handler
	rec *recorder
	c   *script
}

func newHeart(t *testing.T, retry RetryConfig, back HandbackConfig) *heart {
	t.Helper()
	rec := &recorder{}
	cfg := DefaultQueueConfig()
	cfg.Channels = 1
	m := NewQueueMap(cfg, Parts{Journal: NoJournal{}, Listener: rec})
	m.Open()
	h := NewHandler(m, retry, back)
	return &heart{m, h, rec, &script{h: h}}
}

// run runs the handler for the rest of the synctest bubble.
func (x *heart) run(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		x.h.Run(ctx, x.c)
		close(done)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

var testID ID = 100

func testMessage(rcpts ...string) *Message {
	testID++
	m := &Message{ID: testID, Header: []byte("Subject: x\r\n"), Body: []byte("hello\r\n"), Arrived: time.Now(), Taken: time.Now()}
	m.From = "list@n.example"
	for _, r := range rcpts {
		m.Rcpts = append(m.Rcpts, Rcpt{Addr: r})
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
		if len(m.Nodes) != 2 || len(m.Nodes[0].Rcpts) != 2 {
			t.Fatalf("nodes %+v", m.Nodes)
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
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { x.h.Run(ctx, parkAll{}); close(done) }()
		time.Sleep(time.Hour + 2*time.Minute)
		synctest.Wait()
		if x.rec.count("expired a@x") != 1 {
			t.Errorf("events %q", x.rec.lines)
		}
		cancel()
		<-done
	})
}

// parkAll is a carrier whose sites are all closed.
type parkAll struct{}

func (parkAll) Carry(q *Queue) bool {
	q.Park()
	q.Wait("closed", time.Now().Add(time.Minute))
	return false
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
					if n.Class == ClassInject {
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
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { x.h.Run(ctx, injectOnly{x.c}); close(done) }()
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if x.rec.count("handedback a@x") != 1 {
			t.Errorf("events %q", x.rec.lines)
		}
		cancel()
		<-done
	})
}

// injectOnly carries to our own MTA only.
type injectOnly struct{ *script }

func (c injectOnly) Carry(q *Queue) bool {
	if q.Class != ClassInject {
		return parkAll{}.Carry(q)
	}
	return c.script.Carry(q)
}

func TestSiblings(t *testing.T) {
	cfg := DefaultQueueConfig()
	cfg.MaxLength = 3
	m := NewQueueMap(cfg, Parts{Journal: NoJournal{}})
	m.Open()
	for range 7 {
		if err := m.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
	}
	qs := m.Queues()
	if len(qs) != 1 || qs[0].Siblings != 3 || qs[0].Active != 7 {
		t.Fatalf("queues %+v, want one domain with 3 siblings and 7 nodes", qs)
	}
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	for q := m.line.Pick(); q != nil; q = m.line.Pick() {
		for v := h.Visit(q); v != nil; v = h.Visit(q) {
			v.FailAll(Sent, smtp.Reply{Code: 250})
			h.Settle(v)
		}
	}
	if s := h.Status(); s.Queues != 0 || s.Sent != 7 {
		t.Errorf("emptied queues did not leave the map: %+v", s)
	}
}

func TestWrapperIsSharedAndFreed(t *testing.T) {
	x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
	want := int64(0)
	for i := range 10 {
		m := testMessage("a@x")
		m.Header = fmt.Appendf(nil, "Subject: %d\r\n", i)
		if err := x.Accept(m); err != nil {
			t.Fatal(err)
		}
		want += messageCost + nodeCost + rcptCost + int64(len(m.Header)+len("a@x"))
	}
	if s := x.h.Status(); s.Wrappers != 1 || s.Bytes != want+int64(len("hello\r\n")) {
		t.Errorf("status %+v, want one body for ten messages and %d bytes of their own", s, want)
	}
}

type failingJournal struct{ NoJournal }

func (failingJournal) Take(*Message) error { return errors.New("disk full") }

func TestRefusedMessageLeavesNothing(t *testing.T) {
	rec := &recorder{}
	m := NewQueueMap(DefaultQueueConfig(), Parts{Journal: failingJournal{}, Listener: rec})
	m.Open()
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	if err := m.Accept(testMessage("a@x")); err == nil {
		t.Fatal("accepted although the journal failed")
	}
	if s := h.Status(); s.Messages != 0 || s.Queues != 0 || s.Bytes != 0 || s.Wrappers != 0 || len(rec.lines) != 0 {
		t.Errorf("left behind %+v %q", s, rec.lines)
	}
}

func TestFullAndClosed(t *testing.T) {
	cfg := DefaultQueueConfig()
	cfg.MaxMessages = 2
	m := NewQueueMap(cfg, Parts{Journal: NoJournal{}})
	m.Open()
	for i, want := range []error{nil, nil, ErrFull} {
		if err := m.Accept(testMessage("a@x")); !errors.Is(err, want) {
			t.Errorf("message %d: %v, want %v", i, err, want)
		}
	}
	m.Close()
	if err := m.Accept(testMessage("a@x")); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestHoldDelaysRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
		x.c.answer = fixed(Sent, 250)
		m := testMessage("a@x")
		if err := x.Accept(m); err != nil {
			t.Fatal(err)
		}
		m.Hold()
		x.run(t)
		synctest.Wait()
		if x.rec.has("removed "+m.Name()) || !m.Open() {
			t.Error("removed while held")
		}
		x.Release(m)
		if !x.rec.has("removed " + m.Name()) {
			t.Error("not removed by the last release")
		}
	})
}

func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		x.c.answer = fixed(Sent, 250)
		m := testMessage("a@x", "b@y", "c@x", "d@z")
		x.Restore(Saved{Message: m, Nodes: []SavedNode{
			{Index: 0, Rcpts: []int{2}, Visits: 3, Due: time.Now().Add(10 * time.Minute), Reason: "451 later"},
			{Index: 2, Rcpts: []int{3}},
		}}, x.h)
		x.run(t)
		synctest.Wait()
		if !x.rec.has("sent d@z") || x.rec.has("sent c@x") {
			t.Errorf("before it is due: %q", x.rec.lines)
		}
		l := slices.Collect(x.h.Messages)
		if len(l) != 1 || l[0].Recipients[0].Attempts != 3 || l[0].Recipients[0].DelayReason != "451 later" {
			t.Errorf("listing %+v", l)
		}
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if x.rec.count("sent c@x") != 1 || x.rec.has("sent a@x") || x.rec.has("sent b@y") {
			t.Errorf("after: %q", x.rec.lines)
		}
	})
}

func TestCompanionsShareAVisit(t *testing.T) {
	x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
	m := testMessage("a@x", "b@y", "c@z")
	if err := x.Accept(m); err != nil {
		t.Fatal(err)
	}
	v := x.h.Visit(x.line.Pick())
	more := x.h.Companions(v, 100, func(k Key) bool { return k.Domain != "z" })
	if len(more) != 1 || more[0].Node.Domain != "y" {
		t.Fatalf("companions %+v", more)
	}
	if again := x.h.Companions(v, 100, func(Key) bool { return true }); len(again) != 1 || again[0].Node.Domain != "z" {
		t.Errorf("a busy node was taken twice, or a waiting one missed: %+v", again)
	}
}

// TestManyVisitors lets many goroutines accept and settle; nothing may be lost, doubled or left behind.
func TestManyVisitors(t *testing.T) {
	cfg := DefaultQueueConfig()
	cfg.MaxLength = 50
	cfg.Channels = 4
	rec := &recorder{}
	m := NewQueueMap(cfg, Parts{Journal: NoJournal{}, Listener: rec})
	m.Open()
	h := NewHandler(m, retryEvery(time.Millisecond, time.Hour), HandbackConfig{})
	var mu sync.Mutex
	n := 0
	c := &script{h: h, answer: func(*Node, int) Fate {
		mu.Lock()
		defer mu.Unlock()
		n++
		return Fate{Outcome: []Outcome{Sent, Sent, Sent, Deferred, Again}[n%5], Reply: smtp.Reply{Code: 250}}
	}}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { h.Run(ctx, c); close(done) }()
	const senders, each = 8, 200
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				msg := &Message{ID: ID(s*each + i + 1), Body: []byte("x"), Arrived: time.Now(), Taken: time.Now()}
				msg.Rcpts = []Rcpt{{Addr: fmt.Sprintf("u%d@d%d", i, i%7)}, {Addr: fmt.Sprintf("v%d@e%d", i, s)}}
				if err := m.Accept(msg); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for deadline := time.Now().Add(time.Minute); h.Status().Messages > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if s := h.Status(); s.Sent != senders*each*2 || s.Messages != 0 || s.Queues != 0 || s.Waiting != 0 || s.Removed != senders*each {
		t.Errorf("status %+v", s)
	}
}

func TestRetryWait(t *testing.T) {
	c := RetryConfig{Schedule: []time.Duration{time.Minute, time.Hour}, Jitter: 0.2}
	for visits, want := range map[int]time.Duration{0: time.Minute, 1: time.Minute, 2: time.Hour, 9: time.Hour} {
		for range 100 {
			if d := c.Wait(visits); d < want*8/10 || d > want*12/10 {
				t.Fatalf("Wait(%d) = %s, want %s within a fifth", visits, d, want)
			}
		}
	}
}

func TestPutBackIsNotCharged(t *testing.T) {
	x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
	if err := x.Accept(testMessage("a@x")); err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxRequeues {
		v := x.h.Visit(x.line.Pick())
		if v == nil {
			t.Fatalf("gone after %d visits", i)
		}
		v.PutBack()
		x.h.Settle(v)
	}
	if d := x.h.Status().Deferrals; d != 0 {
		t.Errorf("%d deferrals", d)
	}
}

// TestRestoreWhereDomainsHaveMerged: what counts as one domain may change with a new version; recipients keep theirs.
func TestRestoreWhereDomainsHaveMerged(t *testing.T) {
	m := NewQueueMap(DefaultQueueConfig(), Parts{Journal: NoJournal{}, Domain: func(d string) string { return strings.TrimPrefix(d, "alias.") }})
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	m.Restore(Saved{Message: testMessage("a@x", "b@alias.x", "c@z"), Nodes: []SavedNode{
		{Index: 0, Rcpts: []int{0}}, {Index: 1, Rcpts: []int{1}, Visits: 2}, {Index: 2, Rcpts: []int{2}},
	}}, h)
	got := make(map[string]string)
	for l := range h.Messages {
		for _, r := range l.Recipients {
			got[r.Address] = r.Domain
		}
	}
	if want := map[string]string{"a@x": "x", "b@alias.x": "x", "c@z": "z"}; !maps.Equal(got, want) {
		t.Errorf("restored %v, want %v", got, want)
	}
}
