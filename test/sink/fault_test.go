package sink

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// approach leads the dialogue up to the reply of the stage.
func (p *peer) approach(stage Stage) {
	p.t.Helper()
	steps := []struct {
		stage      Stage
		send, want string
	}{
		{Banner, "", "220"}, {EHLO, "EHLO a\r\n", "250"}, {StartTLS, "STARTTLS\r\n", "502"},
		{Mail, "MAIL FROM:<a@b>\r\n", "250"}, {Rcpt, "RCPT TO:<c@d>\r\n", "250"}, {Data, "DATA\r\n", "354"},
		{Dot, "Subject: x\r\n\r\n.\r\n", "250"}, {Between, "", ""},
	}
	for _, step := range steps {
		p.send(step.send)
		if step.stage == stage {
			return
		}
		p.expect(step.want)
	}
}

var allStages = []Stage{Banner, EHLO, StartTLS, Mail, Rcpt, Data, Dot, Between}

func TestEveryFaultAtEveryStage(t *testing.T) {
	for _, stage := range allStages {
		for do := Reply421; do < actions; do++ {
			t.Run(fmt.Sprintf("stage %d action %d", stage, do), func(t *testing.T) {
				s, addr := start(t, Config{}, Character{Name: "x", Faults: []Fault{{Stage: stage, Do: do}}})
				p := dial(t, addr)
				p.approach(stage)
				p.suffers(do)
				want := 0
				if stage == Between {
					want = 1
				}
				if s.Count() != want || s.Counts("x").Faults != 1 {
					t.Errorf("%d deliveries, %d faults", s.Count(), s.Counts("x").Faults)
				}
			})
		}
	}
}

// suffers checks that the client sees the action.
func (p *peer) suffers(do Action) {
	p.t.Helper()
	switch do {
	case Reply421:
		p.expect("421 ")
		p.expectEnd()
	case Reply451:
		p.expect("451 ")
	case Reply550:
		p.expect("550 ")
	case Garbage:
		p.expect("\x00\xff")
	case Endless, EndlessLine:
		if n, err := io.CopyN(io.Discard, p.r, 1<<20); err != nil {
			p.t.Errorf("ended after %d bytes: %v", n, err)
		}
	case Disconnect:
		p.expectEnd()
	case Silence:
		p.expectSilence()
	}
}

func (p *peer) expectSilence() {
	p.t.Helper()
	_ = p.SetDeadline(time.Now().Add(30 * time.Millisecond))
	if line, err := p.r.ReadString('\n'); err == nil || err == io.EOF {
		p.t.Errorf("got %q, %v; want silence", line, err)
	}
}

func TestFaultCounting(t *testing.T) {
	p, err := newPlan([]Fault{{Stage: Mail, Do: Reply451, After: 2, Times: 3}})
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for range 8 {
		if p.due(Mail) != nil {
			got.WriteByte('x')
		} else {
			got.WriteByte('-')
		}
	}
	if got.String() != "--xxx---" {
		t.Errorf("played %s", got.String())
	}
}

func TestFaultMatch(t *testing.T) {
	p, err := newPlan([]Fault{{Stage: Rcpt, Do: Reply550, Match: "Bad@"}, {Stage: Rcpt, Do: Reply451, Match: "bad", Times: 1}})
	if err != nil {
		t.Fatal(err)
	}
	for rcpt, want := range map[string]Action{"bad@x": Reply550, "good@x": 0, "BADLY@x": Reply451} {
		f := p.due(Rcpt, rcpt)
		if (f == nil) != (want == 0) || f != nil && f.Do != want {
			t.Errorf("%s: %+v, want action %d", rcpt, f, want)
		}
	}
}

func TestFaultValidate(t *testing.T) {
	for _, f := range []Fault{
		{}, {Stage: stages, Do: Reply421}, {Stage: Mail}, {Stage: Mail, Do: actions},
		{Stage: Mail, Do: Reply421, Take: true}, {Stage: Mail, Do: Reply421, After: -1},
	} {
		if _, err := newPlan([]Fault{f}); err == nil {
			t.Errorf("%+v was let pass", f)
		}
	}
}

// TestTakenButNotSaid is the case that makes duplicates: the message is accepted, and the reply never arrives.
func TestTakenButNotSaid(t *testing.T) {
	s, addr := start(t, Config{}, Character{Faults: []Fault{{Stage: Dot, Do: Disconnect, Take: true, Times: 1}}})
	p := dial(t, addr)
	p.approach(Dot)
	p.expectEnd()
	if s.Count() != 1 {
		t.Errorf("%d deliveries, want 1", s.Count())
	}
}

func TestFaultText(t *testing.T) {
	_, addr := start(t, Config{}, Character{Faults: []Fault{{Stage: Rcpt, Do: Reply451, Text: "452-4.2.2 mailbox\r\n452 4.2.2 full"}}})
	p := dial(t, addr)
	p.approach(Rcpt)
	if got := p.expect("452 4.2.2 full"); !strings.HasPrefix(got, "452-4.2.2 mailbox\r\n") {
		t.Errorf("reply %q", got)
	}
}
