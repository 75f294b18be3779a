// Command bench measures Millrace and prints one JSON object, or figures that have a goal. Where two ways are compared, they
// take turns in the same run on the same machine, and the figure is the ratio of their rates: the rates themselves mean little
// on a shared machine.
//
//	go run ./test/bench             every row below, in an hour
//	go run ./test/bench -row 6      one row; -quick: so short that the figures mean nothing; -profile DIR: what the daemon did in it, by stage
//	go run ./test/bench -what postfix   a campaign of bulk through a real Postfix, alone and with Millrace beside it
//	go run ./test/bench -what ack   the milter door with ack = "journal", "written" and "memory"
//	go run ./test/bench -what recovery -messages 1000000   a restart with 1,000,000 messages waiting
//	go run ./test/bench -what snapshot -messages 1000000   the milter door during snapshots of 1,000,000 messages, and between
//	go run ./test/bench -what memory          resident memory of a daemon that is full, for five kinds of mail
//	go run ./test/bench -what idle -messages 1000000   a daemon that has nothing to do for mail of 1,000,000 domains
//	go run ./test/bench -what pace        receivers with limits, each beside a twin that an ideal client feeds; with -quick in a minute
//	go run ./test/bench -what isolation   healthy mail, alone and beside mail for receivers that are dead, slow or deferring
//	go run ./test/bench -what drip -load  a campaign of bulk through a stock Postfix, with one without in_flow_delay; -load: beside a full load
//	go run ./test/bench -what fair        a message behind another sender's campaign; tenants; limits
//	go run ./test/bench -what smtpd       the SMTP door: an application at it, and a Postfix with it before its queue
//	go run ./test/bench -what rescue -messages 20000   a Postfix with a backlog for 50 receivers, and "millrace rescue"
//	go run ./test/bench -what restart     100 upgrades under load, and what Postfix and its clients notice of them
//	go run ./test/bench -what gate        what the gate takes, and the lever moves; ends with 1 if a figure misses its goal
//	go run ./test/bench -what events      the SMTP door with an event file and a stuck webhook: against the same without events
//	go run ./test/bench -what lookups     1,000,000 messages of 1,000 campaigns, and how fast the daemon says what became of them
//	go run ./test/bench -what doors       10,000 messages by each way of contrib/postfix/DOORS.md, while the daemon is killed 20 times
//
// The rows, and the last ten of the others, print figures that have a goal, a line each; with -json each line is an object. The exit
// status is 1 if a row misses its goal. What a row is about:
//
//	1, 2   bulk through a real Postfix with Millrace as its milter: against Postfix alone; against a milter that discards it
//	3      bulk through a Postfix with Millrace before its queue: against Postfix alone
//	4      the milter door with delivery: against a milter that discards it
//	5      the SMTP door with delivery: against a bare sink; Postfix and Haraka stand beside it
//	6      the sending of mail that waits: against a program that only sends, over DATA and over BDAT
//	7      mail that is no bulk through a real Postfix with Millrace as its milter: against a milter that accepts each connection
//	8, 9   memory and journal of personalised mail that waits, for six kinds of mailers; -messages 1000000 is the goal's own number
//	10     splitting a message into what its campaign shares and the rest
//	11     the whole path beside mail that waits: against the same without it
//	12     a restart on personalised mail that waits
//	13     the crash harness with personalised campaigns
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/scenario"
)

// result is the comparison of a Postfix alone with a Postfix that has Millrace beside it.
type result struct {
	Rounds   int       `json:"rounds"`
	Messages int       `json:"messages"`
	Alone    []float64 `json:"postfix_alone"` // messages per second from the client to the receivers, by round
	Beside   []float64 `json:"with_millrace"` // likewise
	Ratio    float64   `json:"ratio"`         // median of the rounds' ratios
	Lost     int       `json:"lost"`
}

