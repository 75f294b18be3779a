package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/daemon"
)

// scripted is a service that writes down each call.
type scripted struct {
	did      []string
	startErr error
	stop     func(context.Context) error
	handOver func(context.Context) (*daemon.Given, error)
}

func (s *scripted) Start() error { s.did = append(s.did, "start"); return s.startErr }

func (s *scripted) Reload(cfg *config.Config) error {
	s.did = append(s.did, "reload "+cfg.Mode)
	if cfg.Log.Level == "off" {
		return errors.New("log.level: cannot change")
	}
	return nil
}

func (s *scripted) Reopen() error { s.did = append(s.did, "reopen"); return errors.New("disk full") }

func (s *scripted) Stop(ctx context.Context) error {
	s.did = append(s.did, "stop")
	if s.stop != nil {
		return s.stop(ctx)
	}
	return nil
}

func (s *scripted) HandOver(ctx context.Context) (*daemon.Given, error) {
	s.did = append(s.did, "hand over")
	if s.handOver != nil {
		return s.handOver(ctx)
	}
	return &daemon.Given{}, nil
}

// unfit is a successor that cannot begin.
type unfit struct {
	tryErr error
	given  *daemon.Given // that it was to begin with
}

func (u *unfit) try() error { return u.tryErr }

func (u *unfit) replace(g *daemon.Given) error {
	u.given = g
	return errors.New("text file busy")
}

// harness runs a runner in a bubble. Signals and states go through it.
type harness struct {
	*runner
	s       *scripted
	signals chan os.Signal
	told    []string // messages to systemd, first lines only
	logged  strings.Builder
	result  chan error
	given   *daemon.Given // from run
	heir    unfit
}

func newHarness(path string) *harness {
	h := &harness{s: &scripted{}, signals: make(chan os.Signal, 8), result: make(chan error, 1)}
	h.runner = &runner{
		service: h.s, path: path, signals: h.signals, orders: make(chan string, 1), next: &h.heir,
		log: hclog.New(&hclog.LoggerOptions{Output: &h.logged, DisableTime: true}),
		notify: func(state string) {
			first, _, _ := strings.Cut(state, "\n")
			h.told = append(h.told, first)
		},
	}
	return h
}

// start runs the runner; it ends with its service.
func (h *harness) start() {
	go func() {
		var err error
		h.given, err = h.run()
		h.result <- err
	}()
	synctest.Wait()
}

func (h *harness) send(sig os.Signal) {
	h.signals <- sig
	synctest.Wait()
}

