package relay

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

var updateTraces = flag.Bool("update", false, "write the traces in testdata/traces as they are now")

// TestTraces runs each file of testdata/traces: a line that begins with "> " is a command, and what stands below it, up to an
// empty line, is exactly what happens then. Lines that begin with "#" tell the reader why. The files are the
// documentation of the heart: read one beside FLOW.md. The commands are the methods of stage that begin with "do".
//
//	go test ./relay -run TestTraces -update    # after a change that is meant to be seen
func TestTraces(t *testing.T) {
	files, err := filepath.Glob("testdata/traces/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no traces: %v", err)
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			got := runTrace(t, string(text))
			if *updateTraces {
				if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(text) {
				t.Errorf("%s: the trace is now\n%s", name, got)
			}
		})
	}
}

// runTrace gives the file back with what happens now.
func runTrace(t *testing.T, text string) (now string) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, begin: time.Now(), receivers: make(map[string]*receiver), names: make(map[string]*Message)}
		defer s.end()
		var out strings.Builder
		skip := false // what happened when the file was written
		for line := range strings.Lines(text) {
			command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "> ")
			switch {
			case ok:
				fmt.Fprintf(&out, "> %s\n%s", command, s.do(command))
				skip = true
			case line == "\n":
				skip = false
				fallthrough
			case !skip:
				out.WriteString(line)
			}
		}
		now = out.String()
	})
	return now
}

// stage is a heart with one channel and receivers that do as they are told.
type stage struct {
	t         *testing.T
	begin     time.Time
	queue     QueueConfig
	retry     RetryConfig
	handback  HandbackConfig
	tenants   []TenantConfig
	open      []*Visit  // begun by serve
	heart     *QueueMap // made by the first command that needs it
	h         *Handler
	stop      func()
	names     map[string]*Message
	receivers map[string]*receiver // by domain; our own MTA is "inject"

	mu  sync.Mutex
	out strings.Builder
}

// receiver is what the site of one domain does.
type receiver struct {
	answer smtp.Reply
	closed Reason
	line   *Line // queues that wait for it to open
}

func (s *stage) do(command string) string {
	name, rest, _ := strings.Cut(command, " ")
	commands := map[string]func(string){
		"config": s.doConfig, "receiver": s.doReceiver, "close": s.doClose, "open": s.doOpen,
		"tenant": s.doTenant, "serve": s.doServe, "settle": s.doSettle,
		"offer": s.doOffer, "restore": s.doRestore, "lifetime": s.doLifetime, "wait": s.doWait, "show": s.doShow,
	}
	run, ok := commands[name]
	if !ok {
		s.t.Fatalf("no command %q", command)
	}
	run(rest)
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.out.Reset()
	return s.out.String()
}

// say adds a line to the trace, with the time since the beginning.
func (s *stage) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(&s.out, "%8s  %s\n", short(time.Since(s.begin)), fmt.Sprintf(format, args...))
}

// short is d without the zeros that time.Duration prints.
func short(d time.Duration) string {
	text := d.Round(time.Second).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// doConfig sets keys of [queue], [retry] and [handback], before anything else: config max_length=2 retry=10m,20m.
func (s *stage) doConfig(args string) {
	s.queue, s.retry, s.handback = DefaultQueueConfig(), retryEvery(10*time.Minute, time.Hour), HandbackConfig{}
	for _, arg := range strings.Fields(args) {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "max_length":
			s.queue.MaxLength = s.number(value)
		case "retry":
			s.retry.Schedule = nil
			for _, d := range strings.Split(value, ",") {
				s.retry.Schedule = append(s.retry.Schedule, s.duration(d))
			}
		case "lifetime":
			s.retry.Lifetime = s.duration(value)
		case "visits":
			s.handback.Visits = s.number(value)
		case "after":
			s.handback.After = s.duration(value)
		default:
			s.t.Fatalf("no key %q", key)
		}
	}
	s.heart = NewQueueMap(s.queue, Deps{Journal: NoJournal{}, Listener: s})
	s.h = NewHandler(s.heart, s.retry, s.handback)
	s.heart.Open()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { s.h.Run(ctx) })
	wg.Go(func() { s.carry(ctx) })
	s.stop = func() {
		cancel()
		wg.Wait()
	}
}

func (s *stage) end() {
	if s.stop != nil {
		s.stop()
	}
}

