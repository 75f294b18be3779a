package bounce

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// queuesOf lists the queues in line.
func queuesOf(m *relay.QueueMap, h *relay.Handler) []*relay.Queue {
	var all []*relay.Queue
	for range h.Lined() {
		all = append(all, h.Next(context.Background()))
	}
	return all
}

// TestNoticesStayWithinMemory: a map full of a campaign is refused by its receiver while our own MTA takes nothing. The
// notifications wait with the messages that they are about, within queue.max_bytes, and all are sent when the MTA takes mail
// again. Without a text that they share most of them lose their text.
func TestNoticesStayWithinMemory(t *testing.T) {
	t.Run("one text", func(t *testing.T) { stayWithinMemory(t, 8<<20, "") })
	t.Run("a text for each", func(t *testing.T) { stayWithinMemory(t, 2<<20, "ticket %d") })
}

// stayWithinMemory has the mail of a full map refused with one text, to which each adds its own if the format is not empty.
func stayWithinMemory(t *testing.T, limit int64, own string) {
	synctest.Test(t, func(t *testing.T) {
		cfg := relay.DefaultQueueConfig()
		cfg.MaxBytes = limit
		budget := relay.NewBudget(0)
		var m *relay.QueueMap
		var ids atomic.Uint64
		id := func() relay.ID { return relay.ID(ids.Add(1)) }
		b := NewServer(DefaultConfig(), Deps{
			Hostname: "mx.example.org", NewID: id, Budget: budget,
			Accept: func(x *relay.Message) error { return m.Accept(x) }, Emit: func(e *relay.Event) { m.Tell(e) },
			Release: func(x *relay.Message) { m.Release(x) }, Pending: func(x *relay.Message) bool { return m.Pending(x) },
		})
		m = relay.NewQueueMap(cfg, relay.Deps{Journal: relay.NoJournal{}, Listener: relay.Listeners{b}, Budget: budget})
		m.Open()
		h := relay.NewHandler(m, relay.DefaultRetryConfig(), relay.HandbackConfig{})
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go b.Run(ctx) // ends with ctx

		header := []byte(strings.Repeat("X-Header: "+strings.Repeat("x", 60)+"\r\n", 20))
		n := 0
		for ; ; n++ {
			if err := m.Accept(&relay.Message{
				ID: id(), Content: relay.NewContent(relay.Letter{Header: header, Body: make([]byte, 1000)}), Slip: &relay.Slip{Arrived: time.Now(),
					Envelope: relay.Envelope{From: fmt.Sprintf("bounce+%d@news.example", n), Rcpts: []relay.Rcpt{{Addr: fmt.Sprintf("u%d@strict.example", n)}}}},
			}); err != nil {
				break
			}
		}
		visits := 0
		settle := func(q *relay.Queue, o relay.Outcome, r smtp.Reply) {
			for v := h.Visit(q); v != nil; v = h.Visit(q) {
				if visits++; own != "" {
					r.Lines = []string{fmt.Sprintf(own, visits), strings.Repeat("message refused by policy ", 20)}
				}
				v.FailAll(o, r)
				h.Settle(v)
			}
		}
		refusal := smtp.Reply{Code: 550, Enhanced: "5.7.1", Lines: []string{strings.Repeat("message refused by policy ", 20)}}
		for _, q := range queuesOf(m, h) {
			settle(q, relay.Bounced, refusal)
		}
		most := int64(0)
		for range 100 {
			time.Sleep(time.Second)
			most = max(most, h.Status().Bytes)
		}
		s := h.Status()
		if most > cfg.MaxBytes*5/4 || !b.Crowded() || b.Held() == 0 {
			t.Errorf("%d bytes with a limit of %d; crowded %v, %d notices wait", most, cfg.MaxBytes, b.Crowded(), b.Held())
		}
		t.Logf("%d messages, %d of %d bytes at most, %d notifications in the map, %d wait", n, most, cfg.MaxBytes, s.Notices, b.Held())

		for range 100_000 {
			if b.Held() == 0 && h.Status().Messages == 0 {
				break
			}
			for _, q := range queuesOf(m, h) {
				settle(q, relay.Sent, smtp.Reply{Code: 250})
			}
			time.Sleep(time.Second)
		}
		if s := h.Status(); s.NoticesSent != int64(n) || s.Messages != 0 || b.Held() != 0 {
			t.Errorf("%d of %d notifications were sent, %d messages and %d notices are left", s.NoticesSent, n, s.Messages, b.Held())
		}
		soon, done := context.WithTimeout(context.Background(), time.Second)
		defer done()
		if q := h.Next(soon); q != nil { // a queue that was emptied in line is charged until the line comes to it
			t.Errorf("a queue is left: %v", q.Key)
		}
		for _, a := range []relay.Account{relay.AccountMail, relay.AccountNotices} {
			if left := budget.Used(a); left != 0 {
				t.Errorf("account %d: %d bytes are charged when all is gone", a, left)
			}
		}
	})
}