func configFile(t *testing.T, lines string) string {
	path := filepath.Join(t.TempDir(), "millrace.toml")
	if err := os.WriteFile(path, []byte("hostname = 'mail.example.org'\n"+lines), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestSignals(t *testing.T) {
	for _, test := range []struct {
		name, config string
		signals      []os.Signal
		did, told    string
		logged       string
	}{
		{"SIGTERM", "", []os.Signal{syscall.SIGTERM}, "start,stop", "READY=1,STOPPING=1", "signal=terminated"},
		{"SIGINT", "", []os.Signal{os.Interrupt}, "start,stop", "READY=1,STOPPING=1", "signal=interrupt"},
		{"SIGHUP", "mode = 'deliver'", []os.Signal{syscall.SIGHUP, syscall.SIGTERM}, "start,reload deliver,stop",
			"READY=1,RELOADING=1,READY=1,STOPPING=1", ""},
		{"SIGHUP with a mistake", "mdoe = 'deliver'\nmode = 5", []os.Signal{syscall.SIGHUP, syscall.SIGTERM}, "start,stop",
			"READY=1,RELOADING=1,READY=1,STOPPING=1", "did you mean mode?"},
		{"SIGHUP the daemon refuses", "log.level = 'off'", []os.Signal{syscall.SIGHUP, syscall.SIGTERM}, "start,reload observe,stop",
			"READY=1,RELOADING=1,READY=1,STOPPING=1", "log.level: cannot change"},
		{"SIGUSR1", "", []os.Signal{syscall.SIGUSR1, syscall.SIGTERM}, "start,reopen,stop", "READY=1,STOPPING=1", "disk full"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := configFile(t, test.config)
			synctest.Test(t, func(t *testing.T) {
				h := newHarness(path)
				h.start()
				for _, sig := range test.signals {
					h.send(sig)
				}
				if err := <-h.result; err != nil {
					t.Error(err)
				}
				if did := strings.Join(h.s.did, ","); did != test.did {
					t.Errorf("did %s, want %s", did, test.did)
				}
				if told := strings.Join(h.told, ","); told != test.told {
					t.Errorf("told systemd %s, want %s", told, test.told)
				}
				if !strings.Contains(h.logged.String(), test.logged) {
					t.Errorf("log: %s", &h.logged)
				}
			})
		})
	}
}

// TestGiveWay: an upgrade that cannot be leaves a service, and a signal to end is not forgotten meanwhile.
func TestGiveWay(t *testing.T) {
	for _, test := range []struct {
		name      string
		prepare   func(*harness)
		signals   []os.Signal
		did, told string
		logged    string
		again     bool // another service begins
	}{
		{"the program cannot be run", nil, []os.Signal{syscall.SIGUSR2}, "start,hand over", "READY=1,RELOADING=1", "text file busy", true},
		{"the program is not fit", func(h *harness) { h.heir.tryErr = errors.New("mistake one\nmistake two") }, []os.Signal{syscall.SIGUSR2, syscall.SIGTERM},
			"start,stop", "READY=1,STOPPING=1", "mistake two", false},
		{"nothing can be handed over", func(h *harness) {
			h.s.handOver = func(context.Context) (*daemon.Given, error) { return nil, errors.New("no socket") }
		}, []os.Signal{syscall.SIGUSR2, syscall.SIGTERM}, "start,hand over,stop", "READY=1,RELOADING=1,READY=1,STOPPING=1", "no socket", false},
		{"SIGTERM meanwhile", func(h *harness) {
			h.s.handOver = func(ctx context.Context) (*daemon.Given, error) { <-ctx.Done(); return &daemon.Given{}, ctx.Err() }
		}, []os.Signal{syscall.SIGUSR2, syscall.SIGHUP, syscall.SIGTERM}, "start,hand over", "READY=1,RELOADING=1,STOPPING=1", "signal=terminated", false},
		{"SIGTERM, and nothing can be handed over", func(h *harness) {
			h.s.handOver = func(ctx context.Context) (*daemon.Given, error) { <-ctx.Done(); return nil, errors.New("no socket") }
		}, []os.Signal{syscall.SIGUSR2, syscall.SIGTERM}, "start,hand over,stop", "READY=1,RELOADING=1,STOPPING=1", "", false},
		{"the journal cannot be closed", func(h *harness) {
			h.s.handOver = func(ctx context.Context) (*daemon.Given, error) { return &daemon.Given{}, errors.New("disk full") }
		}, []os.Signal{syscall.SIGUSR2}, "start,hand over", "READY=1,RELOADING=1", "disk full", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHarness("")
				if test.prepare != nil {
					test.prepare(h)
				}
				h.start()
				for _, sig := range test.signals {
					h.send(sig)
				}
				if err := <-h.result; err != nil {
					t.Error(err)
				}
				if did := strings.Join(h.s.did, ","); did != test.did {
					t.Errorf("did %s, want %s", did, test.did)
				}
				if told := strings.Join(h.told, ","); told != test.told {
					t.Errorf("told systemd %s, want %s", told, test.told)
				}
				if !strings.Contains(h.logged.String(), test.logged) {
					t.Errorf("log: %s", &h.logged)
				}
				if (h.given != nil) != test.again || h.given != h.heir.given || test.again && h.given.Failure == "" {
					t.Errorf("begins again with %+v", h.given)
				}
			})
		})
	}
}

