package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot"
)

// recoveryResult is the cost of a restart with many waiting messages.
type recoveryResult struct {
	Messages   int     `json:"messages"`
	Take       float64 `json:"take_seconds"`
	Recover    float64 `json:"recover_seconds"`
	HeapBefore uint64  `json:"heap_before_bytes"` // in use with all messages waiting, before the restart
	HeapAfter  uint64  `json:"heap_after_bytes"`  // likewise, after it
	HeapRatio  float64 `json:"heap_ratio"`
	Disk       int64   `json:"journal_bytes_per_message"`
	Restored   int64   `json:"restored"`
}

// recovery fills a queue map with n messages of one campaign, closes its journal, and restores them into another queue
// map.
func recovery(dir string, n, size int) (*recoveryResult, error) {
	r := &recoveryResult{Messages: n}
	base := heap()
	begin := time.Now()
	m, agent, err := filled(dir, n, 1000, size, func(*snapshot.Agent, *relay.Message) {})
	if err != nil {
		return nil, err
	}
	r.Take = time.Since(begin).Seconds()
	r.HeapBefore = heap() - base
	r.Disk = agent.Status().PerMessage
	if err := agent.Close(); err != nil {
		return nil, err
	}
	runtime.KeepAlive(m)
	m, agent = nil, nil
	base = heap()
	begin = time.Now()
	m, agent, h, err := restored(dir)
	if err != nil {
		return nil, err
	}
	r.Recover = time.Since(begin).Seconds()
	r.HeapAfter = heap() - base
	r.HeapRatio = float64(r.HeapAfter) / float64(r.HeapBefore)
	r.Restored = h.Status().Restored
	runtime.KeepAlive(m)
	return r, agent.Close()
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapInuse
}

func open(dir string) (*relay.QueueMap, *snapshot.Agent, error) {
	agent, err := snapshot.Open(dir, snapshot.DefaultConfig(), hclog.NewNullLogger())
	if err != nil {
		return nil, nil, err
	}
	cfg := relay.DefaultQueueConfig()
	cfg.MaxMessages = 1 << 30
	return relay.NewQueueMap(cfg, relay.Deps{Journal: agent}), agent, nil
}

// filled is a queue map with n messages of one campaign, taken as the doors take them, and its journal in dir. It calls then for each
// message, from several goroutines.
func filled(dir string, n, domains, size int, then func(*snapshot.Agent, *relay.Message)) (*relay.QueueMap, *snapshot.Agent, error) {
	m, agent, err := open(dir)
	if err != nil {
		return nil, nil, err
	}
	if _, err := agent.Recover(func(relay.Saved) error { return nil }); err != nil {
		return nil, nil, errors.Join(err, agent.Close())
	}
	m.Open()
	const doors = 50
	body := bodyOf("All the news that fits.\r\n", size)
	failed := make([]error, doors)
	var wg sync.WaitGroup
	for d := range doors {
		wg.Go(func() { // ends when its share is taken
			for i := d; i < n && failed[d] == nil; i += doors {
				msg := message(agent.NewID(), i, domains, body)
				if failed[d] = m.Accept(msg); failed[d] == nil {
					m.Heard(msg, true)
					then(agent, msg)
				}
			}
		})
	}
	wg.Wait()
	return m, agent, errors.Join(failed...)
}

// message is the i-th message of a campaign to so many domains.
func message(id relay.ID, i, domains int, body []byte) *relay.Message {
	msg := &relay.Message{
		ID: id, Slip: &relay.Slip{QueueID: fmt.Sprintf("4A%08d", i), Rule: "list-id", Client: "app[192.0.2.1]", Arrived: time.Now()},
	}
	msg.Content = relay.NewContent(relay.Letter{Trace: []byte("Received: from app (app [192.0.2.1]) by mail.example.org (Millrace) with ESMTP;\r\n\tMon, 23 Nov 2026 10:00:00 +0000\r\n"),
		Header: fmt.Appendf(nil, "From: News <news@sender.test>\r\nTo: <user%d@d%d.test>\r\nSubject: News of the week\r\nMessage-ID: <%d@sender.test>\r\nList-Id: <news.sender.test>\r\n", i, i%domains, i), Body: body})
	msg.Slip.From = fmt.Sprintf("news+%d@sender.test", i)
	msg.Slip.Rcpts = []relay.Rcpt{{Addr: fmt.Sprintf("user%d@d%d.test", i, i%domains)}}
	return msg
}

func restored(dir string) (*relay.QueueMap, *snapshot.Agent, *relay.Handler, error) {
	m, agent, err := open(dir)
	if err != nil {
		return nil, nil, nil, err
	}
	h := relay.NewHandler(m, relay.DefaultRetryConfig(), relay.HandbackConfig{})
	report, err := agent.Recover(func(s relay.Saved) error {
		m.Restore(s, h)
		return nil
	})
	fmt.Fprintln(os.Stderr, report)
	return m, agent, h, err
}
