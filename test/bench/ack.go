package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// ackResult is the comparison of the promises.
type ackResult struct {
	Rounds   int                  `json:"rounds"`
	Messages int                  `json:"messages"`
	Conns    int                  `json:"conns"`
	Rates    map[string][]float64 `json:"messages_per_second"` // messages taken at the milter door, by ack and round
	Journal  float64              `json:"journal_to_memory"`   // median of the rounds' ratios
	Written  float64              `json:"written_to_memory"`
}

// ackBench has a daemon take a campaign of one body at its milter door, under each promise in turn. Delivery goes on
// meanwhile.
type ackBench struct {
	messages, size, conns, rounds int
	bin, dir                      string
}

func (b *ackBench) run() (*ackResult, error) {
	r := &ackResult{Rounds: b.rounds, Messages: b.messages, Conns: b.conns, Rates: make(map[string][]float64)}
	var journal, written []float64
	acks := []string{"journal", "written", "memory"}
	for i := range b.rounds {
		rates := make(map[string]float64, len(acks))
		for _, ack := range acks {
			rate, err := b.round(fmt.Sprintf("%s%d", ack, i), ack)
			if err != nil {
				return nil, err
			}
			rates[ack] = rate
			r.Rates[ack] = append(r.Rates[ack], rate)
		}
		slices.Reverse(acks)
		journal = append(journal, rates["journal"]/rates["memory"])
		written = append(written, rates["written"]/rates["memory"])
		fmt.Fprintf(os.Stderr, "round %d: journal %.0f/s, written %.0f/s, memory %.0f/s\n", i+1, rates["journal"], rates["written"], rates["memory"])
	}
	r.Journal, r.Written = median(journal), median(written)
	return r, nil
}

func median(list []float64) float64 {
	slices.Sort(list)
	return list[len(list)/2]
}

// round is one campaign with a fresh daemon.
func (b *ackBench) round(name, ack string) (rate float64, err error) {
	d, err := newDoor(b.bin, filepath.Join(b.dir, name), fmt.Sprintf("ack = %q\n", ack))
	if err != nil {
		return 0, err
	}
	defer d.far.Close()
	if err := d.Start(); err != nil {
		return 0, err
	}
	rate, err = b.feed(d.Milter)
	return rate, errors.Join(err, d.Stop(time.Minute))
}

// feed offers the messages over all connections and returns the messages taken per second.
func (b *ackBench) feed(addr string) (float64, error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	failed := make([]error, b.conns)
	begin := time.Now()
	for w := range b.conns {
		wg.Go(func() { failed[w] = b.client(addr, &next) }) // ends when no message is left
	}
	wg.Wait()
	return float64(b.messages) / time.Since(begin).Seconds(), errors.Join(failed...)
}

func (b *ackBench) client(addr string, next *atomic.Int64) error {
	c, err := standin.Dial("tcp", addr, standin.Options{})
	if err != nil {
		return err
	}
	defer c.Close()
	body := bodyOf("All the news that fits on a line of seventy characters, and no more.\r\n", b.size)
	for i := next.Add(1); i <= int64(b.messages); i = next.Add(1) {
		v, err := c.Send(campaignMessage(i, body))
		if err != nil {
			return err
		}
		if !v.Taken() {
			return fmt.Errorf("message %d was not taken: %+v", i, v)
		}
	}
	return nil
}
