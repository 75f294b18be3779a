package milter

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/standin"
)

// TestHeard: Accepter is told of each message whose answer the MTA has, and not of one whose MTA hung up before.
func TestHeard(t *testing.T) {
	var hangUp net.Conn
	r := start(t, func(s *setup) {
		s.before = func(*relay.Message) error {
			if hangUp != nil {
				hangUp.Close()
			}
			return nil
		}
	})
	c := r.dial(standin.Options{})
	for range 3 {
		r.send(c, bulk())
	}
	r.send(c, plain())
	c.Close()
	r.drain()
	if !slices.Equal(r.taken.heard, r.taken.messages) || len(r.taken.heard) != 3 {
		t.Errorf("%d messages taken, %d heard of", len(r.taken.messages), len(r.taken.heard))
	}
	nc := r.raw()
	c, err := standin.New(nc, standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	hangUp = nc
	if _, err := c.Send(bulk()); err == nil {
		t.Error("the MTA had an answer")
	}
	r.drain()
	if len(r.taken.messages) != 4 || len(r.taken.heard) != 3 || len(r.taken.hungUp) != 1 || !strings.Contains(r.log.String(), "may be delivered twice") {
		t.Errorf("%d messages taken, %d heard of: %s", len(r.taken.messages), len(r.taken.heard), r.log)
	}
}

// counts are how many messages Accepter was told of, as heard and as hung up.
func (a *taken) counts() (heard, hungUp int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.heard), len(a.hungUp)
}

// On TCP an answer can be written to an MTA that is gone: that is no proof that the MTA has heard.
func TestHeardByNobody(t *testing.T) {
	var nc net.Conn
	r := start(t, func(s *setup) {
		s.before = func(*relay.Message) error {
			nc.Close() // a killed smtpd, while the journal syncs
			time.Sleep(20 * time.Millisecond)
			return nil
		}
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go r.door.Serve(ln) // ends with Stop
	if nc, err = net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Fatal(err)
	}
	c, err := standin.New(nc, standin.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Send(bulk()); err == nil {
		t.Error("the MTA had an answer")
	}
	r.drain()
	if heard, hungUp := r.taken.counts(); heard != 0 || hungUp != 1 || !strings.Contains(r.log.String(), "may be delivered twice") {
		t.Errorf("heard %d, hung up %d, log %q", heard, hungUp, r.log)
	}
}

// The MTA has heard when it goes on, whichever way: with the next frame, with QUIT, by holding on to the connection.
func TestHeardWhenTheMTAGoesOn(t *testing.T) {
	for name, tt := range map[string]struct {
		then   func(*rig, *standin.Conn)
		hungUp int
	}{
		"next message":  {then: func(r *rig, c *standin.Conn) { r.send(c, plain()) }},
		"abort":         {then: func(_ *rig, c *standin.Conn) { c.Reset(); c.Flush() }},
		"quit":          {then: func(_ *rig, c *standin.Conn) { c.Close() }},
		"silence":       {then: func(*rig, *standin.Conn) { time.Sleep(heardWait) }},
		"hangs up":      {then: func(_ *rig, c *standin.Conn) { c.NetConn().Close() }, hungUp: 1},
		"a clean stop":  {then: func(r *rig, _ *standin.Conn) { r.door.Stop(context.Background()) }},
		"a hurried one": {then: func(r *rig, _ *standin.Conn) { r.door.Stop(canceled()) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t)
				c := r.dial(standin.Options{Flavor: standin.Sendmail})
				if v := r.send(c, bulk()); !v.Taken() {
					t.Fatalf("%+v", v)
				}
				synctest.Wait()
				if heard, hungUp := r.taken.counts(); heard+hungUp != 0 {
					t.Errorf("decided before the MTA went on: heard %d, hung up %d", heard, hungUp)
				}
				tt.then(r, c)
				synctest.Wait()
				if heard, hungUp := r.taken.counts(); heard != 1-tt.hungUp || hungUp != tt.hungUp {
					t.Errorf("heard %d, hung up %d", heard, hungUp)
				}
			})
		})
	}
}

// A stop that waits for a message which is being taken leaves it heard, although the connection ends with its answer.
func TestStopLeavesNothingUnheard(t *testing.T) {
	for name, ctx := range map[string]func() (context.Context, context.CancelFunc){
		"clean": func() (context.Context, context.CancelFunc) { return context.WithCancel(context.Background()) },
		"cut": func() (context.Context, context.CancelFunc) {
			return context.WithTimeout(context.Background(), time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, func(s *setup) {
					s.before = func(*relay.Message) error { time.Sleep(2500 * time.Millisecond); return nil } // before the first sign of life to the MTA
				})
				c := r.dial(standin.Options{Flavor: standin.Sendmail})
				done := make(chan standin.Verdict, 1)
				go func() {
					v, _ := c.Send(bulk())
					done <- v
				}()
				time.Sleep(time.Second)
				ctx, cancel := ctx()
				defer cancel()
				r.door.Stop(ctx)
				if v := <-done; !v.Taken() {
					t.Errorf("%+v", v)
				}
				if heard, hungUp := r.taken.counts(); heard != 1 || hungUp != 0 {
					t.Errorf("heard %d, hung up %d", heard, hungUp)
				}
			})
		})
	}
}

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
