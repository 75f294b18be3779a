package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/daemon"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"millrace": main,
		"standin":  talker,
	})
}

// TestScripts is the command line as its users meet it: arguments, output and exit status.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("TZ", "UTC")
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each command takes a second with -race
			// A path below the test's own directory may be longer than a socket's may be.
			dir, err := os.MkdirTemp("", "mr")
			if err != nil {
				return err
			}
			e.Defer(func() { os.RemoveAll(dir) })
			e.Setenv("SOCK", filepath.Join(dir, "c.sock"))
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status": checkStatus,
			"await":  await,
		},
	})
}

// checkStatus runs a command like exec and wants that exit status: status 64 millrace --bogus.
func checkStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command [args...]")
	}
	err := ts.Exec(args[1], args[2:]...)
	got := "0"
	if err != nil {
		got = fmt.Sprint(err)
	}
	if want := args[0]; got != want && got != "exit status "+want {
		ts.Fatalf("%s, want exit status %s", got, want)
	}
}

// await waits until a daemon answers at that socket.
func await(ts *testscript.TestScript, neg bool, args []string) {
	c := console.NewClient(args[0])
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for ctx.Err() == nil {
		if _, err := c.Status(ctx); err == nil {
			return
		}
		time.Sleep(time.Millisecond)
	}
	ts.Fatalf("nobody answers at %s", args[0])
}

// talker is the program with a daemon that carries no mail: it prints each order it gets and answers at the socket.
func talker() {
	p := program{out: os.Stdout, err: os.Stderr}
	p.open = func(_ daemon.Machine, cfg *config.Config, log hclog.Logger) (service, error) {
		if cfg.Hostname == "broken.example" {
			return nil, fmt.Errorf("state directory: %w", os.ErrPermission)
		}
		return &fakeDaemon{cfg: cfg, log: log}, nil
	}
	os.Exit(p.execute(context.Background(), os.Args[1:]))
}

// fakeDaemon has a queue of three messages.
type fakeDaemon struct {
	log  hclog.Logger
	serv *console.Server
	done chan error

	lever fakeLever

	mu  sync.Mutex
	cfg *config.Config
}

func (f *fakeDaemon) Start() error {
	ln, err := console.Listen(f.cfg.Control)
	if err != nil {
		return err
	}
	f.serv, f.done = console.New(f, &f.lever, f.log), make(chan error, 1)
	f.serv.ServeEvents(fakeEvents{})
	go func() { f.done <- f.serv.Run(ln) }() // ends by Stop
	return nil
}

func (f *fakeDaemon) Reload(cfg *config.Config) error {
	if cfg.Hostname == "broken.example" {
		return fmt.Errorf("hostname: cannot change")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cfg = cfg
	return nil
}

func (f *fakeDaemon) ReloadFile() (console.Reloaded, error) {
	f.mu.Lock()
	old := f.cfg
	f.mu.Unlock()
	next, warnings, err := config.Review(old.File)
	var bad config.Errors
	if errors.As(err, &bad) {
		return console.Reloaded{File: old.File, Errors: []console.Mistake{{File: bad[0].File, Line: bad[0].Line, Key: bad[0].Key, Text: bad[0].Text}}}, nil
	}
	r := console.Reloaded{File: old.File, Applied: true}
	for _, w := range warnings {
		r.Warnings = append(r.Warnings, console.Mistake{File: w.File, Line: w.Line, Key: w.Key, Text: w.Text})
	}
	_, changes := old.TakeOver(next)
	for _, c := range changes {
		change := console.Change{Key: c.Key, Old: c.Old, New: c.New, Why: c.Restart}
		if c.Restart != "" {
			r.Restart = append(r.Restart, change)
			continue
		}
		r.Changed = append(r.Changed, change)
	}
	return r, f.Reload(next)
}

func (f *fakeDaemon) Upgrade(who string) error { return errors.New("no such program") }

func (f *fakeDaemon) HandOver(context.Context) (*daemon.Given, error) {
	return nil, errors.New("nothing to hand over")
}

func (f *fakeDaemon) Reopen() error {
	fmt.Println("reopened")
	return nil
}

func (f *fakeDaemon) Stop(ctx context.Context) error {
	fmt.Println("stopped")
	if err := f.serv.Stop(ctx); err != nil {
		return err
	}
	return <-f.done
}

func (f *fakeDaemon) Status() console.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := sampleStatus()
	s.PID, s.Mode = os.Getpid(), f.cfg.Mode
	return s
}

func (f *fakeDaemon) Queues(int) iter.Seq[relay.QueueStatus] {
	return slices.Values[[]relay.QueueStatus](nil)
}

// Sharing has a campaign with control characters in its name, and all others.
func (f *fakeDaemon) Sharing(int) []relay.Sharing {
	return []relay.Sharing{
		{FlowListing: relay.FlowListing{Tenant: "shop", Flow: "list:autumn\x1b[31m"}, Sender: "n.example",
			WrapperSize: relay.WrapperSize{Wrappers: 2, Messages: 12_304, Whole: 251_002_000, Shared: 44_000, Personal: 7_997_600}},
		{WrapperSize: relay.WrapperSize{Wrappers: 17, Messages: 17, Whole: 90_000, Shared: 85_000, Personal: 200}},
	}
}

// Campaigns has the two of sampleCampaigns and the rest of one tenant.
func (f *fakeDaemon) Campaigns(tenant, name string, most int) (list []console.Campaign) {
	for _, c := range sampleCampaigns() {
		if (tenant == "" || c.Tenant == tenant) && (name == "" || c.Name == name) && len(list) < most {
			list = append(list, c)
		}
	}
	return list
}

// Statistics has two minutes, and none of any site.
func (f *fakeDaemon) Statistics(of console.StatisticsOf) ([]console.Statistic, error) {
	if of.Site != "" {
		return nil, errors.New("no statistics are kept of site \"x\"")
	}
	return sampleStatistics()[:min(of.Last, 2)], nil
}

func (f *fakeDaemon) Messages(relay.ID) iter.Seq[relay.Listing] { return slices.Values(sampleQueue()) }

// Sites has two sites, both of the provider "gmail", and knows no name besides.
func (f *fakeDaemon) Sites(name string, _ int, yield func(console.Site) bool) {
	if name != "" && name != "gmail" {
		return
	}
	for _, s := range sampleSites() {
		if !yield(s) {
			return
		}
	}
}

// MessagesNamed has two messages of the queue id "4bXyZZ".
func (f *fakeDaemon) MessagesNamed(id string) (named []relay.Listing) {
	for i, l := range sampleQueue() {
		if l.ID == id || l.QueueID == id || id == "4bXyZZ" && i > 0 {
			named = append(named, l)
		}
	}
	return named
}
