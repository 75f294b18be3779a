package milter

import (
	"time"

	"github.com/millrace/millrace/filter"
)

var _ filter.Keeper = (*session)(nil)

const (
	// longPatience is for Postfix, which is told that we are alive: 25 seconds are the most that gate.hold allows.
	longPatience = time.Minute
	// shortPatience is for Sendmail, which takes no progress before the end of the message, and gives up after 10 seconds by default.
	shortPatience = 6 * time.Second
)

// Patience implements filter.Keeper.
func (s *session) Patience() time.Duration {
	switch {
	case s.local:
		return 0
	case s.sendmail:
		return shortPatience
	}
	return longPatience
}

// BeginHold implements filter.Keeper.
func (s *session) BeginHold() {
	if !s.sendmail {
		s.progress.start()
	}
}

// EndHold implements filter.Keeper.
func (s *session) EndHold() {
	if !s.sendmail {
		s.progress.stop()
	}
}

// Stopping implements filter.Keeper.
func (s *session) Stopping() <-chan struct{} { return s.phase.stop }
