package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/scenario"
)

// restartBench has a daemon upgraded under load beside a real Postfix, by the milter and by a transport without a fallback.
type restartBench struct {
	bin, dir string
	only     string
	upgrades int // by each way
}

// restart is one row: a way in, the mail, and the upgrades meanwhile.
type restart struct {
	name, figure string
	open         func(b *restartBench, dir string) (*scenario.Scene, error)
	load         load.Config
	upgrades     int
}

func (b *restartBench) rows() []restart {
	long := load.Config{Messages: 400, Rate: 40, Conns: 8, MinSize: 5000, Plain: 0.2, Domains: []string{"d0.test", "d1.test"}, Timeout: time.Minute}
	short := long
	short.Messages, short.Rate, short.Plain = 480, 80, 0 // 6 seconds
	return []restart{
		{"milter", "what clients, Postfix and receivers notice, milter", (*restartBench).milter, long, b.upgrades},
		{"transport", "what clients, Postfix and receivers notice, transport", (*restartBench).transport, long, b.upgrades},
		{"once", "what they notice of 480 messages in 6 s, one upgrade, transport", (*restartBench).transport, short, 1},
	}
}

func (b *restartBench) run(write func(figure) error) error {
	scenario.ContribDir = "contrib"
	for i, r := range b.rows() {
		if !strings.Contains(r.name, b.only) {
			continue
		}
		s, err := r.open(b, filepath.Join(b.dir, r.name))
		if err != nil {
			return err
		}
		u, err := s.Upgrade(context.Background(), r.load, r.upgrades, 300*time.Millisecond)
		if closeErr := s.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("%s: %w", r.name, err)
		}
		note := u.String()
		if err := u.Err(); err != nil {
			note = err.Error()
		}
		if err := write(atMost(i+1, r.figure, float64(u.Noticed()), 0, note)); err != nil {
			return err
		}
	}
	return nil
}

func (b *restartBench) milter(dir string) (*scenario.Scene, error) {
	s, err := scenario.New(dir, b.bin, scenario.Options{})
	if err != nil {
		return nil, err
	}
	if err := s.StartMillrace(); err != nil {
		return nil, err
	}
	return s, s.StartPostfix(scenario.Options{})
}

func (b *restartBench) transport(dir string) (*scenario.Scene, error) {
	return scenario.NewBehind(dir, b.bin, scenario.Waiting, scenario.Options{})
}
