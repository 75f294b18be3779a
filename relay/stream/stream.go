package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// Deps are what a Stream works with.
type Deps struct {
	Hostname string // of the node, for records that name it
	// Totals are those of the journal, as Open has found them; nil: there is no journal, and none are compared.
	Totals func() Totals
	// Kept is what Positions gave in the last start; nil: webhooks begin with what comes.
	Kept []byte
	Log  hclog.Logger
	// now is time.Now; tests replace it.
	now func() time.Time
}

// Stream is the event stream: a relay.Listener that has one record for each event, with readers that follow at their own pace. Its
// methods may be called from any goroutine.
type Stream struct {
	deps     Deps
	log      hclog.Logger
	ring     *ring
	lines    sync.Pool // of *line
	awake    atomic.Bool
	files    []*file
	webhooks []*webhook
	watch    watch
	base     uint64            // position of the first record of this start
	kept     map[string]uint64 // of Positions, in the last start

	waiting atomic.Bool // a reader waits for bell
	bellMu  sync.Mutex
	bell    chan struct{} // closed with the next record
}

var _ relay.Listener = (*Stream)(nil)

// New opens the files, mends their ends, and finds where positions go on. It starts nothing.
func New(cfg Config, deps Deps) (*Stream, error) {
	if deps.Log == nil {
		deps.Log = hclog.NewNullLogger()
	}
	if deps.now == nil {
		deps.now = time.Now
	}
	s := &Stream{deps: deps, log: deps.Log, bell: make(chan struct{})}
	s.lines.New = func() any { return new(line) }
	s.recall()
	for _, c := range cfg.File {
		f, err := openFile(s, c)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.files = append(s.files, f)
	}
	s.begin(cfg)
	for _, c := range cfg.Webhook {
		w, err := newWebhook(s, c)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.webhooks = append(s.webhooks, w)
	}
	s.awake.Store(len(s.files)+len(s.webhooks) > 0)
	return s, nil
}

// keptAhead is how many records there are at most between two calls of Positions, by far.
const keptAhead = 100_000_000

// begin finds where positions go on: at the microsecond of the start, as a number, or above the last position that is known if that is
// higher because the clock was set back. So none is used again, and all are exact in a JSON reader's double.
func (s *Stream) begin(cfg Config) {
	s.base = uint64(max(s.deps.now().UnixMicro(), minPosition))
	if last := s.kept[keptNext]; last >= s.base {
		s.base = last + keptAhead
	}
	for _, f := range s.files {
		s.base = max(s.base, f.found.last+2) // one is left for a Recovery
	}
	var totals Totals
	if s.deps.Totals != nil {
		totals = s.deps.Totals()
	}
	s.ring = newRing(cfg.Buffer, s.base, totals)
	for _, f := range s.files {
		f.begin(s.ring.ahead(), s.deps.Totals != nil)
	}
}

// Event implements relay.Listener. It copies what it keeps into bounded memory, and does not block.
func (s *Stream) Event(e *relay.Event) {
	k, n, ok := kindOf(e)
	if !ok {
		return
	}
	if !s.awake.Load() {
		s.ring.skip(k, n)
		return
	}
	l := s.lines.Get().(*line)
	s.ring.append(k, n, l.event(k, e))
	s.putBack(l)
	s.ringBell()
}

// Note records an event that is about no message in the queue map. It does not block.
func (s *Stream) Note(n Note) {
	count := uint32(0)
	if n.Kind == Suppressed {
		count = 1
	}
	if n.Time.IsZero() {
		n.Time = s.deps.now()
	}
	if !s.awake.Load() {
		s.ring.skip(n.Kind, count)
		return
	}
	l := s.lines.Get().(*line)
	s.ring.append(n.Kind, count, l.note(&n))
	s.putBack(l)
	s.ringBell()
}

// Allowance records that the count against an allowance has reached a mark of so many per cent. tenant is "" for the installation.
func (s *Stream) Allowance(tenant string, level int, used, limit int64, reason string) {
	s.Note(Note{Kind: Allowance, Tenant: tenant, Level: int64(level), Used: used, Limit: limit, Reason: reason})
}

// putBack keeps the memory of a line, unless a rare long one has grown it.
func (s *Stream) putBack(l *line) {
	if cap(l.b) <= maxRecord {
		s.lines.Put(l)
	}
}

// ringBell wakes the readers that wait.
func (s *Stream) ringBell() {
	if !s.waiting.Load() || !s.waiting.CompareAndSwap(true, false) {
		return
	}
	s.bellMu.Lock()
	defer s.bellMu.Unlock()
	close(s.bell)
	s.bell = make(chan struct{})
}

// listen returns a channel that is closed with the next record. The caller looks at the ring again before it waits.
func (s *Stream) listen() <-chan struct{} {
	s.bellMu.Lock()
	defer s.bellMu.Unlock()
	s.waiting.Store(true)
	return s.bell
}

