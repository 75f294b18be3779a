package relay

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// waitingMillion is a heart in which so many messages of 1,000 domains and 10 campaigns wait, half of them deferred, with a carrier for
// the domain "live".
func waitingMillion(b *testing.B, messages int) *levered {
	b.Helper()
	rec := &atomic.Int64{}
	cfg := DefaultQueueConfig()
	cfg.MaxMessages = 2 * messages
	m := NewQueueMap(cfg, Deps{Journal: NoJournal{}, Listener: listener(func(*Event) { rec.Add(1) })})
	m.Open()
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	x := &levered{heart: &heart{QueueMap: m, h: h}}
	x.l = NewLever(m, h, LeverDeps{Store: func([]byte) error { return nil }})
	body := []byte("hello\r\n")
	now := time.Now()
	for i := range messages {
		msg := &Message{ID: ID(i + 1), Content: NewContent(Letter{Header: []byte("Subject: x\r\n"), Body: body}), Slip: &Slip{Arrived: now.Add(-time.Duration(i%100) * time.Minute)}}
		msg.Slip.Taken, msg.Slip.From = msg.Arrived(), "list@n.example"
		msg.Slip.Flow = FlowName{Name: fmt.Sprint("c", i/1000%10), Sender: "n.example"}
		msg.Slip.Rcpts = []Rcpt{{Addr: fmt.Sprintf("u%d@d%d", i, i%1000)}}
		s := SavedNode{Rcpts: []int{0}}
		if i%2 == 0 {
			s.Due = now.Add(time.Hour)
		}
		m.Restore(Saved{Message: msg, Nodes: []SavedNode{s}}, h)
	}
	return x
}

// traffic takes and delivers messages for the domain "live" until ctx is done, and returns how long each of the takes took, and each of
// the ways from the take to the end of the visit. The carrier looks at queues of that domain only.
func (x *levered) traffic(ctx context.Context) (takes, ways []time.Duration) {
	for id := ID(1 << 50); ctx.Err() == nil; id++ {
		msg := &Message{ID: id, Content: NewContent(Letter{Body: []byte("hi\r\n")}), Slip: &Slip{Arrived: time.Now(), Envelope: Envelope{From: "a@b", Rcpts: []Rcpt{{Addr: "u@live"}}}}}
		begin := time.Now()
		if x.Accept(msg) != nil {
			continue
		}
		takes = append(takes, time.Since(begin))
		n := msg.Node(0)
		if x.pullFrom(n, ClassRemote) {
			v := x.h.newVisit(n)
			v.FailAll(Sent, smtp.Reply{Code: 250})
			x.h.Settle(v)
		}
		ways = append(ways, time.Since(begin))
		time.Sleep(100 * time.Microsecond)
	}
	return takes, ways
}

func percentile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[int(share*float64(len(all)-1))]
}

// BenchmarkLever moves a million messages that wait, while others are taken and delivered, and shows what those feel of it: the slowest of
// a thousand takes, beside that without an act.
func BenchmarkLever(b *testing.B) {
	const messages = 1_000_000
	x := waitingMillion(b, messages)
	for _, c := range []struct {
		name string
		acts []Act
	}{
		{"nothing", nil},
		{"hold a campaign, and release", []Act{{Verb: VerbHold, Selector: Selector{Campaign: "c3"}}, {Verb: VerbRelease, Selector: Selector{Campaign: "c3"}}}},
		{"hold all, and release", []Act{{Verb: VerbHold}, {Verb: VerbRelease}}},
		{"pause a sender, and resume", []Act{{Verb: VerbPause, Selector: Selector{Sender: "@n.example"}}, {Verb: VerbResume}}},
		{"delete the older, dry", []Act{{Verb: VerbDelete, Selector: Selector{Older: time.Hour}, DryRun: true}}},
		{"shape", nil},
		{"delete the older", []Act{{Verb: VerbDelete, Selector: Selector{Older: time.Hour}}}},
		{"flush all", []Act{{Verb: VerbFlush}}},
		{"hand back all", []Act{{Verb: VerbHandback, Selector: Selector{Class: "remote"}}}},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				ctx, cancel := context.WithCancel(context.Background())
				var takes, ways []time.Duration
				var wg sync.WaitGroup
				wg.Go(func() { takes, ways = x.traffic(ctx) })
				did := 0
				for _, a := range c.acts {
					rep, err := x.l.Do(ctx, a)
					if err != nil {
						b.Fatal(err)
					}
					did += rep.Messages
				}
				switch c.name {
				case "nothing":
					time.Sleep(2 * time.Second)
				case "shape":
					if _, err := x.l.Shape("domain", 20); err != nil {
						b.Fatal(err)
					}
				}
				cancel()
				wg.Wait()
				b.ReportMetric(float64(did), "messages")
				b.ReportMetric(float64(percentile(takes, 0.99).Microseconds()), "take-p99-µs")
				b.ReportMetric(float64(percentile(ways, 0.999).Microseconds()), "way-p999-µs")
			}
		})
	}
}

// BenchmarkDelete deletes 20,000 messages; the figures are of all of them.
func BenchmarkDelete(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		x := waitingMillion(b, 20_000)
		b.StartTimer()
		if rep, err := x.l.Do(context.Background(), Act{Verb: VerbDelete, Selector: Selector{Class: "remote"}}); err != nil || rep.Messages != 20_000 {
			b.Fatal(rep, err)
		}
	}
}