func main() {
	var (
		row      = flag.String("row", "", "the `rows` to measure, as 1,2; none: all of them, unless -what is given")
		messages = flag.Int("messages", 0, "messages of a campaign, or messages that wait; 0: as many as the row needs, or 3000")
		size     = flag.Int("size", 20_000, "bytes of a message")
		conns    = flag.Int("conns", 10, "client connections")
		rounds   = flag.Int("rounds", 0, "rounds; each sends the campaign once in every way that is compared; 0: as many as the row needs, or 5")
		profile  = flag.String("profile", "", "with -row, and with -what gate for the acts: write profiles of the daemon's processor time into this `folder`, and print them by stage")
		what     = flag.String("what", "", "in place of a row, what to measure: postfix, ack, recovery, snapshot, memory, idle, pace, isolation, drip, fair, restart, smtpd, rescue, gate, doors, events or lookups")
		quick    = flag.Bool("quick", false, "with rows and with -what pace, isolation, fair, smtpd, rescue, gate, doors, events and lookups: so short that the figures mean nothing, to see that the command works")
		objects  = flag.Bool("json", false, "with rows and with -what pace, isolation, drip, fair, restart, smtpd, rescue, gate, doors, events and lookups: print objects")
	)
	only := flag.String("only", "", "with -row 6: DATA or BDAT; with -row 8 and 9: shapes with this in their name; with -what memory: kinds of mail with this in their name; with -what pace: receivers; with -what isolation: numbers of channels; with -what fair: behind, tenants or limits; with -what smtpd: direct, proxy or crowd; with -what gate: parts, see gateBench; with -what doors: ways")
	burn := flag.Bool("load", false, "with -what drip: beside a program on each core that does nothing but work")
	if playRole() {
		return
	}
	flag.Parse()
	c := load.Config{Messages: cmp.Or(*messages, 3000), MinSize: *size, Conns: *conns, Personal: 0.05}
	rows, err := parseRows(*row)
	q := request{
		what: *what, only: *only, load: c, rounds: cmp.Or(*rounds, 5), quick: *quick, burn: *burn, figures: &sheet{out: os.Stdout, json: *objects},
		numbers: rows, rows: rowBench{messages: *messages, rounds: *rounds, size: *size, quick: *quick, profile: *profile, only: *only},
	}
	if err == nil {
		err = q.run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// request is what the command line asks for.
type request struct {
	what, only string
	load       load.Config
	rounds     int
	quick      bool
	burn       bool
	figures    *sheet

	numbers []int // of rows, when what is ""; none: all
	rows    rowBench
}

func (q *request) run() error {
	dir, err := os.MkdirTemp("", "millrace-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	defer tidy(dir)()
	bin, err := daemon.Build(dir)
	if err != nil {
		return err
	}
	if show := q.goals(bin, dir); show != nil {
		if err := show(q.figures.write); err != nil {
			return err
		}
		if (q.what == "" || q.what == "gate" || q.what == "doors") && !q.quick && q.figures.missed > 0 {
			return fmt.Errorf("%d figures miss their goal", q.figures.missed)
		}
		return nil
	}
	r, err := q.measure(bin, dir)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// tidy removes dir when a signal ends the command: what waits in it may be large. The servers end with this process.
func tidy(dir string) (stop func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() { // ends with stop
		if _, ended := <-signals; ended {
			_ = os.RemoveAll(dir) // nobody is left to hear of an error
			os.Exit(1)
		}
	}()
	return func() {
		signal.Stop(signals)
		close(signals)
	}
}

// measure is a measurement whose result is one object.
func (q *request) measure(bin, dir string) (r any, err error) {
	c := q.load
	switch q.what {
	case "postfix":
		r, err = besidePostfix(dir, bin, c, q.rounds)
	case "ack":
		r, err = (&ackBench{messages: c.Messages, size: c.MinSize, conns: c.Conns, rounds: q.rounds, bin: bin, dir: dir}).run()
	case "recovery":
		r, err = recovery(filepath.Join(dir, "state"), c.Messages, c.MinSize)
	case "snapshot":
		r, err = (&snapshotBench{messages: c.Messages, size: c.MinSize, conns: c.Conns, bin: bin, dir: dir, lasts: 2 * time.Minute}).run()
	case "memory":
		r, err = (&memoryBench{bin: bin, dir: dir, conns: c.Conns, limit: 400 << 20, patience: 5 * time.Minute, only: q.only}).run()
	case "idle":
		r, err = (&idleBench{domains: c.Messages, bin: bin, dir: dir, lasts: time.Minute, patience: 10 * time.Minute}).run()
	default:
		err = fmt.Errorf("-what %s: use postfix, ack, recovery, snapshot, memory, idle, pace, isolation, drip, fair, restart, smtpd, rescue, gate, doors, events or lookups", q.what)
	}
	return r, err
}

// goals is the measurement whose result is figures with a goal; nil: q asks for another one.
func (q *request) goals(bin, dir string) func(write func(figure) error) error {
	quick := q.quick
	switch q.what {
	case "":
		q.rows.bin, q.rows.dir = bin, dir
		return func(write func(figure) error) error { return q.rows.run(q.numbers, write) }
	case "pace":
		b := &paceBench{bin: bin, dir: dir, lasts: fullPace, domains: 100_000, drains: 60 * time.Second, only: q.only}
		if quick {
			b.lasts, b.domains, b.drains = 12*time.Second, 5000, 4*time.Second
		}
		return b.run
	case "isolation":
		b := &isolationBench{
			bin: bin, dir: dir, only: q.only, channels: []int{500, 20}, perSecond: 300, messages: 100_000, fill: 30 * time.Second, sites: 1000,
			warm: 8 * time.Second, alone: 25 * time.Second, beside: 70 * time.Second, think: 30 * time.Second, dribble: time.Second,
		}
		if quick {
			b.messages, b.sites, b.warm, b.alone, b.beside, b.think = 2000, 40, time.Second, 3*time.Second, 5*time.Second, time.Second
		}
		return b.run
	case "fair":
		b := &fairBench{
			bin: bin, dir: dir, only: q.only, idle: 15 * time.Second, intake: 60 * time.Second, alone: 15 * time.Second, others: 20,
			urgent: 30 * time.Second, shares: 30 * time.Second,
		}
		if quick {
			b.idle, b.intake, b.alone, b.others, b.urgent, b.shares = 2*time.Second, 2*time.Second, 2*time.Second, 2, 2*time.Second, 5*time.Second
		}
		return b.run
	case "gate":
		b := newGateBench(bin, dir, q.only)
		b.waiting, b.profile = cmp.Or(q.rows.messages, b.waiting), q.rows.profile
		if quick {
			b.hurry()
		}
		return b.run
	case "restart":
		b := &restartBench{bin: bin, dir: dir, only: q.only, upgrades: 50}
		if quick {
			b.upgrades = 2
		}
		return b.run
	case "rescue":
		b := &rescueBench{bin: bin, dir: dir, messages: q.load.Messages, sites: 50}
		if quick {
			b.messages, b.sites = 200, 10
		}
		return b.run
	case "drip":
		return (&dripBench{bin: bin, dir: dir, load: q.load, rounds: q.rounds, burn: q.burn}).run
	}
	return q.doorGoals(bin, dir)
}

// doorGoals is goals for the SMTP door.
func (q *request) doorGoals(bin, dir string) func(write func(figure) error) error {
	switch q.what {
	case "smtpd":
		b := &smtpdBench{bin: bin, dir: dir, only: q.only, load: q.load, rounds: q.rounds}
		if q.quick {
			b.load.Messages, b.rounds = 300, 1
		}
		return b.run
	case "events":
		b := &eventsBench{rows: q.rows}
		b.rows.bin, b.rows.dir, b.rows.quick = bin, dir, q.quick
		return b.run
	case "lookups":
		b := &lookupsBench{rows: q.rows}
		b.rows.bin, b.rows.dir, b.rows.quick = bin, dir, q.quick
		return b.run
	case "doors":
		b := &doorsBench{bin: bin, dir: dir, only: q.only, messages: 10_000, kills: 20, rate: 200}
		if q.quick {
			b.messages, b.kills, b.rate = 300, 2, 50
		}
		return b.run
	}
	return nil
}

// besidePostfix compares a Postfix alone with one that has a Millrace beside it.
func besidePostfix(dir, bin string, c load.Config, rounds int) (*result, error) {
	scenario.ContribDir = "contrib"
	alone, err := startScene(filepath.Join(dir, "alone"), bin, scenario.Options{NoMillrace: true})
	if err != nil {
		return nil, err
	}
	beside, err := startScene(filepath.Join(dir, "beside"), bin, scenario.Options{})
	if err != nil {
		return nil, errors.Join(err, alone.Close())
	}
	r, err := compare(alone, beside, c, rounds)
	return r, errors.Join(err, alone.Close(), beside.Close())
}

// startScene starts a Postfix, and a Millrace beside it if there is one.
func startScene(dir, bin string, o scenario.Options) (*scenario.Scene, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	s, err := scenario.New(dir, bin, o)
	if err != nil {
		return nil, err
	}
	if s.Millrace != nil {
		err = s.StartMillrace()
	}
	if err == nil {
		err = s.StartPostfix(o)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// compare sends the campaign in both ways in every round. The two take turns in beginning.
func compare(alone, beside *scenario.Scene, c load.Config, rounds int) (*result, error) {
	r := &result{Rounds: rounds, Messages: c.Messages}
	var ratios []float64
	for i := range rounds {
		c.Prefix = fmt.Sprintf("r%d.", i)
		order := []*scenario.Scene{alone, beside}
		if i%2 == 1 {
			slices.Reverse(order)
		}
		rates := make(map[*scenario.Scene]float64, 2)
		for _, s := range order {
			rate, lost, err := campaign(s, c)
			if err != nil {
				return nil, err
			}
			rates[s] = rate
			r.Lost += lost
		}
		r.Alone, r.Beside = append(r.Alone, rates[alone]), append(r.Beside, rates[beside])
		ratios = append(ratios, rates[beside]/rates[alone])
		fmt.Fprintf(os.Stderr, "round %d: alone %.0f/s, with millrace %.0f/s, ratio %.2f\n", i+1, rates[alone], rates[beside], rates[beside]/rates[alone])
	}
	r.Ratio = median(ratios)
	return r, nil
}

// campaign sends a campaign and returns its rate, measured from the first byte sent to the last arrival.
func campaign(s *scenario.Scene, c load.Config) (rate float64, lost int, err error) {
	c.Addr = s.Addr()
	before := s.Sink.Count()
	begin := time.Now()
	report, err := load.Run(context.Background(), c)
	if err != nil {
		return 0, 0, err
	}
	want := before + report.Recipients()
	if err := s.Wait(context.Background(), want, 10*time.Minute); err != nil {
		return 0, want - s.Sink.Count(), err
	}
	return float64(report.Recipients()) / time.Since(begin).Seconds(), 0, nil
}
