package scenario

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
)

// TestAllowance: of a campaign that is larger than the allowance, Millrace sends to as many recipients as it may, however often it is
// killed meanwhile, and Postfix to all others. What Millrace counts is what the receivers have.
func TestAllowance(t *testing.T) {
	const allowed = 200
	parts, each := size(6, 21), 1000/size(6, 21)
	s := beside(t, Options{Config: "allowance.total = 200"})
	rng := rand.New(rand.NewPCG(3, 4))
	var sent load.Report
	for i := range parts {
		killed := make(chan error, 1)
		if i == parts-1 {
			killed <- nil
		} else {
			go func() { killed <- s.killSoon(rng) }() // ends with the daemon's recovery
		}
		r := send(t, s, load.Config{First: i * each, Messages: each, Rate: 300, Conns: 4, MinSize: 2000})
		if err := <-killed; err != nil {
			t.Fatal(err)
		}
		sent.Records = append(sent.Records, r.Records...)
	}
	all := parts * each
	eventually(t, "every recipient has his mail", func() bool { ours, theirs := s.recipients(); return len(ours)+len(theirs) >= all })
	st, err := s.Millrace.Status()
	if err != nil {
		t.Fatal(err)
	}
	ours, theirs := s.recipients()
	t.Logf("%d messages, %d kills: %d recipients by Millrace, which has counted %d of %d; %d by Postfix", all, parts-1, len(ours), st.Totals.Sent, allowed, len(theirs))
	if st.Totals.Sent != allowed || st.Totals.Left != 0 || len(ours) > allowed || len(ours) < allowed-(parts-1)*4 {
		t.Errorf("%d recipients by Millrace, %d counted, %d left, of %d", len(ours), st.Totals.Sent, st.Totals.Left, allowed)
	}
	if c := load.Compare(sent.Records, s.Sink.All()); len(c.Lost)+len(c.Altered) > 0 {
		t.Error(c.Err())
	}
	if st.Allowance == nil || len(st.Allowance.Usage) != 1 || st.Allowance.Usage[0].Full == "" {
		t.Errorf("%+v", st.Allowance)
	}
}

// killSoon kills the daemon within half a second and starts it again.
func (s *Scene) killSoon(rng *rand.Rand) error {
	time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
	if err := s.Millrace.Kill(); err != nil {
		return err
	}
	if err := s.Millrace.Start(); err != nil {
		return err
	}
	_, err := s.Millrace.Recovered()
	return err
}

// recipients are those who have got mail by Millrace, and by the MTA.
func (s *Scene) recipients() (ours, theirs map[string]bool) {
	ours, theirs = make(map[string]bool), make(map[string]bool)
	for d := range s.Sink.All() {
		if d.Listener == "bulk" {
			ours[d.Rcpt] = true
		} else {
			theirs[d.Rcpt] = true
		}
	}
	return ours, theirs
}
