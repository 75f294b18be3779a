package snapshot

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// world is a ledger outside of what crashes: what was offered, what was answered for, what is done.
type world struct {
	offered map[relay.ID]*relay.Message
	taken   map[relay.ID]bool
	done    map[relay.ID]map[int]bool // outcomes told to the agent
	durable map[relay.ID]map[int]bool // of them, those a later flush made durable
	heard   map[relay.ID]bool         // the MTA knows that it is taken; true: a later flush made that durable
	named   map[relay.ID]bool         // a recovery gave it out
	sent    map[relay.ID]map[int]bool // whose receiver has the message, as far as anybody could know
	order   []relay.ID
}

func newWorld() *world {
	return &world{
		offered: make(map[relay.ID]*relay.Message), taken: make(map[relay.ID]bool),
		done: make(map[relay.ID]map[int]bool), durable: make(map[relay.ID]map[int]bool), sent: make(map[relay.ID]map[int]bool),
		heard: make(map[relay.ID]bool), named: make(map[relay.ID]bool),
	}
}

// message makes a message the way a queue map does.
// wrappers are those of the tests, one for each body.
var wrappers sync.Map

// factsOf are those of the message with this id.
func factsOf(id relay.ID) relay.Facts {
	if id%2 == 0 {
		return relay.EightBitFacts
	}
	return 0
}

// wrapperOf is the wrapper of a body.
func wrapperOf(body string) *relay.Wrapper {
	w, _ := wrappers.LoadOrStore(body, relay.NewWrapper([]byte("\r\n"+body)))
	return w.(*relay.Wrapper)
}

func message(id relay.ID, body string, rcpts ...string) *relay.Message {
	m := &relay.Message{
		ID: id, Slip: &relay.Slip{
			QueueID: fmt.Sprintf("Q%d", id), Class: relay.ClassRemote, Rule: "list-unsubscribe", Client: "app[192.0.2.7]",
			Arrived: time.Unix(1700000000, 5e6), Taken: time.Unix(1700000001, 6e6),
		},
	}
	if id%2 == 1 {
		m.Slip.Flow.Tenant = "acme"
	}
	m.Content = wrapperOf(body).Behind(fmt.Appendf(nil, "Received: by here\r\n%s\r\nX-One: two\r\n", subject(id)), factsOf(id))
	m.Slip.Envelope = relay.Envelope{From: "list@example.org", Ret: "HDRS", EnvID: "e+2D1", UTF8: id%3 == 0}
	if id%4 < 2 {
		m.Slip.From, m.Slip.EnvID = fmt.Sprintf("bounce+%d@Example.ORG", id), ""
		m.Slip.Flow.Name, m.Slip.Flow.Sender, m.Slip.Flow.Urgent = "news", "example.org", id%8 == 5
	}
	for _, r := range rcpts {
		m.Slip.Rcpts = append(m.Slip.Rcpts, relay.Rcpt{Addr: r, Notify: "FAILURE", ORcpt: "rfc822;" + r})
	}
	m.Address(strings.Clone)
	return m
}

func (w *world) take(a *Agent, m *relay.Message) error {
	w.offered[m.ID] = m
	w.order = append(w.order, m.ID)
	err := a.Take(m)
	if err == nil {
		w.taken[m.ID] = true
		w.done[m.ID], w.sent[m.ID] = make(map[int]bool), make(map[int]bool)
		if m.ID%4 != 3 { // else the MTA hangs up before it hears of it
			w.heard[m.ID] = false
			a.Event(&relay.Event{Kind: relay.EventHeard, Message: m, Rcpt: -1})
		}
	}
	return err
}

func (w *world) settle(a *Agent, id relay.ID, rcpt int) {
	w.done[id][rcpt] = true
	m := w.offered[id]
	a.Event(&relay.Event{Kind: relay.EventSettled, Message: m, Rcpt: rcpt, Outcome: relay.Sent})
	if len(w.done[id]) == m.RcptCount() {
		a.Event(&relay.Event{Kind: relay.EventRemoved, Message: m, Rcpt: -1})
	}
}

// await is what the pool does before the body of a message goes out.
func await(r relay.Record) error {
	if r == nil {
		return nil
	}
	<-r.Done()
	return r.Err()
}

// visit sends a node as the pool does: not before it is on record. Its recipients are done, or it waits again.
func (w *world) visit(a *Agent, n *relay.Node, deferred bool) {
	m := n.Message
	if await(a.Begin(n)) != nil {
		return
	}
	if deferred {
		again := *n
		again.Visits++
		for _, r := range n.Rcpts() {
			w.sent[m.ID][r] = false
		}
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: m, Node: &again, Rcpt: -1})
		return
	}
	for _, r := range n.Rcpts() {
		w.sent[m.ID][r] = a.cfg.Ack != AckMemory
	}
	for _, r := range n.Rcpts() {
		if !w.done[m.ID][r] {
			w.settle(a, m.ID, r)
		}
	}
}

// flush makes what is done durable.
func (w *world) flush(a *Agent) error {
	err := a.Flush()
	if err == nil {
		w.settled()
	}
	return err
}

func (w *world) settled() {
	for id, d := range w.done {
		w.durable[id] = make(map[int]bool)
		for r := range d {
			w.durable[id][r] = true
		}
	}
	for id := range w.heard {
		w.heard[id] = true
	}
}

