package load

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// progressStep is the number of messages between two calls of Config.Progress.
const progressStep = 256

// Run sends the whole campaign and returns the record of every message. An error says why Run has ended early: ctx is
// done, or the server cannot be reached. The Report is valid in any case.
func Run(ctx context.Context, c Config) (Report, error) {
	c = c.withDefaults()
	if err := c.validate(); err != nil {
		return Report{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &run{config: c, campaign: newCampaign(c), records: make([]Record, c.Messages), stop: cancel}
	r.begin, r.desks = time.Now(), make(chan *worker, c.Conns)
	for range c.Conns {
		r.desks <- &worker{run: r}
	}
	for range min(c.Workers, c.Messages) {
		r.wg.Go(func() { r.work(ctx) }) // ends when no message is left or ctx is done; joined below
	}
	r.wg.Wait()
	for range c.Conns {
		(<-r.desks).hangUp()
	}
	err := context.Cause(ctx)
	return Report{Records: r.records, Bytes: r.bytes.Load(), Elapsed: time.Since(r.begin)}, err
}

// run is one run of a campaign. Each message belongs to the worker that has drawn its number.
type run struct {
	config   Config
	campaign *campaign
	records  []Record
	next     atomic.Int64
	done     atomic.Int64
	bytes    atomic.Int64
	begin    time.Time
	desks    chan *worker // the connections that nobody uses, the one that was used last at the end
	stop     context.CancelCauseFunc
	wg       sync.WaitGroup

	mu sync.Mutex // held during calls of config.Progress
}

// work sends one message after another.
func (r *run) work(ctx context.Context) {
	for ctx.Err() == nil {
		n := int(r.next.Add(1)) - 1
		if n >= len(r.records) || !sleep(ctx, time.Until(r.due(n))) {
			return
		}
		rec := r.campaign.record(n)
		if rec.Due = r.due(n); r.config.Rate == 0 {
			rec.Due = time.Now()
		}
		w := r.desk(ctx)
		if w == nil {
			if ctx.Err() != nil {
				return
			}
			rec.Reply = errNoConn.Error()
			r.records[n] = rec
			r.finished()
			continue
		}
		err := w.send(ctx, n, &rec)
		r.records[n] = rec
		r.desks <- w
		if err != nil {
			r.stop(err)
			return
		}
		r.finished()
	}
}

// due is when message n is begun.
func (r *run) due(n int) time.Time {
	if r.config.Rate == 0 {
		return r.begin
	}
	return r.begin.Add(time.Duration(float64(n) / r.config.Rate * float64(time.Second)))
}

// errNoConn is what becomes of a message whose worker has waited too long for a connection.
var errNoConn = errors.New("timed out waiting for a free connection")

// desk waits for a connection; nil: in vain.
func (r *run) desk(ctx context.Context) *worker {
	var over <-chan time.Time
	if r.config.PoolWait > 0 {
		t := time.NewTimer(r.config.PoolWait)
		defer t.Stop()
		over = t.C
	}
	select {
	case w := <-r.desks:
		return w
	case <-over:
	case <-ctx.Done():
	}
	return nil
}

func (r *run) finished() {
	done := r.done.Add(1)
	if r.config.Progress != nil && (done%progressStep == 0 || done == int64(len(r.records))) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.config.Progress(int(done))
	}
}

// worker owns one connection and the buffers of the message it is sending.
type worker struct {
	run     *run
	conn    *client // nil when there is none
	sent    int     // messages on conn
	message []byte
	wire    []byte
}

// send makes message n of record rec and sends it, in as many attempts as are allowed. A refusal is no error; an error ends the run.
func (w *worker) send(ctx context.Context, n int, rec *Record) error {
	w.message = w.run.campaign.message(w.message[:0], n)
	w.wire = stuff(w.wire[:0], w.message)
	rec.Core = sha256.Sum256(w.message)
	for attempt := 1; ; attempt++ {
		if err := w.connect(ctx); err != nil {
			return err
		}
		begin := time.Now()
		again := w.attempt(rec)
		rec.Longest = max(rec.Longest, time.Since(begin))
		if rec.Acked {
			w.run.bytes.Add(int64(len(w.message)))
		}
		if !again || attempt >= w.run.config.Attempts {
			return nil
		}
		rec.Again++
		if !sleep(ctx, w.run.config.Pause) {
			return context.Cause(ctx)
		}
	}
}

// attempt makes one transaction, records its outcome, and reports whether another attempt makes sense.
func (w *worker) attempt(rec *Record) (again bool) {
	w.sent++
	accepted, err := w.conn.transaction(rec.From, rec.Rcpts, w.wire)
	var refusal *refusal
	switch {
	case err == nil:
		rec.Acked, rec.Rcpts, rec.Reply = true, accepted, ""
	case errors.As(err, &refusal):
		rec.Reply = err.Error()
		again = refusal.code < 500
		if refusal.code == 421 || w.conn.reset() != nil {
			w.drop()
		}
	default:
		if errors.Is(err, errUnanswered) {
			rec.Unsure++
		}
		rec.Reply = err.Error()
		w.drop()
		again = true
	}
	if w.run.config.PerConn > 0 && w.sent >= w.run.config.PerConn {
		w.hangUp()
	}
	return again
}

// connect makes a connection if there is none. It gives up when connecting has failed for config.Patience.
func (w *worker) connect(ctx context.Context) error {
	if w.conn != nil {
		return nil
	}
	limit := time.Now().Add(w.run.config.Patience)
	for {
		conn, err := dial(ctx, &w.run.config)
		if err == nil {
			w.conn, w.sent = conn, 0
			return nil
		}
		if time.Now().After(limit) {
			return err
		}
		if !sleep(ctx, w.run.config.Pause) {
			return context.Cause(ctx)
		}
	}
}

// hangUp ends the connection with QUIT, if there is one.
func (w *worker) hangUp() {
	if w.conn != nil {
		w.conn.quit()
		w.conn = nil
	}
}

// drop closes a connection whose dialogue is out of step.
func (w *worker) drop() {
	_ = w.conn.Close()
	w.conn = nil
}

// sleep waits for d. It reports false when ctx is done before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
