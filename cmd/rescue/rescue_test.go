package rescue

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/setup"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/smtpd"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// fakeDaemon answers as a console.Client does. Each question may change what the next is answered.
type fakeDaemon struct {
	status   console.Status
	err      error
	messages []relay.Listing
	asked    func(*console.Status)
}

func (f *fakeDaemon) Status(context.Context) (console.Status, error) {
	if f.asked != nil {
		f.asked(&f.status)
	}
	return f.status, f.err
}

func (f *fakeDaemon) Messages(context.Context, console.Filter) iter.Seq2[relay.Listing, error] {
	return func(yield func(relay.Listing, error) bool) {
		for _, l := range f.messages {
			if !yield(l, nil) {
				return
			}
		}
	}
}

// fakePostfix is a directory of commands that print what the test puts into files, and write down how they were called.
func fakePostfix(t *testing.T) *postfix {
	t.Helper()
	dir := t.TempDir()
	for name, script := range map[string]string{
		"postqueue": `if [ "$3" = -j ]; then cat "$here/queue"; fi`,
		"postfix":   `[ "$3" != status ] || [ ! -e "$here/down" ]`,
		"postconf":  `:`,
	} {
		script = "#!/bin/sh\nhere=$(dirname \"$0\")\n[ \"$3\" = -j ] || echo \"$(basename \"$0\") $*\" >>\"$here/calls\"\n" + script + "\n"
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &postfix{dir: "/etc/x", commands: dir}
}

// door answers one LHLO after the other with these lines.
func door(t *testing.T, lines ...string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends with the listener
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(nc, "220 door\r\n")
			if line, err := bufio.NewReader(nc).ReadString('\n'); err == nil && line == "LHLO "+smtpd.RescueName+"\r\n" {
				fmt.Fprint(nc, strings.Join(lines, "\r\n")+"\r\n")
			}
			nc.Close()
		}
	}()
	return "inet:" + ln.Addr().String()
}

