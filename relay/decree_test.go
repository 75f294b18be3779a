package relay

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// scattered is decrees by every field of a selector, and mail about which some of them are.
func scattered(t testing.TB) (l *Lever, all []*decree, mail []*Message) {
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}})
	l = NewLever(m, NewHandler(m, DefaultRetryConfig(), HandbackConfig{}), LeverDeps{})
	verbs := []Verb{VerbHold, VerbPause, VerbRelease}
	for i, s := range []Selector{
		{Campaign: "c1"}, {Campaign: "c2", Sender: "@n.example"}, {Tenant: "t1"}, {Tenant: "t2", Campaign: "c2"}, {Sender: "@n.example"},
		{Sender: "List@M.Example"}, {Sender: "<>"}, {Domain: "x"}, {Domain: "y", Tenant: "t2"}, {Class: "inject"}, {Lane: "urgent"}, {Older: time.Hour},
		{Sender: "@bücher.example"}, {Campaign: "c1", Domain: "y"}, {ID: "q"}, {},
	} {
		for k, v := range verbs {
			act := Act{Verb: v, Selector: s}
			if v == VerbPause {
				act.Until = time.Now().Add(time.Duration(1+(i*7+k)%11) * time.Hour)
			}
			var ids []ID
			if s.ID != "" {
				ids = []ID{0, 3, 9}
			}
			all = append(all, l.newDecree(act, ids, time.Now()))
		}
	}
	for _, from := range []string{"", "root", "list@m.example", "LIST@M.EXAMPLE", "other@m.example", "a@N.example", "a@b\u00fccher.example", "a@BÜCHER.example", "a@else"} {
		for _, flow := range []FlowName{{}, {Name: "c1"}, {Name: "c2", Tenant: "t2"}, {Name: "c2", Tenant: "t1", Urgent: true}} {
			msg := testMessage("u@x", "u@y", "u@z")
			msg.ID, msg.Slip.From, msg.Slip.Flow, msg.Slip.Arrived = ID(len(mail)), from, flow, time.Now().Add(-time.Duration(len(mail)%3)*time.Hour)
			if flow == (FlowName{}) && from == "" {
				msg.Slip.Class = ClassInject
			}
			m.address(msg)
			mail = append(mail, msg)
		}
	}
	return l, all, mail
}

// TestDecreesAreFound: whatever a decree is about, and whatever others are in force, what is found for a node is what a look at all of them
// one by one gives.
func TestDecreesAreFound(t *testing.T) {
	l, all, mail := scattered(t)
	decided := 0
	for i := range all {
		for _, some := range [][]*decree{all[i : i+1], all[:i+1], all[i:]} {
			filed := newDecrees(l, some)
			plain := &decrees{lever: l, all: some, rest: some}
			for _, msg := range mail {
				for _, n := range msg.Nodes {
					got, want := filed.of(n, n.Class(), time.Now()), plain.of(n, n.Class(), time.Now())
					if got != want {
						t.Fatalf("%q of %q, flow %+v: %v, want %v", n.Domain, msg.From(), msg.Flow(), got, want)
					}
					if got != nil {
						decided++
					}
				}
			}
		}
	}
	if decided < 1000 {
		t.Errorf("only %d nodes were decided about", decided)
	}
}

// BenchmarkDecrees asks about a node while a thousand campaigns, tenants or senders are paused, as enter does under the lock of a shard.
func BenchmarkDecrees(b *testing.B) {
	for name, selector := range map[string]func(i int) Selector{
		"campaigns": func(i int) Selector { return Selector{Campaign: fmt.Sprint("c", i)} },
		"tenants":   func(i int) Selector { return Selector{Tenant: fmt.Sprint("t", i)} },
		"senders":   func(i int) Selector { return Selector{Sender: fmt.Sprintf("@s%d.example", i)} },
	} {
		b.Run(name, func(b *testing.B) {
			l, _, mail := scattered(b)
			var all []*decree
			for i := range maxDecrees {
				all = append(all, l.newDecree(Act{Verb: VerbPause, Selector: selector(i + 3)}, nil, time.Now()))
			}
			ds, now, n := newDecrees(l, all), time.Now(), mail[17].Node(0)
			b.ReportAllocs()
			for b.Loop() {
				ds.of(n, n.Class(), now)
			}
		})
	}
}

// TestReplacedDecreesAreNotNeeded: without the holds and releases that a later one replaces, and the releases of what nothing
// holds, everything waits that waited, and nothing else does.
func TestReplacedDecreesAreNotNeeded(t *testing.T) {
	l, all, mail := scattered(t)
	l.deps.SiteHas = func(domain, site string) (bool, bool) { return domain == site, domain != "z" }
	for _, s := range []Selector{{}, {Site: "x"}, {Site: "y"}} {
		all = append(all, l.newDecree(Act{Verb: VerbHold, Selector: s}, nil, time.Now()), l.newDecree(Act{Verb: VerbRelease, Selector: s}, nil, time.Now()))
	}
	rnd, fewer := rand.New(rand.NewPCG(3, 4)), 0
	for range 3000 {
		var given, kept []*decree
		for range 2 + rnd.IntN(5) {
			some := all[rnd.IntN(len(all))]
			d := l.newDecree(some.act, some.ids, some.at.Add(time.Duration(rnd.IntN(3)-1)*time.Minute))
			given = append(given, d)
			kept = effective(append(without(kept, func(x *decree) bool { return d.act.Verb != VerbPause && d.replaces(x) }), d))
		}
		fewer += len(given) - len(kept)
		before, after := newDecrees(l, given), newDecrees(l, kept)
		for _, msg := range mail {
			for _, n := range msg.Nodes {
				now := time.Now()
				msg.Slip.Taken = now.Add(time.Duration(rnd.IntN(3)-1) * 45 * time.Second)
				if got, want := after.of(n, n.Class(), now), before.of(n, n.Class(), now); got != want {
					t.Fatalf("%q, flow %+v: %v, want %v", n.Domain, msg.Flow(), got, want)
				}
			}
		}
	}
	if fewer < 1000 {
		t.Errorf("%d decrees were left out", fewer)
	}
}
