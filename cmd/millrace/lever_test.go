package main

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// fakeLever is the lever of a fakeDaemon. It prints each order it gets. Two campaigns wait: "autumn" is large, and of "one" there is
// one message. A message of the sample's queue is found by its id.
type fakeLever struct {
	left     atomic.Int64 // messages that a drain has still to send
	draining atomic.Bool
}

func (f *fakeLever) Do(_ context.Context, a relay.Act) (relay.ActReport, error) {
	by := "nobody"
	if a.Who != "" {
		by, a.Who = "somebody", ""
	}
	order, _ := json.Marshal(a)
	fmt.Printf("did %s by %s\n", order, by)
	switch {
	case a.Selector.Tenant == "nobody":
		return relay.ActReport{}, &relay.ActError{Field: "tenant", Text: "no [[tenant]] has the name \"nobody\""}
	case a.Verb == relay.VerbDrain || a.Verb == relay.VerbUndrain:
		if !a.DryRun {
			f.left.Store(3)
			f.draining.Store(a.Verb == relay.VerbDrain)
		}
		return relay.ActReport{Messages: 3, Recipients: 4, Bytes: 50, Waiting: 3}, nil
	case a.Verb == relay.VerbPause:
		return relay.ActReport{Messages: 7, Recipients: 8, Bytes: 900, Pauses: 1}, nil
	case a.Verb == relay.VerbResume && a.Selector.IsZero():
		return relay.ActReport{Pauses: 2}, nil
	case a.Selector.Campaign == "autumn":
		return relay.ActReport{Messages: 12_304, Recipients: 12_310, Bytes: 220_200_960, Busy: 20}, nil
	case a.Selector.Campaign == "one", a.Selector.ID != "" && a.Selector.ID != "4bXyZ9":
		return relay.ActReport{Messages: 1, Recipients: 1, Bytes: 2000}, nil
	}
	return relay.ActReport{}, nil
}

func (f *fakeLever) Pauses() []relay.Pause { return samplePauses() }

func (f *fakeLever) Shape(by string, most int) ([]relay.ShapeRow, error) {
	rows := sampleShape(by)
	return rows[:min(most, len(rows))], nil
}

func (f *fakeLever) Draining() (relay.Act, bool) { return relay.Act{}, f.draining.Load() }

// DrainReport sends a message each time that somebody asks.
func (f *fakeLever) DrainReport() relay.ActReport {
	left := max(0, f.left.Add(-1))
	return relay.ActReport{Waiting: int(left), Done: left == 0}
}

func samplePauses() []relay.Pause {
	since := time.Unix(1_700_000_000, 0).UTC()
	return []relay.Pause{
		{
			Verb: relay.VerbPause, Selector: relay.Selector{Domain: "a.example"}, Reason: "they \x1b[31mcalled", Who: "root (uid 0, pid 812)",
			Since: since, Until: since.Add(2 * time.Hour), Nodes: 1200,
		},
		{Verb: relay.VerbHold, Selector: relay.Selector{Campaign: "autumn", Older: time.Hour}, Who: "anna (uid 1000, pid 9)", Since: since.Add(time.Minute), Nodes: 12_304},
	}
}

func sampleShape(by string) []relay.ShapeRow {
	if by == console.ByDomain {
		return []relay.ShapeRow{{Name: "a.example", Total: 3, Ages: [10]int{3}}}
	}
	return []relay.ShapeRow{
		{Name: "mx1.example,mx2.example,mx3.example:25", Total: 1_203_400, Ages: [10]int{1_200_000, 3400}},
		{Name: "mx.dead.example:25", Total: 7, Ages: [10]int{9: 7}},
		{Name: "", Total: 4, Ages: [10]int{4}},
	}
}
