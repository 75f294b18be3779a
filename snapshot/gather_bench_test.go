package snapshot

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// BenchmarkGather has doors take messages on a real disk, in turn with commits that gather and with commits that do not. It reports
// the median ratio of the two rates, and how many syncs a message costs each.
func BenchmarkGather(b *testing.B) {
	for _, visits := range []bool{false, true} {
		for _, think := range []time.Duration{0, 20 * time.Millisecond} {
			for _, doors := range []int{1, 2, 10, 50} {
				b.Run(fmt.Sprintf("visits=%v/think=%s/doors=%d", visits, think, doors), func(b *testing.B) { benchGather(b, doors, think, visits) })
			}
		}
	}
}

func benchGather(b *testing.B, doors int, think time.Duration, visits bool) {
	a, err := Open(b.TempDir(), DefaultConfig(), nil)
	if err != nil {
		b.Fatal(err)
	}
	defer a.Close()
	if _, err := a.Recover(func(relay.Saved) error { return nil }); err != nil {
		b.Fatal(err)
	}
	bell := a.book.bell
	patient := bell.alarm
	var ratios []float64
	var rates, syncs [2]float64
	var lates [2][]time.Duration
	for b.Loop() {
		var rate [2]float64
		for i, al := range []alarm{hasty{}, patient} {
			if err := a.Flush(); err != nil {
				b.Fatal(err)
			}
			bell.alarm = al
			before := a.Status()
			took, waits := rush(b, a, doors, think, visits, 500*time.Millisecond)
			st := a.Status()
			n := float64(st.Takes - before.Takes)
			rate[i] = n / took.Seconds()
			rates[i] += rate[i]
			syncs[i] += float64(st.Syncs-before.Syncs) / n
			lates[i] = append(lates[i], waits...)
		}
		ratios = append(ratios, rate[1]/rate[0])
	}
	slices.Sort(ratios)
	n := float64(len(ratios))
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(ratios[len(ratios)/2], "rate/old")
	b.ReportMetric(rates[1]/n, "takes/s")
	b.ReportMetric(syncs[0]/n, "syncs-old")
	b.ReportMetric(syncs[1]/n, "syncs")
	for i, name := range []string{"-old", ""} {
		slices.Sort(lates[i])
		b.ReportMetric(float64(lates[i][len(lates[i])/2])/1e6, "p50ms"+name)
		b.ReportMetric(float64(lates[i][len(lates[i])*99/100])/1e6, "p99ms"+name)
	}
}

// rush has doors take messages for a while. Each thinks between its messages. The visit of a message follows its answer.
func rush(b *testing.B, a *Agent, doors int, think time.Duration, visits bool, lasts time.Duration) (took time.Duration, waits []time.Duration) {
	var wg, out sync.WaitGroup
	var mu sync.Mutex
	var id atomic.Int64
	begin := time.Now()
	for d := range doors {
		wg.Go(func() {
			time.Sleep(think * time.Duration(d) / time.Duration(doors))
			var mine []time.Duration
			for time.Since(begin) < lasts {
				m := message(a.NewID(), "a body that all have", "user@a.example")
				from := time.Now()
				if err := a.Take(m); err != nil {
					b.Error(err)
					return
				}
				mine = append(mine, time.Since(from))
				id.Add(1)
				out.Go(func() {
					if visits {
						if r := a.Begin(m.Node(0)); r != nil {
							<-r.Done()
						}
					}
					a.Event(&relay.Event{Kind: relay.EventSettled, Message: m, Rcpt: 0, Outcome: relay.Sent})
					a.Event(&relay.Event{Kind: relay.EventRemoved, Message: m, Rcpt: -1})
				})
				time.Sleep(think)
			}
			mu.Lock()
			waits = append(waits, mine...)
			mu.Unlock()
		})
	}
	wg.Wait()
	took = time.Since(begin)
	out.Wait()
	return took, waits
}
