package relay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/delta"
	"github.com/millrace/millrace/relay/smtp"
)

func TestSiblings(t *testing.T) {
	cfg := DefaultQueueConfig()
	cfg.MaxLength = 3
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}})
	m.Open()
	for range 7 {
		if err := m.Accept(testMessage("a@x")); err != nil {
			t.Fatal(err)
		}
	}
	qs := m.Queues(0)
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
	want := int64(queueCost)
	for i := range 10 {
		m := testMessage("a@x")
		m.Content = NewContent(Letter{Header: fmt.Appendf(nil, "Subject: %d\r\n", i), Body: []byte("hello\r\n")})
		if err := x.Accept(m); err != nil {
			t.Fatal(err)
		}
		want += m.weigh() + m.Content.weigh()
		if i == 0 {
			want += m.Content.Wrapper().weigh()
		}
	}
	if s := x.h.Status(); s.Wrappers != 1 || s.Bytes != want {
		t.Errorf("status %+v, want one body for ten messages and %d bytes", s, want)
	}
}

type failingJournal struct{ NoJournal }

func (failingJournal) Take(*Message) error { return errors.New("disk full") }

// TestTooLarge: what cannot be divided is refused before it costs anything.
func TestTooLarge(t *testing.T) {
	b := NewBudget(0)
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}, Budget: b})
	m.Open()
	msg := testMessage("a@x")
	msg.Content = NewContent(Letter{Form: smtp.Form{Size: delta.MaxSize + 1}})
	if err := m.Accept(msg); err != errLarge || b.Used(AccountMail) != 0 {
		t.Errorf("%v, %d bytes charged", err, b.Used(AccountMail))
	}
}

func TestFaultOfOursLeavesNothing(t *testing.T) {
	b := NewBudget(1 << 20)
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}, Budget: b})
	m.Open()
	msg := testMessage("a@x")
	msg.Content, msg.Slip.Flow, msg.Slip.Reserved = Content{}, FlowName{Name: "news"}, 1000 // such a content cannot be divided
	b.Charge(AccountDoors, msg.Slip.Reserved)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("it was taken")
			}
		}()
		_ = m.Accept(msg)
	}()
	if mail, doors := b.Used(AccountMail), b.Used(AccountDoors); mail != 0 || doors != 1000 || len(m.flows.byName) != 0 {
		t.Errorf("%d bytes of mail, %d of doors, %d flows", mail, doors, len(m.flows.byName))
	}
}

func TestRefusedMessageLeavesNothing(t *testing.T) {
	rec := &recorder{}
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: failingJournal{}, Listener: rec})
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
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}})
	m.Open()
	for i, want := range []error{nil, nil, ErrFull, errMessages} {
		if err := m.Accept(testMessage("a@x")); !errors.Is(err, want) {
			t.Errorf("message %d: %v, want %v", i, err, want)
		}
	}
	cfg.MaxMessages = 3
	m.SetConfig(cfg)
	for i, want := range []error{nil, errMessages} {
		if err := m.Accept(testMessage("a@x")); !errors.Is(err, want) {
			t.Errorf("message %d with room for one more: %v, want %v", i, err, want)
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

// onEvent is a listener that is a function.
type onEvent func(*Event)

func (f onEvent) Event(e *Event) { f(e) }

// Whoever was being visited when the daemon ended is named, each recipient once: behind the message, and while nobody
// can visit it.
func TestRestoreNamesWhoMayGetItTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
		x.c.answer = fixed(Sent, 250)
		x.deps.Listener = Listeners{x.rec, onEvent(func(e *Event) {
			if e.Kind == EventInterrupted && (!e.MaybeTwice || e.Node != nil || len(x.Queues(0)) != 0) {
				t.Errorf("maybe twice %v, node %v, queues %+v", e.MaybeTwice, e.Node, x.Queues(0))
			}
		})}
		x.run(t)
		m, done := testMessage("a@x", "b@y", "c@x", "d@z", "e@z"), testMessage("f@x")
		x.Restore(Saved{Message: m, Nodes: []SavedNode{
			{Index: 0, Rcpts: []int{2}, Due: time.Now().Add(10 * time.Minute), Begun: true},
			{Index: 1, Rcpts: []int{1}, Visits: 3},
			{Index: 2, Rcpts: []int{3, 4}, Visits: 1, Begun: true},
		}}, x.h)
		x.Restore(Saved{Message: done, Nodes: []SavedNode{{Index: 0, Begun: true}}}, x.h)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		want := []string{"restored " + m.Name(), "interrupted c@x", "interrupted d@z", "interrupted e@z"}
		if got := x.rec.lines[:min(len(want), len(x.rec.lines))]; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q first", x.rec.lines, want)
		}
		if s := x.h.Status(); s.MaybeTwice != 3 || s.Sent != 4 || s.Restored != 1 || len(x.rec.lines) != len(want)+4+1 {
			t.Errorf("status %+v, events %q", s, x.rec.lines)
		}
	})
}

