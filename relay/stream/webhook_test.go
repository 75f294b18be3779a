package stream

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// listener is a receiver of a webhook. It takes what it is sent unless answer says otherwise.
type listener struct {
	*httptest.Server
	answer atomic.Int32 // an HTTP status; 0: 200

	mu        sync.Mutex
	positions []uint64
	types     []string
	bodies    [][]byte
	signed    []string
}

func newListener(t *testing.T) *listener {
	l := &listener{}
	l.Server = httptest.NewServer(http.HandlerFunc(l.serve))
	t.Cleanup(l.Server.Close)
	return l
}

func (l *listener) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var records []struct {
		Position uint64 `json:"position"`
		Type     string `json:"type"`
	}
	if err := json.Unmarshal(body, &records); err != nil || r.Method != http.MethodPost {
		http.Error(w, fmt.Sprint(r.Method, err), http.StatusBadRequest)
		return
	}
	if a := l.answer.Load(); a == http.StatusRequestEntityTooLarge && len(records) <= 10 {
	} else if a != 0 {
		w.WriteHeader(int(a))
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		l.positions, l.types = append(l.positions, r.Position), append(l.types, r.Type)
	}
	l.bodies, l.signed = append(l.bodies, body), append(l.signed, r.Header.Get(signatureField))
}

func (l *listener) got() []uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.positions)
}

// hook is the table of a webhook to a URL.
func hook(url string) WebhookConfig {
	c := WebhookConfig{URL: url}
	c.SetDefaults()
	c.MaxWait, c.Timeout, c.AllowPrivate = 0, time.Second, true
	return c
}

// push delivers all that the stream has to its webhook, and reports whether it was taken.
func push(t *testing.T, w *webhook) bool {
	t.Helper()
	for {
		if len(w.pending) == 0 {
			w.take()
		}
		if len(w.pending) == 0 {
			_, next := w.stream.ring.reach()
			if w.reader.at.next >= next {
				return true
			}
			continue
		}
		if !w.deliver(t.Context()) {
			return false
		}
	}
}

// TestDeadWebhook: what comes while nobody answers is delivered afterwards: out of memory, and out of the file when memory has it
// no more. A start goes on where the last one was.
func TestDeadWebhook(t *testing.T) {
	l := newListener(t)
	l.answer.Store(http.StatusServiceUnavailable)
	file := fileIn(t.TempDir())
	file.MaxSize = minSize
	cfg := Config{File: []FileConfig{file}, Webhook: []WebhookConfig{hook(l.URL)}}
	s := begin(t, cfg, Deps{})
	m := letter(31, "ann@r.example")
	const total = 20_000 // several times what memory has room for
	for i := range total {
		s.Event(sent(m))
		if i%100 == 0 {
			s.files[0].drain(true)
		}
		if i == 500 && push(t, s.webhooks[0]) {
			t.Fatal("a 503 took the records")
		}
	}
	s.files[0].tidy(t.Context())
	kept, base := s.Positions(), s.base
	s.Close()
	l.answer.Store(0)
	s = begin(t, cfg, Deps{Kept: kept})
	for range 10 {
		s.Event(sent(m))
	}
	if !push(t, s.webhooks[0]) {
		t.Fatal(s.Status())
	}
	got := l.got()
	for i, p := range got[:total] {
		if p != base+uint64(i) {
			t.Fatalf("record %d is at %d, want %d", i, p, base+uint64(i))
		}
	}
	if len(got) != total+10 || slices.Contains(l.types, "gap") || got[total] != s.base {
		t.Errorf("%d records, want %d", len(got), total+10)
	}
	if st := s.Status().Outputs[1]; st.Behind != 0 || st.Error != "" {
		t.Errorf("%+v", st)
	}
}

// TestDeadWebhookWithoutFile: within the bound nothing is lost, and beyond it the receiver is told how much.
func TestDeadWebhookWithoutFile(t *testing.T) {
	for name, n := range map[string]int{"within": 1000, "beyond": 20_000} {
		l := newListener(t)
		l.answer.Store(http.StatusBadGateway)
		s := begin(t, Config{Webhook: []WebhookConfig{hook(l.URL)}}, Deps{})
		m := letter(31, "ann@r.example")
		for range n {
			s.Event(sent(m))
		}
		l.answer.Store(0)
		if !push(t, s.webhooks[0]) {
			t.Fatal(s.Status())
		}
		missed := int(s.Status().Outputs[0].Missed)
		gaps := strings.Count(strings.Join(l.types, " "), "gap")
		if len(l.types)-gaps+missed != n || (gaps == 1) != (missed > 0) || (missed > 0) != (name == "beyond") {
			t.Errorf("%s: %d records, %d gaps, %d missed of %d", name, len(l.types)-gaps, gaps, missed, n)
		}
	}
}

