package relay

import (
	"context"
	"errors"
	"time"
)

// ActError is why an Act cannot be carried out as it was given: a selector that cannot be, or a verb that needs one. Nothing was done.
type ActError struct {
	Field string // of the Act or its Selector, by its JSON key
	Text  string // what is wrong with it
}

// Error implements error.
func (e *ActError) Error() string { return e.Field + ": " + e.Text }

// ErrManyActs is the error of Do when as many holds and pauses are in force as may be. Nothing was done.
var ErrManyActs = errors.New("too many holds and pauses are in force: release or resume some, or select more with one")

// Lever is what an admin moves mail with that waits: it carries out Acts. All methods may be called from any goroutine.
type Lever struct {
	queues  *QueueMap
	handler *Handler
	deps    LeverDeps
}

// LeverDeps are what the lever works with. A nil func is one that there is no use for.
type LeverDeps struct {
	// SiteHas reports whether the mail of a domain goes to the site of that name: its key, one of its hosts, or its provider. known is
	// false while nobody knows where the mail goes.
	SiteHas func(domain, name string) (has, known bool)
	// Site is the key of the site where the mail of a domain goes, "" while nobody knows.
	Site func(domain string) string
	// PauseSites makes the pool send nothing to the named sites, and resume at all others. A Reason without a time has no end.
	PauseSites func(map[string]Reason)
	// Reopen lets the site of a domain be tried now although it is closed.
	Reopen func(domain string)
	// Store makes the acts in force durable. nil: they end with the process.
	Store func([]byte) error
	// Log is told of each Act that was carried out or failed, dry runs apart.
	Log func(Act, ActReport, error)
}

// NewLever returns the lever of m and its handler h. It must be made before mail is restored or taken.
func NewLever(m *QueueMap, h *Handler, deps LeverDeps) *Lever {
	return &Lever{queues: m, handler: h, deps: deps}
}

// Do carries out an Act. An error that is an *ActError is the giver's; after any other one the report says what was done before it. A
// hold, release, pause, resume, drain or undrain is durable when Do returns, and is carried out to its end also when ctx ends before.
func (l *Lever) Do(ctx context.Context, act Act) (ActReport, error) {
	return ActReport{}, errors.ErrUnsupported
}

// Run does what takes time, a drain above all, until ctx is done.
func (l *Lever) Run(ctx context.Context) { <-ctx.Done() }

// Pause is a pause or a hold that is in force.
type Pause struct {
	Verb     Verb      `json:"verb"` // VerbPause or VerbHold
	Selector Selector  `json:"selector,omitzero"`
	Since    time.Time `json:"since"`
	Until    time.Time `json:"until,omitzero"` // zero: until it is ended
	Reason   string    `json:"reason,omitempty"`
	Who      string    `json:"who,omitempty"`
	Nodes    int64     `json:"nodes"` // parts of messages, one for each domain, that wait for it; unknown for a site, whose mail waits in line
}

// Pauses lists the pauses and holds that are in force, the oldest first.
func (l *Lever) Pauses() []Pause { return nil }

// Draining is the drain that is in force. It never blocks.
func (l *Lever) Draining() (Act, bool) { return Act{}, false }

// DrainReport is how far the drain in force is.
func (l *Lever) DrainReport() ActReport { return ActReport{} }
