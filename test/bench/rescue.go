package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/rescue"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/scenario"
)

// rescueBench has a Postfix with a backlog rescued. A fifth of the receivers are dead, and a fifth are slow.
type rescueBench struct {
	bin, dir        string
	messages, sites int
}

// What no rescue may carry.
const rescueLocal, rescueLarge = 20, 10

func (b *rescueBench) run(write func(figure) error) (err error) {
	s, err := scenario.NewStuck(filepath.Join(b.dir, "stuck"), b.bin, b.sites, b.sites/5, b.sites/5)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	begun := time.Now()
	if err := s.Fill(ctx, b.messages, rescueLocal, rescueLarge); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%d messages for %d receivers are deferred after %s\n", b.messages, b.sites, time.Since(begun).Round(time.Second))
	was, err := s.Settings()
	if err != nil {
		return err
	}
	if err := s.Thaw(); err != nil {
		return err
	}
	begun = time.Now()
	cmd := s.Command("--json", "--wait", "15m")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("rescue: %w: %s", err, out[max(0, len(out)-1000):])
	}
	took := time.Since(begun)
	var said struct{ Report rescue.Report }
	for dec := json.NewDecoder(bytes.NewReader(out)); dec.More(); {
		if err := dec.Decode(&said); err != nil {
			return err
		}
	}
	list, err := b.figures(ctx, s, &said.Report, took)
	now, err2 := s.Settings()
	list = append(list, atMost(6, "bytes of main.cf and master.cf that are not put back", different(was, now), 0, ""))
	for _, f := range list {
		err = errors.Join(err, write(f))
	}
	return errors.Join(err, err2)
}

// different is how many bytes of two texts differ.
func different(a, b string) float64 {
	n := max(len(a), len(b)) - min(len(a), len(b))
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			n++
		}
	}
	return float64(n)
}

// figures compares what the command says with what the receivers, Millrace and Postfix have.
func (b *rescueBench) figures(ctx context.Context, s *scenario.Stuck, r *rescue.Report, took time.Duration) ([]figure, error) {
	dead := 0
	for i := range b.messages {
		if i%b.sites < b.sites/5 {
			dead++
		}
	}
	soon, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.Sink.Wait(soon, b.messages-dead); err != nil {
		return nil, err
	}
	c := load.Compare(s.Records, s.Sink.All())
	st, err := s.Millrace.Status()
	if err != nil {
		return nil, err
	}
	queue, err := s.Postfix.Queue()
	if err != nil {
		return nil, err
	}
	log, err := s.Postfix.Log()
	if err != nil {
		return nil, err
	}
	// What is not at a receiver must be at Millrace or in the queue: Compare calls it lost because it has not arrived.
	lost := len(c.Lost) - int(st.Messages) - (len(queue) - rescueLocal)
	note := fmt.Sprintf("of %d: %d delivered, %d waiting, %d returned, %d left, in %s", r.Carried, r.Sent, r.Waiting, r.Returned, r.Left, took.Round(time.Second))
	return []figure{
		atLeast(6, "recipients of the backlog that the command accounts for, of all", float64(r.Sent+r.Waiting+r.Returned+r.Left)/float64(b.messages), 1, note),
		atMost(6, "recipients gone by another way", float64(r.Elsewhere), 0, ""),
		atMost(6, "messages lost, twice, altered or at the wrong receiver", float64(lost+len(c.Duplicated)+len(c.Altered)+len(c.Phantom)+len(c.Misdelivered)), 0, ""),
		atMost(6, "messages for live receivers that are not delivered", float64(b.messages-dead-c.Arrived), 0, ""),
		atMost(6, "messages that wait, less those for dead receivers", float64(int(st.Messages)-dead), 0, ""),
		atMost(6, "messages in Postfix's queue, less those that had to stay", float64(len(queue)-rescueLocal-rescueLarge), 0, ""),
		atMost(6, "messages returned by Postfix", float64(strings.Count(log, "status=bounced")), 0, ""),
	}, nil
}