// TestOneURL: of two webhooks that share a URL, the next start has the place of the one that is behind.
func TestOneURL(t *testing.T) {
	for behind := range 2 {
		s := begin(t, Config{Webhook: []WebhookConfig{hook("http://127.0.0.1:1/"), hook("http://127.0.0.1:1/")}}, Deps{})
		s.Event(sent(letter(31, "ann@r.example")))
		s.webhooks[1-behind].next.Add(1)
		next := begin(t, Config{Webhook: []WebhookConfig{hook("http://127.0.0.1:1/")}}, Deps{Kept: s.Positions(), now: func() time.Time { return time.Now().Add(time.Hour) }})
		if at := next.webhooks[0].reader.at.next; at != s.base {
			t.Errorf("it goes on at %d, want %d", at, s.base)
		}
	}
}

// TestTooLarge: a receiver that finds requests too large gets smaller ones.
func TestTooLarge(t *testing.T) {
	l := newListener(t)
	l.answer.Store(http.StatusRequestEntityTooLarge)
	s := begin(t, Config{Webhook: []WebhookConfig{hook(l.URL)}}, Deps{})
	for range 100 {
		s.Event(sent(letter(31, "ann@r.example")))
	}
	for range 100 {
		if push(t, s.webhooks[0]) {
			break
		}
	}
	if len(l.got()) != 100 {
		t.Errorf("%d records", len(l.got()))
	}
}

// TestSignature: the receiver can tell who sent the body.
func TestSignature(t *testing.T) {
	l := newListener(t)
	c := hook(l.URL)
	c.Secret = "shared"
	s := begin(t, Config{Webhook: []WebhookConfig{c}}, Deps{})
	s.Event(sent(letter(31, "ann@r.example")))
	push(t, s.webhooks[0])
	if len(l.bodies) != 1 || l.signed[0] != sign("shared", l.bodies[0]) || l.signed[0] == sign("other", l.bodies[0]) {
		t.Errorf("%q", l.signed)
	}
	if got := sign("key", []byte("The quick brown fox jumps over the lazy dog")); got != "sha256=f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8" {
		t.Errorf("%s", got) // a known value of HMAC-SHA256
	}
}

// TestPrivateAddress: no address but a public one is asked, whoever names it: the configuration, DNS, or a redirect.
func TestPrivateAddress(t *testing.T) {
	inner := newListener(t)
	elsewhere := strings.Replace(inner.URL, "127.0.0.1", "localhost", 1)
	status := http.StatusTemporaryRedirect
	outer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) }))
	defer outer.Close()
	for _, x := range []struct {
		name, url string
		allow     bool
		status    int
		want      string // of the error
	}{
		{"an address of this host", inner.URL, false, 0, "no public address"},
		{"a name of this host", elsewhere, false, 0, "no public address"},
		{"allowed", inner.URL, true, 0, ""},
		{"a redirect to another private host", outer.URL, true, http.StatusTemporaryRedirect, "no public address"},
		{"a redirect to another private host, for ever", outer.URL, true, http.StatusPermanentRedirect, "no public address"},
		{"a redirect that loses the records", outer.URL, true, http.StatusFound, "would lose the records"},
	} {
		status = x.status
		c := hook(x.url)
		c.AllowPrivate = x.allow
		s := begin(t, Config{Webhook: []WebhookConfig{c}}, Deps{})
		s.Event(sent(letter(31, "ann@r.example")))
		before := len(inner.got())
		push(t, s.webhooks[0])
		st := s.Status().Outputs[0]
		if (x.want == "") != (st.Error == "") || !strings.Contains(st.Error, x.want) || (len(inner.got()) > before) != (x.want == "") {
			t.Errorf("%s: %+v", x.name, st)
		}
	}
}

// TestPublic: the networks that are none of the Internet's.
func TestPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"8.8.8.8": true, "2606:4700::1111": true, "::ffff:8.8.8.8": true, "1.1.1.1": true,
		"127.0.0.1": false, "127.9.9.9": false, "10.0.0.1": false, "172.16.0.1": false, "192.168.1.1": false, "169.254.169.254": false,
		"100.64.0.1": false, "0.0.0.0": false, "0.1.2.3": false, "224.0.0.1": false, "255.255.255.255": false, "240.0.0.1": false, "198.18.0.1": false,
		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd12::1": false, "ff02::1": false, "::ffff:10.0.0.1": false,
		"::ffff:127.0.0.1": false, "64:ff9b::a00:1": false, "2002:a00:1::1": false, "::7f00:1": false,
	} {
		if got := isPublic(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: %t", text, got)
		}
	}
}