// wait waits until there is a record behind c, a time has passed, or ctx is done; it reports false for the last.
func (s *Stream) wait(ctx context.Context, c *cursor, most time.Duration) bool {
	bell := s.listen()
	if _, next := s.ring.reach(); c.next < next {
		return ctx.Err() == nil
	}
	late := time.NewTimer(most)
	defer late.Stop()
	select {
	case <-bell:
	case <-late.C:
	case <-ctx.Done():
		return false
	}
	return true
}

// Run writes files and webhooks until ctx is done. What comes behind that is for Conclude and Close.
func (s *Stream) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, f := range s.files {
		wg.Go(func() { f.run(ctx) })     // ends with ctx
		wg.Go(func() { f.archive(ctx) }) // likewise
	}
	for _, w := range s.webhooks {
		wg.Go(func() { w.run(ctx) }) // likewise
	}
	wg.Wait()
}

// Flush writes to the files what has happened so far, without fsync. It waits for a write under way, so its caller must have an end to its
// patience; what is no plain file is passed over. It is called before each commit of the journal, so that a kill finds a record in the
// files for each outcome that is durable.
func (s *Stream) Flush() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.flush())
	}
	return errors.Join(errs...)
}

// Reopen opens the files anew, after log rotation renamed them. A file that cannot be opened goes on in the old one.
func (s *Stream) Reopen() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.reopen())
	}
	return errors.Join(errs...)
}

// Conclude posts what is left to webhooks that answer, for a moment. Run has returned. What is not taken waits for the next start,
// from the place that Positions gives.
func (s *Stream) Conclude() {
	var wg sync.WaitGroup
	for _, w := range s.webhooks {
		wg.Go(w.conclude) // ends within lastTime
	}
	wg.Wait()
}

// Close writes what is left, and closes the files. Run has returned.
func (s *Stream) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// keptNext is the name under which Positions has that of the next record. No webhook has it.
const keptNext = ""

// Positions is how far the stream and each webhook have come, for Deps.Kept of the next start.
func (s *Stream) Positions() []byte {
	_, next := s.ring.reach()
	at := map[string]uint64{keptNext: next}
	for _, w := range s.webhooks {
		key, place := w.key(), w.next.Load()
		if other, ok := at[key]; ok {
			place = min(place, other) // of two to one URL, the one that is behind must miss nothing
		}
		at[key] = place
	}
	text, _ := json.Marshal(at) // numbers cannot fail
	return text
}

// recall reads what Positions gave in the last start.
func (s *Stream) recall() {
	if len(s.deps.Kept) == 0 {
		return
	}
	if err := json.Unmarshal(s.deps.Kept, &s.kept); err != nil {
		s.log.Warn("events: webhooks begin with what comes, because their places are not known", "error", err)
	}
}

// OutputStatus is an output in numbers, since the start.
type OutputStatus struct {
	Name     string `json:"name"` // path or host
	Position uint64 `json:"position"`
	Behind   uint64 `json:"behind"` // records that wait for it
	Written  uint64 `json:"written"`
	Missed   uint64 `json:"missed"`
	Error    string `json:"error,omitempty"`
}

// Status is the stream in numbers.
type Status struct {
	Position uint64         `json:"position"` // of the newest record
	Totals   Totals         `json:"totals"`
	Watchers int            `json:"watchers"` // readers of the console
	Outputs  []OutputStatus `json:"outputs,omitempty"`
}

// Status returns the numbers of this moment.
func (s *Stream) Status() Status {
	now := s.ring.ahead()
	st := Status{Position: now.next - 1, Totals: now.totals, Watchers: s.watch.count()}
	for _, f := range s.files {
		st.Outputs = append(st.Outputs, f.output.status(f.cfg.Path, now.next))
	}
	for _, w := range s.webhooks {
		st.Outputs = append(st.Outputs, w.output.status(w.host, now.next))
	}
	return st
}

// output is what files and webhooks count.
type output struct {
	next    atomic.Uint64 // position of the record that it takes next
	written atomic.Uint64
	missed  atomic.Uint64
	fault   atomic.Pointer[string]
}

func (o *output) status(name string, next uint64) OutputStatus {
	st := OutputStatus{Name: name, Position: o.next.Load() - 1, Written: o.written.Load(), Missed: o.missed.Load()}
	if at := o.next.Load(); at < next {
		st.Behind = next - at
	}
	if fault := o.fault.Load(); fault != nil {
		st.Error = *fault
	}
	return st
}

// failed notes an error, and reports whether it is the first behind a success.
func (o *output) failed(err error) (first bool) {
	text := err.Error()
	return o.fault.Swap(&text) == nil
}

// worked notes a success, and reports whether it is the first behind an error.
func (o *output) worked() (first bool) { return o.fault.Swap(nil) != nil }

// missedText is what the log says of records that an output has missed.
func missedText(n uint64) string { return fmt.Sprintf("%d records were not written", n) }