// TestOneUpgradeAtATime: an order is refused while another one is waiting.
func TestOneUpgradeAtATime(t *testing.T) {
	h := newHarness("")
	if err := h.order("one"); err != nil {
		t.Fatal(err)
	}
	if err := h.order("two"); err == nil {
		t.Error("taken")
	}
}

func TestEveryMistakeIsLogged(t *testing.T) {
	path := configFile(t, "mdoe = 'deliver'\nmode = 5")
	synctest.Test(t, func(t *testing.T) {
		h := newHarness(path)
		h.reload()
		if n := strings.Count(h.logged.String(), "[ERROR]"); n != 2 {
			t.Errorf("%d errors in\n%s", n, &h.logged)
		}
	})
}

func TestStartFails(t *testing.T) {
	h := newHarness("")
	h.s.startErr = syscall.EADDRINUSE
	if _, err := h.run(); err != syscall.EADDRINUSE || len(h.told) > 0 {
		t.Errorf("%v, told systemd %v", err, h.told)
	}
}

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness("")
		tick := make(chan time.Time)
		h.watchdog = tick
		release := make(chan struct{})
		h.s.stop = func(context.Context) error { <-release; return nil }
		h.start()
		tick <- time.Time{}
		h.send(syscall.SIGTERM)
		tick <- time.Time{} // a long drain is no hang
		synctest.Wait()
		close(release)
		if err := <-h.result; err != nil {
			t.Error(err)
		}
		if want := []string{"READY=1", "WATCHDOG=1", "STOPPING=1", "WATCHDOG=1"}; !reflect.DeepEqual(h.told, want) {
			t.Errorf("told systemd %v, want %v", h.told, want)
		}
	})
}

// untilDone is a drain that has something under way until it is cut off.
func untilDone(ctx context.Context) error {
	<-ctx.Done()
	return errors.Join(nil, ctx.Err())
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness("")
		h.s.stop = untilDone
		begin := time.Now()
		h.start()
		h.send(syscall.SIGTERM)
		if err := <-h.result; err != nil {
			t.Error(err)
		}
		if d := time.Since(begin); d != drainTime {
			t.Errorf("drained for %s, want %s", d, drainTime)
		}
	})
}

func TestSecondSignalHurries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness("")
		h.s.stop = untilDone
		begin := time.Now()
		h.start()
		h.send(syscall.SIGTERM)
		h.send(syscall.SIGHUP) // means nothing any more
		select {
		case err := <-h.result:
			t.Fatalf("did not wait for what is open: %v", err)
		default:
		}
		h.send(os.Interrupt)
		if err := <-h.result; err != nil {
			t.Error(err)
		}
		if time.Since(begin) != 0 || strings.Join(h.s.did, ",") != "start,stop" {
			t.Errorf("took %s, did %v", time.Since(begin), h.s.did)
		}
	})
}

func TestThirdSignalEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHarness("")
		release := make(chan struct{})
		h.s.stop = func(context.Context) error { <-release; return nil } // heeds nothing
		h.start()
		for range 3 {
			h.send(syscall.SIGTERM)
		}
		if err := <-h.result; err != errForced {
			t.Errorf("%v, want errForced", err)
		}
		close(release)
	})
}

func TestStopError(t *testing.T) {
	disk := errors.New("disk full")
	for _, test := range []struct {
		name string
		err  error
		want string
	}{
		{"none", nil, ""},
		{"cut off", context.DeadlineExceeded, ""},
		{"hurried", fmt.Errorf("milter: %w", context.Canceled), ""},
		{"all cut off", errors.Join(context.Canceled, errors.Join(context.DeadlineExceeded)), ""},
		{"failed", disk, "stop: disk full"},
		{"cut off and failed", errors.Join(context.Canceled, errors.Join(nil, disk)), "stop: disk full"},
	} {
		got := ""
		if err := stopError(test.err); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
