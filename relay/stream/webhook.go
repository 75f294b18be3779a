package stream

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	enchex "encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	// firstPause and maxPause bound the time between two tries of a batch that was not taken.
	firstPause = time.Second
	maxPause   = time.Minute
	// maxRedirects is how many redirects a request may take.
	maxRedirects = 5
	// maxAnswer is how many bytes of an answer are read, so that the connection can be used again, and how long its header may be.
	maxAnswer = 64 << 10
	// lastTime is for what is left at a stop.
	lastTime = 2 * time.Second
)

// signatureField is the header field with the signature of a request: "sha256=" and the HMAC-SHA256 of the body in hexadecimal digits.
const signatureField = "X-Millrace-Signature"

// webhook is an [[events.webhook]]: it posts records as JSON arrays, and goes on to the next when they are taken. A receiver that
// does not answer costs nobody: records wait in the ring and in the file.
type webhook struct {
	cfg    WebhookConfig
	stream *Stream
	set    kindSet
	host   string
	http   *http.Client
	output

	reader reader // of run, then of conclude
	well   bool   // the last request was taken

	batch   batch
	pending [][]byte // records to be sent, in the format of the output
	after   uint64   // the position behind them
	memory  []byte
	pause   time.Duration
	most    int // records of a request; less than cfg.MaxBatch for a receiver to whom they were too many
}

func newWebhook(s *Stream, cfg WebhookConfig) (*webhook, error) {
	u, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("events.webhook: url: %w", bare(err))
	}
	set, err := newKindSet(cfg.Kinds)
	if err != nil {
		return nil, fmt.Errorf("events.webhook: kinds: %w", err)
	}
	w := &webhook{cfg: cfg, stream: s, set: set, host: u.Host, pause: firstPause, most: cfg.MaxBatch}
	dialer := guardedDialer{}
	if cfg.AllowPrivate {
		dialer.allowed = u.Hostname()
	}
	w.http = &http.Client{CheckRedirect: checkRedirect, Transport: &http.Transport{
		DialContext:  dialer.dialContext, // no proxy: it would be asked in place of the guard
		MaxIdleConns: 1, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second, ForceAttemptHTTP2: true,
		MaxResponseHeaderBytes: maxAnswer,
	}}
	_, w.reader.at.next = s.ring.reach()
	if at := s.kept[w.key()]; at > 0 && at < s.base { // it goes on where it was; a new one begins with what comes
		w.reader.at.next = at
	}
	w.reader.stream = s
	w.next.Store(w.reader.at.next)
	return w, nil
}

// key names the webhook in Positions. A URL may have a secret in it, so that it is not written down.
func (w *webhook) key() string {
	sum := sha256.Sum256([]byte(w.cfg.URL))
	return enchex.EncodeToString(sum[:8])
}

// checkRedirect lets a request be sent elsewhere as it is. A redirect that makes a GET of it would lose the records. The host that it is
// sent to is not told the URL of this one, which may have a secret in it.
func checkRedirect(req *http.Request, via []*http.Request) error {
	req.Header.Del("Referer")
	switch {
	case len(via) > maxRedirects:
		return fmt.Errorf("more than %d redirects", maxRedirects)
	case req.Method != http.MethodPost:
		return errors.New("the redirect is not 307 or 308, and would lose the records")
	case via[0].URL.Scheme == "https" && req.URL.Scheme != "https":
		return errors.New("the redirect leads from https to http")
	}
	return nil
}