// What the MTA may not know of is named whole; a recipient who was being visited too, for that as well.
func TestRestoreNamesWhatTheMTAMayOfferAgain(t *testing.T) {
	x := newHeart(t, retryEvery(time.Minute, time.Hour), HandbackConfig{})
	m := testMessage("a@x", "b@y", "c@x")
	x.Restore(Saved{Message: m, Unheard: true, Nodes: []SavedNode{
		{Index: 0, Rcpts: []int{0, 2}}, {Index: 1, Rcpts: []int{1}, Begun: true},
	}}, x.h)
	want := []string{"restored " + m.Name(), "unheard a@x", "unheard b@y", "unheard c@x", "interrupted b@y"}
	if s := x.h.Status(); !slices.Equal(x.rec.lines, want) || s.MaybeTwice != 4 {
		t.Errorf("got %q, want %q; %+v", x.rec.lines, want, s)
	}
	x.Heard(m, true)
	x.Heard(m, false)
	if last := x.rec.lines[len(x.rec.lines)-2:]; !slices.Equal(last, []string{"heard " + m.Name(), "hung up " + m.Name()}) {
		t.Errorf("told %q", last)
	}
	done := testMessage("g@x", "h@y")
	x.Restore(Saved{Message: done, Unheard: true}, x.h)
	if last := x.rec.lines[len(x.rec.lines)-2:]; !slices.Equal(last, []string{"unheard g@x", "unheard h@y"}) || x.h.Status().Messages != 1 {
		t.Errorf("of a message that is done: %q, %+v", x.rec.lines, x.h.Status())
	}
}

func TestCompanionsShareAVisit(t *testing.T) {
	x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
	m := testMessage("a@x", "b@y", "c@z")
	if err := x.Accept(m); err != nil {
		t.Fatal(err)
	}
	v := x.h.Visit(x.line.Pick())
	visits, err := x.h.Begin(nil, v, 100, func(k Key) bool { return k.Domain != "z" })
	if err != nil || len(visits) != 2 || visits[0] != v || visits[1].Node.Domain != "y" {
		t.Fatalf("visits %+v, %v", visits, err)
	}
	if again, err := x.h.Begin(nil, v, 100, func(Key) bool { return true }); err != nil || len(again) != 2 || again[1].Node.Domain != "z" {
		t.Errorf("a busy node was taken twice, or a waiting one missed: %+v", again)
	}
}

