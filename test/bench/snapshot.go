package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot"
	"github.com/millrace/millrace/test/standin"
)

// snapshotResult is what the recovery and the snapshots of a full queue map cost at the door.
type snapshotResult struct {
	Messages   int       `json:"messages"`         // waiting, each of them deferred
	Recovery   float64   `json:"recovery_seconds"` // from the start of the daemon until it takes mail
	Recovering quantiles `json:"door_recovering"`  // messages left with the MTA in that time

	Snapshots int       `json:"snapshots"`
	Seconds   []float64 `json:"snapshot_seconds"`
	Bytes     int64     `json:"snapshot_bytes"`
	During    quantiles `json:"door_during"`
	Without   quantiles `json:"door_without"`
	Ratio     float64   `json:"p99_ratio"`
}

// quantiles are quantiles of the time from the first packet of a message at the door to the answer.
type quantiles struct {
	Messages int     `json:"messages"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
}

// snapshotBench fills a state directory, starts the daemon on it, and offers mail at a steady rate while the daemon
// takes snapshots.
type snapshotBench struct {
	messages, size, conns int
	bin, dir              string
	lasts                 time.Duration // how long mail is offered
}

const (
	snapshotEvery = 10 * time.Second
	offerEvery    = 50 * time.Millisecond // on each connection
	// planTime is how long before the appearance of its file a snapshot may have begun.
	planTime = 100 * time.Millisecond
)

func (b *snapshotBench) run() (*snapshotResult, error) {
	config := fmt.Sprintf("snapshot.interval = %q\nqueue.max_messages = 10000000\nlog.level = \"warn\"\n", snapshotEvery)
	d, err := newDoor(b.bin, filepath.Join(b.dir, "door"), config)
	if err != nil {
		return nil, err
	}
	defer d.far.Close()
	if err := waiting(d.StateDir(), b.messages, 1000, b.size, time.Now().Add(24*time.Hour)); err != nil {
		return nil, err
	}
	began := time.Now()
	if err := d.Start(); err != nil {
		return nil, err
	}
	left, err := b.ready(d)
	if err != nil {
		return nil, errors.Join(err, d.Stop(time.Minute))
	}
	recovered := time.Since(began)
	r, err := b.measure(d.Milter, filepath.Join(d.StateDir(), "snapshot"))
	if err == nil {
		r.Recovery, r.Recovering = recovered.Seconds(), quantilesOf(left)
	}
	return r, errors.Join(err, d.Stop(time.Minute))
}

// waiting fills a state directory with n messages of one campaign. With a due time all of them are deferred until then; without one
// nobody has tried to send them yet.
func waiting(state string, n, domains, size int, due time.Time) error {
	m, agent, err := filled(state, n, domains, size, func(agent *snapshot.Agent, msg *relay.Message) {
		if !due.IsZero() {
			agent.Event(deferred(msg, due))
		}
	})
	if err != nil {
		return err
	}
	m.Close()
	return agent.Close()
}

// deferred is the event of a message whose one node has been greylisted until due.
func deferred(msg *relay.Message, due time.Time) *relay.Event {
	n := msg.Node(0)
	n.Resume(relay.SavedNode{Rcpts: n.Rcpts(), Visits: 3, Due: due, Reason: "451 4.7.1 Greylisting in action, please come back later"})
	return &relay.Event{Kind: relay.EventDeferred, Message: msg, Node: n, Rcpt: -1}
}

// ready offers mail to the starting daemon until the daemon takes a message: it takes none before it has recovered.
// ready returns the times of the messages that were left with the MTA.
func (b *snapshotBench) ready(d *door) (left []time.Duration, err error) {
	c, err := standin.Dial("tcp", d.Milter, standin.Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for end := time.Now().Add(5 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		begin := time.Now()
		v, err := c.Send(campaignMessage(0, []byte("Are you there?\r\n")))
		if err != nil {
			return left, err
		}
		if !v.Taken() {
			left = append(left, time.Since(begin))
			continue
		}
		st, err := d.Status()
		if err == nil && st.Restored != int64(b.messages) {
			err = fmt.Errorf("%d of %d messages came back", st.Restored, b.messages)
		}
		return left, err
	}
	return left, errors.New("the daemon takes no mail")
}

// span is the time of one snapshot, or of one message at the door.
type span struct{ begin, end time.Time }

func (s span) took() time.Duration { return s.end.Sub(s.begin) }

// measure offers mail and watches for snapshots at the same time.
func (b *snapshotBench) measure(addr, dir string) (*snapshotResult, error) {
	ctx, cancel := context.WithTimeout(context.Background(), b.lasts)
	defer cancel()
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		spans  = make([][]span, b.conns)
		failed = make([]error, b.conns)
	)
	for i := range b.conns {
		wg.Go(func() { spans[i], failed[i] = b.client(ctx, addr, i, &next) }) // ends with ctx
	}
	r := &snapshotResult{Messages: b.messages}
	snaps, bytes := watch(ctx, dir)
	wg.Wait()
	r.Bytes = bytes
	for _, s := range snaps {
		r.Snapshots++
		r.Seconds = append(r.Seconds, s.took().Seconds())
	}
	during, without := split(slices.Concat(spans...), snaps)
	r.During, r.Without = quantilesOf(during), quantilesOf(without)
	if len(during) == 0 || len(without) == 0 {
		failed = append(failed, fmt.Errorf("%d messages during snapshots, %d without: nothing to compare", len(during), len(without)))
	} else {
		r.Ratio = r.During.P99 / r.Without.P99
	}
	return r, errors.Join(failed...)
}

// client offers a message every offerEvery until ctx is done.
func (b *snapshotBench) client(ctx context.Context, addr string, i int, next *atomic.Int64) ([]span, error) {
	c, err := standin.Dial("tcp", addr, standin.Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	time.Sleep(offerEvery * time.Duration(i) / time.Duration(b.conns)) // the connections take turns within offerEvery
	tick := time.NewTicker(offerEvery)
	defer tick.Stop()
	body := bodyOf("Other news, on lines of their own.\r\n", b.size)
	var spans []span
	for {
		select {
		case <-ctx.Done():
			return spans, nil
		case <-tick.C:
		}
		m := campaignMessage(next.Add(1), body)
		begin := time.Now()
		v, err := c.Send(m)
		if err == nil && !v.Taken() {
			err = fmt.Errorf("%s was not taken: %+v", m.QueueID, v)
		}
		if err != nil {
			return spans, err
		}
		spans = append(spans, span{begin, time.Now()})
	}
}

// watch records the snapshots, each from the appearance of its temporary file to that of its final name, and the size
// of the last one.
func watch(ctx context.Context, dir string) (snaps []span, bytes int64) {
	var begin time.Time
	for ; ctx.Err() == nil; time.Sleep(5 * time.Millisecond) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // the directory comes with the first snapshot
		}
		making := slices.ContainsFunc(entries, func(e os.DirEntry) bool { return strings.HasSuffix(e.Name(), ".tmp") })
		switch {
		case making && begin.IsZero():
			begin = time.Now().Add(-planTime)
		case !making && !begin.IsZero():
			snaps, begin = append(snaps, span{begin, time.Now()}), time.Time{}
			if st, err := os.Stat(filepath.Join(dir, entries[len(entries)-1].Name())); err == nil {
				bytes = st.Size()
			}
		}
	}
	return snaps, bytes
}

// split divides the messages into those at the door during a snapshot and the others, and returns their times.
func split(all, snaps []span) (during, without []time.Duration) {
	for _, m := range all {
		if slices.ContainsFunc(snaps, func(s span) bool { return m.begin.Before(s.end) && s.begin.Before(m.end) }) {
			during = append(during, m.took())
		} else {
			without = append(without, m.took())
		}
	}
	return during, without
}

func quantilesOf(times []time.Duration) quantiles {
	q := quantiles{Messages: len(times)}
	if len(times) == 0 {
		return q
	}
	slices.Sort(times)
	at := func(i int) float64 { return float64(times[i]) / float64(time.Millisecond) }
	q.P50, q.P99, q.Max = at(len(times)/2), at(len(times)*99/100), at(len(times)-1)
	return q
}
