package route

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/miekg/dns"
)

// world is a fake exchanger in a synctest bubble: names, DNS's answers about them,
// and the time that each answer takes.
type world struct {
	mu    sync.Mutex
	mx    map[string]answer        // other names do not exist
	delay map[string]time.Duration // "" is for all others
	down  bool                     // nobody answers anything
	asked map[string]int           // MX questions
	first map[string][]int         // and how many servers each passed over
	busy  int
	most  int // questions at a time
}

func newWorld() *world {
	return &world{mx: map[string]answer{}, delay: map[string]time.Duration{}, asked: map[string]int{}, first: map[string][]int{}}
}

// set gives a domain one MX host of the given name.
func (w *world) set(domain, mx string, ttl time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mx[domain] = answer{kind: found, mx: []mxRecord{{host: mx}}, ttl: ttl}
}

// put gives a domain any answer.
func (w *world) put(domain string, a answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mx[domain] = a
}

// slow makes a name take its time; "" is all names.
func (w *world) slow(domain string, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.delay[domain] = d
}

// fail makes all answers stay away, or come again.
func (w *world) fail(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.down = down
}

// count is how often a domain was asked for.
func (w *world) count(domain string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[domain]
}

func (w *world) exchange(ctx context.Context, qs []question, p patience) []answer {
	answers, wait := w.begin(qs, p)
	defer w.end(len(qs))
	late := wait > p.total
	t := time.NewTimer(min(wait, p.total))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
		late = true
	}
	if late {
		for i := range answers {
			answers[i] = softAnswer(silent, "no answer")
		}
	}
	return answers
}

// begin books the questions and finds their answers.
func (w *world) begin(qs []question, p patience) ([]answer, time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy += len(qs)
	w.most = max(w.most, w.busy)
	answers := make([]answer, len(qs))
	wait := w.delay[""]
	for i, q := range qs {
		answers[i] = w.answer(q)
		w.first[q.name] = append(w.first[q.name], p.first)
		if d, ok := w.delay[q.name]; ok {
			wait = d
		}
	}
	if w.down {
		wait = never
	}
	return answers, wait
}

// peak is how many questions were outstanding at a time, at most.
func (w *world) peak() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.most
}

func (w *world) end(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy -= n
}

// answer is DNS's reply to q; every host has the same address.
func (w *world) answer(q question) answer {
	switch q.qtype {
	case dns.TypeMX:
		w.asked[q.name]++
		if a, ok := w.mx[q.name]; ok {
			return a
		}
		return answer{kind: noName, ttl: time.Minute}
	case dns.TypeA:
		return answer{kind: found, ttl: 24 * time.Hour, addrs: addrList(netip.MustParseAddr("192.0.2.1"))}
	}
	return answer{kind: noData, ttl: 24 * time.Hour}
}

// bubble runs a test in a synctest bubble with a running resolver upon w.
func bubble(t *testing.T, cfg Config, test func(t *testing.T, w *world, r *Resolver)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.slow("", 50*time.Millisecond)
		r := assemble(cfg.withDefaults(), Table{}, hclog.NewNullLogger(), w)
		r.Run(t.Context())
		defer r.Stop()
		test(t, w, r)
	})
}

// pass lets everything happen that is under way, in bubble time.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
