package milter

import (
	"net"
	"slices"
	"strings"
	"testing"

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
