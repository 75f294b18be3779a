package stream

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// BenchmarkEvent is what an event costs whoever delivers: with nobody who reads, with a file, and with a webhook besides that never
// answers.
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
			before := processorTime(b)
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
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N), "cpu-ns/op") // the writing of the file included
		})
	}
}

// processorTime is what the process has used so far. On a busy machine it says more than the clock.
func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkReception is what the record of a personalised message of 20 KB costs, which is looked through for its Message-ID.
func BenchmarkReception(b *testing.B) {
	wrappers, own := relay.NewWrappers(relay.NewBudget(0)), new(relay.References)
	body := strings.Repeat("This line is the same in all messages of the campaign.\r\n", 360)
	var m *relay.Message
	for i := range 3 {
		m = letter(relay.ID(31+i), "ann@r.example")
		m.Content = relay.NewContent(relay.Letter{
			Header: fmt.Appendf(nil, "From: <news@n.example>\r\nTo: <user%d@r.example>\r\nMessage-ID: <%d@n.example>\r\nSubject: Hello\r\n", i, i),
			Body:   fmt.Appendf(nil, "Dear %d,\r\n%s%d\r\n", i, body, i),
		})
		wrappers.Divide(&m.Content, own, relay.AccountMail)
	}
	var l line
	b.ReportAllocs()
	for b.Loop() {
		l.event(Reception, taken(m))
	}
	if !bytes.Contains(l.b, []byte(`"message_id":"<2@n.example>"`)) {
		b.Errorf("%s", l.b)
	}
}
