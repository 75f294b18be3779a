package snapshot

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// BenchmarkTake takes messages with a shared body of 20 KB and a header of 1 KB on a real disk.
func BenchmarkTake(b *testing.B) {
	for _, ack := range []Ack{AckJournal, AckWritten, AckMemory} {
		for _, doors := range []int{1, 20, 50} {
			b.Run(fmt.Sprintf("%s/%d", ack, doors), func(b *testing.B) { benchTake(b, ack, doors) })
		}
	}
}

func benchTake(b *testing.B, ack Ack, doors int) {
	cfg := DefaultConfig()
	cfg.Ack = ack
	a, err := Open(b.TempDir(), cfg, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	messages := make([]*relay.Message, b.N)
	template := message(1, strings.Repeat("0123456789", 2000), "user@a.example")
	template.Content = template.Content.Wrapper().Behind([]byte(strings.Repeat("X-Header: value\r\n", 60)), 0)
	for i := range messages {
		m := message(a.NewID(), "", "user@a.example")
		m.Content = template.Content
		messages[i] = m
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ReportAllocs()
	b.ResetTimer()
	for range doors {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				if err := a.Take(messages[i]); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	st := a.Status()
	b.ReportMetric(float64(st.Takes)/float64(max(st.Commits, 1)), "takes/commit")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "takes/s")
}

// BenchmarkRecover restores messages of one campaign.
func BenchmarkRecover(b *testing.B) {
	const n = 100_000
	cfg := DefaultConfig()
	cfg.Ack = AckMemory
	dir := b.TempDir()
	a, err := Open(dir, cfg, nil)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := a.Recover(func(relay.Saved) error { return nil }); err != nil {
		b.Fatal(err)
	}
	template := message(1, strings.Repeat("0123456789", 2000), "user@a.example")
	for range n {
		m := message(a.NewID(), "", "user@a.example")
		m.Content = template.Content
		if err := a.Take(m); err != nil {
			b.Fatal(err)
		}
	}
	if err := a.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var took time.Duration
	for b.Loop() {
		begun := time.Now()
		a, err := Open(dir, cfg, nil)
		if err != nil {
			b.Fatal(err)
		}
		r, err := a.Recover(func(relay.Saved) error { return nil })
		if err != nil || r.Messages != n {
			b.Fatal(err, r.Messages)
		}
		took += time.Since(begun) // Close rests while it writes its snapshot
		a.Close()
	}
	b.ReportMetric(float64(n)*float64(b.N)/took.Seconds(), "messages/s")
}
