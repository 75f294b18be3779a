package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/scenario"
)

// dripBench sends campaigns through two Postfixes with a Millrace beside each. The stock one has exactly one line about
// Millrace in main.cf, and its Millrace drips. The free one has in_flow_delay = 0 too, and its Millrace does not drip.
type dripBench struct {
	bin, dir string
	load     load.Config
	rounds   int
	burn     bool // beside a program on each core that does nothing but work

	stock, free *scenario.Scene
}

// run sends campaigns of bulk alone, and campaigns with one letter in a hundred messages.
func (b *dripBench) run(write func(figure) error) (err error) {
	scenario.ContribDir = "contrib"
	if b.stock, err = startScene(filepath.Join(b.dir, "stock"), b.bin, scenario.Options{OneLine: true}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stock.Close()) }()
	b.free, err = startScene(filepath.Join(b.dir, "free"), b.bin, scenario.Options{
		OneLine: true, Main: map[string]string{"in_flow_delay": "0"}, Config: "milter.drip = false",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.free.Close()) }()
	if b.burn {
		stop, err := burn(runtime.NumCPU())
		if err != nil {
			return err
		}
		defer stop()
	}
	for _, letters := range []float64{0.01, 0} {
		f, err := b.race(letters)
		if err != nil {
			return err
		}
		if err := write(f); err != nil {
			return err
		}
	}
	return nil
}

// race sends one kind of campaign through both, round by round. The two take turns in beginning.
func (b *dripBench) race(letters float64) (figure, error) {
	c := b.load
	c.Plain = letters
	dripped, taken, err := b.counts()
	if err != nil {
		return figure{}, err
	}
	var stock, free, ratios []float64
	for i := range b.rounds {
		c.Prefix = fmt.Sprintf("l%.0f.r%d.", 100*letters, i)
		order := []*scenario.Scene{b.stock, b.free}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		rates := make(map[*scenario.Scene]float64, 2)
		for _, s := range order {
			if rates[s], _, err = campaign(s, c); err != nil {
				return figure{}, err
			}
		}
		stock, free = append(stock, rates[b.stock]), append(free, rates[b.free])
		ratios = append(ratios, rates[b.stock]/rates[b.free])
		fmt.Fprintf(os.Stderr, "round %d: drip %.0f/s, in_flow_delay=0 %.0f/s, ratio %.2f\n", i+1, stock[i], free[i], ratios[i])
	}
	note := fmt.Sprintf("%d rounds, %.2f to %.2f; ", b.rounds, slices.Min(ratios), slices.Max(ratios))
	d, t, err := b.counts()
	note += fmt.Sprintf("%.0f of %.0f messages a second; %d of %d taken dripped", median(stock), median(free), d-dripped, t-taken)
	name, goal := "stock Postfix with one line", 0.95
	if b.burn {
		name, goal = name+" beside a full load", 0.8
	}
	return atLeast(6, fmt.Sprintf("%s, %.0f %% bulk: speed to in_flow_delay = 0", name, 100*(1-letters)), median(ratios), goal, note), err
}

// counts is how many messages the stock side has taken, and how many of these it has dripped.
func (b *dripBench) counts() (dripped, taken int64, err error) {
	st, err := b.stock.Millrace.Status()
	if err != nil {
		return 0, 0, err
	}
	return st.Doors[0].Dripped, st.Doors[0].Taken, nil
}

// burn starts n programs that do nothing but work. They end with stop, and at the latest with this program.
func burn(n int) (stop func(), err error) {
	var all []*exec.Cmd
	stop = func() {
		for _, cmd := range all {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	for range n {
		cmd := exec.Command("sh", "-c", `while kill -0 "$0"; do i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done; done`, fmt.Sprint(os.Getpid()))
		if err := cmd.Start(); err != nil {
			stop()
			return nil, err
		}
		all = append(all, cmd)
	}
	return stop, nil
}