// run posts until ctx is done.
func (w *webhook) run(ctx context.Context) {
	defer w.http.CloseIdleConnections()
	for ctx.Err() == nil {
		if !w.gather(ctx, w.cfg.MaxWait) {
			continue
		}
		if !w.deliver(ctx) {
			wait(ctx, w.pause)
			w.pause = min(2*w.pause, maxPause)
		}
	}
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// gather collects records until there are enough for a request, or the first one has waited for so long. It reports false when
// there are none, or ctx is done.
func (w *webhook) gather(ctx context.Context, most time.Duration) bool {
	var due time.Time
	for len(w.pending) < w.most {
		w.take()
		now := w.stream.deps.now()
		switch {
		case len(w.pending) == 0:
			due = time.Time{}
			w.next.Store(w.after)
			if !w.stream.wait(ctx, &w.reader.at, countTime) {
				return false
			}
			continue
		case due.IsZero():
			due = now.Add(most)
		}
		if len(w.pending) >= w.most || !now.Before(due) {
			break
		}
		if !w.stream.wait(ctx, &w.reader.at, due.Sub(now)) {
			return false
		}
	}
	return ctx.Err() == nil
}

// take takes records from the stream. It reads a batch of the ring at a time: what is more than one request holds waits here.
func (w *webhook) take() {
	missed := w.reader.missed
	w.reader.fill(&w.batch)
	w.missed.Add(w.reader.missed - missed)
	w.memory = appendBatch(w.memory[:0], &w.batch, w.set, w.cfg.Format, w.stream.deps.Hostname)
	for text := range bytes.Lines(w.memory) {
		w.pending = append(w.pending, bytes.Clone(text[:len(text)-1]))
	}
	w.after = w.reader.at.next
}

// deliver posts as many of the pending records as a request may hold, and reports whether they were taken.
func (w *webhook) deliver(ctx context.Context) bool {
	n := min(len(w.pending), w.most)
	status, err := w.post(ctx, w.pending[:n])
	if err != nil {
		w.fail(ctx, status, err)
		return false
	}
	w.written.Add(uint64(n))
	w.pending = slices.Delete(w.pending, 0, n)
	if len(w.pending) == 0 {
		w.next.Store(w.after)
	} else if position, _, ok := parse(append(w.pending[0], '\n')); ok {
		w.next.Store(position)
	}
	w.pause, w.well, w.most = firstPause, true, min(w.most*2, w.cfg.MaxBatch)
	if w.worked() {
		w.stream.log.Info("events: the webhook answers again", "host", w.host)
	}
	return true
}

// fail notes that a batch was not taken.
func (w *webhook) fail(ctx context.Context, status int, err error) {
	if ctx.Err() != nil {
		return
	}
	w.well = false
	if status == http.StatusRequestEntityTooLarge && w.most > 1 {
		w.most /= 2
	}
	if w.failed(err) {
		w.stream.log.Warn("events: the webhook does not take them; they wait", "host", w.host, "error", err)
	}
}

// post sends one request. status is 0 when there was no answer.
func (w *webhook) post(ctx context.Context, records [][]byte) (status int, err error) {
	body := append([]byte{'['}, bytes.Join(records, []byte(",\n"))...)
	body = append(body, ']')
	soon, cancel := context.WithTimeout(ctx, w.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(soon, http.MethodPost, w.cfg.URL, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Millrace")
	if w.cfg.Secret != "" {
		req.Header.Set(signatureField, sign(w.cfg.Secret, body))
	}
	resp, err := w.http.Do(req)
	if err != nil {
		return 0, bare(err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // only for the next request's sake
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.StatusCode, fmt.Errorf("the answer is %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return resp.StatusCode, nil
}

// bare is the reason in an error of net/http, without the URL: that may have a secret in it. What it quotes of an answer is cut short.
func bare(err error) error {
	if e := (*url.Error)(nil); errors.As(err, &e) {
		err = e.Err
	}
	if text := err.Error(); len(text) > maxText {
		return errors.New(clip(text, maxText))
	}
	return err
}

// sign is the value of signatureField.
func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + enchex.EncodeToString(mac.Sum(nil))
}

// conclude posts what is left at a stop, to a receiver that answered before. What is not taken waits for the next start.
func (w *webhook) conclude() {
	defer w.http.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(context.Background(), lastTime)
	defer cancel()
	for w.well && ctx.Err() == nil {
		if len(w.pending) < w.most {
			w.take()
		}
		if len(w.pending) == 0 || !w.deliver(ctx) {
			return
		}
	}
}
