package console

import (
	"bytes"
	"context"
	"iter"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// broken is a daemon that cannot say how it is.
type broken struct{ fakeSource }

func (b *broken) Status() Status { panic("wanted panic") }

func (b *broken) Messages(relay.ID) iter.Seq[relay.Listing] {
	return func(yield func(relay.Listing) bool) {
		yield(fakeListing(1))
		panic("wanted panic")
	}
}

// TestPanicOfAHandler: the command gets an error, the others their answers, and the log the stack, once.
func TestPanicOfAHandler(t *testing.T) {
	var log bytes.Buffer
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := Listen(Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	s := New(&broken{fakeSource{n: 3}}, &fakeActs{}, hclog.New(&hclog.LoggerOptions{Output: &log}))
	done := make(chan error, 1)
	go func() { done <- s.Run(ln) }() // ends by Stop
	c := dial(t, path)
	for range 2 * maxRequests { // each gives its place back
		if _, err := c.Status(t.Context()); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Fatalf("status: %v", err)
		}
	}
	var failed error
	for _, err := range c.Messages(t.Context(), Filter{}) {
		failed = err
	}
	if failed == nil {
		t.Error("a list that broke off looks complete")
	}
	for _, err := range c.Queues(t.Context(), 0) {
		if err != nil {
			t.Errorf("another question: %v", err)
		}
	}
	if err := s.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	<-done
	if n := strings.Count(log.String(), " [running]"); n != 2 || strings.Contains(log.String(), "http: panic") {
		t.Errorf("%d stacks for two faults: %s", n, log.String())
	}
}