// check compares what a recovery gave with the ledger: nothing lost, invented or altered, and nothing again that was
// durably done.
func (w *world) check(saved []relay.Saved) error {
	seen := make(map[relay.ID]bool)
	for _, s := range saved {
		id := s.Message.ID
		if seen[id] {
			return fmt.Errorf("message %d was given twice", id)
		}
		seen[id] = true
		if err := w.checkOne(s); err != nil {
			return fmt.Errorf("message %d: %w", id, err)
		}
	}
	for id := range w.taken {
		if !seen[id] && len(w.done[id]) < w.offered[id].RcptCount() {
			return fmt.Errorf("message %d is lost", id)
		}
	}
	return nil
}

func (w *world) checkOne(s relay.Saved) error {
	m := w.offered[s.Message.ID]
	if m == nil {
		return fmt.Errorf("was never offered")
	}
	if err := sameMessage(m, s.Message); err != nil {
		return err
	}
	if s.Message.Content.Wrapper() == nil && len(s.Nodes) > 0 {
		return fmt.Errorf("has no content")
	}
	switch durable, heard := w.heard[m.ID]; {
	case durable && s.Unheard:
		return fmt.Errorf("the MTA is said not to know of it")
	case w.taken[m.ID] && !heard && !w.named[m.ID] && !s.Unheard:
		return fmt.Errorf("the MTA does not know of it and nobody is told")
	}
	if len(s.Nodes) == 0 && !s.Unheard {
		return fmt.Errorf("is done and given out")
	}
	again := make(map[int]bool)
	for _, n := range s.Nodes {
		for _, r := range n.Rcpts {
			if again[r] || !slices.Contains(m.Node(n.Index).Rcpts(), r) {
				return fmt.Errorf("recipient %d in the wrong node, or twice", r)
			}
			again[r] = true
			if w.durable[m.ID][r] {
				return fmt.Errorf("recipient %d was durably done", r)
			}
			if w.sent[m.ID][r] && !n.Begun {
				return fmt.Errorf("recipient %d will get it twice and nobody is told", r)
			}
		}
	}
	for r := range m.Rcpts {
		if w.taken[m.ID] && !w.done[m.ID][r] && !again[r] {
			return fmt.Errorf("recipient %d is lost", r)
		}
	}
	return nil
}

// sameMessage compares all that is kept of a message.
func sameMessage(want, got *relay.Message) error {
	body := want.Content.Body()
	switch {
	case got.Content.Body() != nil && !bytes.Equal(body, got.Content.Body()):
		return fmt.Errorf("body altered")
	case got.Content.Wrapper() != nil && !bytes.Equal(want.Content.Head(), got.Content.Head()): // it has none if it is done
		return fmt.Errorf("header altered")
	case !reflect.DeepEqual(want.Slip.Envelope, got.Slip.Envelope):
		return fmt.Errorf("envelope altered: %+v, not %+v", got.Slip.Envelope, want.Slip.Envelope)
	case want.QueueID() != got.QueueID(), want.Content.Facts() != got.Content.Facts(), want.Class() != got.Class(), want.Rule() != got.Rule(),
		want.Flow() != got.Flow(),
		want.Client() != got.Client(), !want.Arrived().Equal(got.Arrived()), !want.Taken().Equal(got.Taken()):
		return fmt.Errorf("particulars altered: %+v, not %+v", got, want)
	}
	return nil
}

// smallConfig makes segments so small that a short test goes through many.
func smallConfig() Config {
	c := DefaultConfig()
	c.Journal.SegmentBytes = 12 << 10
	c.Journal.CommitInterval = time.Hour // tests say when
	c.Snapshot.Interval = time.Hour
	return c
}

// start opens and recovers. What is done and only told of it leaves out: see TestDoneAndUnheard.
func start(sys FileSystem, cfg Config) (*Agent, []relay.Saved, Report, error) {
	a, err := open(sys, cfg, hclog.NewNullLogger())
	if err != nil {
		return nil, nil, Report{}, err
	}
	a.CountWith(newAbacus())
	var saved []relay.Saved
	r, err := a.Recover(func(s relay.Saved) error {
		if len(s.Nodes) > 0 {
			saved = append(saved, s)
		}
		return nil
	})
	return a, saved, r, err
}

func mustStart(t *testing.T, sys FileSystem, cfg Config) (*Agent, []relay.Saved, Report) {
	t.Helper()
	a, saved, r, err := start(sys, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a, saved, r
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// campaign makes n messages to the agent, in a few bodies, and puts them into w.
func (w *world) campaign(t *testing.T, a *Agent, n int) {
	t.Helper()
	for i := range n {
		m := message(a.NewID(), strings.Repeat(fmt.Sprintf("body %d\r\n", i%3), 20), rcptsFor(i)...)
		must(t, w.take(a, m))
	}
}

func rcptsFor(i int) []string {
	r := []string{fmt.Sprintf("u%d@a.example", i)}
	if i%4 == 0 {
		r = append(r, fmt.Sprintf("v%d@b.example", i), fmt.Sprintf("w%d@a.example", i))
	}
	return r
}

// testConfig is the default with segments that a file system in memory can copy quickly.
func testConfig() Config {
	c := DefaultConfig()
	c.Journal.SegmentBytes = 256 << 10
	return c
}

// recordOf is the take record of a message of one node.
func recordOf(m *relay.Message) *format.TakeRecord {
	t := takeOf(m, nil, nil)
	return &t
}