// doReceiver says what the receiver of a domain answers from now on: receiver x 451 4.7.1 come back later.
func (s *stage) doReceiver(args string) {
	domain, reply, _ := strings.Cut(args, " ")
	code, text, _ := strings.Cut(reply, " ")
	s.site(domain).answer = smtp.Reply{Code: s.number(code), Lines: []string{text}}
}

// doClose closes the site of a domain for a time: close x 5m connection refused.
func (s *stage) doClose(args string) {
	f := strings.SplitN(args, " ", 3)
	r := s.site(f[0])
	d := s.duration(f[1])
	why := WaitFor(ReasonSite, f[0], f[2], time.Now().Add(d))
	s.mu.Lock()
	r.closed = why
	s.mu.Unlock()
	r.line.Explain(why)
	r.line.NoteFailure(time.Now())
	time.AfterFunc(d, func() {
		s.mu.Lock()
		open := r.closed == why
		s.mu.Unlock()
		if open {
			s.doOpen(f[0])
		}
	})
}

// doOpen opens a site that was closed; queues that waited for it are in line again.
func (s *stage) doOpen(domain string) {
	r := s.site(domain)
	s.mu.Lock()
	r.closed = Reason{}
	s.mu.Unlock()
	s.say("%s is open", domain)
	for q := r.line.Pick(); q != nil; q = r.line.Pick() {
		q.Resume()
		s.h.Ready(q)
	}
}

// doTenant adds a tenant with weight and limits: tenant gold weight=3 connections=2 rate=10.
func (s *stage) doTenant(args string) {
	f := strings.Fields(args)
	cfg := TenantConfig{Name: f[0]}
	for _, arg := range f[1:] {
		key, value, _ := strings.Cut(arg, "=")
		switch key {
		case "weight":
			cfg.Weight = s.number(value)
		case "connections":
			cfg.Connections = s.number(value)
		case "rate":
			cfg.Rate = TenantRate(s.number(value))
		default:
			s.t.Fatalf("no key %q", key)
		}
	}
	s.tenants = append(s.tenants, cfg)
	s.heart.SetTenants(s.tenants)
}

// doServe visits nodes from the line of a closed site, so many or until nothing may go, and settles them: serve x 8.
func (s *stage) doServe(args string) {
	name, number, _ := strings.Cut(args, " ")
	r := s.site(name)
	for range s.number(number) {
		v := s.h.Serve(r.line, time.Now())
		if v == nil {
			s.say("nothing may go%s", s.because(r.line.Holds().Text, unix(r.line.Opens(time.Now()))))
			return
		}
		s.say("visit %s", v.Node.Message.Name())
		s.open = append(s.open, v)
	}
}

// doSettle ends the visits that serve has begun, as sent.
func (s *stage) doSettle(string) {
	for _, v := range s.open {
		v.FailAll(Sent, smtp.Reply{Code: 250, Lines: []string{"ok"}})
		s.h.Settle(v)
	}
	s.open = nil
}

// doOffer has a door accept a message: offer A a@x b@y. What stands before the recipients may name its flow: tenant=gold flow=news
// urgent.
func (s *stage) doOffer(args string) {
	f := strings.Fields(args)
	var flow FlowName
	rcpts := slices.DeleteFunc(f[1:], func(word string) bool {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "tenant":
			flow.Tenant = value
		case "flow":
			flow.Name = value
		case "urgent":
			flow.Urgent = true
		default:
			return false
		}
		return true
	})
	m := flowMessage(flow, rcpts...)
	m.Slip.QueueID = f[0]
	s.names[f[0]] = m
	if err := s.heart.Accept(m); err != nil {
		s.say("refused %s: %v", f[0], err)
	}
}

// doRestore brings a message back that was taken some time before the beginning: restore A 49h a@x b@y.
func (s *stage) doRestore(args string) {
	f := strings.Fields(args)
	m := testMessage(f[2:]...)
	m.Slip.QueueID, m.Slip.Arrived = f[0], time.Now().Add(-s.duration(f[1]))
	s.names[f[0]] = m
	saved := Saved{Message: m}
	for i := range m.Rcpts {
		saved.Nodes = append(saved.Nodes, SavedNode{Index: i, Rcpts: []int{i}})
	}
	s.heart.Restore(saved, s.h)
}

