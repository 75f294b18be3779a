package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/millrace/millrace/test/scenario"
)

// doorsBench sends mail of all kinds by each way of contrib/postfix/DOORS.md while the daemon is killed.
type doorsBench struct {
	bin, dir string
	only     string // ways with this in their name
	messages int
	kills    int
	rate     float64 // messages a second
}

func (b *doorsBench) run(write func(figure) error) error {
	scenario.ContribDir = "contrib"
	ways := append(scenario.Ways(), scenario.Waiting)
	exact := slices.ContainsFunc(ways, func(w scenario.Way) bool { return w.Name == b.only })
	for _, w := range ways {
		if !strings.Contains(w.Name, b.only) || exact && w.Name != b.only {
			continue
		}
		list, err := b.way(w)
		for _, f := range list {
			err = errors.Join(err, write(f))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	return nil
}

// way is the ordeal of one way.
func (b *doorsBench) way(w scenario.Way) (list []figure, err error) {
	dir := filepath.Join(b.dir, strings.ReplaceAll(w.Name, " ", "-"))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := scenario.NewBehind(dir, b.bin, w, scenario.Options{})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	o, err := s.Endure(context.Background(), scenario.AllKinds(b.messages, b.rate), b.kills)
	if err != nil {
		return nil, err
	}
	fmt.Fprintln(os.Stderr, w.Name+":", o.String())
	name := func(what string) string { return w.Name + ": " + what }
	note := fmt.Sprintf("%d messages, %d kills", len(o.Report.Records), o.Kills)
	twice := fmt.Sprintf("%d duplicates: %d named by Millrace, %d by Postfix, %d sent again by the client", o.Duplicates, o.Ours, o.Postfixs, o.Clients)
	sides := fmt.Sprintf("bulk: %d by Millrace, %d by Postfix as the fallback; %d others by Postfix", o.Sides.Millrace, o.Sides.Fallback, o.Sides.Postfix)
	return []figure{
		atMost(1, name("messages refused to the client"), float64(len(o.Report.Records)-o.Report.Acked()), 0, note),
		atMost(1, name("recipients lost"), float64(o.Lost), 0, fmt.Sprintf("of %d; %s", o.Report.Recipients(), o.What)),
		atMost(1, name("arrivals with other content"), float64(o.Altered), 0, ""),
		atMost(1, name("arrivals by the wrong side"), float64(o.Wrong), 0, sides),
		atMost(1, name("duplicates that nobody names"), float64(o.Silent), 0, twice),
	}, nil
}
