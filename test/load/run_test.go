package load

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/millrace/millrace/test/sink"
)

func listen(t *testing.T, ch sink.Character) (*sink.Sink, string) {
	t.Helper()
	s, err := sink.New(sink.Config{Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	ch.Name = "mx.test"
	addr, err := s.Listen("127.0.0.1:0", ch)
	if err != nil {
		t.Fatal(err)
	}
	return s, addr.String()
}

// both runs a test without and with pipelining.
func both(t *testing.T, test func(t *testing.T, pipelining bool)) {
	t.Run("lockstep", func(t *testing.T) { test(t, false) })
	t.Run("pipelined", func(t *testing.T) { test(t, true) })
}

func TestRunBringsEverything(t *testing.T) {
	both(t, func(t *testing.T, pipelining bool) {
		s, addr := listen(t, sink.Character{})
		var last atomic.Int64
		report, err := Run(t.Context(), Config{
			Addr: addr, Messages: 600, Rcpts: 3, MinSize: 500, MaxSize: 9000, Plain: 0.25, Personal: 0.5, VERP: true,
			Pipelining: pipelining, PerConn: 7, Seed: 3, Progress: func(done int) { last.Store(int64(done)) },
		})
		if err != nil || report.Acked() != 600 || report.Recipients() != 1800 || last.Load() != 600 {
			t.Fatalf("%d acknowledged, %d recipients, progress %d, %v", report.Acked(), report.Recipients(), last.Load(), err)
		}
		if c := Compare(report.Records, s.All()); c.Err() != nil || c.Arrived != 1800 {
			t.Errorf("%d arrived, %v", c.Arrived, c.Err())
		}
		if n := s.Counts("mx.test").Connections; n < 600/7 {
			t.Errorf("only %d connections for 7 messages each", n)
		}
		if report.PerSecond() <= 0 || report.Bytes != s.Counts("mx.test").Bytes {
			t.Errorf("report %.0f/s, %d bytes", report.PerSecond(), report.Bytes)
		}
	})
}

func TestRunNotesRefusals(t *testing.T) {
	both(t, func(t *testing.T, pipelining bool) {
		refuse := sink.Share(0.4)
		s, addr := listen(t, sink.Character{Refuse: refuse})
		report, err := Run(t.Context(), Config{Addr: addr, Messages: 100, Rcpts: 2, MinSize: 500, Pipelining: pipelining})
		if err != nil {
			t.Fatal(err)
		}
		for n, rec := range report.Records {
			want := 0
			for _, rcpt := range newCampaign(Config{Rcpts: 2}.withDefaults()).rcpts(n) {
				if !refuse(rcpt) {
					want++
				}
			}
			if rec.Acked != (want > 0) || rec.Acked && len(rec.Rcpts) != want || !rec.Acked && !strings.HasPrefix(rec.Reply, "550 5.1.1") {
				t.Errorf("%d of 2 acceptable: %+v", want, rec)
			}
		}
		if err := Compare(report.Records, s.All()).Err(); err != nil {
			t.Error(err)
		}
	})
}

// TestRunUnderFaults plays each fault a few times during a campaign that is allowed further attempts.
func TestRunUnderFaults(t *testing.T) {
	stages := []sink.Stage{sink.Banner, sink.EHLO, sink.Mail, sink.Rcpt, sink.Data, sink.Dot, sink.Between}
	actions := []sink.Action{sink.Reply421, sink.Reply451, sink.Garbage, sink.Disconnect}
	for _, stage := range stages {
		for _, do := range actions {
			both(t, func(t *testing.T, pipelining bool) {
				s, addr := listen(t, sink.Character{Faults: []sink.Fault{{Stage: stage, Do: do, After: 2, Times: 3}}})
				report, err := Run(t.Context(), Config{
					Addr: addr, Messages: 40, Conns: 4, MinSize: 500, Pipelining: pipelining, Attempts: 9, PerConn: 5,
					Pause: time.Millisecond,
				})
				if err != nil || report.Acked() != 40 {
					t.Fatalf("stage %d action %d: %d acknowledged, %v", stage, do, report.Acked(), err)
				}
				if err := Compare(report.Records, s.All()).Err(); err != nil {
					t.Errorf("stage %d action %d: %v", stage, do, err)
				}
				if s.Counts("mx.test").Faults != 3 {
					t.Errorf("stage %d action %d: played %d times", stage, do, s.Counts("mx.test").Faults)
				}
			})
		}
	}
}

// TestUnsure has the receiver take messages without a reply: they are not lost, and a second copy is no duplicate.
// With two attempts the first message meets two of the three faults.
func TestUnsure(t *testing.T) {
	for attempts, want := range map[int]struct{ acked, arrived int }{1: {17, 20}, 2: {19, 22}} {
		s, addr := listen(t, sink.Character{Faults: []sink.Fault{{Stage: sink.Dot, Do: sink.Disconnect, Take: true, Times: 3}}})
		report, err := Run(t.Context(), Config{Addr: addr, Messages: 20, Conns: 1, MinSize: 500, Attempts: attempts})
		if err != nil || report.Acked() != want.acked || s.Count() != want.arrived {
			t.Errorf("%d attempts: %d acknowledged, %d arrived, %v", attempts, report.Acked(), s.Count(), err)
		}
		if err := Compare(report.Records, s.All()).Err(); err != nil {
			t.Error(err)
		}
	}
}

func TestRunGivesUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	_ = ln.Close()
	report, err := Run(t.Context(), Config{Addr: addr, Messages: 5, Patience: 5 * time.Millisecond, Pause: time.Millisecond})
	if err == nil || report.Acked() != 0 {
		t.Errorf("%d acknowledged, %v", report.Acked(), err)
	}
	if err := Compare(report.Records, func(func(sink.Delivery) bool) {}).Err(); err != nil {
		t.Errorf("nothing was sent, and yet: %v", err)
	}
}

func TestRunIsCancelled(t *testing.T) {
	_, addr := listen(t, sink.Character{Delay: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Run(ctx, Config{Addr: addr, Messages: 1_000_000, MinSize: 500}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run: %v", err)
	}
}

func TestRunRefusesNonsense(t *testing.T) {
	for _, c := range []Config{{}, {Addr: "x", Plain: 2}, {Addr: "x", Personal: -1}, {Addr: "x", Messages: 1e9}} {
		if _, err := Run(t.Context(), c); err == nil {
			t.Errorf("%+v was let pass", c)
		}
	}
}

func FuzzParseReply(f *testing.F) {
	for _, seed := range []string{"250 Ok\r\n", "250-Ok\r\n", "250\r\n", "25", "abc", "\x00\xff"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		code, last, err := parseReply(line)
		if err == nil && (code < 0 || code > 999 || last == (len(line) > 3 && line[3] == '-')) {
			t.Errorf("%q: %d, %v", line, code, last)
		}
	})
}

// TestRunAtARate: messages begin when they are due, and the records say how long each took.
func TestRunAtARate(t *testing.T) {
	s, addr := listen(t, sink.Character{DotDelay: 20 * time.Millisecond})
	report, err := Run(t.Context(), Config{Addr: addr, Messages: 10, MinSize: 500, Rate: 100})
	if err != nil || report.Acked() != 10 {
		t.Fatalf("%d acknowledged, %v", report.Acked(), err)
	}
	for i, rec := range report.Records {
		if due := rec.Due.Sub(report.Records[0].Due); due != time.Duration(i)*10*time.Millisecond || rec.Longest < 20*time.Millisecond {
			t.Errorf("message %d: due after %v, took %v", i, due, rec.Longest)
		}
		if at := s.ByID(rec.ID)[0].Time; at.Before(rec.Due) {
			t.Errorf("message %d arrived %v before it was due", i, rec.Due.Sub(at))
		}
	}
}

// TestRunGivesUpWaiting: workers that share too few connections lose what waits too long, as listmonk does.
func TestRunGivesUpWaiting(t *testing.T) {
	s, addr := listen(t, sink.Character{DotDelay: 300 * time.Millisecond})
	report, err := Run(t.Context(), Config{Addr: addr, Messages: 3, Conns: 1, Workers: 3, PoolWait: 50 * time.Millisecond, MinSize: 500})
	if err != nil || report.Acked() != 1 {
		t.Fatalf("%d acknowledged, %v", report.Acked(), err)
	}
	for _, rec := range report.Records {
		if !rec.Acked && rec.Reply != errNoConn.Error() {
			t.Errorf("%+v", rec)
		}
	}
	if n := s.Counts("mx.test").Connections; n != 1 {
		t.Errorf("%d connections", n)
	}
}
