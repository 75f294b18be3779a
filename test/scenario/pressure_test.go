package scenario

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/sink"
)

// smallRoom is a configuration in which the room is full after some seconds of pressure.
const smallRoom = "queue.max_messages = 200\n"

// TestPressureThroughPostfix: a source is four times as fast as the receivers of bulk, and no memory lasts for that. The gate closes, and opens
// again when the source has ended. Nothing is lost, no client waits longer than a hold, and mail by sendmail(1) is not held.
func TestPressureThroughPostfix(t *testing.T) {
	t.Parallel() // it waits more than it works
	main := map[string]string{"non_smtpd_milters": "$millrace_milter"}
	pressed(t, beside(t, Options{Config: smallRoom, Main: main}), true)
}

// TestPressureThroughSendmail is the same beside Sendmail.
func TestPressureThroughSendmail(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	t.Parallel() // it waits more than it works
	s := newScene(t, Options{Config: smallRoom})
	if err := s.StartSendmail(); err != nil {
		t.Fatal(err)
	}
	pressed(t, s, false)
}

func pressed(t *testing.T, s *Scene, local bool) {
	t.Helper()
	slow := SlowReceiver{Conns: 5, Each: 250 * time.Millisecond}
	if err := s.SlowBulk(slow); err != nil {
		t.Fatal(err)
	}
	p := Pressure{
		Lasts: time.Duration(size(15, 300)) * time.Second, Other: 1,
		Bulk: load.Config{Rate: 4 * slow.PerSecond(), Conns: 10, MinSize: 4000},
	}
	if local {
		p.Local = 0.5
	}
	r, err := s.Press(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	after, err := s.Millrace.Opens(time.Minute)
	if err != nil {
		t.Error(err)
	}
	if err := s.Wait(t.Context(), r.Expected(), 3*time.Minute); err != nil {
		t.Error(err)
	}
	records := append(slices.Clone(r.Bulk.Records), r.Other.Records...)
	if err := load.Compare(records, byClients(s)).Err(); err != nil {
		t.Error(err)
	}
	delays, missing := s.LocalDelays(r.Local)
	t.Logf("%d bulk of %d sent by Millrace; the longest reply took %s; sendmail(1) %v, %d missing", s.Sink.Counts("bulk").Messages, len(r.Bulk.Records), Longest(r.Bulk), delays, missing)
	judgeGate(t, append(r.Gate, after...))
}

// byClients is what came of the messages that load.Run has sent.
func byClients(s *Scene) func(yield func(sink.Delivery) bool) {
	return func(yield func(sink.Delivery) bool) {
		for d := range s.Sink.All() {
			if d.From != "list@local.test" && !yield(d) {
				return
			}
		}
	}
}

// judgeGate: the gate has left the state "open" and has come back to it, it has not held too many replies, and memory was in bounds.
func judgeGate(t *testing.T, list []GateView) {
	t.Helper()
	walk, held := Walk(list), 0
	for _, v := range list {
		held = max(held, v.Held)
		if v.Memory > v.MemoryLimit {
			t.Errorf("%d bytes of memory, and the limit is %d", v.Memory, v.MemoryLimit)
		}
	}
	t.Logf("the gate was %q; %d replies were held at one time", walk, held)
	if len(walk) < 3 || walk[0] != "open" || walk[len(walk)-1] != "open" {
		t.Error("want open, hold or overflow or both, open")
	}
	if held > 20 {
		t.Error("want 20 at most")
	}
}

// TestApplicationThatNeverTriesAgain: an Impatient application loses nothing against a queue that is full, while no receiver answers.
func TestApplicationThatNeverTriesAgain(t *testing.T) {
	t.Parallel() // it waits more than it works
	s := beside(t, Options{Config: smallRoom})
	stall := time.Duration(size(8, 60)) * time.Second
	done := make(chan error, 1)
	go func() { done <- s.Stall(2*time.Second, stall) }() // ends after the stall
	r, err := s.Press(t.Context(), Pressure{Lasts: stall + 8*time.Second, Bulk: Impatient(60)})
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	lost := ""
	for _, rec := range r.Bulk.Records {
		if !rec.Acked {
			lost += fmt.Sprintf("%s: %s\n", rec.ID, rec.Reply)
		}
	}
	if lost != "" {
		t.Errorf("the application has lost:\n%s", lost)
	}
	arrived(t, s, r.Bulk)
	t.Logf("%d of %d sent by Millrace; the longest reply took %s; the gate was %q", s.Sink.Counts("bulk").Messages, len(r.Bulk.Records), Longest(r.Bulk), Walk(r.Gate))
}
