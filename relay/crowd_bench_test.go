package relay

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// crowd is a heart in which so many messages wait, each for a domain of its own, in 100 campaigns of one sender each. Those with an odd number
// are deferred.
func crowd(tb testing.TB, messages int) *levered {
	tb.Helper()
	x := emptyCrowd(tb, messages)
	now := time.Now()
	for i := range messages {
		x.Restore(crowdMember(i, now), x.h)
	}
	return x
}

func emptyCrowd(tb testing.TB, messages int) *levered {
	tb.Helper()
	cfg := DefaultQueueConfig()
	cfg.MaxMessages = 2 * messages
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}})
	m.Open()
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	x := &levered{heart: &heart{QueueMap: m, h: h}}
	x.l = NewLever(m, h, LeverDeps{})
	return x
}

var crowdBody = []byte("hello\r\n")

func crowdMember(i int, now time.Time) Saved {
	sender := fmt.Sprintf("n%d.example", i%100)
	msg := &Message{
		ID: ID(i + 1), Content: NewContent(Letter{Header: []byte("Subject: x\r\n"), Body: crowdBody}), Slip: &Slip{
			QueueID: crowdName(i), Arrived: now.Add(-time.Duration(i%100) * time.Minute), Flow: FlowName{Name: fmt.Sprint("c", i%100), Sender: sender},
		},
	}
	msg.Slip.Taken, msg.Slip.From = msg.Arrived(), "list@"+sender
	msg.Slip.Rcpts = []Rcpt{{Addr: fmt.Sprintf("u%d@d%d.example", i, i)}}
	s := SavedNode{Rcpts: []int{0}}
	if i%2 == 1 {
		s.Due = now.Add(time.Hour)
	}
	return Saved{Message: msg, Nodes: []SavedNode{s}}
}

// crowdName is the queue id of a message.
func crowdName(i int) string { return fmt.Sprintf("4Z%08X", i) }

// BenchmarkQuestion asks what an admin or a monitor asks, of hearts of two sizes.
func BenchmarkQuestion(b *testing.B) {
	for _, messages := range []int{1000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(messages), func(b *testing.B) { benchmarkQuestions(b, messages) })
	}
}

func benchmarkQuestions(b *testing.B, messages int) {
	x := crowd(b, messages)
	runtime.GC()
	dry := func(s Selector) func(*testing.B) {
		return func(b *testing.B) {
			if _, err := x.l.Do(context.Background(), Act{Verb: VerbDelete, Selector: s, DryRun: true}); err != nil {
				b.Fatal(err)
			}
		}
	}
	for _, q := range []struct {
		name string
		ask  func(b *testing.B)
	}{
		{"status", func(*testing.B) { x.h.Status() }},
		{"queues, the first 100", func(*testing.B) { x.Queues(100) }},
		{"queues, all", func(*testing.B) { x.EachQueue(func(QueueStatus) bool { return true }) }},
		{"known id", func(b *testing.B) {
			if len(x.h.MessagesNamed(ID(7).String())) != 1 {
				b.Fatal("not found")
			}
		}},
		{"known queue id", func(b *testing.B) {
			if len(x.h.MessagesNamed(crowdName(7))) != 1 {
				b.Fatal("not found")
			}
		}},
		{"unknown id", func(b *testing.B) {
			if len(x.h.MessagesNamed("4Zmissing")) != 0 {
				b.Fatal("found")
			}
		}},
		{"a page of messages", func(*testing.B) {
			n := 0
			x.h.Messages(func(Listing) bool { n++; return n < 100 })
		}},
		{"shape by domain", func(b *testing.B) { mustShape(b, x, "domain") }},
		{"shape by sender", func(b *testing.B) { mustShape(b, x, "sender") }},
		{"dry delete of an id", dry(Selector{ID: crowdName(7)})},
		{"dry delete of a domain", dry(Selector{Domain: "d7.example"})},
		{"dry delete of a campaign", dry(Selector{Campaign: "c7"})},
		{"dry delete of a sender", dry(Selector{Sender: "n7.example"})},
		{"dry delete of the old", dry(Selector{Older: time.Hour})},
		{"a shorter lifetime", func(*testing.B) {
			x.between(time.Now(), DefaultRetryConfig(), RetryConfig{Lifetime: time.Hour})
		}},
		{"sweep", func(*testing.B) { x.h.sweep(time.Now()) }},
		{"held tenants", func(*testing.B) { x.HeldTenants(20) }},
	} {
		b.Run(q.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				q.ask(b)
			}
		})
	}
}

func mustShape(b *testing.B, x *levered, by string) {
	b.Helper()
	if _, err := x.l.Shape(by, 100); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkDomainBytes is the memory of a message that waits, at a domain of its own and at one of a thousand.
func BenchmarkDomainBytes(b *testing.B) {
	const messages = 200_000
	for _, domains := range []int{1000, messages} {
		for _, state := range []string{"active", "deferred"} {
			b.Run(fmt.Sprintf("%s at %d domains", state, domains), func(b *testing.B) {
				for b.Loop() {
					x := emptyCrowd(b, messages)
					now := time.Now()
					all := make([]Saved, messages)
					for i := range all {
						all[i] = crowdMember(i, now)
						all[i].Message.Slip.Rcpts[0].Addr = fmt.Sprintf("u%d@d%d.example", i, i%domains)
						if all[i].Nodes[0].Due = (time.Time{}); state == "deferred" {
							all[i].Nodes[0].Due = now.Add(time.Hour)
						}
					}
					before := heapInUse()
					for i := range all {
						x.Restore(all[i], x.h)
					}
					b.ReportMetric(float64(heapInUse()-before)/messages, "bytes/message")
					runtime.KeepAlive(x)
				}
			})
		}
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
