package smtpd

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
)

// Bounds of the messages that the MTA is asked to offer again. Each costs a process.
const (
	maxPutOff   = 10_000          // remembered; the MTA tries the others by its own times
	putOffRest  = 5 * time.Second // between our refusal and the next offer
	againEvery  = time.Second
	againAtOnce = 50               // each time: 3,000 messages a minute
	againLook   = 1000             // looked at each time
	againLimit  = 10 * time.Second // for a process
)

// messageWord stands in Config.Flush where the MTA's name of the message goes.
const messageWord = "{id}"

// again remembers the messages that the MTA keeps because there was no room for them, and has the MTA offer each again as soon as there is.
// Postfix would do so by itself, but after five minutes at the earliest and later and later. Its times (minimal_backoff_time,
// queue_run_delay) are those of the queue manager and not of a transport: shorter ones would have it try all dead receivers more often. So
// would a flush of the whole queue.
type again struct {
	command []string // nil: nothing is done
	intake  *filter.Intake
	start   func(ctx context.Context, command []string) error

	mu      sync.Mutex
	known   map[string]bool
	waiting []putOff // the oldest first
}

// putOff is a message that was refused.
type putOff struct {
	id     string
	domain string // of the recipient without room; "": it was refused before we knew
	since  time.Time
}

func newAgain(cfg Config, intake *filter.Intake) *again {
	return &again{command: cfg.Flush, intake: intake, start: run, known: make(map[string]bool)}
}

// validateFlush judges the command.
func (c *Config) validateFlush() error {
	switch {
	case len(c.Flush) == 0:
		return nil
	case !filepath.IsAbs(c.Flush[0]):
		return fmt.Errorf("flush[0]: %q is not a path from the root; write /usr/sbin/postqueue", c.Flush[0])
	case !slices.Contains(c.Flush[1:], messageWord):
		return fmt.Errorf(`flush: has no %q, where the MTA's name of the message goes; write ["/usr/sbin/postqueue", "-i", "{id}"]`, messageWord)
	}
	return nil
}

// run runs a command to its end.
func run(ctx context.Context, command []string) error {
	ctx, cancel := context.WithTimeout(ctx, againLimit)
	defer cancel()
	out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(out)))
	}
	return nil
}

// note remembers a message that was refused. Names that an MTA of this host would not give are not used: they become words of a command.
func (a *again) note(id, domain string) {
	if len(a.command) == 0 || id == "" || strings.ContainsFunc(id, notInName) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.known[id] || len(a.waiting) >= maxPutOff {
		return
	}
	a.known[id] = true
	a.waiting = append(a.waiting, putOff{id, domain, time.Now()})
}

// notInName reports what is neither a letter nor a digit: Postfix's queue ids have nothing else.
func notInName(c rune) bool {
	return !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z')
}

// choose takes out the messages for which there is room now. Those that were looked at in vain go to the end of the line.
func (a *again) choose(now time.Time) (ids []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var granted []*relay.Grant
	defer func() {
		for _, g := range granted {
			g.Release()
		}
	}()
	n := 0
	var vain []putOff
	for ; n < len(a.waiting) && n < againLook && len(ids) < againAtOnce && now.Sub(a.waiting[n].since) >= putOffRest; n++ {
		m := a.waiting[n]
		g, ok := a.intake.Room(m.domain)
		if !ok {
			vain = append(vain, m)
			continue
		}
		granted, ids = append(granted, g), append(ids, m.id)
		delete(a.known, m.id)
	}
	a.waiting = append(a.waiting[n:], vain...)
	return ids
}

// OfferAgain has the MTA offer again what was refused for want of room, until Stop. Without Config.Flush it does nothing.
func (d *Door) OfferAgain() {
	if len(d.again.command) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tick := time.NewTicker(againEvery)
	defer tick.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-tick.C:
		}
		for _, id := range d.again.choose(time.Now()) {
			if d.stopping.Load() {
				return
			}
			if err := d.again.start(ctx, d.again.of(id)); err != nil {
				d.intake.Warn("the MTA could not be asked to offer a message again: it does so by its own times; see smtpd.flush", "error", err, "id", id)
			}
		}
	}
}

// of is the command for a message.
func (a *again) of(id string) []string {
	command := slices.Clone(a.command)
	for i := range command {
		command[i] = strings.ReplaceAll(command[i], messageWord, id)
	}
	return command
}

// putOff counts a message, or a recipient of it, that is refused for want of room. An MTA on another host is not asked to offer it again.
func (s *session) putOff(domain string) {
	s.door.counts.refused.Add(1)
	if s.t != nil && s.keeps() && (!s.peer.IsValid() || s.peer.IsLoopback()) {
		s.door.again.note(s.t.queueID, domain)
	}
}

// putOffFirst is putOff for the first recipient of a message.
func (s *session) putOffFirst() {
	if len(s.t.rcpts) > 0 {
		s.putOff(domainOf(s.t.rcpts[0]))
	}
}

// domainOf is the domain in an argument of RCPT.
func domainOf(argument string) string { return relay.Domain(filter.ParseCommand(argument).Path) }