// TestReadyRefuses: nothing begins beside a daemon that would take nothing.
func TestReadyRefuses(t *testing.T) {
	good := door(t, "250-door", "250-PIPELINING", "250 "+smtpd.RescueKeyword)
	well := func() console.Status { return console.Status{Mode: filter.Deliver} }
	for _, tt := range []struct {
		name   string
		daemon func(*fakeDaemon)
		doors  []string
		down   bool
		want   string // "": it is ready
		later  bool   // the command may be tried again
	}{
		{"ready", nil, []string{good}, false, "", false},
		{"no daemon", func(f *fakeDaemon) { f.err = console.ErrUnreachable }, []string{good}, false, "not reachable", false},
		{"observe", func(f *fakeDaemon) { f.status.Mode = filter.Observe }, []string{good}, false, `mode = "observe"`, false},
		{"recovery", func(f *fakeDaemon) { f.status.Journal.Recovering = &console.Progress{} }, []string{good}, false, "journal", true},
		{"drained", func(f *fakeDaemon) { f.status.Drain = &console.Drain{} }, []string{good}, false, "undrain", false},
		{"disk full", func(f *fakeDaemon) { f.status.Journal.Blocked = "no space left" }, []string{good}, false, "no space left", true},
		{"full", func(f *fakeDaemon) { f.status.Gate.State = relay.GateOverflow }, []string{good}, false, "no room", true},
		{"holding", func(f *fakeDaemon) { f.status.Gate.State = relay.GateHold }, []string{good}, false, "", false},
		{"no listener", nil, nil, false, "smtpd", false},
		{"Postfix is down", nil, []string{good}, true, "does not run", false},
		{"an old door", nil, []string{door(t, "250-door", "250 PIPELINING")}, false, "does not know a rescue", false},
		{"another program", nil, []string{door(t, "500 what")}, false, "500", false},
		{"nobody", nil, []string{"inet:127.0.0.1:1"}, false, "does not answer", false},
	} {
		f := &fakeDaemon{status: well()}
		if tt.daemon != nil {
			tt.daemon(f)
		}
		cfg := config.DefaultConfig()
		cfg.SMTPD.Filter = tt.doors
		r := &Rescue{cfg: Config{Config: cfg}, daemon: f, mta: &setup.MTA{Dir: "/etc/x"}, postfix: fakePostfix(t)}
		if tt.down {
			if err := os.WriteFile(filepath.Join(r.postfix.commands, "down"), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		err := r.Ready(t.Context())
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) || errors.Is(err, console.ErrNotNow) != tt.later {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
		if tt.want == "" && r.hop != tt.doors[0] {
			t.Errorf("%s: Postfix is led to %s", tt.name, r.hop)
		}
	}
}

func TestHopOf(t *testing.T) {
	for _, tt := range [][4]string{
		{"tcp", "127.0.0.1:8896", "inet:127.0.0.1:8896", "127.0.0.1:8896"},
		{"tcp", "0.0.0.0:8896", "inet:127.0.0.1:8896", "127.0.0.1:8896"},
		{"tcp6", "[::]:8896", "inet:[::1]:8896", "[::1]:8896"},
		{"tcp", "mx.example:8896", "inet:mx.example:8896", "mx.example:8896"},
		{"unix", "/run/x.sock", "unix:/run/x.sock", "/run/x.sock"},
	} {
		if hop, dial := hopOf(tt[0], tt[1]); hop != tt[2] || dial != tt[3] {
			t.Errorf("%s: %s, %s", tt[1], hop, dial)
		}
	}
}

// line is a message as postqueue prints it.
func line(queue, id, rcpt, reason string) string {
	return fmt.Sprintf(`{"queue_name": %q, "queue_id": %q, "arrival_time": 5, "sender": "s@x.example", "recipients": [{"address": %q, "delay_reason": %q}]}`, queue, id, rcpt, reason)
}

// TestFollowUntilNothingCanCome: mail that found no room is tried again when there is room; mail that is not taken ends the wait.
func TestFollowUntilNothingCanCome(t *testing.T) {
	full, never := "host x[x] said: 451 4.3.2 bulk queue full", "host x[x] said: 451 4.6.0 not taken: over size_limit (in reply to end of DATA command)"
	looks := [][]string{
		{line("active", "A", "a@b.example", ""), line("deferred", "B", "b@b.example", "old"), line("deferred", "C", "c@b.example", "old")},
		{line("deferred", "A", "a@b.example", full), line("deferred", "C", "c@b.example", never), line("deferred", "D", "d@b.example", "new mail")},
		{line("deferred", "A", "a@b.example", full), line("deferred", "C", "c@b.example", never)},
		{line("deferred", "C", "c@b.example", never)},
	}
	r := &Rescue{cfg: Config{Wait: time.Minute}, postfix: fakePostfix(t), store: newStore("/etc/x"), steps: steps{time.Millisecond, time.Millisecond, time.Millisecond, time.Second}}
	next := func(n int) {
		if err := os.WriteFile(filepath.Join(r.postfix.commands, "queue"), []byte(strings.Join(looks[min(n, len(looks)-1)], "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	next(0)
	n := 0
	f := &fakeDaemon{status: console.Status{Started: 1, PID: 2}}
	f.status.Rescue = &console.Rescue{Sent: 10, Returned: 4}
	f.asked = func(*console.Status) { n++; next(n) }
	r.daemon = f
	r.since = f.status
	var last Progress
	r.cfg.Tell = func(p Progress) { last = p }
	p := &Plan{Messages: 3, Carried: 3, ids: []string{"A", "B", "C"}, rcpts: map[carried]int64{{"A", "a@b.example"}: 5, {"B", "b@b.example"}: 5, {"C", "c@b.example"}: 5}}
	if err := r.follow(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	calls, err := os.ReadFile(filepath.Join(r.postfix.commands, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	if got := string(calls); !strings.HasPrefix(got, "postqueue -c /etc/x -f\n") || !strings.Contains(got, "-i A") && strings.Count(got, "-f") < 2 {
		t.Errorf("calls: %s", got)
	}
	if last.Postfix != 1 || last.Stays != 1 {
		t.Errorf("at the end %+v", last)
	}
	f.asked = nil
	f.status.Rescue = &console.Rescue{Sent: 11, Returned: 4}
	f.messages = []relay.Listing{
		{QueueID: "A", Rule: filter.RescueRule, Recipients: []relay.ListedRcpt{{Address: "A@b.example"}}},
		{QueueID: "A", Rule: "list-id", Recipients: []relay.ListedRcpt{{Address: "a@b.example"}}},
		{QueueID: "Z", Rule: filter.RescueRule, Recipients: []relay.ListedRcpt{{Address: "a@b.example"}}},
	}
	rep, err := r.account(t.Context(), p)
	if err != nil || rep.Sent != 1 || rep.Waiting != 1 || rep.Left != 1 || rep.Elsewhere != 0 || rep.Reasons[0].Text != "over size_limit" {
		t.Errorf("%+v %v", rep, err)
	}
	f.status.PID = 3 // another daemon: nobody knows what the first one sent
	if rep, err := r.account(t.Context(), p); err != nil || rep.Sent != 0 || rep.Elsewhere != 1 {
		t.Errorf("%+v %v", rep, err)
	}
}

// TestFollowEnds: a rescue that is interrupted says that it is not over.
func TestFollowEnds(t *testing.T) {
	r := &Rescue{cfg: Config{Wait: time.Minute}, postfix: fakePostfix(t), daemon: &fakeDaemon{}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.follow(ctx, &Plan{}); !errors.Is(err, ErrNotOver) {
		t.Errorf("%v", err)
	}
}

// TestCarryInterrupted: whoever interrupts a rescue finds Postfix's files as they were, and is told what became of the mail. What an
// earlier rescue has left is put back first.
func TestCarryInterrupted(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may change Postfix's settings")
	}
	r := unstarted(t, mains["folded"])
	was := texts(t, r.store.config)
	begun(t, r, 4)
	fake := fakePostfix(t)
	postconf := filepath.Join(fake.commands, "postconf")
	if err := errors.Join(os.Remove(postconf), os.Symlink(filepath.Join(r.postfix.commands, "postconf"), postconf)); err != nil {
		t.Fatal(err)
	}
	r.postfix.commands = fake.commands
	if err := os.WriteFile(filepath.Join(fake.commands, "queue"), []byte(line("deferred", "A", "a@b.example", "old")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r.steps = steps{time.Millisecond, time.Millisecond, time.Hour, time.Hour}
	during := ""
	f := &fakeDaemon{asked: func(*console.Status) {
		if during == "" {
			during = texts(t, r.store.config)
			cancel()
		}
	}}
	r.daemon, r.cfg.Wait = f, time.Minute
	p := &Plan{Messages: 1, Carried: 1, Addresses: 1, addresses: []string{"a@b.example"}, ids: []string{"A"}, rcpts: map[carried]int64{{"A", "a@b.example"}: 5}}
	rep, err := r.Carry(ctx, p)
	if !errors.Is(err, ErrNotOver) || rep == nil || rep.Left != 1 || rep.Reasons[0].Text != "old" {
		t.Errorf("%+v %v", rep, err)
	}
	if strings.Count(during, "texthash:") != 1 || texts(t, r.store.config) != was {
		t.Errorf("during: %s\nafter: %s", during, texts(t, r.store.config))
	}
	calls, err := os.ReadFile(filepath.Join(fake.commands, "calls"))
	if want := "reload reload -f reload"; err != nil || order(string(calls)) != want {
		t.Errorf("%q, want %q: %v", order(string(calls)), want, err)
	}
}

// order is the last word of each call that does something.
func order(calls string) string {
	var words []string
	for call := range strings.Lines(calls) {
		fields := strings.Fields(call)
		if last := fields[len(fields)-1]; last != "status" {
			words = append(words, last)
		}
	}
	return strings.Join(words, " ")
}
