// Command source sends a campaign to a mail server and prints the rate. With -sink it also plays the receiver, and
// compares the messages that it has sent with those that arrive.
//
//	go run ./test/source -addr 127.0.0.1:25 -messages 10000 -conns 20 -sink 127.0.0.1:2525
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/sink"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "source:", err)
		os.Exit(1)
	}
}

// options is what the command line says.
type options struct {
	load load.Config
	sink string
	wait time.Duration
}

func parse(args []string) (options, error) {
	var o options
	var domains string
	f := flag.NewFlagSet("source", flag.ContinueOnError)
	f.StringVar(&o.load.Addr, "addr", "", "`host:port` of the mail server (default: send straight to -sink)")
	f.IntVar(&o.load.Messages, "messages", 1000, "number of messages")
	f.IntVar(&o.load.Conns, "conns", 10, "number of connections")
	f.IntVar(&o.load.Rcpts, "rcpts", 1, "recipients of each message")
	f.IntVar(&o.load.MinSize, "min", 20_000, "smallest message in `bytes`")
	f.IntVar(&o.load.MaxSize, "max", 0, "largest message in `bytes` (default: the smallest)")
	f.Float64Var(&o.load.Plain, "plain", 0, "`share` of messages that do not look like bulk, 0 to 1")
	f.Float64Var(&o.load.Personal, "personal", 0.05, "`share` of the body that differs between messages, 0 to 1")
	f.StringVar(&domains, "domains", "", "recipients' `domains`, separated by commas (default: d0.test to d9.test)")
	f.StringVar(&o.load.From, "from", "", "envelope `sender` (default news@sender.test)")
	f.BoolVar(&o.load.VERP, "verp", false, "a sender of its own for every message")
	f.BoolVar(&o.load.Pipelining, "pipelining", false, "send the commands of the envelope and DATA in one write")
	f.IntVar(&o.load.PerConn, "per-conn", 0, "messages on one connection (default: no limit)")
	f.IntVar(&o.load.Attempts, "attempts", 1, "attempts for each message")
	f.StringVar(&o.load.Prefix, "prefix", "m", "begin the messages' ids with `text`")
	f.StringVar(&o.sink, "sink", "", "receive on this `host:port` and compare the messages")
	f.DurationVar(&o.wait, "wait", time.Minute, "wait at most so long for the last arrival")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if domains != "" {
		o.load.Domains = strings.Split(domains, ",")
	}
	if o.load.Addr == "" && o.sink == "" {
		return o, errors.New("give -addr or -sink, or both")
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	var far *sink.Sink
	if o.sink != "" {
		if far, err = receive(&o); err != nil {
			return err
		}
		defer far.Close()
	}
	report, err := load.Run(ctx, o.load)
	fmt.Printf("sent %d of %d messages (%.1f MB) in %v: %.0f messages/s\n", report.Acked(), len(report.Records),
		float64(report.Bytes)/1e6, report.Elapsed.Round(time.Millisecond), report.PerSecond())
	if err != nil || far == nil {
		return err
	}
	return compare(ctx, o.wait, far, report)
}

// receive opens the sink. Without a server in between, the load goes straight to the sink.
func receive(o *options) (*sink.Sink, error) {
	far, err := sink.New(sink.Config{})
	if err != nil {
		return nil, err
	}
	addr, err := far.Listen(o.sink, sink.Character{Name: "sink.test"})
	if err != nil {
		return nil, errors.Join(err, far.Close())
	}
	if o.load.Addr == "" {
		o.load.Addr = addr.String()
	}
	return far, nil
}

func compare(ctx context.Context, wait time.Duration, far *sink.Sink, report load.Report) error {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	begin := time.Now()
	late := far.Wait(ctx, report.Recipients())
	waited := time.Since(begin).Round(time.Millisecond)
	c := load.Compare(report.Records, far.All())
	fmt.Printf("%d arrived, the last %v after the last was sent\n", c.Arrived, waited)
	return errors.Join(late, c.Err())
}
