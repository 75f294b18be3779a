package stream

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

// BenchmarkEvent is what an event costs whoever delivers: with nobody who reads, with a file, and with a webhook besides that never answers.
func BenchmarkEvent(b *testing.B) {
	over := make(chan struct{})
	stuck := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-over }))
	defer stuck.Close()
	defer close(over)
	file := fileIn(b.TempDir())
	file.Keep = 1
	hook := WebhookConfig{URL: stuck.URL, AllowPrivate: true}
	hook.SetDefaults()
	for _, x := range []struct {
		name string
		cfg  Config
	}{
		{"nobody", Config{}},
		{"file", Config{File: []FileConfig{file}}},
		{"file and a stuck webhook", Config{File: []FileConfig{file}, Webhook: []WebhookConfig{hook}}},
	} {
		b.Run(x.name, func(b *testing.B) {
			x.cfg.Buffer = DefaultConfig().Buffer
			s, err := New(x.cfg, Deps{})
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(b.Context())
			var run sync.WaitGroup
			run.Go(func() { s.Run(ctx) })
			m := letter(31, "ann@r.example")
			take, done := taken(m), sent(m)
			take.Time, done.Time = time.Now(), time.Now()
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				if i%2 == 0 {
					s.Event(take)
				} else {
					s.Event(done)
				}
			}
			b.StopTimer()
			cancel()
			run.Wait()
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(s.Status().Totals.Sent), "sent")
		})
	}
}
