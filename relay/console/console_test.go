package console

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// serve runs a Server over a real unix socket and returns the socket's path. The test fails if it does not end well.
func serve(t *testing.T, src Source) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := Listen(Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	s := New(src, &fakeActs{}, hclog.NewNullLogger())
	done := make(chan error, 1)
	go func() { done <- s.Run(ln) }() // ends by Stop below
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if err := s.Stop(ctx); err != nil {
			t.Errorf("a second Stop: %v", err)
		}
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return path
}

func dial(t *testing.T, path string) *Client {
	c := NewClient(path)
	t.Cleanup(c.Close)
	return c
}

func collect[T any](t *testing.T, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for v, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	return all
}

func TestStatusRoundTrip(t *testing.T) {
	src := &fakeSource{n: 5}
	got, err := dial(t, serve(t, src)).Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := src.Status()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestQueuesRoundTrip(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{}))
	for most, want := range map[int][]relay.QueueStatus{0: fakeQueues, 1: fakeQueues[:1], 9: fakeQueues} {
		if got := collect(t, c.Queues(t.Context(), most)); !reflect.DeepEqual(got, want) {
			t.Errorf("%d at most: got %+v", most, got)
		}
	}
}

func TestMessages(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{n: 30}))
	for _, test := range []struct {
		name   string
		filter Filter
		want   int
		first  string
	}{
		{"all", Filter{}, 30, "m/0"},
		{"domain", Filter{Domain: "b.example"}, 10, "m/2"},
		{"domain in capitals", Filter{Domain: "B.EXAMPLE"}, 10, "m/2"},
		{"sender with a plus", Filter{Sender: "b+7@n.example"}, 1, "m/7"},
		{"both hold", Filter{Sender: "b+8@n.example", Domain: "b.example"}, 1, "m/8"},
		{"only one holds", Filter{Sender: "b+7@n.example", Domain: "b.example"}, 0, ""},
		{"part of a domain", Filter{Domain: "example"}, 0, ""},
		{"a page", Filter{Most: 7}, 7, "m/0"},
		{"the next page", Filter{Most: 7, After: relay.ID(7).String()}, 7, "m/7"},
		{"the last page", Filter{Most: 7, After: relay.ID(28).String()}, 2, "m/28"},
		{"a page of what is selected", Filter{Most: 3, After: relay.ID(3).String(), Domain: "b.example"}, 3, "m/5"},
		{"a query in the value", Filter{Domain: "b.example&sender=x"}, 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := collect(t, c.Messages(t.Context(), test.filter))
			if len(got) != test.want {
				t.Fatalf("%d messages, want %d", len(got), test.want)
			}
			if len(got) > 0 && got[0].ID != test.first {
				t.Errorf("first is %s, want %s", got[0].ID, test.first)
			}
		})
	}
}

// firstError is the error that comes with the first value of a walk.
func firstError(walk iter.Seq2[relay.Listing, error]) error {
	for _, err := range walk {
		return err
	}
	return nil
}

func TestMessageByEitherID(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{n: 3}))
	for id, want := range map[string][]relay.Listing{
		"m/1": {fakeListing(1)}, "4bXy1": {fakeListing(1)}, // a slash in the id must survive the path
		"twice": {fakeListing(0), fakeListing(1)},
	} {
		if got := collect(t, c.MessagesNamed(t.Context(), id)); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
	for _, id := range []string{"m/9", "..", "x y", "%"} {
		if err := firstError(c.MessagesNamed(t.Context(), id)); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", id, err)
		}
	}
}

// TestKeys holds the promise that fields are never renamed: parsers of postqueue -j and of ours rely on them.
func TestKeys(t *testing.T) {
	path := serve(t, &fakeSource{n: 1})
	for _, test := range []struct{ url, keys string }{
		{"/v1/messages", `queue_name queue_id arrival_time message_size forced_expire sender recipients id rule expires`},
		{"/v1/messages/4bXy0", `queue_name queue_id arrival_time message_size forced_expire sender recipients id`},
		{"/v1/status", `taken restored removed messages bytes wrappers queues active busy waiting sent deferrals bounced
			expired handedback maybe_twice version pid hostname mode started uptime doors pool dns journal`},
		{"/v1/queues", `domain siblings active busy deferred oldest`},
	} {
		var object map[string]any
		if err := json.NewDecoder(strings.NewReader(fetch(t, path, test.url))).Decode(&object); err != nil {
			t.Fatal(err)
		}
		for _, key := range strings.Fields(test.keys) {
			if _, ok := object[key]; !ok {
				t.Errorf("%s: no %q in %v", test.url, key, object)
			}
		}
	}
}