// doLifetime changes retry.lifetime, as a reload does.
func (s *stage) doLifetime(args string) {
	s.retry.Lifetime = s.duration(args)
	overdue, perMinute := s.h.SetPolicy(s.retry, s.handback)
	s.say("messages overdue by that: %d, of them expire at most %d a minute", overdue, perMinute)
}

// doWait lets time pass.
func (s *stage) doWait(args string) { time.Sleep(s.duration(args)) }

// shown is how much the trace of the present command says.
func (s *stage) shown() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Len()
}

// doShow lists queues or messages, as the console does.
func (s *stage) doShow(what string) {
	before := s.shown()
	defer func() {
		if s.shown() == before {
			s.say("no %s", what)
		}
	}()
	if what == "queues" {
		for _, q := range s.heart.Queues(0) {
			s.say("queue %s%s: %d active, %d busy, %d deferred, in %d queues%s", q.Domain, flowWords(q.FlowListing), q.Active, q.Busy, q.Deferred, q.Siblings, s.because(q.Reason, q.Next))
		}
		return
	}
	all := slices.Collect(s.h.Messages)
	slices.SortFunc(all, func(a, b Listing) int { return strings.Compare(a.QueueID, b.QueueID) })
	for _, l := range all {
		for _, r := range l.Recipients {
			s.say("message %s: %s is %s, visits: %d%s", l.QueueID, r.Address, r.State, r.Attempts, s.because(r.DelayReason, r.NextAttempt))
		}
	}
}

// flowWords is what a list says of a flow.
func flowWords(f FlowListing) (text string) {
	if f.Tenant != "" {
		text += " of tenant " + f.Tenant
	}
	if f.Flow != "" {
		text += " in flow " + f.Flow
	}
	if f.Urgent {
		text += ", urgent"
	}
	return text
}

func (s *stage) because(reason string, next int64) string {
	text := ""
	if reason != "" {
		text = ": " + reason
	}
	if next != 0 {
		text += ", next at " + short(time.Unix(next, 0).Sub(s.begin))
	}
	return text
}

func (s *stage) site(domain string) *receiver {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.receivers[domain]
	if r == nil {
		r = &receiver{answer: smtp.Reply{Code: 250, Lines: []string{"ok"}}, line: NewLine(RoundRobin, 0)}
		s.receivers[domain] = r
	}
	return r
}

// carry is the carrier: one channel, as pool has many.
func (s *stage) carry(ctx context.Context) {
	for q := s.h.Next(ctx); q != nil; q = s.h.Next(ctx) {
		name := q.Domain
		if q.Class == ClassInject {
			name = "inject"
		}
		r := s.site(name)
		if r.closed.Waits() {
			s.say("%s is closed: the queue waits in its site's line", name)
			r.line.Push(q)
			continue
		}
		for v := s.h.Visit(q); v != nil; v = s.h.Visit(q) {
			s.say("visit %s for domain %s at site %s", v.Node.Message.Name(), v.Node.Domain, name)
			v.FailAll(outcomeOf(r.answer), r.answer)
			s.h.Settle(v)
		}
	}
}

func outcomeOf(r smtp.Reply) Outcome {
	switch {
	case r.Code == 421:
		return Again
	case r.Code >= 500:
		return Bounced
	case r.Code >= 400:
		return Deferred
	}
	return Sent
}

// Event implements Listener.
func (s *stage) Event(e *Event) {
	name := e.Message.Name()
	switch e.Kind {
	case EventTaken:
		s.say("taken %s, nodes: %d", name, e.Message.NodeCount())
	case EventRestored:
		s.say("restored %s, nodes: %d", name, e.Message.NodeCount())
	case EventSettled:
		s.say("settled %s %s: %s (%s)", name, e.Message.Rcpt(e.Rcpt).Addr, e.Outcome, e.Reply)
	case EventDeferred:
		if e.Node.Due().IsZero() {
			s.say("node %s for %s goes to our MTA", name, e.Node.Domain)
		} else {
			s.say("node %s for %s is due at %s", name, e.Node.Domain, short(e.Node.Due().Sub(s.begin)))
		}
	case EventRemoved:
		s.say("removed %s", name)
	default:
		s.say("event %d %s", e.Kind, name)
	}
}

func (s *stage) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *stage) duration(text string) time.Duration {
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}