// TestWebhookRuns: Run gathers records for a request, and Conclude sends the rest at a stop.
func TestWebhookRuns(t *testing.T) {
	l := newListener(t)
	c := hook(l.URL)
	c.MaxWait, c.Kinds = 10*time.Millisecond, []string{"delivery"}
	s := begin(t, Config{Webhook: []WebhookConfig{c}}, Deps{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { s.Run(ctx); close(done) }()
	m := letter(31, "ann@r.example")
	s.Event(taken(m))
	s.Event(sent(m))
	for s.Status().Outputs[0].Written == 0 {
		time.Sleep(time.Millisecond) // a real server answers
	}
	cancel()
	<-done
	s.Event(sent(m))
	s.Conclude()
	if got := strings.Join(l.types, " "); got != "delivery delivery" {
		t.Errorf("%s", got)
	}
}

// dead is a receiver that nobody reaches; it notes when it was tried.
type dead struct {
	mu    sync.Mutex
	tried []time.Time
}

func (d *dead) RoundTrip(*http.Request) (*http.Response, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried = append(d.tried, time.Now())
	return nil, errors.New("no route to host")
}

// TestPauses: a receiver that is dead is tried again after a second, and then less and less often, down to once a minute.
func TestPauses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := begin(t, Config{Webhook: []WebhookConfig{hook("http://127.0.0.1:1/")}}, Deps{})
		d := &dead{}
		s.webhooks[0].http = &http.Client{Transport: d}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); close(done) }()
		s.Event(sent(letter(31, "ann@r.example")))
		time.Sleep(4*time.Minute + 10*time.Second)
		cancel()
		<-done
		var pauses []string
		for i, at := range d.tried[1:] {
			pauses = append(pauses, at.Sub(d.tried[i]).String())
		}
		if got := strings.Join(pauses, " "); got != "1s 2s 4s 8s 16s 32s 1m0s 1m0s 1m0s" {
			t.Errorf("%s", got)
		}
	})
}

// TestBareError: what is logged of a failure has no URL, which may have a secret in it.
func TestBareError(t *testing.T) {
	if err := bare(&url.Error{Op: "Post", URL: "http://x/?token=secret", Err: io.EOF}); err != io.EOF {
		t.Error(err)
	}
	for _, u := range []string{"hooks.example.org/?token=secret", "https://x:secret/", "https:///secret", "ftp://x:secret@y"} {
		c := hook(u)
		if err := c.validate(); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", u, err)
		}
	}
	if _, err := New(Config{Buffer: minBuffer, Webhook: []WebhookConfig{hook("http://x/%zz?secret")}}, Deps{}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

// TestSecretStays: a host that a redirect leads to is not told the URL that it came from.
func TestSecretStays(t *testing.T) {
	got := make(chan http.Header, 1)
	inner := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	defer inner.Close()
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	defer outer.Close()
	s := begin(t, Config{Webhook: []WebhookConfig{hook(outer.URL + "/secret?token=secret")}}, Deps{})
	s.Event(sent(letter(31, "ann@r.example")))
	if !push(t, s.webhooks[0]) {
		t.Fatal(s.Status())
	}
	for name, values := range <-got {
		if strings.Contains(strings.Join(values, " "), "secret") {
			t.Errorf("%s: %q", name, values)
		}
	}
}

// TestLongAnswer: whatever a receiver says, little of it is read and less is kept or logged.
func TestLongAnswer(t *testing.T) {
	long := strings.Repeat("long ", 1<<20)
	for name, answer := range map[string]string{
		"status":   "HTTP/1.1 500 " + long[:10_000] + "\x1b[2J\r\n\r\n",
		"header":   "HTTP/1.1 200 OK\r\nX: " + long + "\r\n\r\n",
		"no HTTP":  long[:50_000] + "\r\n\r\n",
		"location": "HTTP/1.1 307 Moved\r\nLocation: http://%zz" + long[:50_000] + "\r\n\r\n",
	} {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan struct{})
		go func() { // ends with the listener
			defer close(done)
			for {
				c, err := ln.Accept()
				if err != nil {
					return
				}
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = io.WriteString(c, answer)
				c.Close()
			}
		}()
		s := begin(t, Config{Webhook: []WebhookConfig{hook("http://" + ln.Addr().String())}}, Deps{})
		s.Event(sent(letter(31, "ann@r.example")))
		if push(t, s.webhooks[0]) {
			t.Errorf("%s: it is taken", name)
		}
		if text := s.Status().Outputs[0].Error; len(text) > maxText || strings.Contains(text, "\x1b") {
			t.Errorf("%s: an error of %d bytes: %.100q", name, len(text), text)
		}
		ln.Close()
		<-done
	}
}