// TestManyVisitors lets many goroutines accept and settle; nothing may be lost, doubled or left behind.
func TestManyVisitors(t *testing.T) {
	cfg := DefaultQueueConfig()
	cfg.MaxLength = 50
	rec := &recorder{}
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}, Listener: rec})
	m.Open()
	h := NewHandler(m, retryEvery(time.Millisecond, time.Hour), HandbackConfig{})
	var mu sync.Mutex
	n := 0
	c := &script{h: h, channels: 4, answer: func(*Node, int) Fate {
		mu.Lock()
		defer mu.Unlock()
		n++
		return Fate{Outcome: []Outcome{Sent, Sent, Sent, Deferred, Again}[n%5], Reply: smtp.Reply{Code: 250}}
	}}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.Run(ctx) })
	running.Go(func() { c.run(ctx) })
	const senders, each = 8, 200
	var wg sync.WaitGroup
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				msg := &Message{ID: ID(s*each + i + 1), Content: NewContent(Letter{Body: []byte("x")}), Slip: &Slip{Arrived: time.Now(), Taken: time.Now()}}
				msg.Slip.Rcpts = []Rcpt{{Addr: fmt.Sprintf("u%d@d%d", i, i%7)}, {Addr: fmt.Sprintf("v%d@e%d", i, s)}}
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
	running.Wait()
	if s := h.Status(); s.Sent != senders*each*2 || s.Messages != 0 || s.Queues != 0 || s.Deferred != 0 || s.Removed != senders*each {
		t.Errorf("status %+v", s)
	}
}

func TestRetryWait(t *testing.T) {
	c := RetryConfig{Schedule: []time.Duration{time.Minute, time.Hour}, Jitter: 0.2}
	for visits, want := range map[int]time.Duration{0: time.Minute, 1: time.Minute, 2: time.Hour, 9: time.Hour} {
		for range 100 {
			if d := c.Wait(visits, rand.IntN); d < want*8/10 || d > want*12/10 {
				t.Fatalf("Wait(%d) = %s, want %s within a fifth", visits, d, want)
			}
		}
		least, most := c.Wait(visits, func(int) int { return 0 }), c.Wait(visits, func(n int) int { return n - 1 })
		if least != want*8/10 || most.Round(time.Second) != want*12/10 {
			t.Errorf("Wait(%d) is between %s and %s, want %s and a fifth", visits, least, most, want)
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
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}, Domain: func(d string) string { return strings.TrimPrefix(d, "alias.") }})
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

// TestOwnNotificationsAreCountedApart: an operator compares "taken" and "sent" with his campaign.
func TestOwnNotificationsAreCountedApart(t *testing.T) {
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}})
	m.Open()
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	post, notice := testMessage("a@x"), testMessage("news@y")
	notice.ID, notice.Slip.Class = 2, ClassInject
	for _, msg := range []*Message{post, notice} {
		if err := m.Accept(msg); err != nil {
			t.Fatal(err)
		}
		for _, o := range []Outcome{Sent, Bounced, Expired, HandedBack, Deferred} {
			m.Tell(&Event{Kind: EventSettled, Message: msg, Node: msg.Node(0), Outcome: o})
		}
	}
	s := h.Status()
	if s.Taken != 1 || s.Sent != 1 || s.Bounced != 1 || s.Expired != 1 || s.HandedBack != 1 || s.Deferrals != 2 {
		t.Errorf("the campaign: %+v", s)
	}
	if s.Notices != 1 || s.NoticesSent != 1 || s.NoticesLost != 3 {
		t.Errorf("our own: %+v", s)
	}
}

// foreseen is a journal that notes which nodes it was told of as visited at once.
type foreseen struct {
	NoJournal
	near []bool
}

func (j *foreseen) Take(m *Message) error {
	for _, n := range m.Nodes {
		j.near = append(j.near, n.Near)
	}
	return nil
}

// TestForesee: the journal is told with a message whether its visit begins at once, but not of a message for several domains.
func TestForesee(t *testing.T) {
	j := &foreseen{}
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: j, Near: func(k Key) bool { return k.Domain == "near" && k.Class == ClassRemote }})
	m.Open()
	for _, rcpts := range [][]string{{"a@near", "b@near"}, {"a@far"}, {"a@near", "a@far"}} {
		if err := m.Accept(testMessage(rcpts...)); err != nil {
			t.Fatal(err)
		}
	}
	if want := []bool{true, false, false, false}; !slices.Equal(j.near, want) {
		t.Errorf("near %v, want %v", j.near, want)
	}
}
