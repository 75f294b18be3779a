package smtpd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// TestOfferedAgain: the MTA is asked for a message that was refused for want of room when there is room for it, and not before; once,
// until it is refused again.
func TestOfferedAgain(t *testing.T) {
	r, x := gated(t, Filter, func(s *setup, _ *relay.GateConfig) { s.config.Flush = []string{"/sbin/postqueue", "-i", "{id}"} })
	var ran [][]string
	r.door.again.start = func(_ context.Context, command []string) error {
		ran = append(ran, command)
		return fmt.Errorf("no such file")
	}
	c := r.dial()
	c.say("EHLO mta.example.com", "250-")
	for _, id := range []string{"4Fx", "4Fx", "-f", "4Fy"} {
		c.say("XFORWARD IDENT="+id, "250 ")
		if got := c.send(false, bulkMessage, "a@example.net"); !strings.HasPrefix(got[0], "451 4.3.2") {
			t.Errorf("%q", got)
		}
	}
	soon, later := time.Now(), time.Now().Add(putOffRest)
	for _, now := range []time.Time{soon, later} {
		if got := r.door.again.choose(now); got != nil {
			t.Errorf("without room: %q", got)
		}
	}
	x.empty(t)
	if got := r.door.again.choose(soon); got != nil {
		t.Errorf("too early: %q", got)
	}
	if got := r.door.again.choose(later); !slices.Equal(got, []string{"4Fx", "4Fy"}) {
		t.Errorf("with room: %q", got)
	}
	if got := r.door.again.choose(later); got != nil {
		t.Errorf("a second time: %q", got)
	}
	r.door.again.note("4Fx", "example.net")
	r.door.again.waiting[0].since = soon.Add(-putOffRest)
	done := make(chan struct{})
	go func() { r.door.OfferAgain(); close(done) }() // ends with Stop
	for end := time.Now().Add(10 * time.Second); !strings.Contains(r.log.String(), "smtpd.flush"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the command does not run")
		}
	}
	if err := r.door.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	<-done
	if len(ran) != 1 || !slices.Equal(ran[0], []string{"/sbin/postqueue", "-i", "4Fx"}) {
		t.Errorf("%q", ran)
	}
}

// TestOfferedAgainAtOnce: no more messages are asked for than there is room for, and no more are remembered than are bounded.
func TestOfferedAgainAtOnce(t *testing.T) {
	r, x := gated(t, Filter, func(s *setup, _ *relay.GateConfig) { s.config.Flush = []string{"/sbin/postqueue", "-i", "{id}"} })
	for i := range maxPutOff + 1 {
		r.door.again.note(fmt.Sprint("4F", i), "example.net")
	}
	if n := len(r.door.again.waiting); n != maxPutOff {
		t.Errorf("%d are remembered", n)
	}
	x.empty(t)
	if got := r.door.again.choose(time.Now().Add(putOffRest)); len(got) == 0 || len(got) > 4 {
		t.Errorf("room for three: %q", got)
	}
}