func TestListIsOneObjectALine(t *testing.T) {
	body := fetch(t, serve(t, &fakeSource{n: 3}), "/v1/messages")
	lines := strings.SplitAfter(body, "\n")
	if len(lines) != 4 || lines[3] != "" {
		t.Fatalf("%d lines in %q", len(lines), body)
	}
	if !strings.Contains(lines[0], "451 <later>") {
		t.Errorf("angle brackets are escaped: %s", lines[0])
	}
}

func fetch(t *testing.T, path, url string) string {
	t.Helper()
	body, err := dial(t, path).get(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestNothingCanBeChanged(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{n: 1}))
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
		req, _ := http.NewRequestWithContext(t.Context(), method, "http://millrace/v1/messages/4bXy0", nil)
		resp, err := c.http.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %s", method, resp.Status)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	nc, err := net.Dial("unix", serve(t, &fakeSource{}))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	// The server answers before it has read all and closes: an error of the write is expected, and http.Client would report it.
	_, _ = fmt.Fprintf(nc, "GET /v1/status HTTP/1.1\r\nHost: millrace\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 4*maxHeaderBytes))
	resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Error(resp.Status)
	}
}

// TestMessageWhileRecovering: a message that was not read yet is not said to be missing.
func TestMessageWhileRecovering(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{n: 3, read: &Progress{Read: 3, Segments: 14, Messages: 200}}))
	if err := firstError(c.MessagesNamed(t.Context(), "m/1")); err != nil {
		t.Errorf("a message that is there: %v", err)
	}
	err := firstError(c.MessagesNamed(t.Context(), "m/9"))
	if !errors.Is(err, ErrNotNow) || !strings.Contains(err.Error(), "recovering, 3 of 14 segments") {
		t.Errorf("a message that may still come: %v", err)
	}
}

func TestTooManyRequests(t *testing.T) {
	src := &fakeSource{hold: make(chan struct{})}
	path := serve(t, src)
	results := make(chan error, maxRequests+1)
	for range maxRequests + 1 { // the one too many is turned away while the others wait for src
		go func() {
			c := NewClient(path)
			defer c.Close()
			_, err := c.Status(context.Background())
			results <- err
		}()
	}
	if err := <-results; !errors.Is(err, ErrNotNow) || !strings.Contains(err.Error(), "too many requests") {
		t.Errorf("the first to end: %v, want ErrNotNow", err)
	}
	close(src.hold)
	for range maxRequests {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestReaderLeaves(t *testing.T) {
	src := &fakeSource{n: 1_000_000, ended: make(chan struct{})}
	c := dial(t, serve(t, src))
	for range c.Messages(t.Context(), Filter{}) {
		break
	}
	<-src.ended
	if n := src.walked.Load(); n == 1_000_000 {
		t.Error("the walk went on to the end although nobody reads")
	}
}

func TestReaderLeavesWhileNothingMatches(t *testing.T) {
	src := &endlessSource{entered: make(chan struct{})}
	path := serve(t, src)
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-src.entered; cancel() }() // ends when the walk has begun
	for _, err := range dial(t, path).Messages(ctx, Filter{Domain: "nowhere.example"}) {
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	// The Server's Stop in Cleanup proves that the walk has ended.
}

// endlessSource walks until it is told to stop.
type endlessSource struct {
	fakeSource
	entered chan struct{}
}

func (e *endlessSource) Messages(relay.ID) iter.Seq[relay.Listing] {
	return func(yield func(relay.Listing) bool) {
		close(e.entered)
		for yield(fakeListing(0)) {
		}
	}
}

func TestStopCutsOff(t *testing.T) {
	src := &endlessSource{entered: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := Listen(Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	s := New(src, &fakeActs{}, hclog.NewNullLogger())
	done := make(chan error, 1)
	go func() { done <- s.Run(ln) }() // ends by Stop
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/messages HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-src.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestBrokenReplies(t *testing.T) {
	for _, test := range []struct{ name, reply, want string }{
		{"cut in a line", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"id\":\"1\"}\n{\"id\"", "unexpected EOF"},
		{"cut between chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"id\":\"1\"\r\n", "unexpected EOF"},
		{"no JSON", "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello", "invalid character"},
		{"an error", "HTTP/1.1 500 Oops\r\nConnection: close\r\n\r\n  it broke\n", "500 Oops: it broke"},
		{"no HTTP", "220 smtp.example ESMTP\r\n", "malformed HTTP"},
		{"nothing", "", "EOF"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var err error
			for _, e := range dial(t, answer(t, test.reply)).Messages(t.Context(), Filter{}) {
				err = e
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
			if errors.Is(err, ErrUnreachable) {
				t.Error("something did answer")
			}
		})
	}
}

// answer listens on a socket and gives one connection that reply.
func answer(t *testing.T, reply string) string {
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { // ends when it has answered, or by Close
		defer close(done)
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = conn.Read(make([]byte, 4096)) // the request
		_, _ = io.WriteString(conn, reply)
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return path
}
