package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// fakeEvents counts from the position behind since, up to some records, and then says for ever that there is no more.
type fakeEvents struct {
	records int
	asked   url.Values
	ended   chan struct{}
}

func (f *fakeEvents) Events(ctx context.Context, query url.Values) (iter.Seq2[uint64, []byte], error) {
	f.asked = query
	if query.Get("since") == "bad" {
		return nil, errors.New("since: cannot be meant")
	}
	return func(yield func(uint64, []byte) bool) {
		defer close(f.ended)
		for i := range f.records {
			if !yield(uint64(i+1), fmt.Appendf(nil, "{\"position\":%d}\n", i+1)) {
				return
			}
		}
		for ctx.Err() == nil {
			if !yield(uint64(f.records+7), nil) || query.Get("follow") == "false" {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}, nil
}

// serveEvents runs a Server with a stream.
func serveEvents(t *testing.T, e Events) (path string, s *Server) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "c.sock")
	ln, err := Listen(Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	s = New(&fakeSource{}, &fakeActs{}, hclog.NewNullLogger())
	if e != nil {
		s.ServeEvents(e)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(ln) }() // ends by Stop below
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(t.Context()), <-done); err != nil {
			t.Error(err)
		}
	})
	return path, s
}

// TestEventsRoundTrip: the client gets what the daemon sends, and the daemon is asked what the client asked.
func TestEventsRoundTrip(t *testing.T) {
	e := &fakeEvents{records: 3, ended: make(chan struct{})}
	path, _ := serveEvents(t, e)
	var got []string
	for record, err := range dial(t, path).Events(t.Context(), url.Values{"follow": {"false"}, "kind": {"bounce", "act"}, "tenant": {"a&b"}}) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(record))
	}
	if strings.Join(got, " ") != `{"position":1} {"position":2} {"position":3}` {
		t.Errorf("%q", got)
	}
	if e.asked.Get("tenant") != "a&b" || strings.Join(e.asked["kind"], " ") != "bounce act" {
		t.Errorf("asked for %v", e.asked)
	}
	<-e.ended
}

// TestEventStream: what goes over the socket is text/event-stream as browsers read it, with positions as ids, and a reader that comes back says
// where it was.
func TestEventStream(t *testing.T) {
	e := &fakeEvents{records: 2, ended: make(chan struct{})}
	path, _ := serveEvents(t, e)
	c := dial(t, path)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://millrace/v1/events?follow=false&since=5", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Last-Event-ID", "9")
	resp, err := c.http.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	const want = "id: 1\ndata: {\"position\":1}\n\nid: 2\ndata: {\"position\":2}\n\nid: 9\n\n"
	if err != nil || string(text) != want || resp.Header.Get("Content-Type") != "text/event-stream" || e.asked.Get("since") != "9" {
		t.Errorf("%q %v, header %v, since %s", text, err, resp.Header, e.asked.Get("since"))
	}
}

// TestEventsRefused: a query that cannot be meant, and a daemon without a stream.
func TestEventsRefused(t *testing.T) {
	path, _ := serveEvents(t, &fakeEvents{ended: make(chan struct{})})
	for _, err := range dial(t, path).Events(t.Context(), url.Values{"since": {"bad"}}) {
		if !errors.As(err, new(Refusal)) || err.Error() != "since: cannot be meant" {
			t.Errorf("%v", err)
		}
	}
	path, _ = serveEvents(t, nil)
	for _, err := range dial(t, path).Events(t.Context(), nil) {
		if !errors.Is(err, errNoEvents) {
			t.Errorf("%v", err)
		}
	}
}

// TestEventsEndWithTheServer: a reader that would follow for ever holds up no stop, and is sent what there is at once.
func TestEventsEndWithTheServer(t *testing.T) {
	e := &fakeEvents{records: 1, ended: make(chan struct{})}
	path, s := serveEvents(t, e)
	c := dial(t, path)
	resp, err := c.http.Get("http://millrace/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "id: 1\n" {
		t.Fatalf("%q %v", line, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	begin := time.Now()
	if err := s.Stop(ctx); err != nil || time.Since(begin) > 4*time.Second {
		t.Errorf("%v after %s", err, time.Since(begin))
	}
	<-e.ended
}

// TestEventsLeaveRoom: those who follow for days leave requests for the others.
func TestEventsLeaveRoom(t *testing.T) {
	path, s := serveEvents(t, endless{})
	c := dial(t, path)
	for range maxWatchers {
		resp, err := c.http.Get("http://millrace/v1/events")
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", resp, err)
		}
		defer resp.Body.Close()
	}
	for _, err := range c.Events(t.Context(), nil) {
		if !errors.Is(err, ErrNotNow) {
			t.Errorf("one reader more: %v", err)
		}
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// endless is a stream on which nothing happens.
type endless struct{}

func (endless) Events(ctx context.Context, _ url.Values) (iter.Seq2[uint64, []byte], error) {
	return func(yield func(uint64, []byte) bool) {
		yield(1, nil)
		<-ctx.Done()
	}, nil
}
