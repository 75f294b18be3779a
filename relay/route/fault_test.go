package route

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// faulty is an exchanger with a fault that one name brings about.
type faulty struct{ *world }

func (w faulty) exchange(ctx context.Context, qs []question, p patience) []answer {
	if qs[0].name == "bad.test" {
		panic("a fault in the wire")
	}
	return w.world.exchange(ctx, qs, p)
}

func TestFaultCostsOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.set("good.test", "mx.test", time.Hour)
		var log bytes.Buffer
		r := assemble(Config{}.withDefaults(), Table{}, hclog.New(&hclog.LoggerOptions{Output: &log}), faulty{w})
		r.Run(t.Context())
		defer r.Stop()
		for range 3 {
			for domain, want := range map[string]string{"bad.test": "451 4.3.0", "good.test": "mx.test:25; 0 mx.test [192.0.2.1]"} {
				got := ""
				r.Await(domain, func(rt *Route) { got = text(rt) })
				pass(time.Second)
				if got != want {
					t.Errorf("%s: %q, want %q", domain, got, want)
				}
			}
			pass(10 * time.Minute)
		}
		if s := r.Status(); s.InFlight != 0 || r.windows[0].asked != 0 {
			t.Errorf("%+v, %d questions outstanding", s, r.windows[0].asked)
		}
		if n, stacks := strings.Count(log.String(), "please report it"), strings.Count(log.String(), "stack="); n != 3 || stacks != 1 {
			t.Errorf("%d lines, %d stacks:\n%s", n, stacks, log.String())
		}
	})
}
